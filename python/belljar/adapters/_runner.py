"""A session as agents want one: it begins again after its end, and says what happened as text."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from belljar import Execution, Policy, Sandbox, SandboxConfig, SessionEnded

__all__ = ["Functions", "Runner", "report"]

T = TypeVar("T")
Functions = Mapping[str, Callable[..., Any]] | Iterable[Callable[..., Any]]

_AGAIN = "The session had ended ({}). A new one was begun: variables, imports and files of earlier code are gone."


class Runner:
    """One session for the code of one agent, from any thread. When a limit or a crash has ended it, the next code gets a new
    one with the same functions, and a remark that says so."""

    def __init__(self, policy: Policy | SandboxConfig | None = None, functions: Functions = (), **options: Any) -> None:
        self._make = functools.partial(Sandbox, policy, **options)
        self._functions = dict(
            functions if isinstance(functions, Mapping) else {function.__name__: function for function in functions}
        )
        self.prepare: Callable[[Sandbox], object] = lambda made: None
        """What else a new session needs."""
        self._lock = threading.RLock()
        self._sandbox: Sandbox | None = None
        self._current: threading.Event | None = None  # of the code that runs

    @property
    def sandbox(self) -> Sandbox:
        """The session; it is made when it is first needed."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = made = self._make()
                for name, function in self._functions.items():
                    made.expose(function, name)
                self.prepare(made)
            return self._sandbox

    def run(self, code: str, **callbacks: Any) -> tuple[Execution, str]:
        """Runs code. What it came to, and a remark if the session is a new one."""
        return self._run(code, None, **callbacks)

    def interrupt(self) -> None:
        """Interrupts the code that runs."""
        if self._sandbox is not None:
            self._sandbox.interrupt()

    def kill(self) -> None:
        """Ends the session at once, whatever runs. From any thread."""
        if self._sandbox is not None:
            self._sandbox.kill()

    async def arun(self, code: str) -> tuple[Execution, str]:
        """`run`, in a thread. Cancelling it interrupts the code; the session stays."""
        wanted = threading.Event()
        wanted.set()
        try:
            return await asyncio.to_thread(self._run, code, wanted)
        except asyncio.CancelledError:
            wanted.clear()
            if self._current is wanted and self._sandbox is not None:
                self._sandbox.interrupt()
            raise

    def _run(self, code: str, wanted: threading.Event | None, **callbacks: Any) -> tuple[Execution, str]:
        with self._lock:
            if wanted is not None and not wanted.is_set():
                raise RuntimeError("cancelled before it began")
            self._current = wanted
            try:
                return self.do(lambda sandbox: sandbox.run_code(code, **callbacks))
            finally:
                self._current = None

    def do(self, step: Callable[[Sandbox], T]) -> tuple[T, str]:
        """Does something in the session, or in a new one if it had ended: then with a remark."""
        with self._lock:
            try:
                return step(self.sandbox), ""
            except SessionEnded as error:
                self.close()
                return step(self.sandbox), _AGAIN.format(_cause(error))

    def close(self) -> None:
        """Ends the session; code that comes later gets a new one."""
        with self._lock:
            if self._sandbox is not None:
                self._sandbox.close()
            self._sandbox = None


def _cause(error: SessionEnded) -> str:
    return str(error).removeprefix("the session is over: ").removesuffix("; make a new sandbox")


def report(execution: Execution, remark: str = "") -> str:
    """What a model reads of a run: a remark, the output, the value of the last expression, the error."""
    parts = [remark, execution.stdout, execution.stderr, execution.text or ""]
    error = execution.error
    if error is not None:
        parts.append(error.traceback if execution.verdict in ("error", "violation") and error.traceback
                     else f"{error.name}: {error.value}")  # fmt: skip
    shown = [f"[shown: {', '.join(result.formats())}]" for result in execution.results if not result.is_main_result]
    return "\n".join(part.rstrip("\n") for part in [*parts, *shown] if part) or "(no output)"
