"""What is plain: values that cross between host and guest by copy, and what other objects are at their base."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import sys
import types
import uuid
from typing import Any, Final

from belljar.values import Opaque, Record

__all__ = ["DEPTH_MAX", "PLAIN", "base_value", "is_array", "is_plain", "is_plain_through", "kind_of"]

DEPTH_MAX: Final = 32
"""Containers in containers that are looked into."""
PLAIN = frozenset({
    type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, array.array, type(...), type(NotImplemented), range,
    slice, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal,
    fractions.Fraction, uuid.UUID, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, Record, Opaque,
})  # fmt: skip


def is_array(value: object) -> bool:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    kind = type(value)
    if numpy is not None and (kind is numpy.ndarray or issubclass(kind, numpy.generic)):
        return True
    return pandas is not None and kind in (pandas.DataFrame, pandas.Series, pandas.Index)


def is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is tuple or kind is frozenset:
        return depth < DEPTH_MAX and len(value) <= 1000 and all(is_plain(item, depth + 1) for item in value)
    return issubclass(kind, enum.Enum) or is_array(value)


def is_plain_through(value: Any, depth: int = 0) -> bool:
    """Whether it crosses by copy and none of its parts has a class that has a say in that."""
    kind = type(value)
    if kind in PLAIN or depth > DEPTH_MAX:
        return depth <= DEPTH_MAX
    if kind is dict:
        return is_plain_through([*value, *value.values()], depth + 1)
    if kind not in (list, tuple, set, frozenset):
        return is_array(value)
    return set(map(type, value)) <= PLAIN or all(is_plain_through(item, depth + 1) for item in value)


def base_value(value: object) -> object:
    """Instances of classes derived from plain ones lose their class."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__pos__(value)  # type: ignore[arg-type]
    if issubclass(kind, float):
        return float.__pos__(value)  # type: ignore[arg-type]
    if issubclass(kind, bytes):
        return bytes(memoryview(value))  # type: ignore[arg-type]
    return value


def kind_of(value: object) -> str:
    kind = type(value)  # isinstance() asks the object for its class
    if issubclass(kind, (list, tuple, collections.deque)):
        return "sequence"
    if issubclass(kind, (dict, types.MappingProxyType)):
        return "mapping"
    if issubclass(kind, (set, frozenset)):
        return "set"
    return "object"
