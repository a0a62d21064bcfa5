"""Code on its way into a sandbox: functions and classes of this program with what they refer to, for belljar_guest/_code.py.

There is one way for it, whatever it came in as (a call's function, an argument, an item of a dict, a global name) and whatever the
policy: skeletons first (code without its cells, classes with their methods), then what fills them, one after the other, so that
what refers to itself needs no special case. It is a stream of pickles of which the guest understands a fixed list of makers; only
this direction is pickled, what a guest sends never is. Nothing of it comes back to this process to run.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import functools
import io
import marshal
import operator
import pickle
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final

from belljar._core import core
from belljar._origin import Origin, find_origin, is_own, names_of
from belljar._portable import (
    CARRIERS,
    Behaviour,
    dataclass_fields,
    enum_parts,
    instance_state,
    is_kept,
    member_state,
    name_of_member,
    sentinel_name,
    without_guard,
)
from belljar._proxy import Handles, Readonly, readonly
from belljar._showing import stored_names
from belljar.errors import SandboxError

__all__ = ["Arrival", "check_version", "is_code", "pack"]

Arrival = list[Any]
"""[5, a stream of pickles, the values in it as the guest's `unwrap` takes them]: what the guest makes a list of."""

_WRAPPED: Final = 5
_FUNCTIONS = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.MethodWrapperType, types.ClassMethodDescriptorType, functools.partial, functools._lru_cache_wrapper,
    operator.itemgetter, operator.attrgetter, operator.methodcaller,
)  # fmt: skip


def check_version(python: tuple[int, int, int]) -> None:
    """`SandboxError` unless code of this interpreter means the same in that one."""
    if python[:2] != sys.version_info[:2]:
        here, there = ".".join(map(str, sys.version_info[:2])), ".".join(map(str, python[:2]))
        raise SandboxError(f"functions cross between equal versions of Python only: the sandbox has {there}, this program {here}; "
                           "choose python=, or pass code as text", "call")  # fmt: skip


def is_code(value: object) -> bool:
    """Whether it goes there as code, and not as a value."""
    kind = type(value)
    return issubclass(kind, (type, *_FUNCTIONS)) or Behaviour.of(kind).is_callable


def pack(
    handles: Handles,
    values: Iterable[tuple[str, Any]],
    *,
    python: tuple[int, int, int],
    is_strict: bool,
    are_copies: bool = False,
    show: Callable[[Any], Readonly] = readonly,
) -> Arrival:
    """Values, each with the words that say where it was given, for the guest.

    `show` makes the view of an object that was given as a value (`are_copies`: it is copied instead). `is_strict`: objects that code
    refers to are views as well (else they are copied, with their classes as code). `python`: the version there. `SandboxError` for
    what cannot go, with its path; `TypeError` for an object that has nothing to show."""
    packer = _Packer(handles, python, is_strict, show)
    return packer.pack(list(values), not are_copies or is_strict)


class _NothingToShow(TypeError):
    """For an object that was given as a value."""


_NothingToShow.__name__ = _NothingToShow.__qualname__ = "TypeError"


class _Part:
    """A value that crosses as values do."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Maker:
    """A function of the guest's that makes something (belljar_guest/_code.py, `Builder`)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> None:
        raise AssertionError("makers are the guest's")


_MAKERS: Final = {name: _Maker(name) for name in (
    "apply", "attribute", "cached", "cell", "code", "descriptor", "enum", "fields", "function", "instance", "kind", "library", "method",
    "module", "own_class", "own_module", "parameters", "partial", "symbol", "view_of_dict",
)}  # fmt: skip

Reduced = tuple[_Maker, tuple[Any, ...]]


class _Packer(pickle.Pickler):
    def __init__(self, handles: Handles, python: tuple[int, int, int], is_strict: bool, show: Callable[[Any], Readonly]) -> None:
        self._stream = io.BytesIO()
        super().__init__(self._stream, 5)
        self.handles = handles
        self.python = python
        self.is_strict = is_strict
        self.parts: list[Any] = []
        self._show = show
        self._numbers: dict[int, int] = {}  # of an object -> its part
        self._kept: list[Any] = []  # so that no number of an object is used again
        self._fills: list[tuple[tuple[str, ...], tuple[Any, ...]]] = []
        self._path: tuple[str, ...] = ()
        self._paths: dict[int, tuple[str, ...]] = {}
        self._is_value = True  # what is being written was given as a value, and is not what code refers to
        self._copied: set[int] = set()  # objects whose methods go along with them
        self._spaces: dict[int, int] = {}
        self._named: set[tuple[int, str]] = set()
        self._own_modules: dict[int, types.ModuleType] = {}
        self._names: set[str] = set()
        self._defined: set[type] = set()
        self._last: Any = None  # what was written last
        self._writing: Any = None  # what that is a part of

    # ---- The stream

    def pack(self, values: list[tuple[str, Any]], are_values: bool) -> Arrival:
        self._is_value = are_values
        for label, value in values:
            self._path, self._writing = (label,), value
            self._define(value)
            self._write(("value", self._whole(value)))
        self._drain(0)
        self._write(None)
        return [_WRAPPED, [self._stream.getvalue(), self.parts]]

    def _whole(self, value: Any) -> Any:
        """A value as one part, if there is no code in it and no view."""
        if is_code(value) or type(value) is Readonly or isinstance(value, types.ModuleType):
            return value
        try:
            core.encode_value(value, strict=True, only_public=True)
        except (TypeError, ValueError):
            return value
        return _Part([0, value])

    def _drain(self, level: int) -> None:
        """Writes what fills the skeletons, the newest first: a class is whole before there is an object of it."""
        was_value, self._is_value = self._is_value, False
        while len(self._fills) > level:
            self._path, fill = self._fills.pop()
            path, self._writing = self._path, fill[-1]
            self._define(fill[-1])
            self._path, self._writing = path, fill[-1]
            self._write(fill)
        self._is_value = was_value

    def _define(self, value: Any) -> None:
        """Writes the classes of objects that are copied: their methods may be called as the copy is made."""
        if self.is_strict:
            return
        path, level = self._path, len(self._fills)
        for cls in _classes_within(value):
            if cls not in self._defined and (not self._is_value or Behaviour.of(cls).is_code):
                self._defined.add(cls)
                self._path = path
                self._write(("class", cls))
                self._drain(level)
        self._path = path

    def _write(self, value: Any) -> None:
        try:
            self.dump(value)
        except SandboxError:
            raise
        except RecursionError:
            raise self.refused(self._last, "it holds itself, or is nested too deeply") from None
        except _NothingToShow:
            raise
        except Exception as error:
            raise self.refused(self._last, f"{type(error).__name__}: {error}; {_REMEDY}") from error

    def later(self, label: str, *fill: Any) -> None:
        self._fills.append(((*self._path, label) if label else self._path, fill))

    def refused(self, value: Any, why: str) -> SandboxError:
        """The exception for what cannot go: what it is, where it was found, and what to do."""
        path = " → ".join((*self._path, *_way_to(value, self._writing), _words_for(value)))
        return SandboxError(f"{path} cannot be sent to a sandbox: {why}", "call")

    def part(self, wrapped: Any, key: Any) -> tuple[str, int]:
        number = self._numbers.get(id(key))
        if number is None:
            number = self._numbers[id(key)] = len(self.parts)
            self._kept.append(key)
            self.parts.append(wrapped)
        return "part", number

    # ---- What is not pickled

    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return None
        self._last = value
        if kind is _Maker:
            return "maker", value.name
        if kind is _Part:
            return self.part(value.value, value)
        if kind is Readonly:
            return self.part(self.handles.give_view(value), value)
        if kind in _CONTAINERS or id(value) in self._copied or kind in _REDUCERS:
            return None
        if issubclass(kind, (type, *_FUNCTIONS)):
            return None
        if issubclass(kind, types.ModuleType):
            if not self._is_value:
                return None
            if self.is_strict:
                raise SandboxError(f"Unable to proxy a value of type {kind!r}")
            raise self.refused(value, "import it inside")
        if issubclass(kind, CARRIERS):
            if self._is_value and self.is_strict and not issubclass(kind, io.IOBase):
                raise SandboxError(f"Unable to proxy a value of type {kind!r}")
            if self._is_value and self._show is not readonly:
                return self.part(self.handles.give_view(self._show(value)), value)
            raise self.refused(value, _REMEDY)
        name = sentinel_name(value)
        if name is not None:
            return "sentinel", name
        if Behaviour.of(kind).is_code or is_member(value):
            return None
        return self._value(value)

    def _value(self, value: Any) -> Any:
        """An object that is no code."""
        if not self.is_strict and (not self._is_value or (type(value).__module__ == "typing" or type(value) in _ALIASES)):
            return None
        try:
            core.encode_value(value, strict=True, only_public=True)
            return self.part([0, value], value)
        except (TypeError, ValueError):
            pass
        if not self.is_strict and not stored_names(value):
            raise _NothingToShow(f"{' → '.join(self._path)}: cannot send an object of type {type(value).__name__}: it stores nothing public; "
                            "hand in plain values, or belljar.readonly(...)")  # fmt: skip
        show: Any = self._show if self._is_value else readonly  # nobody handed in what code refers to
        return self.part(self.handles.give_view(show(value)), value)

    # ---- What is made there

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(self, value)
        if issubclass(kind, type):
            return self._class(value)
        if issubclass(kind, types.ModuleType):
            return self._module(value)
        if is_member(value):
            return _MAKERS["attribute"], (kind, name_of_member(value))
        if id(value) in self._copied or Behaviour.of(kind).is_code:
            return self._instance(value)
        return NotImplemented

    def _symbol(self, value: Any, origin: Origin) -> Reduced:
        return _MAKERS["symbol"], (origin.rows, " → ".join((*self._path, origin.words)), self._is_value)

    def _function(self, function: types.FunctionType) -> Reduced:
        origin = find_origin(function)
        if origin is not None and not (self.is_strict and origin.words.startswith("functools._") and "_from_" in origin.words):
            return self._symbol(function, origin)  # (total_ordering's methods go along)
        function = without_guard(function) if self.is_strict else function
        if self.is_strict and function.__globals__.get("__name__") == "contextlib" and hasattr(function, "__wrapped__"):
            return _MAKERS["apply"], (contextlib.contextmanager, (function.__wrapped__,), {})  # its own code is the library's
        space = self._space(function)
        code = function.__code__
        cells = function.__closure__ or ()
        for name, cell in zip(code.co_freevars, cells, strict=True):
            self._paths.setdefault(id(cell), (*self._path, f"closure {name}"))
        self._expect(function)
        plain = {name: item for name, item in vars(function).items() if type(item) in _ATOMS}
        self._kept.append(function)
        return _MAKERS["function"], (self._bytecode(code), function.__name__, function.__qualname__, function.__module__, space, cells,
                                     plain)  # fmt: skip

    def _bytecode(self, code: types.CodeType) -> bytes:
        check_version(self.python)  # another version's interpreter would run it all the same, and die
        return marshal.dumps(code)

    def _space(self, function: types.FunctionType) -> int:
        names = function.__globals__
        if id(names) not in self._spaces:
            self._spaces[id(names)] = len(self._spaces)
            self._kept.append(names)
            if not self.is_strict:
                for name in ("__name__", "__package__", "__file__"):
                    if type(names.get(name)) is str:
                        self._named.add((id(names), name))
                        self.later("", "global", self._spaces[id(names)], name, names[name])
        return self._spaces[id(names)]

    def _expect(self, function: types.FunctionType) -> None:
        """Everything that fills a function, for later."""
        path = self._path
        own_name = function.__qualname__.rpartition("<locals>.")[2]
        if "." in own_name and path[-1:] != (own_name,):
            self._path = (*path, own_name)  # a method, on the way to whose class one is
        names, code = function.__globals__, function.__code__
        space = self._spaces[id(names)]
        annotations = {} if self.is_strict else dict(function.__annotations__)
        more = {
            name: item
            for name, item in vars(function).items()
            if type(item) not in _ATOMS and (name != "__wrapped__" or not self.is_strict)
        }
        if function.__doc__ is not None:
            self.later("", "set", function, "__doc__", function.__doc__)
        for number, value in enumerate(function.__defaults__ or ()):
            self.later(f"default {number + 1}", "default", function, number, len(function.__defaults__ or ()), value)
        for name, value in (function.__kwdefaults__ or {}).items():
            self.later(f"default of {name}", "keyword", function, name, value)
        for name, value in more.items():
            self.later(f"attribute {name}", "set", function, name, value)
        if annotations:
            self.later("annotations", "set", function, "__annotations__", annotations)
        globals_used, attributes = names_of(code)
        for name in globals_used:
            self._global(names, space, name)
        if not self.is_strict:
            for name in globals_used:
                if isinstance(names.get(name), types.ModuleType):
                    self._submodules(names[name].__name__, attributes)
        self._names |= attributes
        for key, module in list(self._own_modules.items()):
            for name in attributes & vars(module).keys():
                self._global(vars(module), self._spaces[key], name, f"{module.__name__}.")
        self._path = path

    def _global(self, names: dict[str, Any], space: int, name: str, prefix: str = "global ") -> None:
        if name in names and name != "__builtins__" and (id(names), name) not in self._named:
            self._named.add((id(names), name))
            self.later(f"{prefix}{name}", "global", space, name, names[name])

    def _submodules(self, name: str, attributes: set[str]) -> None:
        """Those that this program has imported, and that the code reaches through the package."""
        for other in list(sys.modules):
            if other.startswith(f"{name}.") and attributes.issuperset(other[len(name) + 1 :].split(".")):
                self.later("", "import", other)

    def _cell(self, cell: types.CellType) -> Reduced:
        self._kept.append(cell)
        path = self._paths.get(id(cell), self._path)
        try:
            self._fills.append((path, ("fill", cell, cell.cell_contents)))
        except ValueError:
            pass  # it has no value here either
        return _MAKERS["cell"], (len(self._kept),)

    def _builtin(self, function: Any) -> Reduced:
        """A function or method written in C."""
        origin = find_origin(function)
        if origin is not None:
            return self._symbol(function, origin)
        owner = function.__self__ if hasattr(function, "__self__") else function.__objclass__
        if isinstance(owner, type):
            return _MAKERS["attribute"], (owner, function.__name__)
        raise self.refused(function, "it would act on an object of this program's; write a function that makes the call, and hand in "
                           "what it needs, or expose it")  # fmt: skip

    def _method(self, method: types.MethodType) -> Reduced:
        origin = find_origin(method)
        if origin is not None:
            return self._symbol(method, origin)
        owner = method.__self__
        if not isinstance(owner, type):
            if self.is_strict and not is_own(type(owner)):
                raise self.refused(method, f"it is a method of a {type(owner).__name__}, which is no class of this program's; write a function "
                                   "that makes the call, or expose it")  # fmt: skip
            if not self.is_strict and not is_own(type(owner)):
                return _MAKERS["attribute"], (owner, method.__name__)
            self._copied.add(id(owner))
            self._kept.append(owner)
        return _MAKERS["method"], (method.__func__, owner)

    def _partial(self, value: functools.partial[Any]) -> Reduced:
        return _MAKERS["partial"], (value.func, value.args, value.keywords)

    def _getter(self, value: Any) -> Reduced:
        """Of the module operator: made there of what it was made of here."""
        make, arguments = value.__reduce__()
        if type(make) is functools.partial:  # a methodcaller with keywords
            return _MAKERS["apply"], (make.func, (*make.args, *arguments), make.keywords)
        return _MAKERS["apply"], (make, arguments, {})

    def _cached(self, value: Any) -> Reduced:
        origin = find_origin(value)
        if origin is not None:
            return self._symbol(value, origin)
        settings = value.cache_parameters()
        return _MAKERS["cached"], (value.__wrapped__, settings["maxsize"], settings["typed"])

    def _module(self, module: types.ModuleType) -> Reduced:
        if not is_own(module):
            return _MAKERS["module"], (module.__name__,)
        names = vars(module)
        space = self._spaces.setdefault(id(names), len(self._spaces))
        self._own_modules[id(names)] = module
        self._kept.append(module)
        for name in self._names & names.keys():
            self._global(names, space, name, f"{module.__name__}.")
        return _MAKERS["own_module"], (module.__name__, space)

    # ---- Classes

    def _class(self, cls: Any) -> Reduced:
        if issubclass(cls, SandboxError) and is_belljar(cls):
            return _MAKERS["kind"], ("SandboxError",)
        if self.is_strict and cls is dataclasses.FrozenInstanceError:
            return _MAKERS["kind"], (AttributeError,)  # which it derives from
        if cls in _KINDS:
            return _MAKERS["kind"], (_KINDS[cls],)
        origin = find_origin(cls)
        if origin is not None:
            return self._symbol(cls, origin)
        if not cls.__flags__ & 1 << 9:  # no heap type: C made it
            raise self.refused(cls, "it is a class of C code that no module has by its name")
        self._kept.append(cls)
        bases = tuple(_Base(base) for base in cls.__bases__ if base is not object)
        metaclass = None if type(cls) is type else _Base(type(cls))
        if is_enum(cls):
            members, methods = enum_parts(cls)
            for member in cls.__members__.values():
                for name, value in member_state(member).items():
                    self.later(f"{cls.__name__}.{name_of_member(member)}.{name}", "put", member, name, value)
            return _MAKERS["enum"], (metaclass, cls.__name__, cls.__qualname__, _module_of(cls), bases, members, methods)
        body: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for name, value in vars(cls).items():
            if is_kept(cls, name, value, self.is_strict):
                (body if _is_immediate(name, value) else rest)[name] = value
        self._later_attributes(cls, rest)
        return _MAKERS["own_class"], (metaclass, cls.__name__, cls.__qualname__, _module_of(cls), bases, body)

    def _later_attributes(self, cls: type, rest: dict[str, Any]) -> None:
        for name, value in rest.items():
            if name == "__dataclass_fields__":
                value = _Fields(dataclass_fields(value, self.is_strict))
            elif name == "__dataclass_params__":
                value = _Parameters(value)
            kind = "last" if name == "__init_subclass__" else "set"
            self.later(f"{cls.__name__}.{name}", kind, cls, name, value)

    def _base(self, base: _Base) -> Reduced:
        origin = find_origin(base.cls)
        if origin is not None and self.is_strict:
            return _MAKERS["library"], (origin.rows, " → ".join((*self._path, origin.words)))
        return _MAKERS["kind"], (base.cls,)

    def _instance(self, value: Any) -> Any:
        if not self.is_strict:
            return NotImplemented  # as it says itself
        cls = type(value)
        state = instance_state(value)
        if state is None:
            raise self.refused(value, f"{cls.__name__} says itself how it is copied, or derives from a class of C code")
        self._kept.append(value)
        for name, item in state.items():
            self.later(f"attribute {name}", "put", value, name, item)
        return _MAKERS["instance"], (cls,)


class _Base:
    """A class that another derives from, or is made by: not handed to the program by itself."""

    __slots__ = ("cls",)

    def __init__(self, cls: type) -> None:
        self.cls = cls


class _Fields:
    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows


class _Parameters:
    def __init__(self, parameters: Any) -> None:
        names = getattr(type(parameters), "__slots__", ())
        self.values = {name: getattr(parameters, name) for name in names}


def is_enum(cls: type) -> bool:
    return issubclass(type(cls), enum.EnumMeta)


def is_member(value: Any) -> bool:
    """Whether it is a member of an enumeration that has a name."""
    kind: Any = type(value)
    return is_enum(kind) and name_of_member(value) in kind.__members__


def _module_of(cls: type) -> str:
    name = getattr(cls, "__module__", None)
    return name if type(name) is str else "__main__"


def is_belljar(cls: type) -> bool:
    return _module_of(cls).partition(".")[0] == "belljar"


def _is_immediate(name: str, value: Any) -> bool:
    """Whether it is in a class as it is made. What refers to the class itself comes later."""
    kind = type(value)
    if name == "__init_subclass__":
        return False
    if kind is tuple:
        return all(type(item) in _ATOMS for item in value) or name == "__orig_bases__"
    return kind in _ATOMS or kind in _IMMEDIATE or name == "__slots__"


def _classes_within(value: Any) -> list[type]:
    """The program's own classes whose instances are in a value, as far as one sees from outside."""
    found: dict[type, None] = {}
    waiting, seen = [value], set[int]()
    while waiting and len(seen) < _LOOK_MAX:
        item = waiting.pop()
        kind = type(item)
        if kind is types.MethodType:
            item = item.__self__
            kind = type(item)
        elif kind is functools.partial:
            item = (item.func, item.args, item.keywords)
            kind = tuple
        if kind in _ATOMS or id(item) in seen or kind in _REDUCERS or issubclass(kind, type):
            continue
        seen.add(id(item))
        if kind in (list, tuple, set, frozenset):
            waiting.extend(item)
        elif kind is dict:
            waiting.extend((*item.keys(), *item.values()))
        elif not issubclass(kind, types.ModuleType) and kind.__flags__ & 1 << 9 and is_own(kind):
            found[kind] = None
            waiting.extend(getattr(item, "__dict__", {}).values())
    return list(found)


def _way_to(wanted: Any, value: Any) -> list[str]:
    """The items that lead to something within lists and dicts."""
    waiting: list[tuple[Any, list[str]]] = [(value, [])]
    seen: set[int] = set()
    while waiting and len(seen) < _LOOK_MAX:
        item, way = waiting.pop()
        if item is wanted:
            return way
        if id(item) not in seen and type(item) in _CONTAINERS:
            seen.add(id(item))
            if type(item) is dict:
                pairs: Iterable[tuple[Any, Any]] = item.items()
            else:
                pairs = enumerate(item)
            waiting.extend((inner, [*way, f"[{key!r:.50}]"]) for key, inner in pairs)
    return []


def _words_for(value: Any) -> str:
    kind = type(value)
    if issubclass(kind, io.IOBase):
        return "open file"
    name = getattr(value, "__qualname__", None) if isinstance(value, (type, *_FUNCTIONS)) else None
    words = {types.BuiltinFunctionType: "method", types.MethodType: "method", types.FunctionType: "function"}.get(
        kind, kind.__name__
    )
    return f"{words} {name}" if type(name) is str else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


_REMEDY: Final = "make it inside the function, or hand in what it holds"
_ALIASES: Final = frozenset({types.GenericAlias, types.UnionType})
_LOOK_MAX: Final = 10_000
"""Items that are looked at for classes, and for the way to what was refused."""
_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)})
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_KINDS: Final[dict[type, str]] = {type(None): "None", type(...): "...", type(NotImplemented): "NotImplemented"}
_TUPLE_FIELD: Final[type] = type(vars(collections.namedtuple("Row", "field"))["field"])
_IMMEDIATE: Final = frozenset({
    _TUPLE_FIELD,
    types.FunctionType, staticmethod, classmethod, property, functools.cached_property, functools.partialmethod,
    functools._lru_cache_wrapper, types.BuiltinFunctionType,
})  # fmt: skip
_REDUCERS: Final[dict[type, Callable[[_Packer, Any], Any]]] = {
    types.FunctionType: _Packer._function,
    types.CellType: _Packer._cell,
    types.CodeType: lambda self, code: (_MAKERS["code"], (self._bytecode(code),)),
    types.MethodType: _Packer._method,
    **dict.fromkeys((types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
                     types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType), _Packer._builtin),
    types.MappingProxyType: lambda self, value: (_MAKERS["view_of_dict"], (dict(value),)),
    functools.partial: _Packer._partial,
    **dict.fromkeys((operator.itemgetter, operator.attrgetter, operator.methodcaller), _Packer._getter),
    functools.partialmethod: lambda self, value: (_MAKERS["descriptor"], ("partialmethod", (value.func, *value.args), value.keywords)),
    functools._lru_cache_wrapper: _Packer._cached,
    functools.cached_property: lambda self, value: (_MAKERS["descriptor"], ("cached_property", (value.func,), {})),
    staticmethod: lambda self, value: (_MAKERS["descriptor"], ("staticmethod", (value.__func__,), {})),
    classmethod: lambda self, value: (_MAKERS["descriptor"], ("classmethod", (value.__func__,), {})),
    property: lambda self, value: (_MAKERS["descriptor"], ("property", (value.fget, value.fset, value.fdel, value.__doc__), {})),
    re.Pattern: lambda self, value: (_MAKERS["apply"], (re.compile, (value.pattern, value.flags), {})),
    _TUPLE_FIELD: lambda self, value: (_MAKERS["descriptor"], ("field", value.__reduce__()[1], {})),
    typing.TypeVar: lambda self, value: (_MAKERS["apply"], (typing.TypeVar, (value.__name__, *value.__constraints__), {
        "bound": value.__bound__, "covariant": value.__covariant__, "contravariant": value.__contravariant__})),
    _Base: _Packer._base,
    _Fields: lambda self, value: (_MAKERS["fields"], (value.rows,)),
    _Parameters: lambda self, value: (_MAKERS["parameters"], (value.values,)),
}  # fmt: skip
