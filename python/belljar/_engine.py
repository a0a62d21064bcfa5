"""A session without waiting: what to send to its guest, and what an answer means.

Every verb is an operation: a generator that yields each `Run` and is sent what the guest made of it, until it returns what
the verb comes to. Who drives it does the waiting, and nothing else: `belljar._thread` in the caller's thread, `belljar._loop` on
an event loop. The language policy is a value here (`Session.language`), not a class."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import functools
import inspect
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from belljar import _defined, _language
from belljar._copying import copies
from belljar._core import core
from belljar._execution import Execution, Result, Usage, complete, settle, unseen
from belljar._files import Entry, Ledger, Watch
from belljar._host_functions import HostFunction, check_name
from belljar._instead import wrong_type
from belljar._job import CellOptions, CodeOptions, Job, Stdin, Wish, add_stdin, make_job, prepare, show_results, source
from belljar._language import Language, LanguageHandles
from belljar._policy import Place, place, place_of
from belljar._proxy import readonly
from belljar._saving import Saver, is_value, records
from belljar._session import Desk, Lending, Shown, command, encode
from belljar._shipping import check_version, pack
from belljar._streaming import INTERRUPT_SECONDS, Event, Output
from belljar._template import Pool
from belljar._turns import Turns
from belljar.errors import GuestError, ProtocolError, SandboxError, SessionEnded, guest_error

__all__ = ["Operation", "Run", "Session", "Stream", "check_context", "in_context", "run_once", "run_plain",
           "waits_for"]  # fmt: skip

T = TypeVar("T")


Run = tuple[core.Guest, bytes, Job, Callable[[BaseException], None]]
"""One thing for a guest to do: which, its bytes and arguments, and who is told of an exception that ended it here (and may raise a
better one)."""

Operation = Generator[Run, core.Result, T]
"""Yields runs, is sent their results, returns what it comes to. It is closed when a run fails."""


in_context: contextvars.ContextVar[str] = contextvars.ContextVar("belljar_context", default="")
"""The context of its session that an operation is for; the session's own names are ""."""


def _ignore(error: BaseException) -> None:
    """The exception itself is what there is to say."""


def run_once(
    pool: Pool, guest: core.Guest, code: bytes, job: Wish, on_result: Callable[[Result], object] | None,
    place: Mapping[str, Any] | None = None,
) -> Operation[Execution]:  # fmt: skip
    """One program in a guest of its own, which is ended unless somebody may want its files."""
    desk = Desk()
    try:
        if "ask" in job:
            desk.guest = guest
            desk.answers_input(job["ask"])
            job["on_frame"] = desk.on_frame
            desk.deadline = _deadline(pool, job)
        code = prepare(code, job, place)
        watch = Watch(Ledger(pool.scratch), job.get("files", ()))
        execution = Execution((yield guest, code, job, _ignore), guest, watch)
    except BaseException:
        guest.close()
        raise
    finally:
        desk.close()
    pool.hold(execution)
    show_results(execution, on_result)
    return execution


def run_plain(pool: Pool, code: str | bytes) -> Execution:
    """`run_once` where nothing but code is given, waited for here: nothing is made that such a run does not need. Where the host was
    busy with other things, each function of ours takes many times as long as in a loop, as it has to come into the caches."""
    job: Job = {}
    text = source(code, job)
    guest = pool.core.take()
    try:
        if job:
            job["last_value"] = True
        result = guest.run(text, **job) if job else guest.run_plain(text)
    except BaseException:
        guest.close()
        raise
    execution = Execution(result, guest, pool.scratch)
    pool.hold(execution)
    return execution


def check_context(name: object) -> str:
    """A context's name."""
    if not isinstance(name, str):
        raise wrong_type("context", "a name", name)
    if not name or len(name) > 256:
        raise ValueError(f"context: a name of 1 to 256 characters is expected, not {name!r:.100}")
    return name


def waits_for(guest: core.Guest, at_most_ms: int = -1) -> tuple[list[tuple[int, int]], int]:
    """(the descriptors and events that let a guest's run go on, in how many milliseconds it may go on at the latest or -1)."""
    fds, timeout_ms = guest.pollfds()
    if at_most_ms >= 0:
        timeout_ms = at_most_ms if timeout_ms < 0 else min(timeout_ms, at_most_ms)
    return fds, timeout_ms


def _deadline(pool: Pool, job: Job) -> float | None:
    """When a run that begins now will have been ended (time.monotonic)."""
    wall_ms = job.get("wall_ms") or pool.wall_ms
    return time.monotonic() + wall_ms / 1000 if wall_ms > 0 else None


class Session:
    """One guest that keeps its state, and all that this side knows of it."""

    def __init__(
        self,
        pool: Pool,
        guest: core.Guest,
        language: Language | None,
        files: list[tuple[str, bytes]] | None = None,
        stdin: Stdin = None,
        desk: Desk | None = None,
        place: Mapping[str, Any] | None = None,
    ) -> None:
        self.pool = pool
        self.guest = guest
        self.language = language
        self.desk = desk if desk is not None else Desk(LanguageHandles() if language is not None else None)
        self.desk.guest = guest
        self.watch = Watch(Ledger(pool.scratch), files or ())
        self._files = files or []  # what goes in with the first run
        self._stdin = stdin
        self._stdin_of_each = stdin  # of those that `beside` makes: a text from its beginning, a file where it stands
        self._place = place or place_of(pool.policy)
        self._runs = 0
        self._last: Execution | None = None
        self._counted: Execution | None = None  # the last run or command: its counts end where the next one's begin
        self._cause = ""  # why it is over
        self.is_frozen = False
        self.turns = Turns()
        self._shows = False  # displays come at once
        self._beside: set[Session] = set()  # those that `beside` made, as long as they run

    # ---- Code

    def run_code(self, code: str | bytes, **how: Unpack[CodeOptions]) -> Operation[Execution]:
        on_result = how.get("on_result")
        job = self._cell_job(how)
        text = source(code, job)
        if on_result is not None:
            yield from self._show_at_once()
        text = self._begin(text, self._with_input(job), on_result)
        execution = self.ran(self.done((yield self.guest, text, job, self.failed)))
        if on_result is not None:
            show_results(execution, on_result)
        return execution

    def _cell_job(self, how: Mapping[str, Any]) -> Wish:
        """A run's arguments. Its code has a name of its own unless the caller gives one, so that tracebacks show the lines of each."""
        if not how:
            return {"last_value": True, "filename": f"<cell {self._runs + 1}>"}
        around = {name: how[name] for name in how if name in Place.__annotations__}
        given: dict[str, Any] = {name: how[name] for name in how if name not in around}
        if given.get("filename") is None:
            given["filename"] = f"<cell {self._runs + 1}>"
        return make_job(**given, settings=place(**around))

    def stream(self, code: str | bytes, **how: Unpack[CellOptions]) -> Operation[Stream]:
        """A run, prepared, whose output and results are taken one by one."""
        events: deque[Output | Result] = deque()
        job = self._cell_job({**how, "on_stdout": lambda text: events.append(Output("stdout", text)),
                              "on_stderr": lambda text: events.append(Output("stderr", text))})  # fmt: skip
        text = source(code, job)
        yield from self._show_at_once()
        text = self._begin(text, self._with_input(job), events.append)
        return Stream(self, text, job, events)

    def call(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kw: dict[str, Any],
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        *,
        are_copies: bool = False,
    ) -> Operation[Any]:
        if not callable(func):
            remedy = "text is for execute(code) and run_code(code)" if isinstance(func, str) else ""
            raise wrong_type("call", "a function", func, remedy)
        job = self._command_job(on_stdout, on_stderr)
        check_version(self.pool.python)
        name = getattr(func, "__name__", type(func).__name__)
        given = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
        packed = self._pack([(str(name), func), ("keywords", list(kw)), *given, *kw.items()], are_copies)
        text = command("call", packed, handles=self.desk.handles)
        if self.language is not None:
            execution = yield from self._go(self.language.check_input(text), job)
            return self.language.answer(execution, 1)[0]
        execution = yield from self._command(text, job)
        return (yield from self._answer(execution, "call", 1))[0]

    def _pack(self, values: list[tuple[str, Any]], are_copies: bool = False) -> list[Any]:
        """Values for the guest, with code among them."""
        language = self.language
        return pack(self.desk.handles, values, python=self.pool.python, is_strict=language is not None, are_copies=are_copies,
                    show=(language.show if language is not None else None) or readonly)  # fmt: skip

    def execute(
        self,
        code: str | bytes,
        globals: dict[str, Any] | None,
        locals: dict[str, Any] | None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        argv: Sequence[str] | None = None,
    ) -> Operation[Execution]:
        for name, names in (("globals", globals), ("locals", locals)):
            if names is not None and not isinstance(names, dict):
                raise wrong_type(name, "a dict, which gets what the code made of it,", names)
        text, job = source(code), self._command_job(on_stdout, on_stderr)
        if argv is not None:
            job["argv"] = list(argv)
        if self.language is not None:
            text = _language.execute_text(self.desk.handles, self.pool.python, text, globals, locals, self.language.show)
            execution = yield from self._go(self.language.check_input(text), job)
            _language.take_changes(self.language.answer(execution, 2), globals, locals)
            return execution
        wrapped = [_language.wrap_names(self.desk.handles, self.pool.python, names, is_strict=False) for names in (globals, locals)]
        execution = yield from self._command(
            command("execute", text, *wrapped, "<code>", isinstance(code, str), handles=self.desk.handles), job
        )
        found = yield from self._answer(execution, "execute", 2)
        for mine, theirs in zip((globals, locals), found, strict=True):
            if mine is not None:
                if type(theirs) is not dict:
                    raise self._breach("it sent a malformed answer to 'execute': a namespace was expected", execution)
                mine.clear()
                mine.update(theirs)
        return execution

    def beside(self, guest: core.Guest) -> Session:
        """For one call or execute under a language policy: a session that lives as long as that."""
        made = Session(self.pool, guest, self.language, stdin=self._stdin_of_each, place=self._place)
        made._beside = self._beside
        self._beside.add(made)
        return made

    # ---- Variables

    def get(self, name: str) -> Operation[Any]:
        execution = yield from self._command(command("get", name))
        is_there, value = yield from self._answer(execution, "get", 2)
        if is_there is not True:
            raise KeyError(name)
        return value

    def set(self, name: str, value: object, copy: bool = False) -> Operation[None]:
        check_name(name)
        try:
            text = encode(["set", name, [0, value]], copy, self.desk.handles)
        except (TypeError, ValueError):
            text = encode(["set", name, self._pack([(name, value)])], copy, self.desk.handles)
        yield from self._command(text)

    def delete(self, name: str) -> Operation[None]:
        if not (yield from self.has(name)):
            raise KeyError(name)
        yield from self._command(command("delete", name))

    def has(self, name: object) -> Operation[bool]:
        if type(name) is not str:
            return False
        execution = yield from self._command(command("has", name))
        return (yield from self._answer(execution, "has", 1))[0] is True

    def names(self) -> Operation[list[str]]:
        execution = yield from self._command(command("names"))
        names = (yield from self._answer(execution, "names", 1))[0]
        if type(names) is not list or not all(type(name) is str for name in names):
            raise self._breach("it sent a malformed answer to 'names': a list of names was expected", execution)
        return names

    # ---- Host functions and files

    def expose(self, fn: Callable[..., Any], name: str | None, max_calls: int | None, timeout: float | None) -> Operation[None]:
        if not callable(fn):
            raise wrong_type("expose", "a function", fn)
        if max_calls is not None and (isinstance(max_calls, bool) or not isinstance(max_calls, int)):
            raise wrong_type("max_calls", "a number of calls", max_calls)
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise wrong_type("timeout", "a number of seconds", timeout)
        if name is None and type(getattr(fn, "__name__", None)) is not str:
            raise wrong_type("expose", "a function with a name", fn, "write expose(fn, name)")
        function = HostFunction(fn, check_name(name if name is not None else fn.__name__), max_calls, timeout)
        yield from self._command(command("expose", *function.describe(), inspect.iscoroutinefunction(fn)))
        self.desk.functions[function.name] = function

    def write(self, entries: list[Entry]) -> Operation[None]:
        """Writes files: as `belljar._files.writing` lists them."""
        yield from self._command(command("write", entries))

    def scratch(self) -> Operation[int]:
        """The descriptor (borrowed) of where its files lie, or -1: nothing has run, so nothing is there."""
        if self.guest.is_closed:
            raise SessionEnded("the sandbox was closed, and its files went with it", self._last)
        if self._files:
            yield from self._hand_in()
        return self.guest.scratch() if self._counted is not None else -1

    def branch(self) -> Operation[Session]:
        """A session that goes on from here, with a guest of its own."""
        self.check()
        if self._counted is None or self._files:
            yield from self._hand_in()
        assert self._counted is not None
        complete(self._counted)
        try:
            guest = self.guest.branch()
        except SandboxError as error:
            self._check_cause(error)
            raise
        twin = Session(self.pool, guest, self.language, desk=self.desk.copy(guest), place=self._place)
        twin._shows, twin._stdin_of_each, twin._runs = self._shows, self._stdin_of_each, self._runs
        try:
            for entries in copies(self.guest.scratch(), self.pool.scratch):
                yield from twin.write(entries)
        except BaseException:
            twin.close()
            raise
        return twin

    # ---- As a file

    def export(self, path: str | os.PathLike[str]) -> Operation[dict[str, str]]:
        """Writes the session's variables that are values, and its files. Returns what could not be kept, each with the reason."""
        lost: dict[str, str] = {}
        saver = Saver(path)
        try:
            # Values first: functions have them as defaults.
            for name in (yield from self.names()):
                try:
                    value = yield from self.get(name)
                    why = is_value(value)
                    if not why:
                        saver.add("variable", name, value)
                except (GuestError, TypeError, ValueError) as error:
                    if self.guest.is_closed:
                        raise
                    why = str(error)
                if why:
                    lost[name] = why
            for name, text in (yield from self._texts([*lost])).items():
                saver.add("code", name, text)
                del lost[name]
            scratch = yield from self.scratch()
            for entries in copies(scratch, self.pool.scratch):
                saver.add("write", entries)
            saver.finish()
        except BaseException:
            saver.drop()
            raise
        return lost

    def _texts(self, wanted: list[str]) -> Operation[dict[str, str]]:
        """Of these variables those that a text makes again, in the order in which that has to be done."""
        if self.language is not None or not wanted:
            return {}
        names = _language.wrap_names(self.desk.handles, self.pool.python, {"wanted": wanted}, is_strict=False)
        text = f"{inspect.getsource(_defined)}\nwanted = [again(wanted)]\nfor name in [*globals()]:\n    if name != 'wanted': del globals()[name]"
        try:
            execution = yield from self._command(command("execute", text.encode(), names, None, "<export>", True))
            (found,) = (yield from self._answer(execution, "execute", 2))[0]["wanted"]
            made = [(place, name, text) for name, (place, text) in found.items() if name in wanted and type(text) is str]
            return {name: text for _, name, text in sorted(made)}
        except (GuestError, LookupError, TypeError, ValueError, AttributeError):
            if self.guest.is_closed:
                raise
            return {}  # whatever it is that the session has made of these modules

    def load(self, path: str | os.PathLike[str]) -> Operation[dict[str, str]]:
        """Has what `export` has written. Returns what could not be made again, each with the reason."""
        lost: dict[str, str] = {}
        for number, record in enumerate(records(path)):
            if record[0] == "write":
                yield from self.write(record[1])
            elif record[0] == "variable":
                yield from self.set(record[1], record[2])
            elif record[0] == "code":
                if self.language is not None:
                    lost[record[1]] = "it is a text that a language policy does not run on its own"
                    continue
                text = command("execute", record[2].encode("utf-8", "surrogatepass"), None, None, f"<restored {number}>", True)
                try:
                    yield from self._command(text)
                except GuestError as error:
                    if error.execution is None or error.execution.verdict not in ("error", "violation"):
                        raise
                    lost[record[1]] = str(error)
        return lost

    # ---- What is sent

    def _with_input(self, job: Wish) -> Wish:
        """A run that takes along what was handed in: standard input, and files that no run has written yet."""
        if self._stdin is not None:
            add_stdin(job, self._stdin)
        if self._files:
            job["files"] = self._files
        return job

    def _command_job(self, on_stdout: Callable[[str], object] | None, on_stderr: Callable[[str], object] | None) -> Wish:
        """For a command that runs code, which may print, and read where the last one stopped."""
        job = make_job(on_stdout=on_stdout, on_stderr=on_stderr)
        del job["last_value"]
        job["command"] = True
        add_stdin(job, b"" if self._stdin is None else self._stdin)
        return job

    def _show_at_once(self) -> Operation[None]:
        """Results are wanted as they come, from now on."""
        if not self._shows:
            self._shows = True
            yield from self._command(command("show"))

    def _hand_in(self) -> Operation[Execution]:
        """Has the files written that no run has written yet."""
        return self._go(b"", self._with_input(make_job()))

    def _command(self, text: bytes, job: Wish | None = None) -> Operation[Execution]:
        """Has the guest do a command. `GuestError` if it failed there."""
        if self._files:
            yield from self._hand_in()
        execution = yield from self._go(text, {"command": True} if job is None else job)
        error = execution.error
        if error is not None:
            raise guest_error(error.name, error.value, error.traceback, execution)
        if execution.verdict != "ok":
            raise guest_error(execution.verdict, "", "", execution)
        return execution

    def _go(self, code: bytes, job: Wish, on_result: Callable[[Result], object] | None = None) -> Operation[Execution]:
        """Runs code or a command."""
        code = self._begin(code, job, on_result)
        if type(code) is Lending:
            try:
                code.lend(self.guest)
            except BaseException as error:
                self.failed(error)
                raise
        return self.done((yield self.guest, code, job, self.failed))

    def _begin(self, code: bytes, job: Wish, on_result: Callable[[Result], object] | None = None) -> bytes:
        """What comes before a run. Returns what the guest gets."""
        self.check()
        job["session"] = True
        job["on_frame"] = self.desk.on_frame
        if self._counted is not None:
            complete(self._counted)
        if "files" in job:
            self._files = []
        if "stdin_bytes" in job or "ask" in job:
            self._stdin = None  # it has them now, for as many runs as it takes to read them
        if self._stdin is None:
            job.setdefault("stdin_bytes", b"")  # nothing is to come: who reads finds the end at once
        if "ask" in job:
            self.desk.answers_input(job["ask"])
        if name := in_context.get():
            job["settings"] = {**job.get("settings", {}), "context": name}
        self.desk.shown = Shown(on_result)
        self.desk.deadline = _deadline(self.pool, job)
        text = prepare(code, job, self._place)
        return code.beside(text) if type(code) is Lending and text is not code else text

    # ---- What an answer means

    def done(self, result: core.Result) -> Execution:
        """What a run came to."""
        shown = self.desk.shown
        value = result.value  # the numbers in it are kept no longer than it is
        has_ours = value is not None and (b"dview" in value or b"fmethod" in value or b"frecord" in value)
        views = self.desk.handles.views() if has_ours else None  # those kinds are looked up among what the host has given
        execution = self._counted = Execution(result, self.guest, self.watch, True, shown.results, shown.shows, views)
        self.pool.hear_warm(execution)
        verdict = execution.verdict
        if verdict == "violation" and result.error is not None and result.error[0] == "ProtocolError":
            raise self._breach(result.error[1], execution)
        if result.is_complete or verdict not in ("ok", "error"):
            self._last = execution  # it may have been its last
        return execution

    def ran(self, execution: Execution) -> Execution:
        """A run of code, as against a command."""
        self._runs += 1
        execution.execution_count = self._runs
        self._last = execution
        return execution

    def failed(self, error: BaseException) -> None:
        """A run ended by an exception here. Raises a better one if there is one."""
        if isinstance(error, ProtocolError):
            self.end(str(error))
        elif isinstance(error, SandboxError):
            if error.step == "files":
                self.end("the files handed in could not be written")  # half of them are there
            self._check_cause(error)
        elif isinstance(error, asyncio.CancelledError):
            self.end("its last run was cancelled")
        else:
            self.end("a callback of its last run failed, or it was interrupted")  # the core has ended the guest

    def _answer(self, execution: Execution, name: str, length: int) -> Operation[list[Any]]:
        """The list that a command answers."""
        try:
            value = execution.value
        except SandboxError as error:
            raise self._breach(str(error), execution) from None
        if value is None:  # os._exit(0), or a thread's exit: then it answers nothing more
            probe: Job = {"command": True, "session": True, "wall_ms": 1000}
            yield self.guest, command("has", ""), probe, functools.partial(self._left, execution)
        if type(value) is not list or len(value) != length:
            raise self._breach(f"it sent a malformed answer to {name!r}", execution)
        return value

    def _left(self, execution: Execution, error: BaseException) -> None:
        """The guest has ended by itself."""
        if not isinstance(error, SandboxError):
            return self.failed(error)
        self.end("what it called ended the interpreter (os._exit)")
        raise guest_error("SystemExit", str(execution.exit), "", execution)

    def _breach(self, text: str, execution: Execution) -> ProtocolError:
        """Ends a guest that does not answer as belljar does. Returns what to raise."""
        message = text if text.startswith("the sandbox was ended") else f"the sandbox was ended: {text}"
        self.end(message)
        return ProtocolError(message, execution)

    def check(self) -> None:
        """`SandboxError` if it cannot run anything now."""
        if self.desk.is_answering:
            raise SandboxError("this sandbox waits for the host function that it has called, and runs no code meanwhile; use "
                               "another sandbox", "session", errno.EBUSY)  # fmt: skip
        if self.is_frozen and not self.guest.is_closed:
            raise SandboxError("this sandbox is frozen, and runs nothing; call thaw() first", "session", errno.EBUSY)
        if self.guest.is_closed:
            over = f"the session is over: {self._cause}; make a new sandbox"
            raise SessionEnded(over if self._cause else "the sandbox was closed; make a new one", self._last)

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

    # ---- Its end

    def interrupt(self) -> None:
        """KeyboardInterrupt in the code that runs: of the session, and of calls that have a guest of their own."""
        for session in (self, *self._beside):
            session.guest.interrupt()

    def freeze(self, is_on: bool) -> None:
        """Stops its guests where they are, or has them go on."""
        if self.guest.is_closed:
            raise SessionEnded("the sandbox was closed; make a new one", self._last)
        for session in (self, *self._beside):
            if session.is_frozen != is_on:
                session.guest.freeze(is_on)
                session.is_frozen = is_on
                session.desk.freeze(is_on)

    def usage(self) -> Usage:
        """What the run that is on has used, or what the last one had."""
        if self.guest.is_closed:
            raise SessionEnded("the sandbox was closed; make a new one", self._last)
        return Usage(*self.guest.usage())

    def kill(self) -> None:
        """Ends its guests at once."""
        for session in (self, *self._beside):
            session.guest.kill()

    def end(self, cause: str) -> None:
        """Ends the session, which says why from now on."""
        self._cause = self._cause or cause
        self.close()

    def close(self) -> None:
        """Ends the guest; its files go with it."""
        self._beside.discard(self)
        if self._counted is not None:
            settle(self._counted)
        self.guest.close()
        self.desk.close()


class Stream:
    """A run of a session whose events are taken one by one."""

    def __init__(self, session: Session, code: bytes, job: Job, events: deque[Output | Result]) -> None:
        self._session, self._code, self._job, self._events = session, code, job, events
        self._execution: Execution | None = None

    def steps(self) -> Iterator[Output | Result | None]:
        """What happens while the run is on; None: its guest is to be waited for."""
        session, guest = self._session, self._session.guest
        guest.start(self._code, **self._job)
        while (result := guest.step()) is None:
            while self._events:
                yield self._events.popleft()
            session.desk.settle()
            yield None
        self._execution = session.ran(session.done(result))

    def rest(self) -> Iterator[Event]:
        """What there is to tell of the run when it is over."""
        assert self._execution is not None
        yield from (*self._events, *unseen(self._execution), self._execution)

    def stopping(self) -> Iterator[int]:
        """Nobody listens any more: interrupts the code, ends the session if that does not help. Its guest is to be waited for, at most
        as many milliseconds as it yields."""
        session = self._session
        if session.guest.is_closed:
            return
        session.guest.interrupt()
        until = time.monotonic() + INTERRUPT_SECONDS
        while (result := session.guest.step()) is None:
            left_ms = round((until - time.monotonic()) * 1000)
            if left_ms <= 0:
                session.end("its last run went on after it was interrupted")
                return
            session.desk.settle()
            yield left_ms
        session.ran(session.done(result))
