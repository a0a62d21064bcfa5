"""Running code: `run` for one program in a fresh guest, `Sandbox` for a session that keeps its state."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from belljar import _template as templates
from belljar._core import core
from belljar._copying import copies
from belljar.errors import ProtocolError, SandboxError, SessionEnded, guest_error
from belljar._execution import Execution, Result
from belljar._files import Ledger, SessionFiles, Watch
from belljar._host_functions import HostFunction, check_name
from belljar._policy import Policy
from belljar._session import Desk, Lending, Shown, command, encode
from belljar._shipping import ship
from belljar._streaming import Event, stream
from belljar._template import Content, Job, Stdin, Template, contents, make_job, show_results, source

if TYPE_CHECKING:
    from belljar.config import SandboxConfig

__all__ = ["Sandbox", "check_template", "run"]


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
) -> Execution:
    """Runs code in a fresh guest and returns what it came to.

    >>> belljar.run("print(6 * 7)").stdout
    '42\\n'

    The first call with a policy starts its template; later ones take a guest that is ready. `template` is where the
    guest comes from, instead of the one that belljar keeps for the policy. See `Template.run` for the other arguments."""
    check_template(template, policy, preload, python)
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
    if template is None:
        template = templates.shared(policy, preload, python)
    return template._run(template._core.take(), code, job, on_result)


def check_template(
    template: Template | None, policy: object, preload: str | Iterable[str], python: str | os.PathLike[str] | None
) -> None:
    """A template has these three already."""
    if template is not None and (policy is not None or preload or python is not None):
        raise SandboxError("template= comes with its policy, preload and python: give either it or them")


class Sandbox:
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
    """

    def __new__(cls, policy: Policy | SandboxConfig | None = None, **options: Any) -> Sandbox:
        if cls is Sandbox and policy is not None and not isinstance(policy, Policy):
            from belljar.config import SandboxConfig
            from belljar._language import StrictSandbox

            if isinstance(policy, SandboxConfig):
                cls = StrictSandbox
        return object.__new__(cls)

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: str | os.PathLike[str] | None = None,
        stdin: Stdin = None,
        template: Template | None = None,
    ) -> None:
        check_template(template, policy, preload, python)
        handed = contents(files)
        if template is None:
            template = templates.shared(policy, preload, python)
        self._adopt(template, template._core.take(), handed, stdin, Desk())

    def _adopt(
        self, template: Template, guest: core.Guest, files: list[tuple[str, bytes]], stdin: Stdin, desk: Desk
    ) -> None:
        """Makes it the sandbox of a guest."""
        self._template = template
        self._guest = desk.guest = guest
        self._files = files  # what goes in with the first run
        self._stdin = stdin
        self._desk = desk
        self._watch = Watch(Ledger(self._template.policy.options["scratch"]), files)
        self._runs = 0
        self._last: Execution | None = None
        self._counted: Execution | None = None  # the last run or command: its counts end where the next one's begin
        self._cause = ""  # why it is over
        self._has_shipped = False
        self._shows = False  # displays come at once
        self._wall_ms = template.policy.options["timeout"] * 1000

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
    ) -> Execution:
        """Runs code in the session's namespace and returns what it came to. The value of a last expression is the
        result. See `Template.run` for the arguments."""
        if on_result is not None:
            self._show_at_once()
        job = make_job(stdin=self._stdin, files=self._files, filename=filename, timeout=timeout,
                       on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
        execution = self._ran(self._go(source(code, job), job, on_result))
        show_results(execution, on_result)
        return execution

    def _ran(self, execution: Execution) -> Execution:
        """A run of code, as against a command."""
        self._runs += 1
        execution.execution_count = self._runs
        self._last = execution
        return execution

    def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Calls a function of this program in the sandbox and returns its result, by copy.

        The function goes there by cloudpickle, with what it refers to; its arguments go by copy, or as views of
        `belljar.readonly`. Raises `GuestError` for what it raises there (and for a limit that it ran into);
        `SandboxError` if it cannot be sent; `TypeError` if an argument cannot."""
        return self._value(self._command(self._call_text(func, args, kw), self._code_job()), "call")[0]

    def _call_text(self, func: Callable[..., Any], args: tuple[Any, ...], kw: dict[str, Any]) -> bytes:
        data, helper = ship(func, self._template.python)
        arguments, keywords = self._desk.handles.wrap(list(args)), self._desk.handles.wrap(kw)
        text = command("call", data, b"" if self._has_shipped else helper, arguments, keywords)
        self._has_shipped = True
        return text

    def execute(
        self, code: str | bytes, globals: dict[str, Any] | None = None, locals: dict[str, Any] | None = None
    ) -> Execution:
        """Runs code as `exec(code, globals, locals)` would. Without `globals` it runs in the session's namespace.

        The dictionaries go there by copy; afterwards they hold what the code made of them (what cannot cross is an
        `Opaque` there). Returns what it came to; raises `GuestError` for what the code raises."""
        execution = self._command(self._execute_text(code, globals, locals), self._code_job())
        self._take_namespaces(execution, globals, locals)
        return execution

    def _execute_text(
        self, code: str | bytes, globals: dict[str, Any] | None, locals: dict[str, Any] | None
    ) -> bytes:
        wrap = self._desk.handles.wrap
        return command("execute", source(code), wrap(globals) if globals is not None else None,
                       wrap(locals) if locals is not None else None, "<code>", isinstance(code, str))  # fmt: skip

    def _take_namespaces(
        self, execution: Execution, globals: dict[str, Any] | None, locals: dict[str, Any] | None
    ) -> None:
        found = self._value(execution, "execute", 2)
        for mine, theirs in zip((globals, locals), found, strict=True):
            if mine is not None:
                if type(theirs) is not dict:
                    raise self._breach("it answered what is no namespace", execution)
                mine.clear()
                mine.update(theirs)

    def stream(
        self, code: str | bytes, *, filename: str | None = None, timeout: float | None = None
    ) -> Iterator[Event]:
        """Runs code as `run_code` does and gives what happens as it happens: an `Output` for each piece of output, then the
        `Result`s, and at the end the `Execution`.

        >>> for event in sandbox.stream("print('working'); 6 * 7"):
        ...     print(event)
        Output(stream='stdout', text='working\\n')
        Result(text='42')
        <Execution 'ok', text='42', stdout='working\\n'>

        To leave the loop early interrupts the code; the session stays, unless the code goes on all the same."""
        return stream(self, code, filename, timeout)

    # ---- Variables

    def __getitem__(self, name: str) -> Any:
        return self._got(self._command(command("get", name)), name)

    def _got(self, execution: Execution, name: str) -> Any:
        is_there, value = self._value(execution, "get", 2)
        if is_there is not True:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: object) -> None:
        self.set(name, value)

    def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """Sets a variable of the session, as `sandbox[name] = value` does.

        Arrays of 256 KiB and more are lent: the sandbox sees them in shared memory, read only, and they count nothing in its
        memory limit. `copy` gives it copies of its own, to write to. (docs/values.md, "Large arrays")"""
        self._command(self._set_text(name, value, copy))

    def _set_text(self, name: str, value: object, copy: bool = False) -> bytes:
        check_name(name)
        try:
            return encode(["set", name, [0, value]], copy)
        except (TypeError, ValueError):
            return encode(["set", name, self._desk.handles.wrap(value)], copy)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._command(command("delete", name))

    def __contains__(self, name: object) -> bool:
        return type(name) is str and self._value(self._command(command("has", name)), "has")[0] is True

    def __iter__(self) -> Iterator[str]:
        execution = self._command(command("names"))
        names = self._value(execution, "names")[0]
        if type(names) is not list or not all(type(name) is str for name in names):
            raise self._breach("it answered what are no names", execution)
        return iter(names)

    # ---- Host functions

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

        The thread that runs the code calls it. An `async def` function runs in a loop of belljar's own. While it runs, the
        sandbox waits: running code in the same sandbox from it is a `SandboxError`, in another one it works, up to 32
        deep. The time that it takes counts for the policy's wall time.

        `max_calls` is how often the session may call it, `timeout` how many seconds all its calls may take: an `async
        def` function is cancelled then, another one runs to its end, and its answer is thrown away."""
        function = HostFunction(fn, check_name(name if name is not None else fn.__name__), max_calls, timeout)
        self._command(command("expose", *function.describe()))
        self._desk.functions[function.name] = function

    # ---- Branches

    @overload
    def fork(self) -> Sandbox: ...
    @overload
    def fork(self, n: int) -> list[Sandbox]: ...
    def fork(self, n: int | None = None) -> Sandbox | list[Sandbox]:
        """Branches the session: a sandbox that goes on from the same state, memory and files; `fork(n)` gives a list of n.

        Memory is copied when it is written to. Each has the policy's limits for itself, and what is left of the host
        functions' budgets. Files that the code holds open stay shared. `SandboxError` where the machine cannot do it
        (it needs user namespaces) and while code runs."""
        if n is None:
            return self._branch()
        if n < 1:
            raise ValueError(f"fork: a number of branches is expected, not {n}")
        made: list[Sandbox] = []
        try:
            while len(made) < n:
                made.append(self._branch())
        except BaseException:
            for twin in made:
                twin.close()
            raise
        return made

    def _branch(self) -> Sandbox:
        self._check()
        if self._counted is None or self._files:
            self._go(b"", make_job(stdin=self._stdin, files=self._files))
        assert self._counted is not None
        self._counted._complete()
        try:
            guest = self._guest.branch()
        except SandboxError as error:
            self._check_cause(error)
            raise
        twin = object.__new__(type(self))
        twin._adopt(self._template, guest, [], None, self._desk.copy(guest))
        twin._has_shipped, twin._shows = self._has_shipped, self._shows
        try:
            for entries in copies(self._guest.scratch(), self._template.policy.options["scratch"]):
                twin._command(command("write", entries))
        except BaseException:
            twin.close()
            raise
        return twin

    # ---- Its guest

    def _show_at_once(self) -> None:
        """Results are wanted as they come, from now on."""
        if not self._shows:
            self._shows = True
            self._command(command("show"))

    def _go(self, code: bytes, job: Job, on_result: Callable[[Result], object] | None = None) -> Execution:
        """Runs code or a command."""
        self._begin(job, on_result)
        try:
            if type(code) is Lending:
                code.lend(self._guest)
            result = self._guest.run(code, **job)
        except BaseException as error:
            self._failed(error)
            raise
        return self._done(result)

    def _begin(self, job: Job, on_result: Callable[[Result], object] | None = None) -> None:
        """What comes before a run."""
        self._check()
        job["session"] = True
        job["on_frame"] = self._desk.on_frame
        if self._counted is not None:
            self._counted._complete()
        if "files" in job:
            self._files = []
        if "stdin_bytes" in job:
            self._stdin = None  # it has them now, for as many runs as it takes to read them
        self._desk.shown = Shown(on_result)
        wall_ms = job.get("wall_ms") or self._wall_ms
        self._desk.deadline = time.monotonic() + wall_ms / 1000 if wall_ms > 0 else None

    def _failed(self, error: BaseException) -> None:
        """A run ended by an exception here. Raises a better one if there is one."""
        if isinstance(error, ProtocolError):
            self._end(str(error))
        elif isinstance(error, SandboxError):
            if error.step == "files":
                self._end("the files handed in could not be written")  # half of them are there
            self._check_cause(error)
        else:
            self._end("a callback of its last run failed, or it was interrupted")  # the core has ended the guest

    def _done(self, result: core.Result) -> Execution:
        """What a run came to."""
        execution = self._counted = Execution(result, self._guest, self._watch, is_session=True)
        execution._shown, execution._shows = self._desk.shown.results, self._desk.shown.shows
        if result.verdict == "violation" and result.error is not None and result.error[0] == "ProtocolError":
            raise self._breach(result.error[1], execution)
        if result.is_complete or result.verdict not in ("ok", "error"):
            self._last = execution  # it may have been its last
        return execution

    def _command(self, text: bytes, job: Job | None = None) -> Execution:
        """Has the guest do a command. `GuestError` if it failed there."""
        job = Job(command=True) if job is None else job
        if self._files:
            self._go(b"", make_job(stdin=self._stdin, files=self._files))
        return self._checked(self._go(text, job))

    def _code_job(self) -> Job:
        """For a command that runs code, which may read standard input."""
        job = make_job(stdin=b"" if self._stdin is None else self._stdin)
        del job["last_value"]
        job["command"] = True
        return job

    @staticmethod
    def _checked(execution: Execution) -> Execution:
        """What a command came to. `GuestError` if it failed in the guest."""
        if execution.verdict != "ok" or execution.error is not None:
            error = execution.error
            if error is None:
                raise guest_error(execution.verdict, "", "", execution)
            raise guest_error(error.name, error.value, error.traceback, execution)
        return execution

    def _value(self, execution: Execution, name: str, length: int = 1) -> list[Any]:
        """The list that a command answers."""
        try:
            value = execution.value
        except SandboxError as error:
            raise self._breach(str(error), execution) from None
        if value is None and self._has_left():
            self._end("what it called ended the interpreter (os._exit)")
            raise guest_error("SystemExit", str(execution.exit), "", execution)  # os._exit(0), or a thread's exit
        if type(value) is not list or len(value) != length:
            raise self._breach(f"it answered what is no answer to {name!r}", execution)
        return value

    def _has_left(self) -> bool:
        """Whether the guest has ended by itself; asked where it did not answer."""
        try:
            self._guest.run(command("has", ""), command=True, session=True, wall_ms=1000)
        except SandboxError:
            return True
        return False

    def _breach(self, text: str, execution: Execution) -> ProtocolError:
        """Ends a guest that does not answer as belljar does. Returns what to raise."""
        message = text if text.startswith("the sandbox was ended") else f"the sandbox was ended: {text}"
        self._end(message)
        return ProtocolError(message, execution)

    def _end(self, cause: str) -> None:
        self._cause = self._cause or cause
        self.close()

    @property
    def files(self) -> SessionFiles:
        """The session's files, to read, write and delete."""
        return SessionFiles(self._scratch, self._watch.ledger, lambda entries: self._command(command("write", entries)))

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running code; the session stays. From any thread."""
        self._guest.interrupt()

    def kill(self) -> None:
        """Ends the guest at once. From any thread."""
        self._guest.kill()

    def close(self) -> None:
        """Ends the session; its files go with it."""
        self._guest.close()
        self._desk.close()

    def _scratch(self) -> int:
        if self._guest.is_closed:
            raise SessionEnded("the sandbox was closed, and its files went with it", self._last)
        if self._files:
            self._go(b"", make_job(stdin=self._stdin, files=self._files))
        return self._guest.scratch() if self._counted is not None else -1  # nothing has run: nothing is there

    def _check(self) -> None:
        if self._desk.is_answering:
            raise SandboxError("this sandbox waits for the host function that it has called, and runs no code meanwhile; use "
                               "another sandbox", "session", errno.EBUSY)  # fmt: skip
        if self._guest.is_closed:
            cause = f"the session is over: {self._cause}; make a new sandbox" if self._cause else "the sandbox was closed; make a new one"
            raise SessionEnded(cause, self._last)

    def _check_cause(self, error: SandboxError) -> None:
        """Raises SessionEnded if the guest is gone."""
        if error.code != errno.EPIPE:
            return
        last = self._last
        cause = f"its last code ended as {last.verdict}" if last is not None else "its supervisor has ended"
        if error.step == "session":
            cause = str(error)  # by what the code left behind: the limits hold then, too
        elif last is not None and last.error is not None:
            cause += f" ({last.error.name}: {last.error.value})"
        raise SessionEnded(f"the session is over: {cause}; make a new sandbox", last) from error

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._guest.is_closed else "open"
        return f"<Sandbox {state}, {self._template.policy!r}>"
