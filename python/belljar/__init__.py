"""belljar runs Python that nobody trusts: real CPython, with every installed module, at native speed, in a process
that by itself can do nothing.

>>> import belljar
>>> belljar.run("print(6 * 7)").stdout
'42\\n'

`run` is for one program in a fresh guest, `Sandbox` for a session that keeps its state, `Template` for many fresh
guests with the same policy and modules, `arun` for event loops. `Policy` says what a guest may do, `SandboxConfig` what Python
lets a program see, beginning with nothing; what it came to is an `Execution`. What a guest does is never raised: it is the
execution's `verdict`. What belljar raises derives from `SandboxError`.

Public are the names here, `belljar.errors`, `belljar.config`, `belljar.values`, `belljar.pysandbox` and the program
`belljar.learn`. `belljar.sandbox` and `belljar.aio` are the faces, for the caller's thread and for an event loop, where
`belljar._thread` and `belljar._loop` wait; what a session sends and what an answer means is in `belljar._engine`, and that waits
for nothing. All other modules are private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from belljar import _old_names
from belljar._arrays import empty
from belljar._audit import Decision
from belljar._environment import environment
from belljar._execution import Execution, ExecutionError, Logs, Result, Usage, Violation
from belljar._executor import SandboxExecutor
from belljar._files import Files, SessionFiles
from belljar._packages import packages
from belljar._policy import Policy
from belljar._proxy import Readonly, readonly
from belljar._streaming import Output
from belljar._variables import AsyncVariables, Variables
from belljar.aio import AsyncFiles, AsyncSandbox, arun
from belljar.config import SandboxConfig
from belljar.errors import AuditOnlyWarning, GuestError, PolicyError, ProtocolError, SandboxError, SessionEnded, StartError, Timeout
from belljar.sandbox import Sandbox, Template, run
from belljar.values import Opaque, Record

__version__ = "0.1.0"

__all__ = [
    "AsyncFiles",
    "AsyncSandbox",
    "AsyncVariables",
    "AuditOnlyWarning",
    "Decision",
    "Execution",
    "ExecutionError",
    "Files",
    "GuestError",
    "Logs",
    "Opaque",
    "Output",
    "Policy",
    "PolicyError",
    "ProtocolError",
    "Readonly",
    "Record",
    "Result",
    "Sandbox",
    "SandboxConfig",
    "SandboxError",
    "SandboxExecutor",
    "SessionEnded",
    "SessionFiles",
    "StartError",
    "Template",
    "Timeout",
    "Usage",
    "Variables",
    "Violation",
    "arun",
    "empty",
    "environment",
    "packages",
    "readonly",
    "run",
]

# What is here has its home here, whatever private module it was written in.
for _name in __all__:
    _thing = globals()[_name]
    if _thing.__module__.startswith("belljar._"):
        _thing.__module__ = "belljar"
del _name, _thing

_old_names.install(__name__)
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        return _old_names.attribute(__name__, name)
