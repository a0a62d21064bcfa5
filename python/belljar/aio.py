"""Runs and sandboxes for asyncio: nothing here blocks the event loop for longer than a fork takes."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Generator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from belljar import _template as templates
from belljar._core import core
from belljar.errors import SandboxError
from belljar._execution import Execution, Result
from belljar._files import Ledger, SessionFiles, Watch, writing
from belljar._host_functions import HostFunction, check_name
from belljar._policy import Policy
from belljar.sandbox import Sandbox, check_template
from belljar._session import Desk, Lending, command
from belljar._streaming import INTERRUPT_SECONDS, Event, streamed_job
from belljar._template import (
    Content, Job, Stdin, Template, as_policy, contents, make_job, modules, show_results, source, template_key,
)  # fmt: skip

if TYPE_CHECKING:
    from belljar.config import SandboxConfig

__all__ = ["AsyncFiles", "AsyncSandbox", "AsyncStream", "arun"]

_StrPath = str | os.PathLike[str]

_TAKE_AGAIN_MS = 5
"""A guest may have been announced to another waiter of the template: look again after that time."""


_CANCEL_SECONDS = 0.5
"""So long a run that is over waits for host functions that it has cancelled."""


def _new_epoll() -> select.epoll:
    """One whose number is clear of standard streams that are closed."""
    epoll = select.epoll()
    if epoll.fileno() > 2:
        return epoll
    moved = fcntl.fcntl(epoll.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    epoll.close()
    return select.epoll.fromfd(moved)


class _Waiter:
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

    def __enter__(self) -> _Waiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.loop.remove_reader(self.epoll.fileno())
        self.epoll.close()


class _Line:
    """Those of one loop who wait for a guest of one template, in a queue: the first watches its descriptor.

    (All of them cannot: a descriptor may be in 500 nested epoll sets at most.)"""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.first = asyncio.Lock()


_lines: weakref.WeakKeyDictionary[Template, _Line] = weakref.WeakKeyDictionary()


async def _take(template: Template) -> core.Guest:
    line = _lines.get(template)
    if line is None or line.loop is not asyncio.get_running_loop():
        line = _lines[template] = _Line()
    async with line.first:
        guest = template._core.try_take()
        if guest is not None:
            return guest
        with _Waiter() as waiter:
            waiter.update([(template._core.fileno(), select.POLLIN)])
            while guest is None:
                await waiter.wait(_TAKE_AGAIN_MS)
                guest = template._core.try_take()
        return guest


async def _finish(guest: core.Guest, waiter: _Waiter) -> core.Result:
    while True:
        result = guest.step()
        if result is not None:
            return result
        fds, timeout_ms = guest.pollfds()
        waiter.update(fds)
        await waiter.wait(timeout_ms)


async def _shared(policy: Policy | SandboxConfig | None, preload: str | Iterable[str], python: _StrPath | None) -> Template:
    """The process-wide template for these; another thread starts it if it has to be started."""
    key = template_key(as_policy(policy), modules(preload), python)
    template = templates.ready(key)
    if template is None:
        template = await asyncio.get_running_loop().run_in_executor(None, templates.shared, key[0], key[1], key[2])
    return template


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
) -> Execution:
    """`run` for event loops: `execution = await belljar.arun("print(6 * 7)")`. Cancelling the task kills the guest.

    `template` is where the guest comes from, instead of the one that belljar keeps for the policy. The callbacks are
    called in the loop's thread."""
    check_template(template, policy, preload, python)
    if template is None:
        template = await _shared(policy, preload, python)
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
    guest = await _take(template)
    with _Waiter() as waiter:
        try:
            guest.start(source(code, job), **job)
            watch = Watch(Ledger(template.policy.options["scratch"]), job.get("files", ()))
            execution = Execution(await _finish(guest, waiter), guest, watch)
        except BaseException:
            guest.close()
            raise
    template._hold(execution)
    show_results(execution, on_result)
    return execution


# ---- Sessions ------------------------------------------------------------------------------------------------------


class AsyncFiles:
    """The files of an `AsyncSandbox`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: AsyncSandbox) -> None:
        self._owner = owner

    async def _sync(self) -> SessionFiles:
        sandbox = await self._owner._ready()
        if sandbox._files:
            await self._owner._go(b"", make_job(stdin=sandbox._stdin, files=sandbox._files))
        scratch = sandbox._scratch()  # here, not in a thread: the guest is one thread's at a time
        return SessionFiles(lambda: scratch, sandbox._watch.ledger, lambda entries: None)

    async def read(self, name: _StrPath) -> bytes:
        """A file's content. `KeyError` if there is no such regular file."""
        with (await self._sync())._open_whole(name) as file:
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
            await self._owner._command(command("write", entries))

    async def delete(self, name: _StrPath) -> None:
        """Deletes a file. `KeyError` if there is none."""
        del (await self._sync())[name]


class AsyncStream(AsyncIterator[Event]):
    """The events of a run, from `AsyncSandbox.stream`."""

    def __init__(self, owner: AsyncSandbox, events: AsyncGenerator[Event, None]) -> None:
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
            self._owner._stopping = asyncio.ensure_future(self._events.aclose(), loop=loop)


class AsyncSandbox:
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

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: _StrPath | None = None,
        stdin: Stdin = None,
        template: Template | None = None,
    ) -> None:
        check_template(template, policy, preload, python)
        self._key = as_policy(policy), preload, python
        self._template = template
        self._files = contents(files)
        self._stdin = stdin
        self._sandbox: Sandbox | None = None
        self._opening: asyncio.Lock | None = None
        self._is_closed = False
        self._is_running = False
        self._stopping: asyncio.Future[None] | None = None  # ends a run whose stream was left
        self._waiter: _Waiter | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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
    ) -> Execution:
        """`Sandbox.run_code`. The callbacks are called in the loop's thread."""
        sandbox = await self._ready()
        if on_result is not None:
            await self._show_at_once()
        job = make_job(stdin=sandbox._stdin, files=sandbox._files, filename=filename, timeout=timeout,
                       on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
        execution = sandbox._ran(await self._go(source(code, job), job, on_result))
        show_results(execution, on_result)
        return execution

    def stream(self, code: str | bytes, *, filename: str | None = None, timeout: float | None = None) -> AsyncStream:
        """`Sandbox.stream`: `async for event in sandbox.stream(code)`."""
        return AsyncStream(self, self._events(code, filename, timeout))

    async def _events(self, code: str | bytes, filename: str | None, timeout: float | None) -> AsyncGenerator[Event, None]:
        sandbox = await self._ready()
        await self._show_at_once()
        job, events = streamed_job(sandbox, filename, timeout)
        run = self._steps(source(code, job), job, events.append)
        is_done = False
        try:
            async for result in run:
                while events:
                    yield events.popleft()
                if result is not None:
                    is_done = True
                    execution = sandbox._ran(sandbox._done(result))
        except GeneratorExit:
            if not is_done and self._is_running:
                sandbox.interrupt()
                await self._drain(run)
            raise
        for shown in execution.results[len(execution._shown) :]:
            yield shown
        yield execution

    async def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """`Sandbox.call`."""
        sandbox = await self._ready()
        return sandbox._value(await self._command(sandbox._call_text(func, args, kw), sandbox._code_job()), "call")[0]

    async def execute(
        self, code: str | bytes, globals: dict[str, Any] | None = None, locals: dict[str, Any] | None = None
    ) -> Execution:
        """`Sandbox.execute`."""
        sandbox = await self._ready()
        execution = await self._command(sandbox._execute_text(code, globals, locals), sandbox._code_job())
        sandbox._take_namespaces(execution, globals, locals)
        return execution

    # ---- Variables

    async def get(self, name: str) -> Any:
        """A variable of the session, by copy. `KeyError` if there is none."""
        return (await self._ready())._got(await self._command(command("get", name)), name)

    async def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """`Sandbox.set`: sets a variable of the session, by copy (large arrays in shared memory), or to a view of
        `belljar.readonly`."""
        await self._command((await self._ready())._set_text(name, value, copy))

    async def delete(self, name: str) -> None:
        """Deletes a variable of the session. `KeyError` if there is none."""
        if not await self.has(name):
            raise KeyError(name)
        await self._command(command("delete", name))

    async def has(self, name: str) -> bool:
        """Whether the session has a variable of that name."""
        return (await self._ready())._value(await self._command(command("has", name)), "has")[0] is True

    async def expose(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        *,
        max_calls: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """`Sandbox.expose`. An `async def` function runs on this loop."""
        function = HostFunction(fn, check_name(name if name is not None else fn.__name__), max_calls, timeout)
        await self._command(command("expose", *function.describe()))
        (await self._ready())._desk.functions[function.name] = function

    # ---- Branches

    @overload
    async def fork(self) -> AsyncSandbox: ...
    @overload
    async def fork(self, n: int) -> list[AsyncSandbox]: ...
    async def fork(self, n: int | None = None) -> AsyncSandbox | list[AsyncSandbox]:
        """`Sandbox.fork`."""
        sandbox = await self._ready()
        await self._settle()
        self._is_running = True
        try:
            made = await asyncio.to_thread(lambda: sandbox.fork(1 if n is None else n))
        finally:
            self._is_running = False
        twins = [self._wrap(twin) for twin in made]
        return twins[0] if n is None else twins

    def _wrap(self, sandbox: Sandbox) -> AsyncSandbox:
        twin = AsyncSandbox(template=sandbox._template)
        twin._sandbox = sandbox
        sandbox._desk.defer = twin._defer
        return twin

    # ---- Its guest

    async def _ready(self) -> Sandbox:
        """The sandbox itself, with its guest."""
        if self._is_closed and self._sandbox is None:
            raise SandboxError("the sandbox was closed before it was used", "session")
        if self._sandbox is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._sandbox is None:
                    template = self._template or await _shared(*self._key)
                    desk = Desk()
                    desk.defer = self._defer
                    sandbox = Sandbox.__new__(Sandbox)
                    sandbox._adopt(template, await _take(template), self._files, self._stdin, desk)
                    self._sandbox = sandbox
        return self._sandbox

    async def _settle(self) -> None:
        """Nothing may run in it now; what is being stopped has its time to end."""
        if self._stopping is not None:
            await asyncio.wait({self._stopping})
        if self._is_running:
            raise SandboxError("this sandbox runs code already; one coroutine at a time (take a sandbox for each)", "session",
                               errno.EBUSY)  # fmt: skip

    async def _show_at_once(self) -> None:
        sandbox = await self._ready()
        if not sandbox._shows:
            sandbox._shows = True
            await self._command(command("show"))

    async def _steps(
        self, code: bytes, job: Job, on_result: Callable[[Result], object] | None = None
    ) -> AsyncIterator[core.Result | None]:
        """Runs code or a command: None whenever something may have happened, at the end what it came to."""
        sandbox = await self._ready()
        await self._settle()
        sandbox._begin(job, on_result)
        self._is_running = True
        with _Waiter() as waiter:
            self._waiter = waiter
            try:
                if type(code) is Lending:
                    code.lend(sandbox._guest)
                sandbox._guest.start(code, **job)
                while (result := sandbox._guest.step()) is None:
                    yield None
                    fds, timeout_ms = sandbox._guest.pollfds()
                    waiter.update(fds)
                    await waiter.wait(timeout_ms)
            except GeneratorExit:
                raise
            except asyncio.CancelledError:
                sandbox._end("its last run was cancelled")
                raise
            except BaseException as error:
                sandbox._failed(error)
                raise
            finally:
                try:
                    await self._cancel()
                finally:
                    self._is_running = False
                    self._waiter = None
        yield result

    async def _cancel(self) -> None:
        """The host functions that are still at work when a run is over: nobody waits for them. They get a moment to clean up."""
        if self._sandbox is not None:
            self._sandbox._desk.end_run()
        for task in self._tasks:
            task.cancel()
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)

    async def _go(
        self, code: bytes, job: Job, on_result: Callable[[Result], object] | None = None
    ) -> Execution:
        result: core.Result | None = None
        async for result in self._steps(code, job, on_result):
            pass
        assert result is not None and self._sandbox is not None
        return self._sandbox._done(result)

    async def _drain(self, run: AsyncIterator[core.Result | None]) -> None:
        """Waits for a run that was interrupted; ends the session if it goes on."""
        sandbox = await self._ready()
        result: core.Result | None = None
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                async for result in run:
                    pass
        except TimeoutError:
            sandbox._cause = "its last run went on after it was interrupted"
            sandbox.close()
        if result is not None:
            sandbox._ran(sandbox._done(result))

    async def _command(self, text: bytes, job: Job | None = None) -> Execution:
        sandbox = await self._ready()
        if sandbox._files:
            await self._go(b"", make_job(stdin=sandbox._stdin, files=sandbox._files))
        return sandbox._checked(await self._go(text, Job(command=True) if job is None else job))

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

    @property
    def files(self) -> AsyncFiles:
        """The session's files, to read, write and delete."""
        return AsyncFiles(self)

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running code; the session stays."""
        if self._sandbox is not None:
            self._sandbox.interrupt()

    def kill(self) -> None:
        """Ends the guest at once."""
        if self._sandbox is not None:
            self._sandbox.kill()

    async def close(self) -> None:
        """Ends the session; its files go with it."""
        self._is_closed = True
        if self._sandbox is not None:
            self._sandbox.close()
        await self._cancel()

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        yield from self._ready().__await__()
        return self

    async def __aenter__(self) -> AsyncSandbox:
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<AsyncSandbox {state}>"
