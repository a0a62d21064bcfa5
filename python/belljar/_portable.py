"""What there is of classes and objects that goes along when they go to a sandbox as code (belljar/_shipping.py)."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import io
import threading
import types
import weakref
from typing import Any, Final

from belljar._origin import find_origin, is_own

__all__ = [
    "CARRIERS",
    "Behaviour",
    "dataclass_fields",
    "enum_parts",
    "instance_state",
    "is_kept",
    "member_state",
    "name_of_member",
    "sentinel_name",
    "without_guard",
]

CARRIERS: Final = (
    types.FrameType, types.CodeType, types.CellType, types.TracebackType, types.GeneratorType, types.CoroutineType,
    types.AsyncGeneratorType, io.IOBase, threading.Thread, asyncio.AbstractEventLoop,
)  # fmt: skip
"""Objects that are a part of this process, and nothing without it."""

_HEAP: Final = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: of classes that were made while the program ran."""

_SENTINELS: Final = ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR")
"""Objects of `dataclasses` that are known by their identity."""

_MADE_ANEW: Final = frozenset(
    "__abstractmethods__ __dict__ __firstlineno__ __module__ __qualname__ __static_attributes__ __weakref__ _abc_impl".split()
)
_TYPING: Final = frozenset("__annotations__ __orig_bases__ __parameters__ __type_params__".split())
"""They mean nothing to a program that runs, and lead to modules that a policy need not allow."""

_known: weakref.WeakKeyDictionary[type, Behaviour] = weakref.WeakKeyDictionary()


class Behaviour:
    """How instances of a class of the program's go: those that are called, or that a class has for its attributes, are code."""

    __slots__ = ("is_callable", "is_code")

    def __init__(self, kind: type) -> None:
        names = {
            name for base in type.mro(kind) if is_own(base) for name, item in vars(base).items() if type(item) is types.FunctionType
        }
        self.is_callable = "__call__" in names
        self.is_code = self.is_callable or not names.isdisjoint(("__get__", "__set__"))

    @staticmethod
    def of(kind: type) -> Behaviour:
        found = _known.get(kind)
        if found is None:
            found = _known[kind] = Behaviour(kind)
        return found


_NOTHING: Final = object()


def sentinel_name(value: object) -> str | None:
    for name in _SENTINELS:
        if getattr(dataclasses, name, _NOTHING) is value:
            return name
    return None


def without_guard(function: types.FunctionType) -> types.FunctionType:
    """The `__repr__` of a dataclass without what keeps it from calling itself, which uses the library's insides."""
    inner = getattr(function, "__wrapped__", None)
    is_guarded = function.__globals__.get("__name__") in ("dataclasses", "reprlib") and type(inner) is types.FunctionType
    return inner if is_guarded else function  # type: ignore[return-value]


# ---- Classes ------------------------------------------------------------------------------------------------------


def is_kept(cls: type, name: str, value: Any, is_strict: bool) -> bool:
    """Whether an attribute of a class goes along. The others are made there, or are of no use."""
    if name in _MADE_ANEW or type(value) in (types.MemberDescriptorType, types.GetSetDescriptorType):
        return False
    if not is_strict:
        return True
    if name in _TYPING:
        return False
    if type(value) is types.FunctionType and value.__module__ == "dataclasses":
        return find_origin(value) is None
    return True


def dataclass_fields(fields: dict[str, Any], is_strict: bool) -> list[tuple[Any, ...]]:
    return [(field.name, None if is_strict else field.type, field.default, field.default_factory, field.init, field.repr, field.hash,
             field.compare, dict(field.metadata), field.kw_only, getattr(field, "_field_type")) for field in fields.values()]  # fmt: skip


def enum_parts(cls: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(name -> value of the members, what else is defined in the class). Its members are there already, so nothing makes any."""
    members = {name: vars(member)["_value_"] for name, member in cls.__members__.items()}
    rest = {}
    for name, value in vars(cls).items():
        is_special = name.startswith("__") and name.endswith("__")
        if (
            name in members
            or name in ("__new__", "__init__", "__doc__")
            or (name[:1] == "_" and not is_special and name != "_missing_")
        ):
            continue
        function = getattr(value, "__func__", value)
        if isinstance(function, types.FunctionType) and function.__globals__.get("__name__") != "enum":
            rest[name] = value
        elif isinstance(value, property) and not is_special:
            rest[name] = value
    return members, rest


def name_of_member(member: Any) -> Any:
    """Its name, whatever its class calls so."""
    return vars(member).get("_name_")


def member_state(member: Any) -> dict[str, Any]:
    """What a member's own __init__ has stored."""
    return {name: value for name, value in vars(member).items() if name not in _OF_MEMBERS}


_OF_MEMBERS: Final = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


# ---- Objects ------------------------------------------------------------------------------------------------------


def instance_state(value: Any) -> dict[str, Any] | None:
    """All that an object stores; None if its class has a say in that."""
    kind = type(value)
    if isinstance(value, enum.Enum) or any(base is not object and not base.__flags__ & _HEAP for base in type.mro(kind)):
        return None
    for name in ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__"):
        if getattr(kind, name, None) is not getattr(object, name, None):
            return None
    state: dict[str, Any] = {}
    for base in reversed(type.mro(kind)):
        for name, slot in vars(base).items():
            if type(slot) is types.MemberDescriptorType:
                try:
                    state[name] = slot.__get__(value, kind)
                except AttributeError:
                    pass
    state.update(getattr(value, "__dict__", {}))
    return state
