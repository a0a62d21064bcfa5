"""Sandboxes under the deny-by-default policy: `Sandbox(SandboxConfig(…))`, with pysandbox's execute, call and create_callback.

Values go there as read-only views: plain ones by copy, other objects as views of the host's (belljar.proxy). Functions
go there as marshalled code with what they refer to. What comes back is inert (wire/value.c), and an exception is one of
a fixed list of builtin types, or a `SandboxError`.
"""

from __future__ import annotations

import ast
import builtins
import dis
import io
import marshal
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from belljar._core import core
from belljar.config import SandboxConfig
from belljar.errors import ProtocolError, SandboxError, Timeout
from belljar._execution import Execution, stream_callback
from belljar._host_functions import check_name
from belljar._policy import Policy
from belljar._proxy import EXCEPTIONS, Handles, Readonly, readonly
from belljar.sandbox import Sandbox
from belljar._session import Desk, Lending, command
from belljar._shipping import is_own
from belljar._template import Content, Job, Stdin, Template, shared, source

__all__ = ["StrictSandbox"]

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


class StrictSandbox(Sandbox):
    """A sandbox under a `SandboxConfig`.

    >>> sandbox = Sandbox(SandboxConfig("stdout", "math"))
    >>> names = {"radius": 2}
    >>> _ = sandbox.execute("import math; area = math.pi * radius ** 2", names)
    >>> round(names["area"], 2)
    12.57

    `execute` and `call` have a guest of their own each time, so nothing is left of one for the next; `run_code` and the
    variables are those of a session, as in every `Sandbox`."""

    config: SandboxConfig

    def __init__(
        self,
        config: SandboxConfig,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: str | os.PathLike[str] | None = None,
        stdin: Stdin = None,
    ) -> None:
        self.config = config
        super().__init__(Policy(**config.to_policy()), preload=preload, files=files, python=python, stdin=stdin)
        self._desk.handles = _Handles()

    def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Calls a function of this program in a new guest and returns its result, by copy.

        The function sees read-only views of its arguments and of what it refers to; the modules that it uses are
        those that the policy allows. Raises what it raises (see `execute`)."""
        return call(self._template, self.config, func, args, kw)

    def execute(
        self,
        code: str | bytes,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        *,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Execution:
        """Runs code in a new guest, in an empty namespace or with these names; afterwards the dictionaries hold what
        the code made of them (a name that it left alone keeps the very object).

        Raises what the code raises: one of a fixed list of builtin exceptions with its text, or a `SandboxError` that
        names the type; `Timeout` and `MemoryError` for these limits."""
        return execute(self._template, self.config, code, globals, locals, on_stdout, on_stderr)

    def __setitem__(self, name: str, value: object) -> None:
        check_name(name)
        self._command(command("set", name, wrap(self._desk.handles, value)))

    def create_callback(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Callable[[], Any]:
        """A function that does `call(func, *args, **kw)`."""
        return lambda: self.call(func, *args, **kw)

    def __repr__(self) -> str:
        return f"<Sandbox {'closed' if self._guest.is_closed else 'open'}, {self.config!r}>"

    def _branch(self) -> Sandbox:
        twin = super()._branch()
        assert isinstance(twin, StrictSandbox)
        twin.config = self.config
        return twin


def template(config: SandboxConfig) -> Template:
    """The template that runs under a config."""
    return shared(Policy(**config.to_policy()), (), None)


def execute(
    template: Template,
    config: SandboxConfig,
    code: str | bytes,
    names: dict[str, Any] | None,
    local_names: dict[str, Any] | None,
    on_stdout: Callable[[str], object] | None = None,
    on_stderr: Callable[[str], object] | None = None,
) -> Execution:
    is_one = names is not None and local_names is names
    local = None if is_one else local_names
    with _OneRun(template, config, on_stdout, on_stderr) as guest:
        wrapped, wrapped_local = guest.wrap_names(names), guest.wrap_names(local)
        changes = guest.run("strict_execute", 2, source(code), wrapped, wrapped_local, is_one, "<sandbox>")
        for mine, change in ((names, changes[0]), (local, changes[1])):
            if mine is not None:
                if not _is_change(change):
                    raise SandboxError("the sandbox answered what is no namespace", "protocol")
                for name in change[0]:
                    mine.pop(name, None)
                mine.update(change[1])
        assert guest.execution is not None
        return guest.execution


def call(
    template: Template, config: SandboxConfig, func: Callable[..., Any], args: Iterable[Any], kw: Mapping[str, Any],
    on_stdout: Callable[[str], object] | None = None, on_stderr: Callable[[str], object] | None = None,
) -> Any:  # fmt: skip
    if template.python[:2] != sys.version_info[:2]:
        there = ".".join(map(str, template.python[:2]))
        raise SandboxError(f"functions cross between equal versions of Python only, and the sandbox has {there}", "call")
    with _OneRun(template, config, on_stdout, on_stderr) as guest:
        package = _Package(guest.wrap)
        wanted = package.add(func)
        return guest.run("strict_call", 1, package.functions, package.namespaces, wanted,
                         guest.wrap(list(args)), guest.wrap_names(dict(kw)))[0]  # fmt: skip


class _Handles(Handles):
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


# ---- One guest for one call --------------------------------------------------------------------------------------


class _OneRun:
    def __init__(self, template: Template, config: SandboxConfig, on_stdout: Any, on_stderr: Any) -> None:
        self.config = config
        self.sandbox = Sandbox(template=template)
        self.desk: Desk = self.sandbox._desk
        self.desk.handles = _Handles()
        self.execution: Execution | None = None
        self.job: Job = {"command": True}
        if on_stdout is not None or on_stderr is not None:
            self.job["on_output"] = stream_callback(on_stdout, on_stderr)

    def __enter__(self) -> _OneRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()

    def wrap(self, value: Any) -> list[Any]:
        return wrap(self.desk.handles, value)

    def wrap_names(self, names: dict[str, Any] | None) -> list[Any] | None:
        if names is None:
            return None
        for name in names:
            if type(name) is not str:
                raise TypeError(f"names are text, not {type(name).__name__}")
        return self.wrap({name: value for name, value in names.items() if name != "__builtins__"})

    def run(self, name: str, length: int, *arguments: Any) -> list[Any]:
        """Runs a command; its answer."""
        text = command(name, *arguments)
        limit = self.config.max_input_size
        if limit and len(text) + (sum(length for _, _, length in text.memory) if type(text) is Lending else 0) > limit:
            raise SandboxError("Input data are too big")
        execution = self.execution = self.sandbox._go(text, self.job)
        _raise_for(execution)
        limit = self.config.max_output_size
        if limit and len(execution._result.value or b"") > limit:
            raise SandboxError("Output data are too big")
        value = execution.value
        if value is None:
            raise SandboxError("SystemExit: 0")
        if type(value) is not list or len(value) != length:
            raise SandboxError("the sandbox answered what is no answer", "protocol")
        return value


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
        return handles.wrap(_viewed(value))


def _viewed(value: Any, depth: int = 0) -> Any:
    """The value with views in place of what cannot cross by copy."""
    kind = type(value)
    if depth < 30:
        if kind is list or kind is tuple:
            return kind(_viewed(item, depth + 1) for item in value)
        if kind is dict:
            return {key: _viewed(item, depth + 1) for key, item in value.items()}
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
    """A function and those that it refers to, for strict_call() in guest/belljar_strict.py."""

    def __init__(self, wrap: Callable[[Any], list[Any]]) -> None:
        self.functions: list[list[Any]] = []
        self.namespaces: list[dict[str, Any]] = []
        self._wrap = wrap
        self._known: dict[int, int | None] = {}
        self._spaces: dict[int, int] = {}

    def add(self, function: object) -> int:
        """Packs a function; its number."""
        if not isinstance(function, types.FunctionType):
            raise SandboxError(f"a function written in Python is expected, not {type(function).__name__}", "call")
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
        name = getattr(value, "__name__", None)
        if isinstance(value, type | types.BuiltinFunctionType) and type(name) is str and vars(builtins).get(name) is value:
            return [_BUILTIN, name]
        module = getattr(value, "__module__", None)
        found = sys.modules.get(module) if type(module) is str else None
        if isinstance(value, types.FunctionType) and (found is None or module == "__main__" or is_own(found)):
            return [_BUILT, self.add(value)]
        if (
            isinstance(value, type | types.FunctionType | types.BuiltinFunctionType)
            and found is not None and module != "__main__" and not is_own(found) and getattr(found, str(name), None) is value
        ):  # fmt: skip
            return [_SYMBOL, [module, name]]  # if the policy allows it
        return [_BY_VALUE, self._wrap(value)]


def _global_names(code: types.CodeType) -> Iterator[str]:
    """The global names that code reads, with that of the functions inside."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
