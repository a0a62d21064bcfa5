"""belljar runs Python that nobody trusts: real CPython, with every installed module, at native speed, in a process
that by itself can do nothing.

>>> import belljar
>>> belljar.run("print(6 * 7)").stdout
'42\\n'

`run` is for one program in a fresh guest, `Sandbox` for a session that keeps its state, `Template` for many fresh
guests with the same policy and modules, `arun` for event loops. `Policy` says what a guest may do, `SandboxConfig` what Python
lets a program see, beginning with nothing; what it came to is an `Execution`. What a guest does is never raised: it is the execution's `verdict`. What belljar raises derives from
`SandboxError`.
"""

from __future__ import annotations

from belljar.aio import AsyncFiles, AsyncSandbox, arun
from belljar._arrays import empty
from belljar.config import SandboxConfig
from belljar.errors import GuestError, PolicyError, ProtocolError, SandboxError, SessionEnded, StartError, Timeout
from belljar._execution import Execution, ExecutionError, Logs, Result, Usage, Violation
from belljar._executor import SandboxExecutor
from belljar._files import Files, SessionFiles
from belljar._policy import Policy
from belljar._proxy import Readonly, readonly
from belljar.sandbox import Sandbox, run
from belljar._streaming import Output
from belljar._template import Template
from belljar.values import Opaque, Record

__version__ = "0.1.0"

__all__ = [
    "AsyncFiles",
    "AsyncSandbox",
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
    "Violation",
    "arun",
    "empty",
    "readonly",
    "run",
]
