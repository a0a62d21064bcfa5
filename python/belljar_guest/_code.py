"""Functions and classes of the host's, made here of the code that it sent (belljar/_shipping.py packs them).

A stream of pickles: values, skeletons in them, and what fills the skeletons. Its makers are the methods of `Builder`; under a language
policy those of `StrictBuilder` in _strict.py, which find by name only what the policy allows.
"""

from __future__ import annotations

import functools
import io
import marshal
import sys
import types
from typing import TYPE_CHECKING

from _collections import _tuplegetter  # type: ignore[import]
from _pickle import Unpickler as PickleReader  # type: ignore[import]
from belljar_guest import _host

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Hidden under a language policy: kept from before.
set_cell = types.CellType.__dict__["cell_contents"].__set__
empty_cell = types.CellType.__dict__["cell_contents"].__delete__
closure_of = types.FunctionType.__dict__["__closure__"].__get__
defaults_of = types.FunctionType.__dict__["__defaults__"].__get__
set_defaults = types.FunctionType.__dict__["__defaults__"].__set__
keyword_defaults_of = types.FunctionType.__dict__["__kwdefaults__"].__get__
set_keyword_defaults = types.FunctionType.__dict__["__kwdefaults__"].__set__
method_type: Any = types.MethodType
view_type = types.MappingProxyType
own_of_type: Any = type.__dict__
names_of_type = own_of_type["__dict__"].__get__
mro_of = own_of_type["__mro__"].__get__
module_type = type(sys)
cached_functions = functools.lru_cache
DESCRIPTORS: dict[str, Any] = {
    "cached_property": functools.cached_property, "classmethod": classmethod, "field": _tuplegetter, "partialmethod": functools.partialmethod,
    "property": property, "staticmethod": staticmethod,
}  # fmt: skip
NOT_HERE = object()  # in the place of what this guest has no module for


class Unpickler(PickleReader):  # type: ignore[misc]
    def __init__(self, stream: io.BytesIO, builder: Builder, parts: list[Any]) -> None:
        super().__init__(stream)
        self.builder = builder
        self.parts = parts
        self.made: dict[int, Any] = {}

    def persistent_load(self, pid: tuple[str, Any]) -> Any:
        kind, what = pid
        if kind == "maker":
            return getattr(self.builder, "make_" + what)
        if kind == "sentinel":
            return self.builder.sentinel(what)
        if what not in self.made:
            self.made[what] = self.builder.arriving(_host.unwrap(self.parts[what]))
        return self.made[what]

    def find_class(self, module: str, name: str) -> Any:
        self.builder.check_class(module, name)
        return super().find_class(module, name)


class Builder:
    """What is made here where there is no language policy."""

    def __init__(self) -> None:
        self.spaces: dict[int, dict[str, Any]] = {}
        self.modules: dict[int, Any] = {}  # those whose names they are
        self.sentinels: dict[str, Any] = {}
        self.last: list[tuple[Any, str, Any]] = []

    def load(self, data: bytes, parts: list[Any]) -> list[Any]:
        """The values in a stream."""
        source = Unpickler(io.BytesIO(data), self, parts)
        values: list[Any] = []
        while (item := source.load()) is not None:
            if item[0] == "value":
                values.append(item[1])
            elif item[0] != "class":
                getattr(self, "fill_" + item[0])(*item[1:])
        for thing, name, value in self.last:
            self.set_attribute(thing, name, value)
        return [self.arriving(value) for value in values]

    # ---- Where a language policy differs

    def arriving(self, value: Any) -> Any:
        return value

    def own(self, thing: Any) -> Any:
        """Code that is the program's from now on, as it is."""
        return thing

    def check_class(self, module: str, name: str) -> None:
        """Raises unless a pickled object may be of this class."""

    def make_space(self, number: int) -> dict[str, Any]:
        self.modules[number] = module_type("__main__")
        names: dict[str, Any] = self.modules[number].__dict__
        names["__builtins__"] = sys.modules["builtins"]
        return names

    def build_function(self, code: Any, names: dict[str, Any], name: str, cells: tuple[Any, ...]) -> Any:
        return types.FunctionType(code, names, name, None, cells)

    def make_symbol(self, rows: list[list[str]], path: str, is_value: bool = True) -> Any:
        """What a module has under a name: the first that is there. `is_value`: it was handed in, and is not what code refers to."""
        error: Exception = ImportError("no module has it")
        for module, name in rows:
            try:
                thing = __import__(module, None, None, ("*",))
                for part in name.split("."):
                    thing = getattr(thing, part)
                return thing
            except (ImportError, AttributeError) as found:
                if thing_is_first(rows, module, name):
                    error = found
        raise error

    def make_library(self, rows: list[list[str]], path: str) -> Any:
        return self.make_symbol(rows, path)

    def make_module(self, name: str) -> Any:
        return __import__(name, None, None, ("*",))

    def make_own_module(self, name: str, space: int) -> Any:
        self.space(space)["__name__"] = name
        return self.modules[space]

    def make_partial(self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return functools.partial(function, *arguments, **keywords)

    def dataclasses(self) -> Any:
        return __import__("dataclasses", None, None, ("*",))

    def sentinel(self, name: str) -> Any:
        found = getattr(self.dataclasses(), name, None)
        return self.own(found if found is not None else self.sentinels.setdefault(name, object()))

    def set_attribute(self, thing: Any, name: str, value: Any) -> None:
        if isinstance(thing, type):
            type.__setattr__(thing, name, value)
        else:
            setattr(thing, name, value)

    # ---- Functions

    def space(self, number: int) -> dict[str, Any]:
        if number not in self.spaces:
            self.spaces[number] = self.make_space(number)
        return self.spaces[number]

    def make_code(self, data: bytes) -> Any:
        return marshal.loads(data)

    def make_cell(self, number: int) -> Any:
        content = None

        def reader() -> Any:
            return content

        cell = closure_of(reader)[0]
        empty_cell(cell)
        return cell

    def make_function(
        self, code: bytes, name: str, full: str, module: Any, space: int, cells: tuple[Any, ...], attributes: dict[str, Any]
    ) -> Any:
        function = self.build_function(self.make_code(code), self.space(space), name, cells)
        function.__qualname__, function.__module__ = full, module
        for key, value in attributes.items():
            setattr(function, key, value)
        return self.own(function)

    def make_method(self, function: Any, owner: Any) -> Any:
        return self.own(method_type(function, owner))

    def make_cached(self, function: Any, size: int | None, is_typed: bool) -> Any:
        return self.own(cached_functions(size, is_typed)(function))

    def make_descriptor(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return self.own(DESCRIPTORS[name](*arguments, **keywords))

    def make_apply(self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return self.own(function(*arguments, **keywords))

    def make_attribute(self, owner: Any, name: str) -> Any:
        return self.own(getattr(owner, name))

    def make_kind(self, what: Any) -> Any:
        if what == "SandboxError":
            return _host.SandboxError
        return (
            self.own({"None": type(None), "...": type(...), "NotImplemented": type(NotImplemented)}[what])
            if type(what) is str
            else what
        )

    def make_view_of_dict(self, value: dict[Any, Any]) -> Any:
        return view_type(value)

    # ---- Classes

    def make_own_class(
        self, metaclass: Any, name: str, full: str, module: str, bases: tuple[Any, ...], body: dict[str, Any]
    ) -> Any:
        names = {**body, "__module__": module, "__qualname__": full}
        maker: Any = type
        if metaclass is not None:  # the program's own has done its work: a module's is what makes it
            maker = next(base for base in mro_of(metaclass) if not is_made_here(base) and "__new__" in names_of_type(base))
        cls = maker.__new__(metaclass or type, name, bases, names)
        made_here.append(cls)
        return self.own(cls)

    def make_enum(
        self, metaclass: Any, name: str, full: str, module: str, bases: tuple[Any, ...], members: dict[str, Any], body: dict[str, Any]
    ) -> Any:  # fmt: skip
        names = metaclass.__prepare__(name, bases)
        for key, value in {"__module__": module, "__qualname__": full, **members, **body}.items():
            names[key] = value
        cls = metaclass.__new__(metaclass, name, bases, names)
        made_here.append(cls)
        return self.own(cls)

    def make_instance(self, cls: Any) -> Any:
        return self.own(object.__new__(cls))

    def make_fields(self, rows: list[tuple[Any, ...]]) -> Any:
        dataclasses = self.dataclasses()
        if dataclasses is None:
            return NOT_HERE
        fields = {}
        for name, kind, default, factory, init, shown, hashed, compared, metadata, by_keyword, sort in rows:
            field = dataclasses.Field(default, factory, init, shown, hashed, compared, metadata or None, by_keyword)
            field.name, field.type, field._field_type = name, kind, sort
            fields[name] = field
        return fields

    def make_parameters(self, values: dict[str, Any]) -> Any:
        dataclasses = self.dataclasses()
        return NOT_HERE if dataclasses is None else dataclasses._DataclassParams(**values)

    # ---- What fills them

    def fill_fill(self, cell: Any, value: Any) -> None:
        set_cell(cell, self.arriving(value))

    def fill_global(self, space: int, name: str, value: Any) -> None:
        self.space(space)[name] = self.arriving(value)

    def fill_default(self, function: Any, number: int, count: int, value: Any) -> None:
        defaults = list(defaults_of(function) or [None] * count)
        defaults[number] = self.arriving(value)
        set_defaults(function, tuple(defaults))

    def fill_keyword(self, function: Any, name: str, value: Any) -> None:
        set_keyword_defaults(function, {**(keyword_defaults_of(function) or {}), name: self.arriving(value)})

    def fill_set(self, thing: Any, name: str, value: Any) -> None:
        if value is not NOT_HERE:
            self.set_attribute(thing, name, self.arriving(value))

    def fill_last(self, thing: Any, name: str, value: Any) -> None:
        self.last.append((thing, name, value))

    def fill_put(self, thing: Any, name: str, value: Any) -> None:
        object.__setattr__(thing, name, self.arriving(value))

    def fill_import(self, name: str) -> None:
        __import__(name)


made_here: list[Any] = []


def is_made_here(cls: Any) -> bool:
    return any(cls is one for one in made_here)


def thing_is_first(rows: list[list[str]], module: str, name: str) -> bool:
    return rows[0][0] == module and rows[0][1] == name


def unpack(data: bytes, parts: list[Any]) -> list[Any]:
    return make_builder().load(data, parts)


make_builder: Callable[[], Builder] = Builder
"""_strict.py puts its own in its place."""
