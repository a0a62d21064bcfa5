"""Sessions under a language policy (`SandboxConfig`, `Policy(feature=…)`): pysandbox's execute and call, as commands and answers.

Values go there as read-only views: plain ones by copy, other objects as views of the host's (_proxy.py). Functions and classes go
there as code (_shipping.py). What comes back is inert (values/value.c), and an exception is one of
a fixed list of builtin types, or a `SandboxError`.
"""

from __future__ import annotations

import ast
import io
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from belljar._core import core
from belljar._execution import Execution, value_bytes
from belljar._plain import is_plain_through
from belljar._proxy import EXCEPTIONS, Handles, Readonly, readonly
from belljar._session import Lending, command
from belljar._shipping import pack
from belljar.config import SandboxConfig
from belljar.errors import SandboxError, Timeout

__all__ = ["Language", "LanguageHandles", "Show", "execute_text", "show_all", "take_changes", "wrap_names"]

_FILE_METHODS = ("close", "flush", "isatty", "read", "readable", "readline", "readlines", "seek", "seekable", "tell", "writable")
_OPERATIONS: Final = {
    "__contains__": "contains", "__getitem__": "item", "__iter__": "iter", "__len__": "len", "__enter__": "with",
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
_TEXTS: Final = ("doc", "hash", "repr", "str")
_ERRNO = re.compile(r"\[Errno (\d{1,5})\] (.*)", re.DOTALL)


Show = Callable[[Any], Readonly]


@dataclass(frozen=True, slots=True)
class Language:
    """The language policy of a session: what a program sees is chosen, so what goes there and comes back is as well.

    `execute` and `call` have a guest of their own each time, so nothing is left of one for the next; `run_code` and the
    variables are those of a session, as everywhere."""

    config: SandboxConfig | None
    """What it was made by, if it was: its limits hold for what goes in and comes out."""
    show: Show | None = None
    """How objects are shown that are handed in, if not by the data that they store."""

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
            raise SandboxError("the sandbox sent a malformed answer", "protocol")
        return value


def execute_text(
    handles: Handles, python: tuple[int, int, int], code: bytes, names: dict[str, Any] | None, local_names: dict[str, Any] | None,
    show: Show | None,
) -> bytes:  # fmt: skip
    """The command that runs code in an empty namespace or with these names."""
    is_one = names is not None and local_names is names
    wrapped = [wrap_names(handles, python, given, show) for given in (names, None if is_one else local_names)]
    return command("strict_execute", code, *wrapped, is_one, "<sandbox>", handles=handles)


def take_changes(answer: list[Any], names: dict[str, Any] | None, local_names: dict[str, Any] | None) -> None:
    """What the code made of the names; those that it left alone keep the very object."""
    for mine, change in zip((names, None if local_names is names else local_names), answer, strict=True):
        if mine is not None:
            if not _is_change(change):
                raise SandboxError("the sandbox sent a malformed answer: a namespace was expected", "protocol")
            for name in change[0]:
                mine.pop(name, None)
            mine.update(change[1])


def wrap_names(
    handles: Handles, python: tuple[int, int, int], names: dict[str, Any] | None, show: Show | None = None, is_strict: bool = True
) -> list[Any] | None:
    """Names with their values, for the guest: by copy if all can cross, else each for itself."""
    if names is None:
        return None
    if is_strict:
        for name in names:
            if type(name) is not str:
                raise TypeError(f"names are text, not {type(name).__name__}")
        names = {name: value for name, value in names.items() if name != "__builtins__"}
    try:
        core.encode_value([0, names], strict=True)
        return [0, names]
    except (TypeError, ValueError):
        return pack(handles, [("names", list(names)), *names.items()], python=python, is_strict=is_strict, show=show or readonly)


class LanguageHandles(Handles):
    """Lists and dicts that are reached through an object cross by copy if they can: the policy's own views of them know all that
    pysandbox's did."""

    def show(self, value: Any, rules: Any, weight: int = 0) -> list[Any]:
        if type(value) in (list, tuple, dict) and is_plain_through(value):
            return [0, value]
        return super().show(value, rules, weight)


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


# ---- Objects that pysandbox was handed --------------------------------------------------------------------------------


def show_all(value: Any) -> Readonly:
    """The view that pysandbox gave of an object: its public attributes and methods, whatever they do. For what its caller has handed in
    itself, and never for functions, builtins, classes and modules."""
    if isinstance(value, io.IOBase):
        return readonly(value, methods=_FILE_METHODS, operations=("iter", "with", *_TEXTS))
    operations = [name for method, name in _OPERATIONS.items() if hasattr(type(value), method)]
    methods = _methods(type(value))
    attributes = [name for name in dir(value) if name.isidentifier() and not name.startswith("_") and name not in methods]
    return readonly(value, attributes=attributes, methods=methods, operations=(*operations, *_TEXTS))


def _methods(kind: type) -> list[str]:
    """The public methods of the program's own classes."""
    found: dict[str, None] = {}
    for base in kind.__mro__:
        if getattr(base, "__module__", "") != "builtins":
            for name, value in vars(base).items():
                if not name.startswith("_") and isinstance(value, types.FunctionType | classmethod | staticmethod):
                    found[name] = None
    return list(found)
