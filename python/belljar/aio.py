"""Runs and sandboxes for asyncio: nothing here blocks the event loop for longer than a fork takes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack, overload

from belljar._async_files import AsyncFiles
from belljar._engine import Session, check_context
from belljar._execution import Execution, Usage
from belljar._faces import (
    Once,
    OnceKeywords,
    Program,
    SandboxKeywords,
    SessionFace,
    Sessions,
    Start,
    check_run,
    pool_of,
    spelled,
    warn_lost,
)
from belljar._instead import others_of
from belljar._job import CellKeywords, CellOptions, CodeKeywords, CodeOptions
from belljar._language import Language
from belljar._loop import Driver, Opening, Within, drive, perform_once, perform_plain, shared_pool, take
from belljar._policy import Policy, is_audit_only, place_of
from belljar._streaming import Event
from belljar._template import as_policy
from belljar._variables import AsyncVariables
from belljar.config import SandboxConfig

__all__ = ["AsyncFiles", "AsyncSandbox", "AsyncStream", "arun"]

_StrPath = str | os.PathLike[str]


@spelled(Once, "RunOptions")
async def arun(code: str | bytes, policy: Policy | SandboxConfig | None = None, **options: Unpack[OnceKeywords]) -> Execution:
    """`run` for event loops: `execution = await belljar.arun("print(6 * 7)")`. Cancelling the task kills the guest.

    `template` is where the guest comes from, instead of the one that belljar keeps for the policy. The callbacks are
    called in the loop's thread."""
    if options.keys() <= {"template"} and isinstance(code, str | bytes) and not isinstance(policy, SandboxConfig):
        pool = pool_of(options.get("template"), policy, (), None)
        meant = as_policy(policy) if pool is None else pool.policy
        if not is_audit_only(meant) and not place_of(meant):
            return await perform_plain(pool or await shared_pool(meant, (), None), code)
    program = Program("belljar.arun", arun, "belljar.AsyncSandbox(policy)", code, policy, options)
    pool = program.pool or await shared_pool(*program.wanted)
    return await drive(program.begin(pool, await take(pool)), perform_once)


class AsyncStream(AsyncIterator[Event]):
    """The events of a run, from `AsyncSandbox.stream`."""

    def __init__(self, owner: Opening, events: AsyncGenerator[Event, None]) -> None:
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


class AsyncSandbox(SessionFace):
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

    def __init__(self, policy: Policy | SandboxConfig | None = None, **options: Unpack[SandboxKeywords]) -> None:
        start = Start("belljar.AsyncSandbox", AsyncSandbox, "belljar.AsyncSandbox(policy)", policy, options)

        async def open_session() -> Session:
            pool = start.pool or await shared_pool(*start.wanted)
            return start.session(pool, await take(pool))

        self._policy, self._language, self._opening = start.policy, start.language, Opening(open_session)

    @classmethod
    async def create(cls, *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, as `await AsyncSandbox(...)` makes it."""
        made = cls(*arguments, **keywords)
        await made
        return made

    # ---- Contexts

    def context(self, name: str) -> AsyncSandbox:
        """`Sandbox.context`. Coroutines wait for their turn."""
        return _AsyncContext._with(self._policy, self._language, Within(self._opening, check_context(name)))

    @classmethod
    def _with(cls, policy: Policy, language: Language | None, opening: Opening) -> Self:
        """One for a session that is there."""
        made = object.__new__(cls)
        made._policy, made._language, made._opening = policy, language, opening
        return made

    # ---- Code

    @spelled(CodeKeywords)
    async def run_code(self, code: str | bytes, **options: Unpack[CodeOptions]) -> Execution:
        """`Sandbox.run_code`. The callbacks are called in the loop's thread."""
        check_run("run_code", options, self.run_code, CodeKeywords)
        return await self._opening.do(Session.run_code, code, **options)

    @spelled(CellKeywords)
    def stream(self, code: str | bytes, **options: Unpack[CellOptions]) -> AsyncStream:
        """`Sandbox.stream`: `async for event in sandbox.stream(code)`."""
        check_run("stream", options, self.stream, CellKeywords)
        return AsyncStream(self._opening, self._opening.events(code, **options))

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

    @property
    def variables(self) -> AsyncVariables:
        """The session's variables: `get`, `set`, `delete`, `has` and `names`, each awaited."""
        return AsyncVariables(self._opening.do)

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
            await _restore(made, path)
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
        twins = [self._of(session) for session in await self._opening.fork(n)]
        return twins[0] if n is None else twins

    def _of(self, session: Session) -> AsyncSandbox:
        async def open_session() -> Session:
            return session

        return AsyncSandbox._with(self._policy, self._language, Opening(open_session, Driver(session)))

    # ---- Its guest

    @property
    def files(self) -> AsyncFiles:
        """The session's files, to read, write and delete."""
        return AsyncFiles(self._opening)

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
        await self._opening.close()

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


async def _restore(made: AsyncSandbox, path: _StrPath) -> None:
    for name, why in (await made._opening.do(Session.load, path)).items():
        warn_lost(name, why, 4)


spelled(Sessions, "SessionOptions")(AsyncSandbox.__init__)


class _AsyncContext(AsyncSandbox):
    """`AsyncSandbox.context`."""

    async def close(self) -> None:
        """Nothing: a context lives as long as its sandbox."""
