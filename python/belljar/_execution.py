"""What a run came to: `Execution` and its parts. The names follow E2B's code interpreter."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import json
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Final, Self

from belljar._core import core
from belljar.errors import SandboxError, guest_error
from belljar._instead import Face
from belljar._files import Files, Ledger, Watch, file_name, guest_path
from belljar._proxy import Refused

__all__ = ["Execution", "ExecutionError", "Logs", "Result", "Usage", "Violation"]


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """The exception that came out of the code, or where it was when it was stopped. All three are the guest's words."""

    name: str
    value: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Logs:
    """The output, as lists of lines."""

    stdout: list[str]
    stderr: list[str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost. `served` counts the system calls that the supervisor answered.

    `peak_bytes` is of the guest's process, as the kernel counts what is resident. Of a run with a guest of its own it is the
    highest that was reached in the guest's whole life; of a session's run, what it had as the run ended. Pages that guests share
    count in each of them (interpreter, preloaded modules, libraries), so the sum over guests is more than the machine gave."""

    wall_ms: float
    cpu_ms: float
    peak_bytes: int
    served: int


@dataclass(frozen=True, slots=True)
class Violation:
    """One refusal: the operation, on what, by which rule, and what would allow it."""

    op: str
    target: str
    rule: str
    hint: str


_FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
}
_MAIN = "application/vnd.belljar.main"  # belljar_guest/_results.py marks the last expression's value with it
_DATA = "application/vnd.belljar.data+json"
_BINARY = frozenset({"image/png", "image/jpeg", "application/pdf"})
_JSON = frozenset({"application/json", _DATA})

SHOWN_MAX: Final = 10_000
SHOWN_BYTES_MAX: Final = 256 << 20
JSON_BYTES_MAX: Final = 128 << 20
"""What all that one run displays may be here: how many, their memory, and how much of that the objects of parsed JSON."""
_RESULT_BYTES = 512  # an empty Result, and what goes with it
_FORM_BYTES = 128
_ITEM_BYTES = 80  # at most, of what one sign of JSON makes: [[],[],... has two for each list
_DIGITS_MAX = 4300  # of one number: longer ones take quadratic time where the program has lifted Python's own limit
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_BELOW_ASTRAL = bytes(range(0xF0))


@dataclass(slots=True, repr=False)
class Result:
    """Something shown: the value of the last expression (`is_main_result`), or what the code displayed.

    Images and PDF are base64 text."""

    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    svg: str | None = None
    png: str | None = None
    jpeg: str | None = None
    pdf: str | None = None
    latex: str | None = None
    json: Any = None
    javascript: str | None = None
    data: Any = None
    extra: dict[str, str] | None = None
    is_main_result: bool = False

    def __getitem__(self, form: str) -> Any:
        """A form by its name, or an extra one by its mime type. `KeyError` if there is none."""
        found = getattr(self, form) if form in (*_FIELDS.values(), "data") else (self.extra or {}).get(form)
        if found is None:
            raise KeyError(form)
        return found

    def formats(self) -> list[str]:
        """The names of the forms that it has."""
        return [name for name in (*_FIELDS.values(), "data") if getattr(self, name) is not None] + list(self.extra or ())

    def __repr__(self) -> str:
        forms = [name for name in (*_FIELDS.values(), "data", "extra") if getattr(self, name) is not None]
        parts = [f"{name}={_short(getattr(self, name))}" for name in forms]
        return f"Result({', '.join(parts)})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} characters)"


def _text_bytes(data: bytes) -> int:
    """What it takes as a str, at most: as wide as its widest character for each."""
    if data.isascii():
        return len(data)
    return len(data) * (4 if data.translate(None, _BELOW_ASTRAL) else 2)


def _json_bytes(data: bytes) -> int:
    """What its objects take, at most."""
    return _ITEM_BYTES * sum(map(data.count, (b",", b":", b"[", b"{")))


class Shows:
    """What is left of what one run may show. A guest chooses what it displays: it is counted before anything is made of it."""

    __slots__ = ("bytes", "count", "json_bytes")

    def __init__(self) -> None:
        self.count = SHOWN_MAX
        self.bytes = SHOWN_BYTES_MAX
        self.json_bytes = JSON_BYTES_MAX

    def admit(self, forms: Sequence[tuple[str, bytes]]) -> bool:
        """Whether these are still taken, as one result."""
        size = _RESULT_BYTES
        for mime, data in forms:
            size += _FORM_BYTES + 4 * len(mime) + (len(data) * 4 // 3 if mime in _BINARY else _text_bytes(data))
        if not self.count or size > self.bytes:
            return False
        self.count -= 1
        self.bytes -= size
        return True

    def admit_json(self, data: bytes) -> bool:
        """Whether it is parsed; else it stays text."""
        size = _json_bytes(data)
        if size > min(self.json_bytes, self.bytes) or b"0" * (_DIGITS_MAX + 1) in data.translate(_DIGITS):
            return False
        self.json_bytes -= size
        self.bytes -= size
        return True


def _show(result: Result, mime: str, data: bytes, shows: Shows) -> None:
    """Adds one form. What is not what it says stays text."""
    if mime in _BINARY:
        setattr(result, _FIELDS[mime], base64.b64encode(data).decode())
        return
    if mime == _MAIN:
        result.is_main_result = True
        return
    text = data.decode("utf-8", "replace")
    if mime in _JSON and shows.admit_json(data):
        try:
            setattr(result, "json" if mime == "application/json" else "data", json.loads(text))
            return
        except (ValueError, RecursionError):
            pass
    if mime in _FIELDS and mime not in _JSON:
        setattr(result, _FIELDS[mime], text)
    else:
        if result.extra is None:
            result.extra = {}
        result.extra[mime] = text


def make_result(forms: Sequence[tuple[str, bytes]], shows: Shows) -> Result | None:
    """One thing displayed, from (mime type, bytes). None if the run has shown too much already."""
    if not shows.admit(forms):
        return None
    result = Result()
    for mime, data in forms:
        _show(result, mime, data, shows)
    return result


class _Saved:
    """What core.Result knows, as plain data."""

    NAMES = ("verdict", "exit", "signal", "stdout", "stderr", "totals", "truncated", "error", "text", "value", "displays",
             "is_complete", "usage", "violations", "refused", "probes")  # fmt: skip

    def __init__(self, result: Any) -> None:
        for name in self.NAMES:
            setattr(self, name, getattr(result, name))
        self.is_complete = True  # nobody is left to ask for more


class _SavedFiles(Files):
    """Files that came along with an execution from another process."""

    __slots__ = ("_contents", "_missing")

    def __init__(self, contents: dict[str, bytes], missing: str) -> None:
        super().__init__(lambda: -1, Ledger(0))
        self._contents = contents
        self._missing = missing  # why they could not come along

    def _all(self) -> dict[str, bytes]:
        if self._missing:
            raise SandboxError(self._missing, "files")
        return self._contents

    def open(self, name: str | os.PathLike[str]) -> BinaryIO:
        return io.BytesIO(self[name])

    def __getitem__(self, name: str | os.PathLike[str]) -> bytes:
        return self._all()[file_name(name)]

    def __contains__(self, name: object) -> bool:
        try:
            return file_name(name) in self._all()  # type: ignore[arg-type]
        except (KeyError, TypeError):
            return False

    def list(self, folder: str | os.PathLike[str] = "/work") -> list[str]:
        top = guest_path(folder, is_folder=True) + "/"
        return sorted(name for name in self._all() if guest_path(name).startswith(top))

    def collect(self, pattern: str, folder: str | os.PathLike[str]) -> Collection[Path]:
        made: dict[Path, None] = {}
        for name in self._matching(pattern):
            target = Path(folder, name.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            with self.open(name) as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy)
            made[target] = None
        return tuple(made)


class Execution(Face):
    """What a run came to. A guest's failure is data: look at `verdict` and `error`.

    >>> ex = belljar.run("print('hello'); 6 * 7")
    >>> ex.stdout, ex.text, ex.value, ex.verdict
    ('hello\\n', '42', 42, 'ok')

    It is true if it is `ok`, and `raise_for_error()` raises what came out of the code.

    `usage` and `violations` are known when the guest has ended; reading them waits for that. Until then the
    execution holds the guest; `files` holds its scratch. Both go when the execution goes. Pickled, as for the way back from
    a process pool, it takes along all that it knows and the contents of its files.
    """

    _elsewhere = {
        "data": "execution.value", "exception": "execution.error", "exit_code": "execution.exit", "output": "execution.stdout",
        "result": "execution.value, or execution.results", "return_value": "execution.value", "returncode": "execution.exit",
        "success": "execution.ok", "is_error": "not execution.ok", "json": "execution.to_json()", "traceback": "execution.error.traceback",
    }  # fmt: skip
    __slots__ = ("__dict__", "__weakref__", "_guest", "_is_empty", "_is_session", "_lock", "_names", "_result",
                 "_saved", "_shown", "_shows", "_views", "_watching", "verdict")  # fmt: skip

    execution_count: int | None = None
    """Which of the session's runs of code it was, from 1; None outside of one."""
    verdict: str
    """How it ended: ok, error, timeout, cpu, memory, output, violation, crashed or infra_error."""

    def __init__(
        self, result: core.Result, guest: core.Guest | None, watch: Watch | int, is_session: bool = False,
        shown: Sequence[Result] = (), shows: Shows | None = None, views: Callable[..., object] | None = None,
    ) -> None:  # fmt: skip
        self._result = result
        self._guest = guest
        self._watching = watch  # or how many bytes its scratch may hold
        self._shown = shown  # results that came while it ran
        self._shows = shows  # what they have left of what a run may show
        self._views = views  # what numbers of host objects in its value stand for
        self._is_session = is_session  # others run in this guest after it
        self._names: frozenset[str] | None = None  # the files that it changed, once that is known
        self._is_empty = False  # it left no file
        self._saved: _SavedFiles | None = None  # that came along from another process
        self._lock = threading.Lock()
        self.verdict = result.verdict

    @property
    def ok(self) -> bool:
        """Whether it ran to its end: its verdict is "ok". An execution is true if it is."""
        return self.verdict == "ok"

    def __bool__(self) -> bool:
        return self.ok

    def raise_for_error(self) -> Self:
        """Itself if it is `ok`; else raises a `GuestError` for its error, which is the builtin exception too that it was there
        (`except ZeroDivisionError` works), or a `SandboxError` where belljar itself failed."""
        if self.ok:
            return self
        error = self.error
        if self.verdict == "infra_error":
            raise SandboxError(error.value if error is not None else "the run failed", "run")
        if error is None:
            raise guest_error("SystemExit", str(self.exit), "", self)
        raise guest_error(error.name, error.value, error.traceback, self)

    @property
    def exit(self) -> int:
        """The exit status as a shell would see it: the code's own, 124 time, 126 refused, 137 memory, 128+n a signal."""
        return self._result.exit

    @functools.cached_property
    def stdout(self) -> str:
        """What it printed. Over the limit it is cut in the middle, with a marker that has the true count."""
        return self._result.stdout.decode("utf-8", "replace")

    @functools.cached_property
    def stderr(self) -> str:
        """What it wrote to standard error, in the same way. The traceback is in `error`."""
        return self._result.stderr.decode("utf-8", "replace")

    @property
    def logs(self) -> Logs:
        """The output as lists of lines."""
        return Logs(self.stdout.splitlines(keepends=True), self.stderr.splitlines(keepends=True))

    @property
    def truncated(self) -> bool:
        """Whether output was cut."""
        return self._result.truncated

    @functools.cached_property
    def error(self) -> ExecutionError | None:
        """The exception that came out, or None."""
        error = self._result.error
        return ExecutionError(*error) if error is not None else None

    @functools.cached_property
    def text(self) -> str | None:
        """repr of the last expression's value; None if there is no such value."""
        return self._result.text

    @functools.cached_property
    def value(self) -> Any:
        """The last expression's value, by copy, with host objects as the `Readonly` that they are; None if there is none."""
        data = self._result.value
        if data is None:
            return None
        try:
            return core.decode_value(data, views=self._views)
        except (ValueError, Refused) as error:
            raise SandboxError(f"the guest's value cannot be read: {error}", "value") from None

    @functools.cached_property
    def results(self) -> list[Result]:
        """What was displayed, and the last expression's value as the main result.

        All of them together take at most 256 MiB; what comes after that is left out. JSON whose objects would take more than
        128 MiB stays text, in `extra`."""
        groups: dict[int, list[tuple[str, bytes]]] = {}
        for group, mime, data in self._result.displays:
            groups.setdefault(group, []).append((mime, data))
        shows = self._shows or Shows()
        results = (make_result(forms, shows) for forms in groups.values())
        return [*self._shown, *(result for result in results if result is not None)]

    @property
    def usage(self) -> Usage:
        """What it cost."""
        self._complete()
        return Usage(*self._result.usage)

    @functools.cached_property
    def violations(self) -> list[Violation]:
        """What was refused: the first hundred (`refused` has the number)."""
        self._complete()
        return [Violation(*violation) for violation in self._result.violations]

    @property
    def refused(self) -> int:
        """How many operations were refused."""
        self._complete()
        return self._result.refused

    @property
    def probes(self) -> int:
        """How often the program looked for something that the policy does not show, and was told that it is not there: a
        library's search for its files. No violations."""
        self._complete()
        return self._result.probes

    @property
    def files(self) -> Files:
        """The files that the run created or changed; not those handed in that it left as they were.

        In a session their contents are those of now: a later run may have changed or deleted them."""
        # Not kept here: it would keep the execution, and with it a guest, until the next collection of cycles.
        return self._saved if self._saved is not None else Files(self._scratch, self._watch.ledger, self._changed)

    @property
    def _watch(self) -> Watch:
        if isinstance(self._watching, int):
            self._watching = Watch(Ledger(self._watching))
        return self._watching

    def _changed(self) -> frozenset[str]:
        if self._names is None:
            self._complete()
        if self._names is None:
            names = self._watch.changed(self._scratch())
            if self._names is None:  # no other thread was faster
                self._names = names
        return self._names

    def _scratch(self) -> int:
        with self._lock:
            if self._is_empty:
                return -1
            if self._guest is None or self._guest.is_closed:
                raise SandboxError("the files are gone: their sandbox or template was closed", "files")
            return self._guest.scratch()

    def _complete(self) -> None:
        """Waits until usage and violations are known."""
        if not self._result.is_complete:
            with self._lock:
                if not self._result.is_complete and self._guest is not None:
                    self._guest.complete(self._result)
        if self._is_session and self._names is None and self._guest is not None and not self._guest.is_closed:
            # Now, before another run changes more. One that asked the supervisor for nothing has made no file.
            is_settled = self._result.usage[3] == 0 and self._watch.is_empty
            self._names = frozenset() if is_settled else self._watch.changed(self._guest.scratch())

    def _release(self, keeps_files: bool) -> None:
        """Lets go of a guest that served this run alone, after what it knows was fetched."""
        try:
            self._complete()
        except SandboxError:
            pass  # its template has died: usage stays what it is
        with self._lock:
            if self._guest is None or self._guest.is_closed:
                return
            self._is_empty = self._guest.scratch() < 0
            if self._is_empty or not keeps_files:
                self._guest.close()
                self._guest = None

    def __reduce__(self) -> tuple[Any, ...]:
        missing, contents = "", {}
        try:
            self._complete()
            contents = {name: self.files[name] for name in self._names_of_files()}
        except (SandboxError, KeyError, OSError, ValueError) as error:
            missing = f"the files did not come along when the execution was pickled: {error}"
        return _restored, (_Saved(self._result), contents, missing, list(self._shown), self.execution_count)

    def _names_of_files(self) -> Iterable[str]:
        return self._saved._all() if self._saved is not None else self._changed()

    def to_json(self) -> str:
        """All of it as one JSON object: `verdict`, `exit`, `text`, `results` (each form by its name), `stdout`, `stderr`, `logs`
        (both as lists of lines), `error`, `usage`, `violations`, `refused`, `probes` and `truncated`; `belljar run --json` prints the
        same keys. Waits until usage and violations are known."""
        error = self.error
        return json.dumps({
            "verdict": self.verdict,
            "exit": self.exit,
            "text": self.text,
            "results": [{name: form for name, form in dataclasses.asdict(result).items() if form is not None}
                        for result in self.results],
            "stdout": self.stdout,
            "stderr": self.stderr,
            "logs": dataclasses.asdict(self.logs),
            "error": dataclasses.asdict(error) if error is not None else None,
            "usage": dataclasses.asdict(self.usage),
            "violations": [dataclasses.asdict(violation) for violation in self.violations],
            "refused": self.refused,
            "probes": self.probes,
            "truncated": self.truncated,
        })  # fmt: skip

    def __repr__(self) -> str:
        parts = [repr(self.verdict)]
        if self.text is not None:
            parts.append(f"text={self.text!r:.200}")
        if self.stdout:
            parts.append(f"stdout={self.stdout!r:.200}")
        if self.error is not None:
            parts.append(f"error={self.error.name}: {self.error.value!r:.200}")
        return f"<Execution {', '.join(parts)}>"


def complete(execution: Execution) -> None:
    """Waits until usage and violations are known: the engine, before the guest runs something else."""
    execution._complete()


def settle(execution: Execution) -> None:
    """Before its guest is closed: usage and violations are there for who asks then."""
    with execution._lock:
        guest = execution._guest
        if guest is not None and not guest.is_closed and not execution._result.is_complete:
            try:
                guest.complete(execution._result)
            except SandboxError:
                pass  # its template has died: usage stays what it is


def release(execution: Execution, keeps_files: bool) -> None:
    """Lets go of the guest, and of its files too unless they are to be kept."""
    execution._release(keeps_files)


def unseen(execution: Execution) -> list[Result]:
    """The results that did not come while it ran."""
    return execution.results[len(execution._shown) :]


def value_bytes(execution: Execution) -> int:
    """How long its value is, as it came."""
    return len(execution._result.value or b"")


def _restored(result: Any, contents: dict[str, bytes], missing: str, shown: list[Result], count: int | None) -> Execution:
    """An execution that was pickled."""
    execution = Execution(result, None, Watch(Ledger(0)))
    execution._shown = shown
    execution.execution_count = count
    execution._saved = _SavedFiles(contents, missing)
    return execution


def observed(
    verdict: str, status: int, signal: int, stdout: bytes, stderr: bytes, error: tuple[str, str, str] | None, text: str | None,
    wall_ms: float, violations: list[tuple[str, str, str, str]], files: dict[str, bytes],
) -> Execution:  # fmt: skip
    """The execution of a program that ran in no guest (`audit_only`)."""
    result = SimpleNamespace(
        verdict=verdict, exit=status, signal=signal, stdout=stdout, stderr=stderr, totals=(len(stdout), len(stderr)), truncated=False,
        error=error, text=text, value=None, displays=[], is_complete=True, usage=(wall_ms, 0.0, 0, 0), violations=violations,
        refused=len(violations), probes=0,
    )  # fmt: skip
    return _restored(result, files, "", [], None)


def stream_callback(
    on_stdout: Callable[[str], object] | None, on_stderr: Callable[[str], object] | None
) -> Callable[[int, bytes], object] | None:
    """One callback for both streams that hands on whole characters."""
    if on_stdout is None and on_stderr is None:
        return None
    import codecs

    make = codecs.getincrementaldecoder("utf-8")
    streams = {1: (on_stdout, make("replace")), 2: (on_stderr, make("replace"))}

    def on_output(stream: int, data: bytes) -> None:
        callback, decoder = streams[stream]
        text = decoder.decode(data)
        if callback is not None and text:
            callback(text)

    return on_output
