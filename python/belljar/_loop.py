"""Waiting on an event loop: for descriptors, for a guest of a pool, for the runs of an operation."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import weakref
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from belljar._core import core
from belljar._engine import Operation, Run
from belljar._job import modules
from belljar._policy import Policy
from belljar._template import Pool, as_policy, ready, shared, template_key
from belljar.config import SandboxConfig

__all__ = ["Waiter", "drive", "perform", "perform_once", "shared_pool", "take", "wait"]

T = TypeVar("T")

_StrPath = str | os.PathLike[str]

_TAKE_AGAIN_MS = 5
"""A guest may have been announced to another waiter of the template: look again after that time."""


def _new_epoll() -> select.epoll:
    """One whose number is clear of standard streams that are closed."""
    epoll = select.epoll()
    if epoll.fileno() > 2:
        return epoll
    moved = fcntl.fcntl(epoll.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    epoll.close()
    return select.epoll.fromfd(moved)


class Waiter:
    """Waits on a changing set of descriptors through one epoll descriptor, which any kind of loop can watch.

    Two waiters may watch the same descriptor that way, which loop.add_reader does not allow."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.epoll = _new_epoll()
        self.watched: dict[int, int] = {}
        self.event = asyncio.Event()
        self.loop.add_reader(self.epoll.fileno(), self.event.set)

    def update(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Watches these (descriptor, poll events) from now on."""
        now = dict(wanted)
        for fd in self.watched.keys() - now.keys():
            try:
                self.epoll.unregister(fd)
            except OSError:
                pass  # closed in the meantime
        for fd, events in now.items():
            if fd not in self.watched:
                try:
                    self.epoll.register(fd, events)
                except FileExistsError:
                    self.epoll.modify(fd, events)
                except PermissionError:
                    self.event.set()  # a regular file as stdin: always ready
            elif self.watched[fd] != events:
                self.epoll.modify(fd, events)
        self.watched = now

    async def wait(self, timeout_ms: int) -> None:
        """Returns when a descriptor is ready or the time is over."""
        handle = self.loop.call_later(timeout_ms / 1000, self.event.set) if timeout_ms >= 0 else None
        try:
            await self.event.wait()
        finally:
            self.event.clear()
            if handle is not None:
                handle.cancel()

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.loop.remove_reader(self.epoll.fileno())
        self.epoll.close()


class _Line:
    """Those of one loop who wait for a guest of one template, in a queue: the first watches its descriptor.

    (All of them cannot: a descriptor may be in 500 nested epoll sets at most.)"""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.first = asyncio.Lock()


_lines: weakref.WeakKeyDictionary[Pool, _Line] = weakref.WeakKeyDictionary()


async def take(pool: Pool) -> core.Guest:
    line = _lines.get(pool)
    if line is None or line.loop is not asyncio.get_running_loop():
        line = _lines[pool] = _Line()
    async with line.first:
        guest = pool.core.try_take()
        if guest is not None:
            return guest
        with Waiter() as waiter:
            waiter.update([(pool.core.fileno(), select.POLLIN)])
            while guest is None:
                await waiter.wait(_TAKE_AGAIN_MS)
                guest = pool.core.try_take()
        return guest


async def perform(run: Run, waiter: Waiter) -> core.Result:
    """Starts a run and waits for its end."""
    guest, code, job, failed = run
    try:
        guest.start(code, **job)
        while (result := guest.step()) is None:
            await wait(guest, waiter)
        return result
    except BaseException as error:
        failed(error)
        raise


async def wait(guest: core.Guest, waiter: Waiter) -> None:
    """Returns when the guest's run may go on."""
    fds, timeout_ms = guest.pollfds()
    waiter.update(fds)
    await waiter.wait(timeout_ms)


async def drive(operation: Operation[T], perform: Callable[[Run], Awaitable[core.Result]]) -> T:
    """Does what an operation yields, one run after the other. Returns what it comes to."""
    result: Any = None
    try:
        while True:
            try:
                run = operation.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            result = await perform(run)
    finally:
        operation.close()


async def perform_once(run: Run) -> core.Result:
    with Waiter() as waiter:
        return await perform(run, waiter)


async def shared_pool(policy: Policy | SandboxConfig | None, preload: str | Iterable[str], python: _StrPath | None) -> Pool:
    """The process-wide pool for these; another thread starts it if it has to be started."""
    key = template_key(as_policy(policy), modules(preload), python)
    pool = ready(key)
    if pool is None:
        pool = await asyncio.get_running_loop().run_in_executor(None, shared, *key)
    return pool
