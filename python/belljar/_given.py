"""What a guest was given and may hand back as the host's own: functions, methods of what it sees, and records."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import types
import uuid
from collections.abc import Mapping
from typing import Any, Final

from belljar._core import core
from belljar._showing import MISSING, name_of_type
from belljar.values import Record

__all__ = ["Given", "method_named", "method_of_builtin"]

RECORDS_MAX: Final = 10_000
"""Records of one guest that are known again."""
_MADE_THERE: Final = frozenset({"copy", "union", "intersection", "difference", "symmetric_difference"})
"""Methods of builtin containers that a guest has by itself, with copies of the items: it never asks for these."""
_VIEWS: Final = frozenset({"keys()", "values()", "items()"})
_FORMS: Final = frozenset({
    complex, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal, float, fractions.Fraction, uuid.UUID,
})  # fmt: skip
_EXACT: Final = frozenset({bool, bytes, int, str, type(None)})
_FORM_DEPTH_MAX: Final = 8


def is_constant(value: Any) -> bool:
    """Whether it is a member of an enumeration, a named tuple or a frozen dataclass, all of whose fields are public."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return True
    settings = _of_class(kind, "__dataclass_params__")
    if issubclass(kind, tuple):
        names = _of_class(kind, "_fields")
    elif settings is not None and settings.frozen and settings.eq:
        names = _of_class(kind, "__dataclass_fields__")
    else:
        return False
    return not any(name.startswith("_") for name in names or ())


def _of_class(kind: type, name: str) -> Any:
    """What a class has under a name, whatever its metaclass says."""
    for base in type.mro(kind):
        own = type.__getattribute__(base, "__dict__")
        if name in own:
            return own[name]
    return None


def is_plain_member(value: object) -> bool:
    """Whether it is a member of an enumeration whose hash and equality are those of all enumerations."""
    kind = type(value)
    return issubclass(kind, enum.Enum) and kind.__hash__ is enum.Enum.__hash__ and kind.__eq__ is object.__eq__


def form_of(value: Any, known: Mapping[int, Any], depth: int = 0) -> Any:
    """A value to look up by its exact types and parts; `known` has those of some, by their addresses. `TypeError` if it can change or is
    of another type."""
    kind = type(value)
    if kind in _EXACT:
        return kind, value
    if id(value) in known:
        return known[id(value)]
    if kind in _FORMS:
        return kind, repr(value)
    if depth < _FORM_DEPTH_MAX and kind is Record:
        return kind, value.type_name, tuple((name, form_of(item, known, depth + 1)) for name, item in value.items())
    if depth < _FORM_DEPTH_MAX and kind is tuple:
        return kind, tuple(form_of(item, known, depth + 1) for item in value)
    raise TypeError(name_of_type(kind))


class Given:
    """The functions and records of one guest."""

    def __init__(self) -> None:
        self.functions: dict[str, Any] = {}
        """Those that it may call, by their names."""
        self._new: list[Any] = []  # what was sent, and is looked at when a record comes back
        self._forms: dict[int, Any] = {}  # address of a record that was sent -> as what it arrives
        self._sent: dict[Any, Any] = {}  # as what it arrives -> that record, None if it is not certain which

    def __bool__(self) -> bool:
        return bool(self.functions or self._sent or self._new)

    def copy(self) -> Given:
        self._learn()
        twin = Given()
        twin.functions, twin._forms, twin._sent = dict(self.functions), dict(self._forms), dict(self._sent)
        return twin

    def function(self, name: str) -> Any:
        """An exposed function, or MISSING."""
        return self.functions[name].function if name in self.functions and name.isidentifier() else MISSING

    def is_key(self, function: object, is_exposed: bool) -> bool:
        """Whether it is equal to itself alone, and came by the only name that it has."""
        if type(function) not in (types.FunctionType, types.BuiltinFunctionType, types.MethodType):
            return False
        found = [other.function for other in self.functions.values() if type(other.function) is type(function)]
        return sum(bool(function == other) for other in found) <= is_exposed

    def remember(self, records: list[Any]) -> None:
        """What is sent as a record: what is equal to it over there comes back as it, if it cannot change."""
        self._new += records[: max(RECORDS_MAX - len(self._sent) - len(self._new), 0)]

    def _learn(self) -> None:
        records, self._new = self._new, []
        for value in records:
            if not is_constant(value):
                continue
            try:
                key = form_of(core.decode_value(core.encode_value(value, strict=True, only_public=True)), {})
            except (TypeError, ValueError):
                continue
            known = self._sent.setdefault(key, value)
            if known is value:
                self._forms[id(value)] = key
            elif type(known) is not type(value):
                self._sent[key] = None

    def record(self, record: Record, is_key: bool) -> Any:
        """What was sent as this record, or itself. As a key only a member of an enumeration that is equal to itself alone."""
        self._learn()
        if not self._sent:
            return record
        try:
            found = self._sent.get(form_of(record, self._forms))
        except (TypeError, ValueError):
            return record
        return record if found is None or (is_key and not is_plain_member(found)) else found


def method_named(original: object, name: str) -> Any:
    """A method that was named, or MISSING."""
    try:
        return getattr(original, name)
    except Exception:  # an attribute of the author's may raise what it likes
        return MISSING


def method_of_builtin(base: Any, original: object, name: str, allowed: frozenset[str]) -> Any:
    """A method of a builtin container that changes nothing, or what `keys()` and the like give; MISSING for anything else."""
    bare = name.removesuffix("()")
    method: Any = getattr(base, bare, MISSING) if bare in allowed or bare in _MADE_THERE else MISSING
    if method is MISSING or (bare != name and name not in _VIEWS):
        return MISSING
    return method.__get__(original)() if name in _VIEWS else method.__get__(original)
