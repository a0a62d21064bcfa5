"""Record and Opaque: what arrives from a sandbox that is not a builtin or standard library value.

Values cross by copy. Instances of dataclasses, named tuples and enumerations arrive as `Record`: their
class stays in the sandbox, the record has its name as text and its fields. Whatever cannot cross (a
function, a module, an open file, an object of some class) arrives as `Opaque`: a description, nothing more.

Both are inert: no code of the sandbox runs when they are printed, compared or read.
"""

from __future__ import annotations

from _collections_abc import Mapping
from _thread import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, NoReturn

    Fields = Mapping[str, Any]
else:
    Fields = Mapping

__all__ = ["Opaque", "Record"]

_shown: set[tuple[int, int]] = set()  # records whose repr is being made, by threads: one may hold itself


class Record(Fields):
    """A dataclass, named tuple or enumeration member, by value.

    >>> point = Record("Point", {"x": 1, "y": 2})
    >>> point
    Point(x=1, y=2)
    >>> point.x, point["y"], list(point), dict(point)
    (1, 2, ['x', 'y'], {'x': 1, 'y': 2})

    Fields are attributes and items; a record is a read-only mapping. Fields whose names begin with an
    underscore, or are those of a mapping's methods (`keys`, `items`, …), are reached as items only.
    Records are equal if type name and fields are, and hashable if their fields are.
    """

    # A sandbox chooses the names of fields. Libraries look for names like __array_interface__ (which holds an
    # address!), __fspath__ or _repr_html_ on any object, so no such name is ever found as an attribute.

    __slots__ = ("_fields", "_type_name")

    _fields: dict[str, Any]
    _type_name: str

    def __init__(self, type_name: str, fields: dict[str, Any]) -> None:
        object.__setattr__(self, "_type_name", type_name)
        object.__setattr__(self, "_fields", fields)

    @property
    def type_name(self) -> str:
        """The name of the class in the sandbox: text, not a class."""
        return self._type_name

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            try:
                return self._fields[name]
            except KeyError:
                pass
        raise AttributeError(f"no field {name!r}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("records are read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("records are read-only")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    # A language policy shows no generators, which those of Mapping go through.

    def keys(self) -> KeysView[str]:
        return self._fields.keys()

    def values(self) -> ValuesView[Any]:
        return self._fields.values()

    def items(self) -> ItemsView[str, Any]:
        return self._fields.items()

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if type(other) is not Record:
            return NotImplemented
        return self._type_name == other._type_name and self._fields == other._fields

    def __hash__(self) -> int:
        return hash((self._type_name, tuple(self._fields.items())))

    def __repr__(self) -> str:
        key = id(self), get_ident()
        if key in _shown:
            return "..."
        _shown.add(key)
        try:
            fields = ", ".join(f"{name}={value!r}" for name, value in self._fields.items())
        finally:
            _shown.discard(key)
        return f"{self._type_name}({fields})"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._fields if not name.startswith("_"))]

    def __reduce__(self) -> tuple[type[Record], tuple[str, dict[str, Any]]]:
        return Record, (self._type_name, self._fields)


class Opaque:
    """The description of an object that cannot leave the sandbox.

    >>> Opaque("function", "<function f at 0x7f…>")
    <opaque function: <function f at 0x7f…>>

    `type_name` has at most 256 bytes, `repr` at most 64 KiB (longer ones are cut). Two of them are equal
    only if they are the same object.
    """

    __slots__ = ("_repr", "_type_name")

    _repr: str
    _type_name: str

    def __init__(self, type_name: str, repr: str) -> None:
        object.__setattr__(self, "_type_name", type_name)
        object.__setattr__(self, "_repr", repr)

    @property
    def type_name(self) -> str:
        """The name of the object's class in the sandbox."""
        return self._type_name

    @property
    def repr(self) -> str:
        """What repr() said about the object in the sandbox."""
        return self._repr

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("opaque objects are read-only")

    def __repr__(self) -> str:
        return f"<opaque {self._type_name}: {self._repr}>"

    def __reduce__(self) -> tuple[type[Opaque], tuple[str, str]]:
        return Opaque, (self._type_name, self._repr)
