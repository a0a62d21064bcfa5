"""`SandboxExecutor`: functions run in sandboxes, with the interface of concurrent.futures."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar, Unpack

from belljar._engine import Session
from belljar._instead import Face, NoOther, refuse_others, verbs_of, wrong_type
from belljar._job import modules
from belljar._policy import Options, Policy
from belljar._proxy import EXCEPTIONS
from belljar._template import Pool, as_policy, language_of
from belljar.config import SandboxConfig
from belljar.errors import GuestError
from belljar._faces import pool_of
from belljar._thread import drive
from belljar.sandbox import Template

__all__ = ["SandboxExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

_ERRNO = re.compile(r"\[Errno (\d{1,5})\] ([^\n]*?)(?:: '([^'\n]*)')?")


class _Task(Future[Any]):
    """A future that can be cancelled while its function runs: that kills the guest."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._session: Session | None = None
        self._is_stopped = False

    def cancel(self) -> bool:
        """Cancels it; a running one is ended at once. False if it had ended before."""
        if super().cancel():
            return True
        with self._guard:
            if super().done():
                return False
            self._is_stopped = True
            if self._session is not None:
                self._session.kill()
        return True

    def cancelled(self) -> bool:
        return self._is_stopped or super().cancelled()

    def begin(self, session: Session) -> None:
        """This is the one to kill from now on."""
        with self._guard:
            if self._is_stopped:
                raise CancelledError
            self._session = session

    def finish(self, value: object, error: BaseException | None) -> None:
        """Its end, unless it was cancelled meanwhile."""
        with self._guard:
            self._session = None
            if self._is_stopped:
                self.set_exception(CancelledError())
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)


class SandboxExecutor(Executor, Face):
    """Runs functions in sandboxes, each call in a fresh one.

    >>> with belljar.SandboxExecutor(belljar.Policy(timeout=5), max_workers=4) as pool:
    ...     list(pool.map(pow, [2, 3, 4], [10, 10, 10]))
    [1024, 59049, 1048576]

    It is a `concurrent.futures.Executor`. Functions and classes go there as code, arguments as copies; results come back by copy
    (docs/values.md), never by pickle. An exception comes back as the same builtin type with its text, or as a
    `GuestError` if its type is not among the well-known ones; a `TimeoutError` or a `MemoryError` if a limit of the policy ended
    it. The `GuestError` that is the exception's `__cause__` has the traceback and the execution.

    `Future.cancel` works on a running call as well: it kills the guest. `preload` names modules that guests have imported when
    they start. `template` is where the guests come from, instead of one of its own; it stays open. Under a language policy
    arguments go there as `Sandbox.call` sends them.
    """

    _elsewhere = {**verbs_of("belljar.Sandbox(policy)"), "call": "pool.submit(function)", "run": "belljar.run(code, policy)"}

    def __init__(
        self,
        policy: Policy | SandboxConfig | int | None = None,
        *,
        max_workers: int | None = None,
        preload: str | Iterable[str] = (),
        python: str | os.PathLike[str] | None = None,
        template: Template | None = None,
        **others: Unpack[NoOther],
    ) -> None:
        if others:
            refuse_others("belljar.SandboxExecutor", others, SandboxExecutor, "belljar.Sandbox(policy)", Options.__annotations__)
        if isinstance(policy, int):  # SandboxExecutor(8), as with the executors of concurrent.futures
            if max_workers is not None:
                raise TypeError(f"policy: a belljar.Policy is expected, not {policy!r}; max_workers was given as well")
            policy, max_workers = None, policy
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        if not isinstance(max_workers, int):
            raise wrong_type("max_workers", "a number of guests", max_workers)
        if max_workers < 1:
            raise ValueError(f"max_workers: at least 1 is expected, not {max_workers}")
        given = pool_of(template, policy, preload, python)
        self._is_own = given is None
        self._pool = given or _own_pool(policy, modules(preload), python, max_workers)
        self._threads = ThreadPoolExecutor(max_workers, "belljar-executor")
        self._lock = threading.Lock()
        self._tasks: weakref.WeakSet[_Task] = weakref.WeakSet()
        self._running = 0
        self._is_shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has fn(*args, **kwargs) run in a fresh sandbox. Returns its future."""
        task = _Task()
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._tasks.add(task)
            self._running += 1
            self._threads.submit(self._work, task, fn, args, kwargs)
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No new calls; with `cancel_futures` those not begun are cancelled. Those that run end by themselves."""
        with self._lock:
            was_shut, self._is_shut = self._is_shut, True
            waiting = list(self._tasks)
            is_idle = self._running == 0
        if cancel_futures:
            for task in waiting:
                Future.cancel(task)
        self._threads.shutdown(wait)
        if is_idle and not was_shut and self._is_own:
            self._pool.close()

    def _work(self, task: _Task, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            if task.set_running_or_notify_cancel():
                value, error = self._call(task, fn, args, kwargs)
                task.finish(value, error)
        finally:
            with self._lock:
                self._running -= 1
                is_last = self._is_shut and self._running == 0
            if is_last and self._is_own:
                self._pool.close()

    def _call(
        self, task: _Task, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, BaseException | None]:
        try:
            session = Session(self._pool, self._pool.core.take(), self._pool.language)
            with contextlib.closing(session):
                task.begin(session)
                return drive(session.call(fn, args, kwargs, are_copies=True)), None
        except GuestError as error:
            return None, _translate(error)
        except BaseException as error:
            return None, error


def _own_pool(
    policy: Policy | SandboxConfig | None, names: tuple[str, ...], python: str | os.PathLike[str] | None, parked: int
) -> Pool:
    """What the calls of one executor take their guests from."""
    if language_of(policy, as_policy(policy)) is not None:
        return Pool(policy, preload=names, python=python, parked=parked)
    return Pool(policy, preload=[*names, "pickle"], python=python, parked=parked)


def _translate(error: GuestError) -> BaseException:
    """The builtin exception that a guest's stands for."""
    kind = EXCEPTIONS.get(error.name)  # TimeoutError and MemoryError for the limits, too
    if kind is None or issubclass(kind, StopIteration | StopAsyncIteration):
        return error
    made = _make(kind, error.value)
    made.__cause__ = error
    return made


def _make(kind: type[Exception], text: str) -> Exception:
    if issubclass(kind, KeyError):
        try:
            return kind(ast.literal_eval(text))  # str() of a KeyError is the key's repr
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return kind(text)
    if issubclass(kind, OSError) and (found := _ERRNO.fullmatch(text)):
        number, words, path = found.groups()
        return OSError(int(number), words, path) if path is not None else OSError(int(number), words)
    return kind(text)
