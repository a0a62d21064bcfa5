"""What an object shows of itself while no code of its class runs, and what its class says where that is named."""

from __future__ import annotations

import collections
import re
import types
from collections.abc import Collection, Iterator
from typing import Any, Final

__all__ = [
    "CHUNK",
    "MISSING",
    "Lazy",
    "Snapshot",
    "image",
    "name_of_type",
    "said",
    "stored_names",
]

CHUNK: Final = 256
"""Items of an iteration that go to a guest at a time."""
MISSING: Final = object()
"""In the place of what is not there."""
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]{5,}\b")
_NAME: Any = vars(type)["__name__"]


def name_of_type(kind: type) -> str:
    """Its name, whatever its metaclass says."""
    name: str = _NAME.__get__(kind)
    return name


def stored_names(value: object) -> dict[str, Any]:
    """The public data that an object itself stores: not what its class does. Runs nothing of its class's."""
    found: dict[str, Any] = {}
    kind = type(value)
    names: object = None
    for base in reversed(type.mro(kind) if kind is not type else ()):
        own = type.__getattribute__(base, "__dict__")
        has_slots = "__slots__" in own
        for name, item in own.items():
            if name == "__dict__" and type(item) in (types.GetSetDescriptorType, types.MemberDescriptorType):
                names = item.__get__(value, kind)  # the interpreter's: a class may have another by this name
            elif has_slots and not name.startswith("_") and type(item) is types.MemberDescriptorType:
                try:
                    found[name] = item.__get__(value, kind)
                except AttributeError:
                    pass  # it is not set
    if type(names) is dict:
        found.update((name, item) for name, item in names.items() if type(name) is str and not name.startswith("_"))
    return found


class _Same:
    """In the place of an object whose class may say what it is equal to: equal to itself."""

    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


_CONTAINERS: Final[tuple[tuple[type, Any], ...]] = (
    (list, list), (tuple, tuple), (collections.deque, collections.deque), (set, set), (frozenset, frozenset), (dict, dict),
    (types.MappingProxyType, dict),
)  # fmt: skip
_DEPTH_MAX: Final = 32


def image(value: Any, plain: Collection[type], depth: int = 0) -> Any:
    """A container to compare with what a guest sent: with plain items, and with stand-ins for those whose classes have a say."""
    kind = type(value)
    if kind in plain:
        return value
    for base, made in _CONTAINERS if depth < _DEPTH_MAX else ():
        if not issubclass(kind, base):
            continue
        if made is dict:
            return {image(key, plain, depth + 1): image(item, plain, depth + 1) for key, item in base.items(value)}  # type: ignore[attr-defined]
        if set(map(type, base.__iter__(value))) <= plain and kind is base:  # type: ignore[attr-defined,operator]
            return value
        return made(image(item, plain, depth + 1) for item in base.__iter__(value))  # type: ignore[attr-defined]
    return _Same(value)


class Lazy:
    """An iterator that is asked for one item at a time. Nothing but next() is forwarded."""

    __slots__ = ("iterator",)

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator


class Snapshot:
    """The items of a container when its iteration began."""

    __slots__ = ("at", "has_pairs", "items")

    def __init__(self, items: list[Any], has_pairs: bool) -> None:
        self.items = items
        self.at = CHUNK
        self.has_pairs = has_pairs


def said(value: object, what: str, number: int) -> str | int | None:
    """What its class makes of repr(), str(), hash() or its docstring: without addresses, also where they are its hash."""
    if what == "hash":
        return number if type(value).__hash__ is object.__hash__ else hash(value)
    if what == "doc":
        text = getattr(value, "__doc__", None)
        return text if type(text) is str else None
    return _ADDRESS.sub("", repr(value) if what == "repr" else str(value))
