"""What belljar raises. Everything derives from `SandboxError`.

What a guest does is never raised: it is the `verdict` of an `Execution`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from belljar._execution import Execution

__all__ = [
    "AuditOnlyWarning",
    "GuestError",
    "PolicyError",
    "ProtocolError",
    "SandboxError",
    "SessionEnded",
    "StartError",
    "Timeout",
]


class SandboxError(Exception):
    """belljar could not do what it was asked for. `step` names the part of the work that failed, "" if none does;
    `code` is the errno behind it, or 0."""

    def __init__(self, message: str = "", step: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.step = step
        self.code = code


class AuditOnlyWarning(UserWarning):
    """A program runs without confinement, as its policy has `audit_only=True`."""


class Timeout(SandboxError, TimeoutError):
    """A program under a `SandboxConfig` was stopped at its time limit. Without one that is a `GuestError`; either is a
    `TimeoutError`."""


class PolicyError(SandboxError, ValueError):
    """An option of a policy is unknown, or its value cannot be."""


class StartError(SandboxError):
    """The sandbox could not be set up: `step` is the step of the lockdown, "interpreter", "preload", …

    Nothing was run: a weaker sandbox is used only where the policy allows it by name (`allow_missing`)."""


class SessionEnded(SandboxError):
    """The session of a `Sandbox` is over. `execution` is the run that ended it, or None if it was closed."""

    def __init__(self, message: str, execution: Execution | None = None) -> None:
        super().__init__(message, "session")
        self.execution = execution


class ProtocolError(SandboxError):
    """What runs in the sandbox spoke on its channel to the host, and not as belljar does. That sandbox was ended."""

    def __init__(self, message: str, execution: Execution | None = None) -> None:
        super().__init__(message, "protocol")
        self.execution = execution


class GuestError(SandboxError):
    """Code that `call`, `execute` or a variable's access ran in the sandbox raised this there.

    `name`, `value` and `traceback` are the guest's words. An error that is one of a fixed list of builtin types in the sandbox
    is one here as well: `except ZeroDivisionError` works."""

    def __init__(self, name: str, value: str, traceback: str, execution: Execution | None = None) -> None:
        super().__init__(f"{name}: {value}" if value else name, "guest")
        self.name = name
        self.value = value
        self.traceback = traceback
        self.execution = execution

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" if self.value else self.name

    def __reduce__(self) -> tuple[Any, ...]:
        made_here = _guest_types.get(self.name) is type(self)
        return _restored, (None if made_here else type(self), self.name, self.value, self.traceback), self.__dict__


def _restored(kind: type[GuestError] | None, name: str, value: str, traceback: str) -> GuestError:
    """One that was pickled; kind is None if its type is one of those made below, which no module has by name."""
    return (kind or _guest_types[name])(name, value, traceback)


_GUEST_TYPES: tuple[type[Exception], ...] = (
    ArithmeticError, AssertionError, AttributeError, EOFError, FileExistsError, FileNotFoundError, FloatingPointError,
    ImportError, IndexError, IsADirectoryError, KeyError, LookupError, MemoryError, ModuleNotFoundError, NameError,
    NotADirectoryError, NotImplementedError, OSError, OverflowError, PermissionError, RecursionError, RuntimeError, SyntaxError,
    TimeoutError, TypeError, UnicodeError, ValueError, ZeroDivisionError,
)  # fmt: skip
_guest_types: dict[str, type[GuestError]] = {
    kind.__name__: type("GuestError", (GuestError, kind), {"__module__": __name__, "__doc__": GuestError.__doc__})
    for kind in _GUEST_TYPES
}


def guest_error(name: str, value: str, traceback: str, execution: Execution | None = None) -> GuestError:
    """The exception for one that came out of a guest's code."""
    return _guest_types.get(name, GuestError)(name, value, traceback, execution)


_NOT_START = frozenset({"fork", "guest", "interrupt", "kill", "run", "session", "supervisor", "template"})


def failure(code: int, step: str, message: str) -> SandboxError:
    """The exception for an error of libbelljar. Called by the extension module."""
    if step == "policy":
        return PolicyError(message, step, code)
    if step in _NOT_START or code == errno.EOWNERDEAD:
        return SandboxError(message, step, code)
    return StartError(f"{step}: {message}" if step else message, step, code)
