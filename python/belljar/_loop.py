"""Waiting on an event loop: for descriptors, for a guest of a pool, for the runs of an operation and of a session."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar, Unpack

from belljar._core import core
from belljar._engine import Operation, Run, Session, Stream, in_context, waits_for
from belljar._execution import Execution
from belljar._job import CellOptions, Job, modules, source
from belljar._policy import Policy
from belljar._session import abandon
from belljar._streaming import Event
from belljar._template import Pool, as_policy, ready, shared, template_key
from belljar._thread import fork
from belljar.config import SandboxConfig
from belljar.errors import SandboxError

__all__ = ["Driver", "Opening", "Within", "drive", "perform_once", "perform_plain", "shared_pool", "take"]

T = TypeVar("T")

_StrPath = str | os.PathLike[str]

_CANCEL_SECONDS = 0.5
"""Seconds that a run that is over waits for host functions that it has cancelled."""

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


async def _begin(run: Run) -> core.Result | None:
    """Starts a run. Returns what it came to if it is over at once: many of a session's are, and need no waiter."""
    guest, code, job, failed = run
    try:
        guest.start(code, **job)
        result = guest.step()
        if result is not None:
            await asyncio.sleep(0)  # the loop's others have their turn after each run
        return result
    except BaseException as error:
        failed(error)
        raise


async def _go_on(run: Run, waiter: Waiter) -> core.Result:
    """Waits for the end of a run that has begun."""
    guest, _, _, failed = run
    try:
        while True:
            await _wait(guest, waiter)
            if (result := guest.step()) is not None:
                return result
    except BaseException as error:
        failed(error)
        raise


async def _wait(guest: core.Guest, waiter: Waiter, at_most_ms: int = -1) -> None:
    """Returns when the guest's run may go on."""
    fds, timeout_ms = waits_for(guest, at_most_ms)
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
    result = await _begin(run)
    if result is not None:
        return result
    with Waiter() as waiter:
        return await _go_on(run, waiter)


def _ignore(error: BaseException) -> None:
    """The exception itself is what there is to say."""


async def perform_plain(pool: Pool, code: str | bytes) -> Execution:
    """run_plain of _engine.py, waited for here."""
    job: Job = {}
    text = source(code, job)
    job["last_value"] = True
    guest = await take(pool)
    try:
        result = await perform_once((guest, text, job, _ignore))
    except BaseException:
        guest.close()
        raise
    execution = Execution(result, guest, pool.scratch)
    pool.hold(execution)
    return execution


async def shared_pool(policy: Policy | SandboxConfig | None, preload: str | Iterable[str], python: _StrPath | None) -> Pool:
    """The process-wide pool for these; another thread starts it if it has to be started."""
    key = template_key(as_policy(policy), modules(preload), python)
    pool = ready(key)
    if pool is None:
        pool = await asyncio.get_running_loop().run_in_executor(None, shared, *key)
    return pool


@contextlib.contextmanager
def _within(name: str) -> Iterator[None]:
    """What is done in it is done in a context of its session."""
    token = in_context.set(name)
    try:
        yield
    finally:
        in_context.reset(token)


# ---- Sessions -------------------------------------------------------------------------------------------------------


class Driver:
    """Waits for what one session does, on the loop."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stopping: asyncio.Future[None] | None = None  # ends a run whose stream was left
        self._waiter: Waiter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        session.desk.defer = self._defer

    async def do(self, operation: Operation[T]) -> T:
        """What an operation comes to."""
        async with self.busy(in_context.get()):
            return await drive(operation, self.perform)

    @contextlib.asynccontextmanager
    async def busy(self, context: str) -> AsyncIterator[None]:
        """One coroutine at a time runs something; what is being stopped has its time to end."""
        if self.stopping is not None:
            await asyncio.wait({self.stopping})
        async with self.session.turns.awaited(context) as is_mine:
            if not is_mine:
                self.session.check()
                raise SandboxError("this sandbox runs code already; one coroutine at a time (take a sandbox for each)", "session",
                                   errno.EBUSY)  # fmt: skip
            yield

    async def perform(self, run: Run) -> core.Result:
        """What a run comes to."""
        try:
            result = await _begin(run)
        except BaseException:
            await self.cancel()
            raise
        if result is None:
            async with self._waiting() as waiter:
                return await _go_on(run, waiter)
        await self.cancel()
        return result

    async def events(self, name: str, begun: Operation[Stream]) -> AsyncGenerator[Event, None]:
        """What happens in a run, as it happens, in a context."""
        session = self.session
        async with self.busy(name):
            with _within(name):
                stream = await drive(begun, self.perform)
            async with self._waiting() as waiter:
                try:
                    for event in stream.steps():
                        if event is None:
                            await _wait(session.guest, waiter)
                        else:
                            yield event
                except GeneratorExit:
                    await self._stop(stream, waiter)
                    raise
                except BaseException as error:
                    session.failed(error)
                    raise
        for last in stream.rest():
            yield last

    async def _stop(self, stream: Stream, waiter: Waiter) -> None:
        try:
            for left_ms in stream.stopping():
                await _wait(self.session.guest, waiter, left_ms)
        except BaseException as error:
            self.session.failed(error)
            raise

    @contextlib.asynccontextmanager
    async def _waiting(self) -> AsyncIterator[Waiter]:
        """The time of a run; when it is over nobody waits for host functions that are still at work."""
        with Waiter() as waiter:
            self._waiter = waiter
            try:
                yield waiter
            finally:
                try:
                    await self.cancel()
                finally:
                    self._waiter = None

    async def cancel(self) -> None:
        """Cancels host functions that are at work. They get a moment to clean up."""
        self.session.desk.end_run()
        for task in self._tasks:
            abandon(task.get_coro())
            task.cancel()
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)

    def _defer(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a host function that is a coroutine; the guest's run goes on when it has answered."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, SandboxError):
            asyncio.get_running_loop().call_exception_handler({"message": "a host function failed", "exception": error})
        if self._waiter is not None:
            self._waiter.event.set()  # there may be more to send than the channel took at once

    async def close(self) -> None:
        """Ends the session."""
        self.session.close()
        await self.cancel()


class Opening:
    """The session of an `AsyncSandbox`: its guest is taken when it is first needed."""

    name = ""  # of the context

    def __init__(self, open_session: Callable[[], Coroutine[Any, Any, Session]], now: Driver | None = None) -> None:
        self.now = now
        self.is_closed = False
        self._open_session = open_session
        self._lock: asyncio.Lock | None = None

    async def driver(self) -> Driver:
        """What runs things in it."""
        if self.now is None:
            if self.is_closed:
                raise SandboxError("the sandbox was closed before it was used", "session")
            self._lock = self._lock or asyncio.Lock()
            async with self._lock:
                if self.now is None:
                    self.now = Driver(await self._open_session())
        return self.now

    async def do(self, verb: Callable[..., Operation[T]], *arguments: Any, **keywords: Any) -> T:
        """Does a verb of the session's."""
        driver = await self.driver()
        with _within(self.name):
            return await driver.do(verb(driver.session, *arguments, **keywords))

    async def events(self, code: str | bytes, **how: Unpack[CellOptions]) -> AsyncGenerator[Event, None]:
        """What happens in a run, as it happens."""
        driver = await self.driver()
        async with contextlib.aclosing(driver.events(self.name, driver.session.stream(code, **how))) as events:
            async for event in events:
                yield event

    async def fork(self, n: int | None) -> list[Session]:
        """Branches of the session."""
        driver = await self.driver()
        async with driver.busy(self.name):
            return await asyncio.to_thread(fork, driver.session, 1 if n is None else n)

    async def close(self) -> None:
        """Ends the session."""
        self.is_closed = True
        if self.now is not None:
            await self.now.close()

    @contextlib.asynccontextmanager
    async def for_call(self) -> AsyncIterator[Driver]:
        """Where `call` and `execute` run: under a language policy in a guest of their own."""
        driver = await self.driver()
        session = driver.session
        if session.language is None:
            yield driver
            return
        driver = Driver(session.beside(await take(session.pool)))
        try:
            yield driver
        finally:
            await driver.close()

    def stop(self, stopping: asyncio.Future[None]) -> None:
        """Nothing runs before this has ended."""
        if self.now is not None:
            self.now.stopping = stopping


class Within(Opening):
    """A context of the session that another opens."""

    def __init__(self, outer: Opening, name: str) -> None:
        super().__init__(outer._open_session, outer.now)
        self.name = name
        self._outer = outer

    async def driver(self) -> Driver:
        """The session's."""
        self.now = driver = await self._outer.driver()
        driver.session.turns.has_contexts = True
        return driver
