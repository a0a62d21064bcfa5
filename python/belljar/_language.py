"""Sessions under a language policy (`SandboxConfig`, `Policy(feature=…)`): pysandbox's execute and call, as commands and answers.

Values go there as read-only views: plain ones by copy, other objects as views of the host's (belljar.proxy). Functions
go there as marshalled code with what they refer to. What comes back is inert (values/value.c), and an exception is one of
a fixed list of builtin types, or a `SandboxError`.
"""

from __future__ import annotations

import ast
import builtins
import dis
import io
import marshal
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from belljar._core import core
from belljar._execution import Execution, value_bytes
from belljar._proxy import EXCEPTIONS, Handles, Readonly, readonly
from belljar._session import Lending, command
from belljar._shipping import is_own
from belljar.config import SandboxConfig
from belljar.errors import ProtocolError, SandboxError, Timeout

__all__ = ["Language", "LanguageHandles", "call_text", "execute_text", "take_changes", "viewed", "wrap"]

_FILE_METHODS = ("close", "flush", "isatty", "read", "readable", "readline", "readlines", "seek", "seekable", "tell", "writable")
_NEVER = (
    types.ModuleType, types.FrameType, types.CodeType, types.CellType, types.TracebackType, types.GeneratorType,
    types.CoroutineType, types.AsyncGeneratorType,
)  # fmt: skip
_OPERATIONS: Final = {
    "__call__": "call", "__contains__": "contains", "__getitem__": "item", "__iter__": "iter", "__len__": "len", "__enter__": "with",
}  # fmt: skip

# What an exception of the program's may be here. Not SystemExit and KeyboardInterrupt: they would end the host.
_ERRORS: Final[dict[str, type[Exception]]] = {
    **EXCEPTIONS,
    **{kind.__name__: kind for kind in (IndentationError, SyntaxError, TabError, UnboundLocalError)},
    "UnicodeDecodeError": UnicodeError,
    "UnicodeEncodeError": UnicodeError,
    "UnicodeTranslateError": UnicodeError,
    "SandboxError": SandboxError,
}
_TEXTS: Final[dict[str, Callable[[Any], Any]]] = {
    "str": str, "repr": repr, "hash": hash,
    "doc": lambda value: getattr(value, "__doc__", None),
    "name": lambda value: getattr(value, "__name__"),  # noqa: B009 # AttributeError is for the guest
}  # fmt: skip
_ERRNO = re.compile(r"\[Errno (\d{1,5})\] (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Language:
    """The language policy of a session: what a program sees is chosen, so what goes there and comes back is as well.

    `execute` and `call` have a guest of their own each time, so nothing is left of one for the next; `run_code` and the
    variables are those of a session, as everywhere."""

    config: SandboxConfig | None
    """What it was made by, if it was: its limits hold for what goes in and comes out."""

    def check_input(self, text: bytes) -> bytes:
        """A command, unless it is too much."""
        limit = self.config.max_input_size if self.config is not None else 0
        if limit and len(text) + (sum(length for _, _, length in text.memory) if type(text) is Lending else 0) > limit:
            raise SandboxError("Input data are too big")
        return text

    def answer(self, execution: Execution, length: int) -> list[Any]:
        """What a command came to: its answer, or raises here what the program raised there."""
        _raise_for(execution)
        limit = self.config.max_output_size if self.config is not None else 0
        if limit and value_bytes(execution) > limit:
            raise SandboxError("Output data are too big")
        value = execution.value
        if value is None:
            raise SandboxError("SystemExit: 0")
        if type(value) is not list or len(value) != length:
            raise SandboxError("the sandbox answered what is no answer", "protocol")
        return value


def execute_text(
    handles: Handles, code: bytes, names: dict[str, Any] | None, local_names: dict[str, Any] | None
) -> bytes:
    """The command that runs code in an empty namespace or with these names."""
    is_one = names is not None and local_names is names
    wrapped = [_wrap_names(handles, given) for given in (names, None if is_one else local_names)]
    return command("strict_execute", code, *wrapped, is_one, "<sandbox>")


def take_changes(answer: list[Any], names: dict[str, Any] | None, local_names: dict[str, Any] | None) -> None:
    """What the code made of the names; those that it left alone keep the very object."""
    for mine, change in zip((names, None if local_names is names else local_names), answer, strict=True):
        if mine is not None:
            if not _is_change(change):
                raise SandboxError("the sandbox answered what is no namespace", "protocol")
            for name in change[0]:
                mine.pop(name, None)
            mine.update(change[1])


def call_text(
    handles: Handles, python: tuple[int, int, int], func: Callable[..., Any], args: Iterable[Any], kw: Mapping[str, Any]
) -> bytes:
    """The command that calls a function of this program: its code goes there, and views of what it refers to."""
    if python[:2] != sys.version_info[:2]:
        there = ".".join(map(str, python[:2]))
        raise SandboxError(f"functions cross between equal versions of Python only, and the sandbox has {there}", "call")
    package = _Package(lambda value: wrap(handles, value))
    wanted = package.add(func if isinstance(func, types.FunctionType) or _named(func) is None else _calling(func))
    return command("strict_call", package.functions, package.namespaces, wanted, wrap(handles, list(args)),
                   _wrap_names(handles, dict(kw)))  # fmt: skip


def _calling(func: Callable[..., Any]) -> Callable[..., Any]:
    """For what the guest has by name: a function that calls it there."""
    return lambda *args, **kw: func(*args, **kw)


def _wrap_names(handles: Handles, names: dict[str, Any] | None) -> list[Any] | None:
    if names is None:
        return None
    for name in names:
        if type(name) is not str:
            raise TypeError(f"names are text, not {type(name).__name__}")
    return wrap(handles, {name: value for name, value in names.items() if name != "__builtins__"})


class LanguageHandles(Handles):
    """Lists and dicts that are reached through an object cross by copy if they can: the policy's own views of them know all that
    pysandbox's did."""

    def show(self, value: Any, rules: Any, weight: int = 0) -> list[Any]:
        if type(value) in (list, tuple, dict):
            try:
                core.encode_value([0, value], strict=True)
                return [0, value]
            except (TypeError, ValueError):
                pass
        return super().show(value, rules, weight)

    def operate(self, number: object, operation: object, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if operation != "text":
            return super().operate(number, operation, arguments, keywords)
        original = self.entry(number).original
        what = arguments[0] if len(arguments) == 1 and not keywords and type(arguments[0]) is str else None
        if what not in _TEXTS:
            raise ProtocolError("it used a host object in a way that there is not")
        value = _TEXTS[what](original)
        return [0, value if type(value) in (str, int) else None]


# ---- What comes back -------------------------------------------------------------------------------------------------


def _is_change(change: object) -> bool:
    return (
        type(change) is list and len(change) == 2 and type(change[0]) is list and type(change[1]) is dict
        and all(type(name) is str for name in (*change[0], *change[1]))
    )  # fmt: skip


def _raise_for(execution: Execution) -> None:
    """Raises here what the program raised there."""
    verdict, error = execution.verdict, execution.error
    if verdict in ("timeout", "cpu"):
        raise Timeout("the program was stopped at its time limit")
    if verdict == "memory":
        raise MemoryError(error.value if error is not None and error.name == "MemoryError" else "")
    if verdict == "output":
        raise SandboxError("Output data are too big")
    if verdict == "crashed":
        raise SandboxError(f"subprocess killed by signal {execution.exit - 128}")
    if error is None:
        if verdict == "ok" and execution.exit == 0:
            return
        raise SandboxError(f"SystemExit: {execution.exit}" if verdict in ("ok", "error") else f"the sandbox ended: {verdict}")
    kind = _ERRORS.get(error.name)
    if kind is None:
        raise SandboxError(f"{error.name}: {error.value}" if error.value else error.name)
    if kind is KeyError:
        raise KeyError(_key(error.value))
    numbered = _ERRNO.fullmatch(error.value) if issubclass(kind, OSError) else None
    raise kind(int(numbered[1]), numbered[2]) if numbered else kind(error.value)


def _key(text: str) -> object:
    """str(KeyError("x")) is "'x'": back to what str() makes that of."""
    if len(text) < 1000 and text[:1] in ("'", '"'):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return text


# ---- Values on their way in --------------------------------------------------------------------------------------


def wrap(handles: Handles, value: Any) -> list[Any]:
    """A value for a guest: by copy if it can cross, else with views of what cannot."""
    try:
        core.encode_value([0, value], strict=True)
        return [0, value]
    except (TypeError, ValueError):
        return handles.wrap(viewed(value))


def viewed(value: Any, depth: int = 0) -> Any:
    """The value with views in place of what cannot cross by copy."""
    kind = type(value)
    if depth < 30:
        if kind in (list, tuple, set, frozenset):
            return kind(viewed(item, depth + 1) for item in value)
        if kind is dict:
            return {viewed(key, depth + 1): viewed(item, depth + 1) for key, item in value.items()}
    try:
        core.encode_value(value, strict=True)
        return value
    except (TypeError, ValueError):
        return _view(value)


def _view(value: Any) -> Readonly:
    if type(value) is Readonly:
        return value
    if isinstance(value, _NEVER):
        raise SandboxError(f"Unable to proxy a value of type {type(value)!r}")
    if isinstance(value, type):
        return readonly(value, operations={type(value): ["call"]}, methods={value: _methods(value)})
    if isinstance(value, io.IOBase):
        return readonly(value, methods=_FILE_METHODS, operations=("iter", "with"))
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return readonly(value, operations=("call",))
    operations = [name for method, name in _OPERATIONS.items() if hasattr(type(value), method)]
    methods = _methods(type(value))
    attributes = [name for name in dir(value) if name.isidentifier() and not name.startswith("_") and name not in methods]
    return readonly(value, attributes=attributes, methods=methods, operations=operations)


def _methods(kind: type) -> list[str]:
    """The public methods of the program's own classes."""
    found: dict[str, None] = {}
    for base in kind.__mro__:
        if getattr(base, "__module__", "") != "builtins":
            for name, value in vars(base).items():
                if not name.startswith("_") and isinstance(value, types.FunctionType | classmethod | staticmethod):
                    found[name] = None
    return list(found)


# ---- Functions on their way in -----------------------------------------------------------------------------------

_BY_VALUE, _BUILT, _MODULE, _BUILTIN, _SYMBOL = range(5)


class _Package:
    """A function and those that it refers to, for strict_call() in belljar_guest/_strict.py."""

    def __init__(self, wrap: Callable[[Any], list[Any]]) -> None:
        self.functions: list[list[Any]] = []
        self.namespaces: list[dict[str, Any]] = []
        self._wrap = wrap
        self._known: dict[int, int | None] = {}
        self._spaces: dict[int, int] = {}

    def add(self, function: object) -> int:
        """Packs a function; its number."""
        if not isinstance(function, types.FunctionType):
            raise SandboxError(f"a function written in Python is expected, not {type(function).__name__}: write one that makes the "
                               "call, and hand what it needs in as an argument", "call")  # fmt: skip
        if id(function) in self._known:
            number = self._known[id(function)]
            if number is None:
                raise SandboxError(f"{function.__name__}() refers to itself by a default or a closure: that cannot be sent", "call")
            return number
        self._known[id(function)] = None
        space = self._spaces.setdefault(id(function.__globals__), len(self.namespaces))
        if space == len(self.namespaces):
            self.namespaces.append({})
        defaults = function.__defaults__
        keyword_defaults = function.__kwdefaults__
        packed = [
            marshal.dumps(function.__code__), function.__name__, space,
            None if defaults is None else [self._item(value) for value in defaults],
            None if keyword_defaults is None else {name: self._item(value) for name, value in keyword_defaults.items()},
            [self._item(self._cell(function, cell)) for cell in function.__closure__ or ()],
        ]  # fmt: skip
        number = self._known[id(function)] = len(self.functions)
        self.functions.append(packed)
        for name in _global_names(function.__code__):
            if name in function.__globals__ and name not in self.namespaces[space]:
                self.namespaces[space][name] = [_BUILTIN, "None"]  # so that it is not packed twice
                self.namespaces[space][name] = self._item(function.__globals__[name])
        return number

    @staticmethod
    def _cell(function: types.FunctionType, cell: types.CellType) -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            raise SandboxError(f"{function.__name__}() refers to a variable that has no value yet", "call") from None

    def _item(self, value: Any) -> list[Any]:
        if isinstance(value, types.ModuleType):
            return [_MODULE, value.__name__]
        if isinstance(value, type) and issubclass(value, SandboxError):
            return [_BUILTIN, "SandboxError"]
        if isinstance(value, types.FunctionType) and _is_own(value):
            return [_BUILT, self.add(value)]
        return _named(value) or [_BY_VALUE, self._wrap(value)]


def _is_own(value: Any) -> bool:
    """Whether a function or class is the program's own: the guest has no module that has it."""
    found = sys.modules.get(value.__module__) if type(value.__module__) is str else None
    return found is None or value.__module__ == "__main__" or is_own(found)


def _named(value: Any) -> list[Any] | None:
    """What the guest finds by its name, if the policy allows it: a builtin, or a symbol of a module."""
    name = getattr(value, "__name__", None)
    if type(name) is not str or not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return None
    if not isinstance(value, types.FunctionType) and vars(builtins).get(name) is value:
        return [_BUILTIN, name]
    if not _is_own(value) and getattr(sys.modules[value.__module__], name, None) is value:
        return [_SYMBOL, [value.__module__, name]]
    return None


def _global_names(code: types.CodeType) -> Iterator[str]:
    """The global names that code reads, with that of the functions inside."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
