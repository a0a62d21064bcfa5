"""Functions of the host that a sandbox may call: `Sandbox.expose`.

Arguments arrive as inert copies, results go back by copy or as views of `belljar.readonly`. An exception crosses as the
same builtin type with its text, without traceback, causes or paths of the host.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import re
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from belljar.errors import ProtocolError
from belljar._proxy import EXCEPTIONS, Refused

__all__ = ["HostFunction"]

_TEXT_MAX = 64 << 10
_DOC_MAX = 64 << 10
_PARAMETERS_MAX = 100
_THREAD = "belljar-functions"
_GRACE = 0.5  # seconds: the supervisor ends the sandbox first
_ADDRESS = re.compile(r"\b(?: at )?0x[0-9a-fA-F]{5,}\b")
_PATH = re.compile(r"(?<![\w/:.~-])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\":;,<>()]+[/\\])+([^\s/\\'\":;,<>()]*)")


def describe_error(error: Exception) -> tuple[str, str]:
    """An exception as a guest may see it: (the nearest type of EXCEPTIONS, text without the directories of paths and
    without addresses)."""
    if isinstance(error, Refused):
        return error.name, str(error)
    name = next((kind.__name__ for kind in type.mro(type(error)) if EXCEPTIONS.get(kind.__name__) is kind), "Exception")
    if isinstance(error, OSError) and type(error.errno) is int:
        text = error.strerror or ""  # not its filename
    elif isinstance(error, KeyError) and len(error.args) == 1 and type(error.args[0]) is str:
        text = error.args[0]
    else:
        try:
            text = str(error)
        except Exception:
            text = ""
    return name, _ADDRESS.sub("", _PATH.sub(r"\1", text[:_TEXT_MAX]))


_RETURN = 5  # beside the kinds of inspect.Parameter: what it returns


class HostFunction:
    """An exposed function with its budget: how often it may be called and how many seconds it may take in all."""

    def __init__(self, function: Callable[..., Any], name: str, max_calls: int | None, timeout: float | None) -> None:
        self.function = function
        self.name = name
        self.max_calls = max_calls
        self.timeout = timeout
        self.calls = 0
        self.spent = 0.0
        self._lock = threading.Lock()  # several threads may call it

    def copy(self) -> HostFunction:
        """For a forked session: what is left of the budget, for each side."""
        twin = HostFunction(self.function, self.name, self.max_calls, self.timeout)
        twin.calls, twin.spent = self.calls, self.spent
        return twin

    def describe(self) -> list[Any]:
        """What the sandbox is told: [name, parameters or None, docstring]."""
        doc = inspect.getdoc(self.function)
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return [self.name, None, doc[:_DOC_MAX] if doc else None]
        parameters: list[list[Any]] = []
        for parameter in signature.parameters.values():
            default = parameter.default
            annotation = parameter.annotation
            parameters.append([
                parameter.name,
                int(parameter.kind),
                None if default is parameter.empty else _default_text(default),
                None if annotation is parameter.empty else _annotation_text(annotation),
            ])  # fmt: skip
        if signature.return_annotation is not signature.empty:
            parameters.append(["return", _RETURN, None, _annotation_text(signature.return_annotation)])
        fits = len(parameters) <= _PARAMETERS_MAX and all(row[0].isidentifier() for row in parameters)
        return [self.name, parameters if fits else None, doc[:_DOC_MAX] if doc else None]

    def call(self, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Calls it within its budget. Its result, or a coroutine for it."""
        with self._lock:
            if self.max_calls is not None and self.calls >= self.max_calls:
                raise Refused("RuntimeError", f"{self.name}: all of its {self.max_calls} calls have been used")
            if self.timeout is not None and self.spent >= self.timeout:
                raise Refused("TimeoutError", f"{self.name}: its {self.timeout:g} seconds have been used")
            self.calls += 1
        before = time.monotonic()
        try:
            value = self.function(*arguments, **keywords)
        finally:
            self._spend(before)
        if inspect.iscoroutine(value):
            return self._finish(value)
        if self.timeout is not None and self.spent > self.timeout:
            raise Refused("TimeoutError", f"{self.name}: its {self.timeout:g} seconds have been used")
        return value

    def _spend(self, since: float) -> None:
        with self._lock:
            self.spent += time.monotonic() - since

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        before = time.monotonic()
        left = None if self.timeout is None else max(0.0, self.timeout - self.spent)
        task = asyncio.ensure_future(coroutine)
        try:
            done, _ = await asyncio.wait({task}, timeout=left)
            if not done:
                raise Refused("TimeoutError", f"{self.name}: its {self.timeout:g} seconds have been used")
            return task.result()
        finally:
            self._spend(before)
            await _cancel(task)


async def _cancel(task: asyncio.Future[Any]) -> None:
    """Cancels it and waits until it has cleaned up, for a moment."""
    if task.cancel():
        await asyncio.wait({task}, timeout=_GRACE)
        if task.done() and not task.cancelled():
            task.exception()  # of its cleaning up: nobody else looks


def _default_text(default: object) -> str:
    text = repr(default) if type(default) in (type(None), bool, int, float, str, bytes, tuple) else "..."
    return text if len(text) <= 100 else "..."


def _annotation_text(annotation: object) -> str:
    text = annotation if type(annotation) is str else inspect.formatannotation(annotation)
    return text[:200]


def check_name(name: object) -> str:
    """A name for the guest's namespace."""
    if type(name) is not str or not name.isidentifier():
        raise ValueError(f"not a name that code can use: {name!r}")
    return name


def check_arguments(arguments: object, keywords: object) -> tuple[list[Any], dict[str, Any]]:
    """What a guest sent as the arguments of a call."""
    if type(arguments) is not list or type(keywords) is not dict:
        raise ProtocolError("it sent malformed arguments to a host function")
    if not all(type(key) is str for key in keywords):
        raise ProtocolError("it sent a keyword that is not text")
    return arguments, keywords


class _Loop:
    """A loop in a thread of its own, for coroutines of host functions where the caller has none that runs."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, Any], left: float | None) -> Any:
        """Runs it to its end, or as long as there is time left. It is cancelled then, and when the wait is interrupted."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name=_THREAD, daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(None if left is None else max(left, 0.0) + _GRACE)
        except BaseException as error:
            is_late = isinstance(error, concurrent.futures.TimeoutError) and not future.done()
            future.cancel()
            if is_late:
                raise Refused("TimeoutError", "the sandbox's time is over") from None
            raise

    def run_once(self, coroutine: Coroutine[Any, Any, Any], left: float | None) -> Any:
        """Runs a coroutine in a loop that is used once."""
        try:
            return self.run(coroutine, left)
        finally:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._loop.stop)


loop = _Loop()


def _after_fork() -> None:
    global loop
    loop = _Loop()


os.register_at_fork(after_in_child=_after_fork)


def run_coroutine(coroutine: Coroutine[Any, Any, Any], left: float | None = None) -> Any:
    """What a synchronous sandbox does with an `async def` function: waits for it, `left` seconds at most."""
    if threading.current_thread().name == _THREAD:  # it runs code in a sandbox, which calls one that is `async` in turn
        return _Loop().run_once(coroutine, left)
    return loop.run(coroutine, left)
