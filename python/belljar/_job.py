"""The arguments of a run: what may be said in Python, checked and made plain for the core."""

from __future__ import annotations

import inspect
import io
import math
import os
import posixpath
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import IO, Any, TypedDict, cast

from belljar._core import core
from belljar._execution import Execution, Result, stream_callback, unseen
from belljar._files import files_below
from belljar._instead import wrong_type
from belljar._policy import Place

__all__ = ["ASKED", "CellKeywords", "CellOptions", "CodeKeywords", "CodeOptions", "Content", "HandedKeywords", "Job", "RunKeywords",
           "RunPlace", "Stdin", "Wish", "add_stdin", "answerer", "check_callbacks", "contents", "make_job", "modules",
           "prepare", "show_results", "source"]  # fmt: skip

Content = bytes | str | os.PathLike[str]
"""A file handed in: bytes, text, or the path of a file or a folder of the host that is copied."""

Line = str | bytes | None

Stdin = str | bytes | int | IO[Any] | Iterable[str | bytes] | Callable[[str], Line | Awaitable[Line]] | Callable[[], Line] | None
"""Standard input. Text or bytes; a descriptor or an open file that is read as it comes; lines, of which each is taken when the
program reads; a function that is called with the prompt when the program reads, and returns the line, or None for the end of
the input (`stdin=input` asks whoever sits there); or one without a parameter, which is called ahead of need and returns any
piece. None is empty: `input()` raises EOFError at once."""

ASKED = "<stdin>"
"""The host function that a guest calls for a line (belljar_guest/_settings.py)."""


class CellKeywords(TypedDict, total=False):
    """How a run goes; its events are taken one by one."""

    filename: str | None
    timeout: float | None


class CodeKeywords(CellKeywords, total=False):
    """How a run goes, and who gets what comes of it while it is on."""

    on_stdout: Callable[[str], object] | None
    on_stderr: Callable[[str], object] | None
    on_result: Callable[[Result], object] | None


class HandedKeywords(TypedDict, total=False):
    """What a guest begins with."""

    stdin: Stdin
    files: Mapping[str, Content] | None


class RunKeywords(CodeKeywords, HandedKeywords, total=False):
    """A program in a guest of its own."""

    argv: Iterable[str] | None


class CellOptions(CellKeywords, Place, total=False):
    """How a run goes, and what it finds around it."""


class CodeOptions(CodeKeywords, Place, total=False):
    """How a run goes, with callbacks, and what it finds around it."""


class RunPlace(RunKeywords, Place, total=False):
    """A program in a guest of its own, and what it finds around it."""


class Job(TypedDict, total=False):
    """The arguments of core.Guest.run."""

    filename: str | None
    argv: list[str] | None
    files: list[tuple[str, bytes]]
    last_value: bool
    session: bool
    wall_ms: int
    stdin_fd: int
    stdin_bytes: bytes
    on_output: Callable[[int, bytes], object] | None
    on_input: Callable[[], bytes | None]
    on_frame: Callable[[int, bytes], object] | None
    command: bool
    bytes: bool
    prepared: bool


class Wish(Job, total=False):
    """A job with what `prepare` puts into its code: settings for the guest, and who answers what it reads."""

    settings: dict[str, Any]
    ask: Callable[[str], Any]


def modules(preload: str | Iterable[str]) -> tuple[str, ...]:
    """preload= as a tuple: one name alone is fine."""
    if isinstance(preload, str):
        return (preload,)
    if not isinstance(preload, Iterable) or isinstance(preload, bytes):
        raise wrong_type("preload", "the name of a module, or a list of them,", preload)
    return tuple(preload)


def contents(files: Mapping[str, Content] | None) -> list[tuple[str, bytes]]:
    """files= with the contents read."""
    read: list[tuple[str, bytes]] = []
    if files is not None and not isinstance(files, Mapping):
        raise wrong_type("files", "a mapping of names to contents", files, 'write files={"data.csv": Path("data.csv")}')
    for name, content in (files or {}).items():
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        elif isinstance(content, os.PathLike) and os.path.isdir(content):
            for one, path in files_below(os.fspath(name), os.fspath(content)):
                with open(path, "rb") as file:
                    read.append((_handed_name(one), file.read()))
            continue
        elif isinstance(content, os.PathLike):
            with open(content, "rb") as file:
                content = file.read()
        elif not isinstance(content, bytes):
            if not isinstance(content, bytearray | memoryview):
                raise TypeError(f"files[{name!r}]: bytes, str or a path is expected, not {type(content).__name__}")
            content = bytes(content)
        read.append((_handed_name(name), content))
    _check_handed([name for name, _ in read])
    return read


def _handed_name(name: str | os.PathLike[str]) -> str:
    """A name in files=. `ValueError` if no file can have it; the guest says the rest."""
    text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(f"files: names are str, not {type(text).__name__}")
    if not text or text.endswith(("/", "/.", "/..")) or text in (".", "..") or "\0" in text:
        raise ValueError(f"files[{text!r}]: this is no name of a file; name one below /work, as in 'data/in.csv'")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"files[{text!r}]: the name is not UTF-8 ({error.reason}); rename it") from None
    return text


def _check_handed(names: list[str]) -> None:
    """`ValueError` if they cannot all be there."""
    paths = {posixpath.normpath(posixpath.join("/work", name)): name for name in names}
    if len(paths) < len(names):
        again = next(name for name in names if paths[posixpath.normpath(posixpath.join("/work", name))] != name)
        raise ValueError(f"files[{again!r}]: another name in files= is the same file; keep one of them")
    for path, name in paths.items():
        folder = posixpath.dirname(path)
        while folder != "/":
            if folder in paths:
                raise ValueError(f"files[{paths[folder]!r}]: it is the folder of {name!r} as well; rename one of them")
            folder = posixpath.dirname(folder)


def add_stdin(job: Wish, stdin: Stdin) -> None:
    """Adds where its standard input comes from."""
    if stdin is None:
        return
    if isinstance(stdin, str):
        job["stdin_bytes"] = stdin.encode("utf-8", "surrogateescape")
    elif isinstance(stdin, bytes):
        job["stdin_bytes"] = stdin
    elif isinstance(stdin, int) and not isinstance(stdin, bool):
        job["stdin_fd"] = stdin
    elif (number := _descriptor(stdin)) is not None:
        job["stdin_fd"] = number
    elif isinstance(stdin, Iterable):
        lines = iter(stdin)
        job["ask"] = lambda prompt: next(lines, None)
    elif callable(stdin) and _takes_prompt(stdin):
        job["ask"] = cast(Any, stdin)
    elif callable(stdin):
        ask: Callable[[], Line] = cast(Any, stdin)

        def on_input() -> bytes | None:
            more = ask()
            return more.encode("utf-8", "surrogateescape") if isinstance(more, str) else more

        job["on_input"] = on_input
    else:
        raise wrong_type("stdin", "text, bytes, an open file, lines or a function", stdin)


def _descriptor(stdin: object) -> int | None:
    """The number of an open file; None for what only looks like one (io.StringIO)."""
    try:
        return stdin.fileno()  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, io.UnsupportedOperation):
        return None


def _takes_prompt(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind("prompt")
        return True
    except (TypeError, ValueError):
        return False


def answerer(ask: Callable[[str], Any]) -> Callable[[str], Any]:
    """A function for the guest, that answers with the bytes of a line."""

    def answer(prompt: object) -> Any:
        try:
            found = ask(str(prompt))
        except EOFError:
            return b""
        return later(found) if inspect.isawaitable(found) else _line(found)

    async def later(found: Awaitable[object]) -> bytes:
        try:
            return _line(await found)
        except EOFError:
            return b""

    return answer


def _line(found: object) -> bytes:
    if found is None:
        return b""
    if isinstance(found, str):
        found = found.encode("utf-8", "surrogateescape")
    if not isinstance(found, bytes):
        raise wrong_type("stdin", "a function that returns text or None, or lines of text,", found)
    return found if found.endswith(b"\n") else found + b"\n"


def prepare(code: bytes, job: Wish, begin: Mapping[str, Any] | None = None) -> bytes:
    """The code with the settings of the run, and with those of the session (`begin`), as the guest takes them."""
    settings = job.pop("settings", {})
    if job.pop("ask", None) is not None:
        settings = {**settings, "asks": True}
    if begin:
        settings = {**settings, "session": dict(begin)}
    if not settings:
        return code
    job["prepared"] = True
    return core.encode_value([settings, bytes(code)], strict=True)


def _wall_ms(timeout: float) -> int:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise wrong_type("timeout", "a number of seconds (0 for no limit)", timeout)
    if not timeout >= 0:
        raise ValueError(f"timeout: seconds, or 0 for no limit, are expected, not {timeout!r}")
    return max(1, round(timeout * 1000)) if timeout and timeout != math.inf else -1


def check_callbacks(**callbacks: object) -> None:
    """`TypeError` for one that cannot be called."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise wrong_type(name, "a function", callback, f"write {name}=print, say")


def make_job(
    *,
    stdin: Stdin = None,
    files: list[tuple[str, bytes]] | None = None,
    filename: str | None = None,
    argv: Iterable[str] | None = None,
    timeout: float | None = None,
    on_stdout: Callable[[str], object] | None = None,
    on_stderr: Callable[[str], object] | None = None,
    on_result: Callable[[Result], object] | None = None,
    settings: dict[str, Any] | None = None,
) -> Wish:
    """The arguments that every kind of run shares, for the core. `on_result` is looked at, and called by who runs it."""
    job: Wish = {"last_value": True}
    if filename is not None:
        if not isinstance(filename, str):
            raise wrong_type("filename", "text, for tracebacks,", filename)
        job["filename"] = filename
    if argv is not None:
        if isinstance(argv, str | bytes) or not isinstance(argv, Iterable):
            raise wrong_type("argv", "a list of texts", argv, 'the first is the name of the program: argv=["prog", "--all"]')
        job["argv"] = list(argv)
    if files:
        job["files"] = files
    if timeout is not None:
        job["wall_ms"] = _wall_ms(timeout)
    if on_stdout is not None or on_stderr is not None or on_result is not None:
        check_callbacks(on_stdout=on_stdout, on_stderr=on_stderr, on_result=on_result)
        job["on_output"] = stream_callback(on_stdout, on_stderr)
    if settings:
        job["settings"] = settings
    add_stdin(job, stdin)
    return job


def source(code: str | bytes, job: Job | None = None) -> bytes:
    """Code for the guest, which is the one to say what is wrong with it. Bytes are read there as a file's are; `job` says so."""
    if isinstance(code, str):
        return code.encode("utf-8", "surrogatepass")
    if not isinstance(code, bytes | bytearray | memoryview):
        remedy = "functions are for Sandbox(...).call(function)" if callable(code) else ""
        raise wrong_type("code", "text, or bytes as a file has them,", code, remedy)
    if job is not None:
        job["bytes"] = True
    return bytes(code)


def show_results(execution: Execution, on_result: Callable[[Result], object] | None) -> None:
    """Calls on_result for each result that it has not seen yet."""
    if on_result is not None:
        for result in unseen(execution):
            on_result(result)
