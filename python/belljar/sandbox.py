"""The synchronous face: `run` for one program in a fresh guest, `Template` for many, `Sandbox` for a session that keeps its
state. What they send and what answers mean is in `belljar._engine`; here it is waited for."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from belljar._core import core
from belljar._engine import Operation, Run, Session, check_context, in_context, run_once
from belljar._execution import Execution, Result, Usage, unseen
from belljar._files import Entry, SessionFiles
from belljar._instead import Face, NoOther, refuse_others, verbs_of, wrong_type
from belljar._job import Content, Job, Stdin, contents, make_job, source
from belljar._language import Language, show_all
from belljar._policy import Options, Place, Policy, RunOptions, SessionOptions, is_audit_only, joined, place, place_of
from belljar._session import Desk
from belljar._streaming import INTERRUPT_SECONDS, Event, Output
from belljar._template import Pool, shared, with_options
from belljar.config import SandboxConfig
from belljar.errors import SandboxError

__all__ = ["Sandbox", "Template", "run"]

T = TypeVar("T")


def drive(operation: Operation[T]) -> T:
    """Does what an operation yields, one run after the other. Returns what it comes to."""
    result: Any = None
    try:
        while True:
            try:
                guest, code, job, failed = operation.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                desk = getattr(job.get("on_frame"), "__self__", None)
                result = _stepped(guest, code, job, desk) if desk is not None and desk.functions else guest.run(code, **job)
            except BaseException as error:
                failed(error)
                raise
    finally:
        operation.close()


def _stepped(guest: core.Guest, code: bytes, job: Job, desk: Desk) -> core.Result:
    """A run in which host functions may be at work in other threads."""
    guest.start(code, **job)
    try:
        while (result := guest.step()) is None:
            desk.settle()
            _wait(guest, desk)
        return result
    finally:
        desk.end_run()


def run(
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
    """Runs code in a fresh guest and returns what it came to.

    >>> belljar.run("print(6 * 7)").stdout
    '42\\n'

    The first call with a policy starts its template; later ones take a guest that is ready. `template` is where the
    guest comes from, instead of the one that belljar keeps for the policy. See `Template.run` for the other arguments.

    The options of `Policy` may be given here as well (`memory="100M"`, `read=...`), in place of the policy's own."""
    around, others = parted("belljar.run", options, run, "belljar.Sandbox(policy)")
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr, on_result=on_result)  # fmt: skip
    text = source(code, job)
    meant, pool = source_of(template, policy, preload, python, others)
    if is_audit_only(meant):
        from belljar import _audit_only  # rare, and much to import

        return _audit_only.run(text, job, meant.replace(**around), python)
    pool = pool or shared(meant, preload, python)
    return drive(run_once(pool, pool.core.take(), text, job, on_result, joined(place_of(meant), around)))


class Template(Face):
    """Policy, interpreter and preloaded modules, made ready once. Each run gets a fresh guest, forked ahead of time.

    >>> with Template(Policy(timeout=5), preload=["numpy"]) as template:
    ...     template.run("import numpy; int(numpy.arange(10).sum())").value
    45

    `parked` guests are kept ready. Guests of one template share what the preloaded modules
    computed, their hash secret and their addresses, so a template is for one owner. Threads may share it.
    """

    _elsewhere = {
        **verbs_of("template.sandbox()"),
        "run_code": "template.run(code), or template.sandbox().run_code(code) in a session",
        "arun": "await belljar.arun(code, template=template)",
        "config": "template.policy (it was made without a SandboxConfig)",
    }

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        python: str | os.PathLike[str] | None = None,
        parked: int = 1,
        on_operation: Callable[[int, str, str, str, str], object] | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        around, others = parted("belljar.Template", options, Template, "template.sandbox()")
        self._pool = Pool(policy, preload=preload, python=python, parked=parked, on_operation=on_operation,
                          options={**others, **around})  # fmt: skip

    def run(
        self,
        code: str | bytes,
        *,
        stdin: Stdin = None,
        files: Mapping[str, Content] | None = None,
        filename: str | None = None,
        argv: Iterable[str] | None = None,
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        **around: Unpack[Place],
    ) -> Execution:
        """Runs code in a fresh guest and returns what it came to.

        `files` are written below /work first. `timeout` replaces the policy's for this run (seconds; 0 or `math.inf` for no
        limit). `env` (or `envs`) sets environment variables, `cwd` is where the program starts. The callbacks get output as it
        comes; an exception in one ends the run and comes out here."""
        if others := around.keys() - Place.__annotations__:
            refuse_others(
                "Template.run", sorted(others), self.run, "template.sandbox()", Options.__annotations__, Place.__annotations__
            )
        settings = joined(place_of(self.policy), place(**around))
        job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                       on_stdout=on_stdout, on_stderr=on_stderr, on_result=on_result)  # fmt: skip
        text = source(code, job)
        return drive(run_once(self._pool, self._pool.core.take(), text, job, on_result, settings))

    def sandbox(self, *, files: Mapping[str, Content] | None = None, stdin: Stdin = None, **around: Unpack[Place]) -> Sandbox:
        """A session in a fresh guest of this template."""
        return Sandbox(template=self, files=files, stdin=stdin, **around)

    @property
    def policy(self) -> Policy:
        """What its guests may do."""
        return self._pool.policy

    @property
    def preload(self) -> tuple[str, ...]:
        """The modules that its guests have imported when they start."""
        return self._pool.preload

    @property
    def config(self) -> SandboxConfig:
        """The `SandboxConfig` that it was made with. `AttributeError` if it was made with a `Policy`."""
        return config_of(self._pool.language)

    @property
    def python(self) -> tuple[int, int, int]:
        """The version of its interpreter."""
        return self._pool.python

    @property
    def layers(self) -> dict[str, str]:
        """The layers of the lockdown that are in force: "on", or "off" or "waived" with the reason."""
        return {name: state if not reason else f"{state}: {reason}" for name, state, reason in self._pool.core.layers()}

    def close(self) -> None:
        """Ends its processes. Executions stay readable, but not their files; open sandboxes keep it until they close."""
        self._pool.close()

    def __enter__(self) -> Template:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Template {self.policy!r}, preload={list(self.preload)!r}>"


def pool_of(
    template: Template | None, policy: object, preload: str | Iterable[str] = (), python: str | os.PathLike[str] | None = None
) -> Pool | None:
    """Where the guests of a template come from; it comes with its policy, preload and python. None if there is none."""
    if template is None:
        return None
    if not isinstance(template, Template):
        raise wrong_type("template", "a belljar.Template", template)
    if policy is not None or preload or python is not None:
        raise SandboxError("template= comes with its policy, preload and python: give either it or them")
    return template._pool


def parted(face: str, given: Mapping[str, Any], function: Callable[..., Any], maker: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords that are options: (what a program finds around it, the policy's). `TypeError` for any other."""
    known = SessionOptions.__annotations__
    if others := [name for name in given if name not in known]:
        refuse_others(face, others, function, maker, Options.__annotations__, known)
    around: Any = {name: given[name] for name in given if name in Place.__annotations__}
    return place(**around), {name: given[name] for name in given if name not in Place.__annotations__}


def check_place(face: str, around: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """`TypeError` for keywords of a run that it does not take."""
    if others := around.keys() - Place.__annotations__:
        refuse_others(face, sorted(others), function, "belljar.Sandbox(policy)", Options.__annotations__, Place.__annotations__)


def source_of(
    template: Template | None, policy: Policy | SandboxConfig | None, preload: str | Iterable[str],
    python: str | os.PathLike[str] | None, options: Mapping[str, Any],
) -> tuple[Policy, Pool | None]:  # fmt: skip
    """(the policy that is meant, where the guests of a template come from or None)."""
    pool = pool_of(template, policy, preload, python)
    if pool is None:
        return with_options(policy, options), None
    if options:
        raise SandboxError(f"template= comes with its policy: give either it or {', '.join(f'{name}=' for name in options)}")
    return pool.policy, pool


def config_of(language: Language | None) -> SandboxConfig:
    """The config behind a language policy."""
    if language is None or language.config is None:
        raise AttributeError  # with the sentence of its face
    return language.config


@contextlib.contextmanager
def alone(config: SandboxConfig) -> Iterator[Session]:
    """A session for one call, with a guest of its own and views that call methods: pysandbox's way."""
    pool = shared(config)
    session = Session(pool, pool.core.take(), Language(config, show_all))
    try:
        yield session
    finally:
        session.close()


class Sandbox(Face):
    """A session: one guest that keeps its namespace and its files from one `run_code` to the next.

    >>> with Sandbox(Policy(timeout=10), files={"data.txt": "1 2 3"}) as sandbox:
    ...     _ = sandbox.run_code("numbers = [int(n) for n in open('data.txt').read().split()]")
    ...     sandbox["more"] = [4, 5]
    ...     sandbox.run_code("sum(numbers + more)").value
    15

    `files` are written below /work, where the guest starts. `stdin` is what the session's standard input holds. A
    session whose code ran into a limit or crashed is over; the next call says so. One thread at a time runs code;
    `interrupt` and `kill` may come from any.

    `sandbox["name"]` reads, sets and deletes the session's variables, by copy (docs/values.md); views of
    `belljar.readonly` can be set as well. The policy's limits hold for each access as they do for a run.

    Under a language policy it is a session as well; `execute` and `call` have a guest of their own each time:

    >>> sandbox = Sandbox(SandboxConfig("stdout", "math"))
    >>> names = {"radius": 2}
    >>> _ = sandbox.execute("import math; area = math.pi * radius ** 2", names)
    >>> round(names["area"], 2)
    12.57
    """

    _elsewhere = {
        "config": "sandbox.policy (it was made without a SandboxConfig)",
        "get": "sandbox[name]",
        "has": "name in sandbox",
        "delete": "del sandbox[name]",
        "run": "sandbox.run_code(code)",
        "arun": "await belljar.AsyncSandbox(policy).run_code(code)",
        "submit": "sandbox.call(function), or belljar.SandboxExecutor(policy).submit(function)",
    }

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: str | os.PathLike[str] | None = None,
        stdin: Stdin = None,
        template: Template | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        around, others = parted("belljar.Sandbox", options, Sandbox, "belljar.Sandbox(policy)")
        handed = contents(files)
        self._policy, pool = source_of(template, policy, preload, python, others)
        pool = pool or shared(self._policy, preload, python)
        language = Language(policy) if isinstance(policy, SandboxConfig) else pool.language
        self._session = Session(pool, pool.core.take(), language, handed, stdin, place=joined(place_of(self._policy), around))

    @classmethod
    def create(cls, *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, as `Sandbox(...)` makes it."""
        return cls(*arguments, **keywords)

    # ---- Contexts

    _context = ""

    def context(self, name: str) -> Sandbox:
        """A context of the session: variables of its own, in the same process, with the same modules, files and limits. The same name
        is the same context. It has all the verbs of a sandbox; `interrupt`, `kill`, `freeze`, `fork` are about the whole session.

        >>> other = sandbox.context("other")
        >>> _ = sandbox.run_code("x = 1"), other.run_code("x = 2")
        >>> sandbox["x"], other["x"]
        (1, 2)

        Threads may use the contexts of a session, and the session itself, at the same time: one runs, the others wait for their
        turn."""
        made = _Context._with(self._session, self._policy, check_context(name))
        self._session.queue = self._session.queue or threading.Lock()
        return made

    @classmethod
    def _with(cls, session: Session, policy: Policy, context: str = "") -> Self:
        """One for a session that is there."""
        made = object.__new__(cls)
        made._session, made._policy, made._context = session, policy, context
        return made

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One verb: in its context, and one at a time once there are several."""
        session = self._session
        waits: Any = contextlib.nullcontext()
        if session.queue is not None and not session.desk.is_asking_here():  # else it would wait for itself
            waits = session.queue
        with waits:
            token = in_context.set(self._context)
            try:
                yield
            finally:
                with contextlib.suppress(ValueError):  # a stream that another thread ends
                    in_context.reset(token)

    def _drive(self, operation: Operation[T]) -> T:
        with self._turn():
            return drive(operation)

    # ---- Code

    def run_code(
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
        """Runs code in the session's namespace and returns what it came to. The value of a last expression is the
        result. See `Template.run` for the arguments; `env` and `cwd` are put back after the run."""
        check_place("run_code", around, self.run_code)
        return self._drive(self._session.run_code(code, filename=filename, timeout=timeout, on_stdout=on_stdout, on_stderr=on_stderr,
                                            on_result=on_result, **around))  # fmt: skip

    def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Calls a function of this program in the sandbox and returns its result, by copy.

        The function goes there as code, with what it refers to; so do functions and classes among its arguments. Other arguments go by
        copy, objects as views of the plain data that they store (`belljar.readonly` shows more). Raises `GuestError` for what it raises there (and for a limit that it ran into);
        `SandboxError` if it cannot be sent; `TypeError` if an argument cannot.

        Under a language policy (`SandboxConfig`, `Policy(feature=...)`) each call has a new guest. The function sees read-only
        views of its arguments and of what it refers to, the modules that it uses are those that the policy allows, and what it
        raises is raised (see `execute`)."""
        with self._for_call() as session:
            return self._drive(session.call(func, args, kw))

    def create_callback(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Callable[[], Any]:
        """A function that does `call(func, *args, **kw)`."""
        return lambda: self.call(func, *args, **kw)

    def execute(
        self,
        code: str | bytes,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        *,
        argv: Sequence[str] | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> Execution:
        """Runs code as `exec(code, globals, locals)` would. Without `globals` it runs in the session's namespace.

        The dictionaries go there by copy; afterwards they hold what the code made of them (what cannot cross is an
        `Opaque` there). Returns what it came to; raises `GuestError` for what the code raises.

        Under a language policy (`SandboxConfig`, `Policy(feature=...)`) it runs in a new guest each time, in an empty namespace or
        with these names; those that it left alone keep the very object. What the code raises is raised: one of a fixed list of
        builtin exceptions with its text, or a `SandboxError` that names the type; `Timeout` and `MemoryError` for these limits.

        `argv` is what `sys.argv` has there, if the policy shows it."""
        with self._for_call() as session:
            return self._drive(session.execute(code, globals, locals, on_stdout, on_stderr, argv))

    @contextlib.contextmanager
    def _for_call(self) -> Iterator[Session]:
        """Where `call` and `execute` run: under a language policy in a guest of their own."""
        session = self._session
        if session.language is None:
            yield session
            return
        session = session.beside(session.pool.core.take())
        try:
            yield session
        finally:
            session.close()

    def stream(
        self, code: str | bytes, *, filename: str | None = None, timeout: float | None = None, **around: Unpack[Place]
    ) -> Iterator[Event]:
        """Runs code as `run_code` does and gives what happens as it happens: an `Output` for each piece of output, then the
        `Result`s, and at the end the `Execution`.

        >>> for event in sandbox.stream("print('working'); 6 * 7"):
        ...     print(event)
        Output(stream='stdout', text='working\\n')
        Result(text='42')
        <Execution 'ok', text='42', stdout='working\\n'>

        To leave the loop early interrupts the code; the session stays, unless the code goes on all the same."""
        check_place("stream", around, self.stream)
        session = self._session
        with self._turn():
            yield from self._events(session, drive(session.stream(code, filename, timeout, around)))

    def _events(self, session: Session, begun: tuple[Run, deque[Output | Result]]) -> Iterator[Event]:
        (guest, text, job, _), events = begun
        try:
            guest.start(text, **job)
        except BaseException as error:
            session.failed(error)
            raise
        try:
            while (result := guest.step()) is None:
                yield from _drained(events)
                session.desk.settle()
                _wait(guest, session.desk)
        except GeneratorExit:
            _stop(session)
            raise
        except BaseException as error:
            session.failed(error)
            raise
        finally:
            session.desk.end_run()
        execution = session.ran(session.done(result))
        yield from _drained(events)
        yield from unseen(execution)
        yield execution

    # ---- Variables

    def __getitem__(self, name: str) -> Any:
        return self._drive(self._session.get(name))

    def __setitem__(self, name: str, value: object) -> None:
        self._drive(self._session.set(name, value))

    def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """Sets a variable of the session, as `sandbox[name] = value` does.

        Arrays of 256 KiB and more are lent: the sandbox sees them in shared memory, read only, and they count nothing in its
        memory limit. `copy` gives it copies of its own, to write to. (docs/values.md, "Large arrays")"""
        self._drive(self._session.set(name, value, copy))

    def __delitem__(self, name: str) -> None:
        self._drive(self._session.delete(name))

    def __contains__(self, name: object) -> bool:
        return self._drive(self._session.has(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._drive(self._session.names()))

    # ---- Host functions and files

    def expose(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        *,
        max_calls: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Lets the sandbox call a function of this program by `name`, which is the function's own unless given.

        It has its signature and docstring there. Arguments arrive by copy, results go back by copy or as views of
        `belljar.readonly`; what is neither is a `TypeError` in the sandbox. What it raises is raised there as the
        nearest of a fixed list of builtin exceptions, with its text without directories, and nothing else.

        The thread that runs the code calls it, as long as the guest has one thread; calls of several threads are at work side by
        side, in workers. An `async def` function runs in a loop of belljar's own, and can be awaited in code that awaits. While
        it runs, the sandbox waits: running code in the same sandbox from it is a `SandboxError`, in another one it works, up to 32
        deep. The time that it takes counts for the policy's wall time.

        `max_calls` is how often the session may call it, `timeout` how many seconds all its calls may take: an `async
        def` function is cancelled then, another one runs to its end, and its answer is thrown away."""
        self._drive(self._session.expose(fn, name, max_calls, timeout))

    @property
    def files(self) -> SessionFiles:
        """The session's files, to read, write and delete."""
        session = self._session

        def write(entries: list[Entry]) -> None:
            self._drive(session.write(entries))

        return SessionFiles(lambda: self._drive(session.scratch()), session.watch.ledger, write)

    # ---- As a file, and branches

    def export(self, path: str | os.PathLike[str]) -> dict[str, str]:
        """Writes a file from which `Sandbox.load` makes a session with the same variables and files, in another process too.

        Kept are public variables that are values (docs/values.md) and what the session has written below its scratch places.
        Returns what could not be kept: {name: reason}, of functions, classes, modules, open files, …"""
        return self._drive(self._session.export(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, made with these arguments, that has what `export` wrote to a file. The file may be anybody's: it is read as what
        a guest sends is."""
        made = cls(*arguments, **keywords)
        try:
            _load(made, path)
        except BaseException:
            made.close()
            raise
        return made

    @overload
    def fork(self) -> Sandbox:
        ...

    @overload
    def fork(self, n: int) -> list[Sandbox]:
        ...

    def fork(self, n: int | None = None) -> Sandbox | list[Sandbox]:
        """Branches the session: a sandbox that goes on from the same state, memory and files; `fork(n)` gives a list of n.

        Memory is copied when it is written to. Each has the policy's limits for itself, and what is left of the host
        functions' budgets. Files that the code holds open stay shared. `SandboxError` where the machine cannot do it
        (it needs user namespaces) and while code runs."""
        with self._turn():
            made = [self._of(session) for session in fork(self._session, 1 if n is None else n)]
        return made[0] if n is None else made

    def _of(self, session: Session) -> Sandbox:
        return Sandbox._with(session, self._policy)

    # ---- Its guest

    @property
    def policy(self) -> Policy:
        """What its code may do."""
        return self._policy

    @property
    def config(self) -> SandboxConfig:
        """The `SandboxConfig` that it was made with. `AttributeError` if it was made with a `Policy`."""
        return config_of(self._session.language)

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running code; the session stays. From any thread."""
        self._session.interrupt()

    def freeze(self) -> None:
        """Stops the session where it is, in a run or between two: no code of it runs, and a run's time limit stands still, until
        `thaw`. It keeps its memory. From any thread."""
        self._session.freeze(True)

    def thaw(self) -> None:
        """Has a frozen session go on."""
        self._session.freeze(False)

    def usage(self) -> Usage:
        """What the run that is on has used by now, or what the last one had; `peak_bytes` is the memory that the session has now.
        From any thread."""
        return self._session.usage()

    def kill(self) -> None:
        """Ends the guest at once. From any thread."""
        self._session.kill()

    def close(self) -> None:
        """Ends the session; its files go with it."""
        self._session.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        language = self._session.language
        made_with = language.config if language is not None and language.config is not None else self.policy
        return f"<Sandbox {'closed' if self._session.guest.is_closed else 'open'}, {made_with!r}>"


def _load(made: Sandbox, path: str | os.PathLike[str]) -> None:
    drive(made._session.load(path))


class _Context(Sandbox):
    """`Sandbox.context`."""

    def close(self) -> None:
        """Nothing: a context lives as long as its sandbox."""


def fork(session: Session, n: int) -> list[Session]:
    """So many branches of a session, or none."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise wrong_type("fork", "a number of branches", n)
    if n < 1:
        raise ValueError(f"fork: a number of branches is expected, not {n}")
    made: list[Session] = []
    try:
        while len(made) < n:
            made.append(drive(session.branch()))
    except BaseException:
        for twin in made:
            twin.close()
        raise
    return made


def _wait(guest: core.Guest, desk: Desk, at_most_ms: int = -1) -> None:
    """Returns when the guest's run can go on, or a host function has ended."""
    fds, timeout_ms = guest.pollfds()
    if at_most_ms >= 0:
        timeout_ms = at_most_ms if timeout_ms < 0 else min(timeout_ms, at_most_ms)
    poll = select.poll()
    for fd, wanted in fds:
        poll.register(fd, wanted)
    if desk.finished.fileno() >= 0:
        poll.register(desk.finished.fileno(), select.POLLIN)
    poll.poll(timeout_ms)


def _drained(events: deque[Output | Result]) -> Iterator[Output | Result]:
    while events:
        yield events.popleft()


def _stop(session: Session) -> None:
    """Nobody listens any more: interrupts the code, ends the session if that does not help."""
    guest = session.guest
    if guest.is_closed:
        return
    guest.interrupt()
    until = time.monotonic() + INTERRUPT_SECONDS
    while (result := guest.step()) is None:
        left_ms = round((until - time.monotonic()) * 1000)
        if left_ms <= 0:
            session.end("its last run went on after it was interrupted")
            return
        session.desk.settle()
        _wait(guest, session.desk, left_ms)
    session.ran(session.done(result))
