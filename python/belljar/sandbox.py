"""The synchronous face: `run` for one program in a fresh guest, `Template` for many, `Sandbox` for a session that keeps its
state. What they send and what answers mean is in `belljar._engine`; `belljar._thread` waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from belljar._engine import Operation, Session, check_context, run_plain
from belljar._execution import Execution, Usage
from belljar._faces import (
    Once,
    OnceKeywords,
    Program,
    Provider,
    SandboxKeywords,
    SessionFace,
    Sessions,
    Start,
    check_run,
    parted,
    spelled,
    warn_lost,
)
from belljar._files import Entry, SessionFiles
from belljar._instead import others_of, verbs_of
from belljar._job import CellKeywords, CellOptions, CodeKeywords, CodeOptions, Content, RunKeywords, RunPlace, Stdin
from belljar._policy import Place, Policy, SessionOptions, is_audit_only, place_of
from belljar._streaming import Event
from belljar._template import OnOperation, as_policy, shared
from belljar._thread import drive, events, for_call, fork, turn
from belljar._variables import Variables
from belljar.config import SandboxConfig

__all__ = ["Sandbox", "Template", "run"]

T = TypeVar("T")


@spelled(Once, "RunOptions")
def run(code: str | bytes, policy: Policy | SandboxConfig | None = None, **options: Unpack[OnceKeywords]) -> Execution:
    """Runs code in a fresh guest and returns what it came to.

    >>> belljar.run("print(6 * 7)").stdout
    '42\\n'

    The first call with a policy starts its template; later ones take a guest that is ready. `template` is where the
    guest comes from, instead of the one that belljar keeps for the policy. See `Template.run` for the other arguments.

    The options of `Policy` may be given here as well (`memory="100M"`, `read=...`), in place of the policy's own."""
    if not options and isinstance(code, str | bytes) and not isinstance(policy, SandboxConfig):
        meant = as_policy(policy)
        if not is_audit_only(meant) and not place_of(meant):
            return run_plain(shared(meant), code)
    program = Program("belljar.run", run, "belljar.Sandbox(policy)", code, policy, options)
    if is_audit_only(program.policy):
        from belljar import _audit_only  # rare, and much to import

        return _audit_only.run(program.text, program.job, program.policy.replace(**program.place), program.python)
    return _run(program)


def _run(program: Program) -> Execution:
    pool = program.pool or shared(*program.wanted)
    return drive(program.begin(pool, pool.core.take()))


class Template(Provider):
    """Policy, interpreter and preloaded modules, made ready once. Each run gets a fresh guest, forked ahead of time.

    >>> with Template(Policy(timeout=5), preload=["numpy"]) as template:
    ...     template.run("import numpy; int(numpy.arange(10).sum())").value
    45

    `parked` guests are kept ready. Sixteen of them are warmed: they have run a little text already (the policy's `warm`). The others wait
    cold, with a quarter of the memory, and are taken when no warmed one is there. Guests of one template share what the preloaded modules
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
        on_operation: OnOperation | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        around, others = parted("belljar.Template", options, Template, "template.sandbox()")
        super().__init__(policy, preload, python, parked, on_operation, {**others, **around})

    @spelled(RunKeywords)
    def run(self, code: str | bytes, **options: Unpack[RunPlace]) -> Execution:
        """Runs code in a fresh guest and returns what it came to.

        `files` are written below /work first. `timeout` replaces the policy's for this run (seconds; 0 or `math.inf` for no
        limit). `env` (or `envs`) sets environment variables, `cwd` is where the program starts. The callbacks get output as it
        comes; an exception in one ends the run and comes out here."""
        if not options and not place_of(self._pool.policy):
            return run_plain(self._pool, code)
        check_run("Template.run", options, self.run, RunKeywords, "template.sandbox()")
        return _run(Program("Template.run", self.run, "template.sandbox()", code, None, {**options, "template": self}))

    def sandbox(self, *, files: Mapping[str, Content] | None = None, stdin: Stdin = None, **around: Unpack[Place]) -> Sandbox:
        """A session in a fresh guest of this template."""
        return Sandbox(template=self, files=files, stdin=stdin, **around)


class Sandbox(SessionFace):
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
        **others_of("sandbox"),
        "config": "sandbox.policy (it was made without a SandboxConfig)",
        "get": "sandbox[name]",
        "has": "name in sandbox",
        "delete": "del sandbox[name]",
        "run": "sandbox.run_code(code)",
        "arun": "await belljar.AsyncSandbox(policy).run_code(code)",
        "submit": "sandbox.call(function), or belljar.SandboxExecutor(policy).submit(function)",
    }

    def __init__(self, policy: Policy | SandboxConfig | None = None, **options: Unpack[SandboxKeywords]) -> None:
        start = Start("belljar.Sandbox", Sandbox, "belljar.Sandbox(policy)", policy, options)
        pool = start.pool or shared(*start.wanted)
        self._join(start.session(pool, pool.core.take()), start.policy)

    @classmethod
    def create(cls, *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, as `Sandbox(...)` makes it."""
        return cls(*arguments, **keywords)

    # ---- Contexts

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
        self._session.turns.has_contexts = True
        return made

    @classmethod
    def _with(cls, session: Session, policy: Policy, context: str = "") -> Self:
        """One for a session that is there."""
        made = object.__new__(cls)
        made._join(session, policy, context)
        return made

    def _join(self, session: Session, policy: Policy, context: str = "") -> None:
        self._session, self._policy, self._language, self._context = session, policy, session.language, context

    def _drive(self, operation: Operation[T]) -> T:
        with turn(self._session, self._context):
            return drive(operation)

    # ---- Code

    @spelled(CodeKeywords)
    def run_code(self, code: str | bytes, **options: Unpack[CodeOptions]) -> Execution:
        """Runs code in the session's namespace and returns what it came to. The value of a last expression is the
        result. See `Template.run` for the arguments; `env` and `cwd` are put back after the run."""
        if options:
            check_run("run_code", options, self.run_code, CodeKeywords)
        return self._drive(self._session.run_code(code, **options))

    def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Calls a function of this program in the sandbox and returns its result, by copy.

        The function goes there as code, with what it refers to; so do functions and classes among its arguments. Other arguments go by
        copy, objects as views of the plain data that they store (`belljar.readonly` shows more). Raises `GuestError` for what it raises there (and for a limit that it ran into);
        `SandboxError` if it cannot be sent; `TypeError` if an argument cannot.

        Under a language policy (`SandboxConfig`, `Policy(feature=...)`) each call has a new guest. The function sees read-only
        views of its arguments and of what it refers to, the modules that it uses are those that the policy allows, and what it
        raises is raised (see `execute`)."""
        with for_call(self._session) as session:
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
        with for_call(self._session) as session:
            return self._drive(session.execute(code, globals, locals, on_stdout, on_stderr, argv))

    @spelled(CellKeywords)
    def stream(self, code: str | bytes, **options: Unpack[CellOptions]) -> Iterator[Event]:
        """Runs code as `run_code` does and gives what happens as it happens: an `Output` for each piece of output, then the
        `Result`s, and at the end the `Execution`.

        >>> for event in sandbox.stream("print('working'); 6 * 7"):
        ...     print(event)
        Output(stream='stdout', text='working\\n')
        Result(text='42')
        <Execution 'ok', text='42', stdout='working\\n'>

        To leave the loop early interrupts the code; the session stays, unless the code goes on all the same."""
        check_run("stream", options, self.stream, CellKeywords)
        return events(self._session, self._context, self._session.stream(code, **options))

    # ---- Variables

    @property
    def variables(self) -> Variables:
        """The session's variables, as a mapping; `sandbox[name]` is the short way of writing."""
        return Variables(self._session, self._drive)

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]

    def __setitem__(self, name: str, value: object) -> None:
        self.variables[name] = value

    def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """Sets a variable of the session, as `sandbox[name] = value` does.

        Arrays of 256 KiB and more are lent: the sandbox sees them in shared memory, read only, and they count nothing in its
        memory limit. `copy` gives it copies of its own, to write to. (docs/values.md, "Large arrays")"""
        self._drive(self._session.set(name, value, copy))

    def __delitem__(self, name: str) -> None:
        del self.variables[name]

    def __contains__(self, name: object) -> bool:
        return name in self.variables

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

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

        Kept are public variables that are values (docs/values.md), modules and functions and classes that the session has defined, as
        text, and what it has written below its scratch places. Returns what could not be kept: {name: reason}."""
        return self._drive(self._session.export(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *arguments: Any, **keywords: Any) -> Self:
        """A sandbox, made with these arguments, that has what `export` wrote to a file. The file may be anybody's: it is read as what
        a guest sends is, and texts in it run in the guest. `RuntimeWarning` for one that fails there."""
        made = cls(*arguments, **keywords)
        try:
            _restore(made, path)
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
        with turn(self._session, self._context):
            made = [Sandbox._with(session, self._policy) for session in fork(self._session, 1 if n is None else n)]
        return made[0] if n is None else made

    # ---- Its guest

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


def _restore(made: Sandbox, path: str | os.PathLike[str]) -> None:
    for name, why in made._drive(made._session.load(path)).items():
        warn_lost(name, why, 4)


spelled(Sessions, "SessionOptions")(Sandbox.__init__)


class _Context(Sandbox):
    """`Sandbox.context`."""

    def close(self) -> None:
        """Nothing: a context lives as long as its sandbox."""
