"""Runs and sandboxes for asyncio: nothing here blocks the event loop for longer than a fork takes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Self, TypeVar, Unpack, overload

from belljar._core import core
from belljar._engine import Operation, Run, Session, check_context, in_context, run_once
from belljar._execution import Execution, Result, Usage, unseen
from belljar._files import SessionFiles, open_whole, writing
from belljar._instead import Face, others_of
from belljar._job import Content, Stdin, contents, make_job, source
from belljar._language import Language
from belljar._loop import Waiter, drive, perform, perform_once, shared_pool, take, wait
from belljar._policy import Place, Policy, RunOptions, SessionOptions, joined, place_of
from belljar._streaming import INTERRUPT_SECONDS, Event
from belljar.config import SandboxConfig
from belljar.errors import SandboxError
from belljar.sandbox import Template, check_place, config_of, fork, parted, source_of, warn_lost

__all__ = ["AsyncFiles", "AsyncSandbox", "AsyncStream", "arun"]

T = TypeVar("T")

_StrPath = str | os.PathLike[str]

_CANCEL_SECONDS = 0.5
"""So long a run that is over waits for host functions that it has cancelled."""


async def arun(
    code: str | bytes,
    policy: Policy | SandboxConfig | None = None,
    *,
    stdin: Stdin = None,
    files: Mapping[str, Content] | None = None,
    preload: str | Iterable[str] = (),
    python: str | os.PathLike[str] | None = None,
    filename: str | None = None,
    argv: Iterable[str] | None = None,
    timeout: float | None = None,
    on_stdout: Callable[[str], object] | None = None,
    on_stderr: Callable[[str], object] | None = None,
    on_result: Callable[[Result], object] | None = None,
    template: Template | None = None,
    **options: Unpack[RunOptions],
) -> Execution:
    """`run` for event loops: `execution = await belljar.arun("print(6 * 7)")`. Cancelling the task kills the guest.

    `template` is where the guest comes from, instead of the one that belljar keeps for the policy. The callbacks are
    called in the loop's thread."""
    around, others = parted("belljar.arun", options, arun, "belljar.AsyncSandbox(policy)")
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr, on_result=on_result)  # fmt: skip
    text = source(code, job)
    meant, pool = source_of(template, policy, preload, python, others)
    pool = pool or await shared_pool(meant, preload, python)
    settings = joined(place_of(meant), around)
    return await drive(run_once(pool, await take(pool), text, job, on_result, settings), perform_once)


# ---- Sessions ------------------------------------------------------------------------------------------------------


class _Driver:
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
        async with self._waiting() as waiter:
            return await perform(run, waiter)

    async def events(
        self, code: str | bytes, filename: str | None, timeout: float | None, around: Place, name: str
    ) -> AsyncGenerator[Event, None]:
        """`Sandbox.stream`, in a context."""
        session = self.session
        async with self.busy(name):
            token = in_context.set(name)
            try:
                (guest, text, job, _), events = await drive(session.stream(code, filename, timeout, around), self.perform)
            finally:
                in_context.reset(token)
            async with self._waiting() as waiter:
                try:
                    guest.start(text, **job)
                    while (result := guest.step()) is None:
                        while events:
                            yield events.popleft()
                        await wait(guest, waiter)
                except GeneratorExit:
                    await self._interrupt(waiter)
                    raise
                except BaseException as error:
                    session.failed(error)
                    raise
        execution = session.ran(session.done(result))
        for event in (*events, *unseen(execution), execution):
            yield event

    async def _interrupt(self, waiter: Waiter) -> None:
        """Nobody listens any more: interrupts the code, ends the session if that does not help."""
        session = self.session
        session.guest.interrupt()
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                while (result := session.guest.step()) is None:
                    await wait(session.guest, waiter)
        except TimeoutError:
            session.end("its last run went on after it was interrupted")
        except BaseException as error:
            session.failed(error)
            raise
        else:
            session.ran(session.done(result))

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


class _Opening:
    """The session of an `AsyncSandbox`: its guest is taken when it is first needed."""

    name = ""  # of the context

    def __init__(self, open_session: Callable[[], Coroutine[Any, Any, Session]], now: _Driver | None = None) -> None:
        self.now = now
        self.is_closed = False
        self._open_session = open_session
        self._lock: asyncio.Lock | None = None

    async def driver(self) -> _Driver:
        """What runs things in it."""
        if self.now is None:
            if self.is_closed:
                raise SandboxError("the sandbox was closed before it was used", "session")
            self._lock = self._lock or asyncio.Lock()
            async with self._lock:
                if self.now is None:
                    self.now = _Driver(await self._open_session())
        return self.now

    async def do(self, verb: Callable[..., Operation[T]], *arguments: Any, **keywords: Any) -> T:
        """Does a verb of the session's."""
        driver = await self.driver()
        token = in_context.set(self.name)
        try:
            return await driver.do(verb(driver.session, *arguments, **keywords))
        finally:
            in_context.reset(token)

    @contextlib.asynccontextmanager
    async def for_call(self) -> AsyncIterator[_Driver]:
        """Where `call` and `execute` run: under a language policy in a guest of their own."""
        driver = await self.driver()
        session = driver.session
        if session.language is None:
            yield driver
            return
        driver = _Driver(session.beside(await take(session.pool)))
        try:
            yield driver
        finally:
            await driver.close()

    def stop(self, stopping: asyncio.Future[None]) -> None:
        """Nothing runs before this has ended."""
        if self.now is not None:
            self.now.stopping = stopping


class _Within(_Opening):
    """A context of the session that another opens."""

    def __init__(self, outer: _Opening, name: str) -> None:
        super().__init__(outer._open_session, outer.now)
        self.name = name
        self._outer = outer

    async def driver(self) -> _Driver:
        """The session's."""
        self.now = driver = await self._outer.driver()
        driver.session.turns.has_contexts = True
        return driver


class AsyncFiles(Face):
    """The files of an `AsyncSandbox`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: _Opening) -> None:
        self._owner = owner

    async def _sync(self) -> SessionFiles:
        driver = await self._owner.driver()
        scratch = await driver.do(driver.session.scratch())  # here, not in a thread: the guest is one thread's at a time
        return SessionFiles(lambda: scratch, driver.session.watch.ledger, lambda entries: None)

    async def read(self, name: _StrPath) -> bytes:
        """A file's content. `KeyError` if there is no such regular file."""
        with open_whole(await self._sync(), name) as file:
            return await asyncio.to_thread(file.read)

    async def open(self, name: _StrPath) -> BinaryIO:
        """The file, opened for reading: for large ones. `KeyError` if there is no such regular file."""
        return (await self._sync()).open(name)

    async def exists(self, name: _StrPath) -> bool:
        """Whether there is such a regular file."""
        return name in await self._sync()

    async def list(self, folder: _StrPath = "/work") -> Collection[str]:
        """The names of the files in a folder and below it, sorted; relative ones are relative to /work."""
        return (await self._sync()).list(folder)

    async def glob(self, pattern: str) -> dict[str, bytes]:
        """The files whose names match, with their contents. `*` matches slashes too."""
        return (await self._sync()).glob(pattern)

    async def collect(self, pattern: str, folder: _StrPath) -> Collection[Path]:
        """Copies the files whose names match into a folder of the host, and returns where they are."""
        return (await self._sync()).collect(pattern, folder)

    async def write(self, name: _StrPath, content: Content, mode: int = 0o644) -> None:
        """Writes a file: bytes, text, or the contents of a file of the host. Folders on the way are made."""
        for entries in writing(name, content, mode):
            driver = await self._owner.driver()
            await driver.do(driver.session.write(entries))

    async def delete(self, name: _StrPath) -> None:
        """Deletes a file. `KeyError` if there is none."""
        del (await self._sync())[name]


class AsyncStream(AsyncIterator[Event]):
    """The events of a run, from `AsyncSandbox.stream`."""

    def __init__(self, owner: _Opening, events: AsyncGenerator[Event, None]) -> None:
        self._owner = owner
        self._events = events
        self._is_over = False

    async def __anext__(self) -> Event:
        try:
            return await self._events.__anext__()
        except BaseException:
            self._is_over = True
            raise

    async def aclose(self) -> None:
        """Interrupts the code if it still runs."""
        self._is_over = True
        await self._events.aclose()

    def __del__(self) -> None:
        # Left by break: the code is to stop now, before anything else runs in its sandbox.
        if not self._is_over:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            self._owner.stop(asyncio.ensure_future(self._events.aclose(), loop=loop))


class AsyncSandbox(Face):
    """`Sandbox` for event loops: a session whose methods are awaited.

    >>> async def main():
    ...     async with belljar.AsyncSandbox(Policy(timeout=10)) as sandbox:
    ...         await sandbox.set("x", 20)
    ...         return (await sandbox.run_code("x * 2 + 2")).value
    >>> asyncio.run(main())
    42

    The arguments are those of `Sandbox`. Its guest is taken by `async with`, by `await AsyncSandbox(...)`, or when it is first
    needed. One coroutine at a time runs code in it. Cancelling a task that waits for code kills the guest, and the session is
    over. Host functions may be `async def`: they run on this loop, which goes on meanwhile.
    """

    _elsewhere = {
        **others_of("AsyncSandbox"),
        "config": "sandbox.policy (it was made without a SandboxConfig)", "run": "await sandbox.run_code(code)",
        "arun": "await sandbox.run_code(code)", "submit": "await sandbox.call(function)",
    }  # fmt: skip

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: _StrPath | None = None,
        stdin: Stdin = None,
        template: Template | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        around, others = parted("belljar.AsyncSandbox", options, AsyncSandbox, "belljar.AsyncSandbox(policy)")
        self._policy, given = source_of(template, policy, preload, python, others)
        settings = joined(place_of(self._policy), around)
        self._language = given.language if given is not None else Language(policy) if isinstance(policy, SandboxConfig) else None
        handed = contents(files)

        async def open_session() -> Session:
            pool = given or await shared_pool(self._policy, preload, python)
            return Session(pool, await take(pool), self._language or pool.language, handed, stdin, place=settings)

        self._opening = _Opening(open_session)

    @classmethod
    async def create(cls, *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, as `await AsyncSandbox(...)` makes it."""
        made = cls(*arguments, **keywords)
        await made
        return made

    # ---- Contexts

    def context(self, name: str) -> AsyncSandbox:
        """`Sandbox.context`. Coroutines wait for their turn."""
        return _AsyncContext._with(self._policy, self._language, _Within(self._opening, check_context(name)))

    @classmethod
    def _with(cls, policy: Policy, language: Language | None, opening: _Opening) -> Self:
        """One for a session that is there."""
        made = object.__new__(cls)
        made._policy, made._language, made._opening = policy, language, opening
        return made

    # ---- Code

    async def run_code(
        self,
        code: str | bytes,
        *,
        filename: str | None = None,
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        **around: Unpack[Place],
    ) -> Execution:
        """`Sandbox.run_code`. The callbacks are called in the loop's thread."""
        check_place("run_code", around, self.run_code)
        return await self._opening.do(Session.run_code, code, filename=filename, timeout=timeout, on_stdout=on_stdout,
                                      on_stderr=on_stderr, on_result=on_result, **around)  # fmt: skip

    def stream(
        self, code: str | bytes, *, filename: str | None = None, timeout: float | None = None, **around: Unpack[Place]
    ) -> AsyncStream:
        """`Sandbox.stream`: `async for event in sandbox.stream(code)`."""
        check_place("stream", around, self.stream)
        return AsyncStream(self._opening, self._events(code, filename, timeout, around))

    async def _events(
        self, code: str | bytes, filename: str | None, timeout: float | None, around: Place
    ) -> AsyncGenerator[Event, None]:
        driver = await self._opening.driver()
        async with contextlib.aclosing(driver.events(code, filename, timeout, around, self._opening.name)) as events:
            async for event in events:
                yield event

    async def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """`Sandbox.call`."""
        async with self._opening.for_call() as driver:
            return await driver.do(driver.session.call(func, args, kw))

    def create_callback(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        """A function that does `call(func, *args, **kw)`; what it returns is awaited."""
        return lambda: self.call(func, *args, **kw)

    async def execute(
        self,
        code: str | bytes,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        *,
        argv: Sequence[str] | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Execution:
        """`Sandbox.execute`."""
        async with self._opening.for_call() as driver:
            return await driver.do(driver.session.execute(code, globals, locals, on_stdout, on_stderr, argv))

    # ---- Variables

    async def get(self, name: str) -> Any:
        """A variable of the session, by copy. `KeyError` if there is none."""
        return await self._opening.do(Session.get, name)

    async def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """`Sandbox.set`: sets a variable of the session, by copy (large arrays in shared memory), or to a view of
        `belljar.readonly`."""
        await self._opening.do(Session.set, name, value, copy)

    async def delete(self, name: str) -> None:
        """Deletes a variable of the session. `KeyError` if there is none."""
        await self._opening.do(Session.delete, name)

    async def has(self, name: str) -> bool:
        """Whether the session has a variable of that name."""
        return await self._opening.do(Session.has, name)

    if not TYPE_CHECKING:  # a type checker finds these by itself

        def __getitem__(self, name: str, verb: str = "get", rest: str = "") -> NoReturn:
            raise TypeError(f"an AsyncSandbox's variables are awaited: write await sandbox.{verb}({name!r}{rest})")

        def __setitem__(self, name: str, value: object) -> NoReturn:
            self.__getitem__(name, "set", ", value")

        def __delitem__(self, name: str) -> NoReturn:
            self.__getitem__(name, "delete")

        def __contains__(self, name: str) -> NoReturn:
            self.__getitem__(name, "has")

        def __enter__(self) -> NoReturn:
            raise TypeError("an AsyncSandbox is awaited: write async with belljar.AsyncSandbox(...)")

        def __exit__(self, *_: object) -> None:
            """For the sentence of __enter__: `with` asks for both first."""

    async def expose(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        *,
        max_calls: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """`Sandbox.expose`. An `async def` function runs on this loop."""
        await self._opening.do(Session.expose, fn, name, max_calls, timeout)

    # ---- As a file, and branches

    async def export(self, path: _StrPath) -> dict[str, str]:
        """`Sandbox.export`."""
        return await self._opening.do(Session.export, path)

    @classmethod
    async def load(cls, path: _StrPath, *arguments: Any, **keywords: Any) -> Self:
        """`Sandbox.load`."""
        made = cls(*arguments, **keywords)
        try:
            await _load(made, path)
        except BaseException:
            await made.close()
            raise
        return made

    @overload
    async def fork(self) -> AsyncSandbox:
        ...

    @overload
    async def fork(self, n: int) -> list[AsyncSandbox]:
        ...

    async def fork(self, n: int | None = None) -> AsyncSandbox | list[AsyncSandbox]:
        """`Sandbox.fork`."""
        driver = await self._opening.driver()
        async with driver.busy(self._opening.name):
            made = await asyncio.to_thread(fork, driver.session, 1 if n is None else n)
        twins = [self._of(session) for session in made]
        return twins[0] if n is None else twins

    def _of(self, session: Session) -> AsyncSandbox:
        async def open_session() -> Session:
            return session

        return AsyncSandbox._with(self._policy, self._language, _Opening(open_session, _Driver(session)))

    # ---- Its guest

    @property
    def files(self) -> AsyncFiles:
        """The session's files, to read, write and delete."""
        return AsyncFiles(self._opening)

    @property
    def policy(self) -> Policy:
        """What its code may do."""
        return self._policy

    @property
    def config(self) -> SandboxConfig:
        """The `SandboxConfig` that it was made with. `AttributeError` if it was made with a `Policy`."""
        return config_of(self._language)

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running code; the session stays."""
        if self._opening.now is not None:
            self._opening.now.session.interrupt()

    async def freeze(self) -> None:
        """`Sandbox.freeze`."""
        (await self._opening.driver()).session.freeze(True)

    async def thaw(self) -> None:
        """`Sandbox.thaw`."""
        (await self._opening.driver()).session.freeze(False)

    async def usage(self) -> Usage:
        """`Sandbox.usage`."""
        return await asyncio.to_thread((await self._opening.driver()).session.usage)

    def kill(self) -> None:
        """Ends the guest at once."""
        if self._opening.now is not None:
            self._opening.now.session.kill()

    async def close(self) -> None:
        """Ends the session; its files go with it."""
        self._opening.is_closed = True
        if self._opening.now is not None:
            await self._opening.now.close()

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        yield from self._opening.driver().__await__()
        return self

    async def __aenter__(self) -> AsyncSandbox:
        await self._opening.driver()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._opening.is_closed else "open"
        return f"<AsyncSandbox {state}>"


async def _load(made: AsyncSandbox, path: _StrPath) -> None:
    for name, why in (await made._opening.do(Session.load, path)).items():
        warn_lost(name, why, 4)


class _AsyncContext(AsyncSandbox):
    """`AsyncSandbox.context`."""

    async def close(self) -> None:
        """Nothing: a context lives as long as its sandbox."""
