"""Read-only views of the host's objects: `readonly`, and the table of what one guest has been given.

A guest holds numbers, never objects. Whatever it asks is decided here, on the host's side, by the entry that its
number stands for; names are checked before anything of the object is touched. The guest's own values arrive as inert
copies, so no code of a guest's runs here.
"""

from __future__ import annotations

import array
import asyncio
import collections
import decimal
import fractions
import io
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from belljar._core import core
from belljar._shared.exceptions import EXCEPTIONS as EXCEPTIONS
from belljar._given import Given, method_named, method_of_builtin
from belljar._plain import DEPTH_MAX, PLAIN, base_value, is_array, is_plain, kind_of
from belljar._showing import CHUNK, MISSING, Lazy, Snapshot, image, name_of_type, said, stored_names
from belljar.errors import ProtocolError, SandboxError
from belljar.values import Opaque, Record

__all__ = ["Readonly", "readonly"]

Names = Iterable[str] | Mapping[Any, Iterable[str]]  # Any: type, but Mapping is not covariant in its keys

HANDLES_MAX: Final = 10_000
"""Host objects that one guest may hold at a time."""
ITEMS_MAX: Final = 4_000_000
"""Items of the slices and snapshots among them."""
_PARTS_MAX = 1 << 20  # of what a guest sent, counted as often as it is reached: a shared list may be reached exponentially often
_NUMBER_BYTES_MAX = 512  # a Decimal is compared with an int or a Fraction of a million bits for a second
_NAME_MAX = 256

OPERATIONS: Final = frozenset({"call", "compare", "contains", "doc", "hash", "item", "iter", "len", "repr", "str", "with"})
"""What `operations=` may name."""

_NEVER = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CodeType,
    types.FrameType, types.TracebackType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType,
    types.CellType, types.MethodWrapperType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType, property, staticmethod,
    classmethod, super, io.IOBase, threading.Thread, asyncio.AbstractEventLoop,
)  # fmt: skip
"""What leads from an object to the program behind it: never shown, whatever names it."""

_METHODS: Final[dict[str, frozenset[str]]] = {
    "sequence": frozenset({"index", "count"}),
    "mapping": frozenset({"get", "keys", "values", "items"}),
    "set": frozenset({"isdisjoint", "issubset", "issuperset"}),
    "object": frozenset(),
    "iterator": frozenset(),
}
_CONTAINER: Final[dict[str, tuple[str, ...]]] = {
    "sequence": ("len", "item", "contains", "iter", "reversed", "compare", "sequence"),
    "mapping": ("len", "item", "contains", "iter", "compare", "mapping"),
    "set": ("len", "contains", "iter", "compare", "set"),
    "iterator": ("next",),
}

T = TypeVar("T")


class _Rules:
    """What may be done with an object and with what is reached through it. Compared by identity."""

    __slots__ = ("attributes", "methods", "operations")

    def __init__(self, target: object, attributes: Names | None, methods: Names, operations: Names) -> None:
        self.attributes = _by_type(target, attributes, None) if attributes is not None else {}
        self.methods = _by_type(target, methods, None)
        self.operations = _by_type(target, operations, OPERATIONS)

    def find(self, table: dict[type, frozenset[str]], kind: type) -> frozenset[str] | None:
        if table:
            for base in type.mro(kind) if kind is not type else (type,):
                if base in table:
                    return table[base]
        return None


def _by_type(target: object, names: Names, known: frozenset[str] | None) -> dict[type, frozenset[str]]:
    if isinstance(names, str):
        names = (names,)
    rows = names if isinstance(names, Mapping) else {type(target): names}
    found: dict[type, frozenset[str]] = {}
    for kind, row in rows.items():
        if not isinstance(kind, type):
            raise TypeError(f"readonly: names are given for types, not for {type(kind).__name__}")
        found[kind] = frozenset((row,) if isinstance(row, str) else row)
        for name in found[kind]:
            if known is not None and name not in known:
                raise ValueError(f"readonly: no operation {name!r}; there are {', '.join(sorted(known))}")
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
                raise ValueError(f"readonly: {name!r} is no public name")
    return found


_DEFAULT = _Rules(None, None, (), ())


class Readonly:
    """A view of `original` for a guest; made by `readonly`. On the host it does nothing by itself.

    A guest that passes it back, as an argument of a host function, passes this object: what the function does with
    `original` is its own decision."""

    __slots__ = ("_rules", "original")

    def __init__(self, original: Any, rules: _Rules) -> None:
        self.original = original
        self._rules = rules

    def __repr__(self) -> str:
        return f"<readonly {type(self.original).__name__}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a read-only view cannot be copied or pickled")


def readonly(obj: object, *, attributes: Names | None = None, methods: Names = (), operations: Names = ()) -> Readonly:
    """A view of an object for a sandbox, which can read it and nothing else.

    >>> catalogue = {"apple": 3, "pear": 5}
    >>> with belljar.Sandbox() as sandbox:
    ...     sandbox["prices"] = belljar.readonly(catalogue)
    ...     sandbox.run_code("sum(prices.values())").value
    8

    Lists, tuples, dicts and sets (and what is derived from them) show their items, their length, iteration, `in`,
    comparison, and their methods that change nothing; methods that a derived class overrides are not called. Objects of
    other classes show the public data that they store (instance attributes and `__slots__`); code of theirs runs
    only where it is named:

    - `attributes`: exactly these are shown, properties too.
    - `methods`: these can be called, with plain values.
    - `operations`: of "call", "compare", "contains", "doc", "hash", "item", "iter", "len", "repr", "str", "with".

    Each is a list of names for this object, or maps types to such lists, which then hold for every object that is
    reached. Plain values (numbers, text, bytes, dates, arrays, …) cross by copy; everything else that is reached is shown in
    the same way. Names that begin with an underscore are never shown, nor are functions, classes, modules, frames,
    generators' insides or open files. Writing raises `SandboxError("Read only object")` in the sandbox.

    Raises `ValueError` for a name that is not public and for an unknown operation."""
    if type(obj) is Readonly:  # its class may say what it likes of itself
        raise TypeError("readonly: this is a view already")
    if attributes is None and not methods and not operations:
        return Readonly(obj, _DEFAULT)
    return Readonly(obj, _Rules(obj, attributes, methods, operations))


# ---- What a guest sent -------------------------------------------------------------------------------------------


class Refused(Exception):
    """An answer to a guest: an exception of this type (a name both sides know) with this text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class _Parts:
    """Counts the parts of values of a guest's, before the host hashes or compares them."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _PARTS_MAX

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ProtocolError("it sent a value whose parts are reached too often")

    def look(self, value: Any) -> None:
        """`Refused` for numbers so long that comparing them takes long."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            kind = type(item)
            more: Iterable[Any] = ()
            if kind in (int, decimal.Decimal):
                if item.__sizeof__() > _NUMBER_BYTES_MAX:
                    raise Refused("ValueError", "a number is too long to be compared with the host's")
            elif kind is fractions.Fraction:
                more = (item.numerator, item.denominator)
            elif kind in (list, tuple, set, frozenset):
                more = item
            elif kind is dict:
                more = (*item.keys(), *item.values())
            elif kind is Record:
                more = item.values()
            elif kind not in PLAIN and kind is not Opaque and not isinstance(item, Readonly) and is_array(item):
                if kind.__module__ != "numpy" or item.dtype.hasobject:
                    raise Refused("TypeError", f"a {kind.__name__} is not compared with the host's")
            self.take(1 + len(more))  # type: ignore[arg-type]
            waiting.extend(more)


def _check_operand(value: Any) -> None:
    """What is compared with objects of the host's, one after the other perhaps, or looked up among them."""
    _Parts().look(value)


def _check_keys(keys: list[Any]) -> None:
    """Equal hashes are counted in one place (values/key.c)."""
    try:
        core.check_keys(keys)
    except ValueError:
        raise ProtocolError("it sent too many keys with equal hashes") from None


def _argument(kind: str, argument: Any) -> Any:
    """An argument of a method of a builtin container's."""
    if isinstance(argument, Readonly):
        return argument.original
    _check_operand(argument)
    if kind == "set" and hasattr(type(argument), "__iter__"):  # it goes through all, and makes a set of them
        if type(argument) is range and len(argument[: _PARTS_MAX + 1]) > _PARTS_MAX:
            raise Refused("ValueError", f"a range of more than {_PARTS_MAX} items")
        argument = list(argument)
        _check_keys(argument)
    return argument


_COMPARED = PLAIN - {Opaque, memoryview, array.array}


def _image(value: Any) -> Any:
    return image(value, _COMPARED)


def _is_public(name: object) -> bool:
    """True for names that can be meant at all: exact text, short, an identifier of plain letters."""
    return (
        type(name) is str and 0 < len(name) <= _NAME_MAX and name.isascii() and name.isidentifier()
        and not name.startswith("_")
    )  # fmt: skip


_SHORT: Final = frozenset({type(None), bool, int, float, str, bytes})
"""Whose repr is not much longer than they are."""


# ---- The table ----------------------------------------------------------------------------------------------------


class _Entry:
    __slots__ = ("count", "entered", "kind", "original", "rules", "view", "weight")

    def __init__(self, original: Any, rules: _Rules, kind: str, weight: int) -> None:
        self.original = original
        self.rules = rules
        self.kind = kind
        self.count = 1
        self.weight = weight
        self.entered = 0
        self.view: Readonly | None = None


class Handles:
    """The host objects that one guest holds: numbers that are never used again, with how often each was sent."""

    def __init__(self) -> None:
        self.given = Given()
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._unused = 1
        self._items = 0

    def __len__(self) -> int:
        return len(self._entries)

    def copy(self) -> Handles:
        """For a forked session: the same numbers, each side with its own count."""
        twin = type(self)()
        twin._unused, twin._items = self._unused, self._items
        twin._numbers, twin.given = dict(self._numbers), self.given.copy()
        for number, entry in self._entries.items():
            copied = _Entry(entry.original, entry.rules, entry.kind, entry.weight)
            copied.count, copied.view = entry.count, entry.view
            twin._entries[number] = copied
        return twin

    def give(self, original: Any, rules: _Rules, kind: str = "", weight: int = 0) -> list[Any]:
        """What tells the guest of an object: its number and what can be done with it."""
        kind = kind or kind_of(original)
        key = id(original), id(rules)
        number = self._numbers.get(key) if kind != "iterator" else None
        if number is not None:
            entry = self._entries[number]
            entry.count += 1
        else:
            if len(self._entries) >= HANDLES_MAX or self._items + weight > ITEMS_MAX:
                raise Refused("SandboxError", f"too many host objects are held: at most {HANDLES_MAX}, and {ITEMS_MAX} "
                              "items of slices and iterators")  # fmt: skip
            entry = _Entry(original, rules, kind, weight)
            number = self._unused
            self._unused += 1
            self._items += weight
            self._entries[number] = entry
            if kind != "iterator":
                self._numbers[key] = number
        methods = _METHODS[kind] | (rules.find(rules.methods, type(original)) or frozenset())
        operations = dict.fromkeys(_CONTAINER.get(kind, ()))
        if kind == "sequence" and issubclass(type(original), tuple):
            operations["tuple"] = None  # before what is named, which wins over it
        operations.update(dict.fromkeys(sorted(rules.find(rules.operations, type(original)) or ())))
        return [1, number, name_of_type(type(original))[:_NAME_MAX], list(operations), sorted(methods)]

    def give_view(self, view: Readonly) -> list[Any]:
        """What tells the guest of the object behind a view."""
        return self.give(view.original, view._rules)

    def drop(self, number: object, count: object) -> None:
        """The guest has dropped what it was sent `count` times."""
        entry = self._entries.get(number) if type(number) is int else None
        if entry is None or type(count) is not int or not 0 < count <= entry.count:
            raise ProtocolError("it gave back a host object that it does not hold")
        entry.count -= count
        if entry.count == 0 and not entry.entered:  # else close() leaves it
            self._items -= entry.weight
            del self._entries[number]  # type: ignore[arg-type]
            if entry.kind != "iterator":
                del self._numbers[id(entry.original), id(entry.rules)]

    def entry(self, number: object) -> _Entry:
        """What a number stands for, in this guest alone."""
        entry = self._entries.get(number) if type(number) is int else None
        if entry is None:
            raise Refused("ReferenceError", "no such host object")
        return entry

    def view(self, number: object, name: str | None = None, is_key: bool = False) -> Any:
        """What a guest passes back: a view, or the function or method of this name. `is_key`: it is hashed and compared, so what
        could run code by that, or be equal to another key, comes as a view. Or a record, which may be one that it was given."""
        if type(number) is Record:
            return self.given.record(number, is_key)
        if name is not None:
            function = self._method_of(number, name) if number != 0 else self.given.function(name)
            if function is MISSING:
                raise Refused("ReferenceError", "no such host function or method")
            return readonly(function) if is_key and not self.given.is_key(function, number == 0) else function
        entry = self.entry(number)
        if entry.view is None:
            original = entry.original.iterator if type(entry.original) is Lazy else entry.original
            entry.view = Readonly(original, entry.rules)
        return entry.view

    def _method_of(self, number: object, name: str) -> Any:
        entry = self.entry(number)
        if name in (entry.rules.find(entry.rules.methods, type(entry.original)) or ()):
            return method_named(entry.original, name)
        return (
            method_of_builtin(_base_of(entry.original), entry.original, name, _METHODS[entry.kind])
            if _METHODS[entry.kind]
            else MISSING
        )

    def views(self) -> Callable[..., Any] | None:
        """`view` as it is now, for a value that is read later; None if there is nothing to view."""
        if not self._entries and not self.given:
            return None
        snapshot = type(self)()
        snapshot.given = self.given.copy()
        snapshot._entries = dict(self._entries)
        return snapshot.view

    def close(self) -> None:
        """The guest has gone: leaves the contexts that it had entered, lets go of everything."""
        for entry in self._entries.values():
            while entry.entered:
                entry.entered -= 1
                error = SandboxError("the sandbox that had entered this has ended")
                try:
                    type(entry.original).__exit__(entry.original, SandboxError, error, None)
                except Exception:  # noqa: S112 - the host author's __exit__ may raise what it was given
                    continue
        self._entries.clear()
        self._numbers.clear()
        self._items = 0

    # ---- Values for the guest

    def wrap(self, value: Any, rules: _Rules | None = None, depth: int = 0) -> list[Any]:
        """A value of the host's own making, for the guest: views become numbers, the rest crosses by copy."""
        if type(value) is Readonly:
            return self.give(value.original, value._rules)
        if depth < DEPTH_MAX:
            if type(value) is list or type(value) is tuple:
                return [2 if type(value) is list else 3, [self.wrap(item, rules, depth + 1) for item in value]]
            if type(value) is set or type(value) is frozenset:
                return [6 if type(value) is set else 7, [self.wrap(item, rules, depth + 1) for item in value]]
            if type(value) is dict:
                return [4, [[self.wrap(key, rules, depth + 1), self.wrap(item, rules, depth + 1)] for key, item in value.items()]]
        return [0, value]

    def show(self, value: Any, rules: _Rules, weight: int = 0) -> list[Any]:
        """A value that was reached through a host object."""
        if type(value) is Readonly:
            return self.give(value.original, value._rules)
        if is_plain(value):
            return [0, value]
        base = base_value(value)
        if type(base) in PLAIN:
            return [0, base]
        if issubclass(type(value), (*_NEVER, Iterator)):
            raise Refused("AttributeError", f"a {name_of_type(type(value))} of the host's is not shown")
        return self.give(value, rules, weight=weight)

    # ---- Operations

    def operate(self, number: object, operation: object, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Does one operation. Returns what is wrapped already, or a coroutine for it."""
        entry = self.entry(number)
        method = _HANDLERS.get(operation) if type(operation) is str else None
        if method is None:
            raise Refused("SandboxError", "Read only object")
        if keywords and operation not in ("method", "call"):
            raise ProtocolError("it sent keywords to an operation that has none")
        allowed = _ALWAYS | set(_CONTAINER.get(entry.kind, ())) | (entry.rules.find(entry.rules.operations, type(entry.original))
                                                                  or frozenset())  # fmt: skip
        if _NEEDS.get(operation, operation) not in allowed:  # type: ignore[call-overload]
            raise Refused("TypeError", f"host {name_of_type(type(entry.original))} objects are not shown with {operation!r}")
        least, most = _COUNTS[operation]  # type: ignore[index]
        if not least <= len(arguments) <= most:
            raise Refused("TypeError", f"{operation}: wrong number of arguments")
        return method(self, entry, *arguments, **keywords)

    def _attribute(self, entry: _Entry, name: object) -> list[Any]:
        original, rules = entry.original, entry.rules
        no = Refused("AttributeError", f"host {name_of_type(type(original))} object has no attribute {name!r}"
                     if _is_public(name) else "host objects show public names only")  # fmt: skip
        if not _is_public(name):
            raise no
        assert isinstance(name, str)
        allowed = rules.find(rules.attributes, type(original))
        if allowed is not None:
            if name not in allowed:
                raise no
            return self.show(getattr(original, name), rules)
        if entry.kind == "iterator":
            raise no
        if entry.kind == "sequence" and _base_of(original) is tuple:  # a named tuple's fields
            fields = next((vars(base)["_fields"] for base in type.mro(type(original)) if "_fields" in vars(base)), ())
            if type(fields) is tuple and name in fields:
                return self.show(tuple.__getitem__(original, fields.index(name)), rules)
        value = stored_names(original).get(name, MISSING)
        if value is MISSING:
            raise no
        return self.show(value, rules)

    def _names(self, entry: _Entry) -> list[Any]:
        allowed = entry.rules.find(entry.rules.attributes, type(entry.original))
        if allowed is None:
            stored = stored_names(entry.original) if entry.kind != "iterator" else {}
            allowed = frozenset(name for name, value in stored.items() if not issubclass(type(value), _NEVER))
        return [0, sorted(name for name in allowed if _is_public(name))]

    def _len(self, entry: _Entry) -> list[Any]:
        return [0, len(entry.original) if entry.kind == "object" else _base_of(entry.original).__len__(entry.original)]

    def _item(self, entry: _Entry, key: Any) -> list[Any]:
        original = entry.original
        if entry.kind == "object":
            return self.show(original[key], entry.rules)
        if isinstance(key, Readonly):
            key = key.original
        else:
            _check_operand(key)
        if entry.kind == "mapping":
            value = _base_of(original).get(original, key, MISSING)  # not []: __missing__ may add to it
            if value is MISSING:
                raise Refused("KeyError", repr(key)[:200] if type(key) in _SHORT else "host object")
            return self.show(value, entry.rules)
        value = _base_of(original).__getitem__(original, key)
        return self.show(value, entry.rules, weight=len(value) if type(key) is slice else 0)

    def _contains(self, entry: _Entry, item: Any) -> list[Any]:
        original = entry.original
        if isinstance(item, Readonly):
            if entry.kind in ("mapping", "set"):
                return [0, _base_of(original).__contains__(original, item.original)]
            if entry.kind == "sequence":
                return [0, any(other is item.original for other in _base_of(original).__iter__(original))]
        else:
            _check_operand(item)
        if entry.kind == "object":
            return [0, bool(item in original)]
        looked = _image(original) if entry.kind == "sequence" else original
        return [0, bool(_base_of(original).__contains__(looked, item))]

    def _iter(self, entry: _Entry, what: object) -> list[Any]:
        original = entry.original
        if entry.kind == "object":
            if what != "":
                raise Refused("TypeError", "this object has no such view")
            iterator = self.give(Lazy(iter(original)), entry.rules, "iterator")
            return [3, [iterator, [2, []]]]
        base = _base_of(original)
        if entry.kind == "mapping" and what in ("", "keys"):
            items = list(base.keys(original))
        elif entry.kind == "mapping" and what == "values":
            items = list(base.values(original))
        elif entry.kind == "mapping" and what == "items":
            items = list(base.items(original))
        elif what == "" or (what == "reversed" and entry.kind == "sequence"):
            items = list(base.__iter__(original))
            if what == "reversed":
                items.reverse()
        else:
            raise Refused("TypeError", "this object has no such view")
        first = [2, [self._show_pair(item, entry, what) for item in items[:CHUNK]]]
        if len(items) <= CHUNK:
            return [3, [[0, None], first]]
        snapshot = Snapshot(items, what == "items")
        return [3, [self.give(snapshot, entry.rules, "iterator", weight=len(items)), first]]

    def _show_pair(self, item: Any, entry: _Entry, what: object) -> list[Any]:
        if what == "items":
            return [3, [self.show(item[0], entry.rules), self.show(item[1], entry.rules)]]
        try:
            return self.show(item, entry.rules)
        except Refused as error:
            if error.name != "AttributeError":
                raise
            return [0, Opaque(type(item).__name__, "<not shown>")]

    def _next(self, entry: _Entry) -> list[Any]:
        source = entry.original
        if type(source) is Snapshot:
            items = source.items[source.at : source.at + CHUNK]
            source.at += CHUNK
            what = "items" if source.has_pairs else ""
            return [3, [[0, source.at < len(source.items)], [2, [self._show_pair(item, entry, what) for item in items]]]]
        try:
            item = next(source.iterator)
        except StopIteration:
            return [3, [[0, False], [2, []]]]
        return [3, [[0, True], [2, [self.show(item, entry.rules)]]]]

    def _compare(self, entry: _Entry, operation: object, other: Any) -> list[Any]:
        if type(operation) is not str or operation not in _COMPARISONS:
            raise ProtocolError("it asked for a comparison that there is not")
        if isinstance(other, Readonly):
            other = other.original
        else:
            _check_operand(other)
        original = entry.original
        kind = type(original) if entry.kind == "object" else _base_of(original)
        is_container = entry.kind != "object"
        kind = dict if is_container and kind is types.MappingProxyType else kind
        left, right = (_image(original), _image(other)) if is_container else (original, other)
        answer = getattr(kind, f"__{operation}__")(left, right)
        if answer is NotImplemented:
            if operation in ("eq", "ne"):
                return [0, (original is other) == (operation == "eq")]
            raise Refused("TypeError", f"{operation}: not comparable")
        return [0, bool(answer)]

    def _method(self, entry: _Entry, name: object, *arguments: Any, **keywords: Any) -> Any:
        original, rules = entry.original, entry.rules
        allowed = rules.find(rules.methods, type(original)) or frozenset()
        if not _is_public(name):
            raise Refused("AttributeError", "host objects show public names only")
        assert isinstance(name, str)
        if name in allowed:
            return self.settle(getattr(original, name)(*arguments, **keywords), rules)
        if name not in _METHODS[entry.kind] or name in ("keys", "values", "items"):
            raise Refused("AttributeError", f"host {name_of_type(type(original))} object has no method {name!r}")
        arguments = tuple(_argument(entry.kind, item) for item in arguments)
        _check_operand(list(keywords.values()))
        looked = original
        if entry.kind != "mapping":
            looked, arguments = _image(original), tuple(map(_image, arguments))
        return self.show(getattr(_base_of(original), name)(looked, *arguments, **keywords), rules)

    def _call(self, entry: _Entry, *arguments: Any, **keywords: Any) -> Any:
        return self.settle(entry.original(*arguments, **keywords), entry.rules)

    def _text(self, entry: _Entry, what: str) -> list[Any]:
        return [0, said(entry.original, what, self._numbers[id(entry.original), id(entry.rules)])]

    def _enter(self, entry: _Entry) -> Any:
        value = type(entry.original).__enter__(entry.original)
        entry.entered += 1
        return self.settle(value, entry.rules)

    def _exit(self, entry: _Entry, name: object, text: object) -> list[Any]:
        if not entry.entered:
            raise Refused("RuntimeError", "this object has not been entered")
        entry.entered -= 1
        kind = EXCEPTIONS.get(name, Exception) if type(name) is str else None
        error = kind(text if type(text) is str else "") if kind is not None else None
        return [0, bool(type(entry.original).__exit__(entry.original, kind, error, None))]

    def settle(self, value: Any, rules: _Rules) -> Any:
        """What a method of a host object gave: shown, now or when it has been awaited."""
        if isinstance(value, types.CoroutineType):
            return self._settle_later(value, rules)
        if issubclass(type(value), Iterator) and not issubclass(type(value), io.IOBase):
            return self.give(Lazy(value), rules, "iterator")
        return self.show(value, rules)

    async def _settle_later(self, coroutine: types.CoroutineType[Any, Any, Any], rules: _Rules) -> Any:
        return self.settle(await coroutine, rules)


def _base_of(value: object) -> Any:
    """The builtin class whose methods are called, so that none of a derived class's are."""
    for base in (list, tuple, dict, set, frozenset, collections.deque, types.MappingProxyType):
        if issubclass(type(value), base):
            return base
    raise AssertionError


_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
_ALWAYS = {"attribute", "names", "method"}
_NEEDS = {"enter": "with", "exit": "with"}
_COUNTS: Final[dict[str, tuple[int, int]]] = {
    "attribute": (1, 1),
    "names": (0, 0),
    "len": (0, 0),
    "item": (1, 1),
    "contains": (1, 1),
    "iter": (1, 1),
    "next": (0, 0),
    "compare": (2, 2),
    "method": (1, 256),
    "call": (0, 256),
    "doc": (0, 0),
    "hash": (0, 0),
    "repr": (0, 0),
    "str": (0, 0),
    "enter": (0, 0),
    "exit": (2, 2),
}
_HANDLERS: Final[dict[str, Callable[..., Any]]] = {
    "attribute": Handles._attribute,
    "names": Handles._names,
    "len": Handles._len,
    "item": Handles._item,
    "contains": Handles._contains,
    "iter": Handles._iter,
    "next": Handles._next,
    "compare": Handles._compare,
    "method": Handles._method,
    "call": Handles._call,
    **{what: lambda handles, entry, what=what: handles._text(entry, what) for what in ("doc", "hash", "repr", "str")},
    "enter": Handles._enter,
    "exit": Handles._exit,
}
