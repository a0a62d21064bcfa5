"""A policy, an interpreter and preloaded modules, made ready once: fresh guests come from it by a fork."""

from __future__ import annotations

import atexit
import collections
import copy
import os
import posixpath
import select
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypedDict

from belljar._core import core
from belljar.config import SandboxConfig
from belljar.errors import SandboxError
from belljar._execution import Execution, Result, stream_callback
from belljar._files import Ledger, Watch
from belljar._interpreter import default_interpreter
from belljar._policy import Policy

if TYPE_CHECKING:
    from belljar.sandbox import Sandbox

__all__ = ["Content", "Job", "Stdin", "Template"]

Content = bytes | str | os.PathLike[str]
"""A file handed in: bytes, text, or the path of a file of the host that is copied."""

Stdin = str | bytes | int | IO[Any] | Callable[[], str | bytes | None] | None
"""Standard input: text or bytes, a descriptor or an open file that is read as it comes, or a callback that returns
more of it and None at the end. None is empty."""


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


def modules(preload: str | Iterable[str]) -> tuple[str, ...]:
    """preload= as a tuple: one name alone is fine."""
    return (preload,) if isinstance(preload, str) else tuple(preload)


def contents(files: Mapping[str, Content] | None) -> list[tuple[str, bytes]]:
    """files= with the contents read."""
    read: list[tuple[str, bytes]] = []
    for name, content in (files or {}).items():
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
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


def _add_stdin(job: Job, stdin: Stdin) -> None:
    if stdin is None:
        return
    if isinstance(stdin, str):
        job["stdin_bytes"] = stdin.encode("utf-8", "surrogateescape")
    elif isinstance(stdin, bytes):
        job["stdin_bytes"] = stdin
    elif isinstance(stdin, int) and not isinstance(stdin, bool):
        job["stdin_fd"] = stdin
    elif hasattr(stdin, "fileno"):
        job["stdin_fd"] = stdin.fileno()
    elif callable(stdin):
        ask = stdin

        def on_input() -> bytes | None:
            more = ask()
            return more.encode("utf-8", "surrogateescape") if isinstance(more, str) else more

        job["on_input"] = on_input
    else:
        raise TypeError(f"stdin: text, bytes, an open file or a callback is expected, not {type(stdin).__name__}")


def make_job(
    *,
    stdin: Stdin = None,
    files: list[tuple[str, bytes]] | None = None,
    filename: str | None = None,
    argv: Iterable[str] | None = None,
    timeout: float | None = None,
    on_stdout: Callable[[str], object] | None = None,
    on_stderr: Callable[[str], object] | None = None,
) -> Job:
    """The arguments that every kind of run shares, for the core."""
    job: Job = {"last_value": True}
    if filename is not None:
        job["filename"] = filename
    if argv is not None:
        job["argv"] = list(argv)
    if files:
        job["files"] = files
    if timeout is not None:
        if not timeout >= 0:
            raise ValueError(f"timeout: seconds, or 0 for no limit, are expected, not {timeout!r}")
        job["wall_ms"] = max(1, round(timeout * 1000)) if timeout else -1
    if on_stdout is not None or on_stderr is not None:
        job["on_output"] = stream_callback(on_stdout, on_stderr)
    _add_stdin(job, stdin)
    return job


def source(code: str | bytes, job: Job | None = None) -> bytes:
    """Code for the guest, which is the one to say what is wrong with it. Bytes are read there as a file's are; `job` says so."""
    if isinstance(code, str):
        return code.encode("utf-8", "surrogatepass")
    if job is not None:
        job["bytes"] = True
    return bytes(code)


def show_results(execution: Execution, on_result: Callable[[Result], object] | None) -> None:
    """Calls on_result for each result that it has not seen yet."""
    if on_result is not None:
        for result in execution.results[len(execution._shown) :]:
            on_result(result)


class Template:
    """Policy, interpreter and preloaded modules, made ready once. Each run gets a fresh guest, forked ahead of time.

    >>> with Template(Policy(timeout=5), preload=["numpy"]) as template:
    ...     template.run("import numpy; int(numpy.arange(10).sum())").value
    45

    `parked` guests are kept ready (1 if it is not said). Guests of one template share what the preloaded modules
    computed, their hash secret and their addresses, so a template is for one owner. Threads may share it.
    """

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        python: str | os.PathLike[str] | None = None,
        parked: int = 0,
        on_operation: Callable[[int, str, str, str, str], object] | None = None,
    ) -> None:
        self.policy = as_policy(policy)
        self.preload = modules(preload)
        self._key = template_key(self.policy, self.preload, python)
        prepared = self.policy._for_template(self.preload, self._key[2])
        self._core = core.Template(prepared, parked, on_operation)
        # Runs whose guest is still held. Few are kept: a caller who keeps thousands of executions keeps no processes.
        self._held: collections.deque[weakref.ref[Execution]] = collections.deque()
        self._is_retired = False

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
    ) -> Execution:
        """Runs code in a fresh guest and returns what it came to.

        `files` are written below /work first. `timeout` replaces the policy's for this run (0: no limit). The
        callbacks get output as it comes; an exception in one ends the run and comes out here."""
        job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                       on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
        return self._run(self._core.take(), code, job, on_result)

    def _run(
        self, guest: core.Guest, code: str | bytes, job: Job, on_result: Callable[[Result], object] | None
    ) -> Execution:
        try:
            watch = Watch(Ledger(self.policy.options["scratch"]), job.get("files", ()))
            execution = Execution(guest.run(source(code, job), **job), guest, watch)
        except BaseException:
            guest.close()
            raise
        self._hold(execution)
        show_results(execution, on_result)
        return execution

    def sandbox(
        self, *, files: Mapping[str, Content] | None = None, stdin: Stdin = None
    ) -> Sandbox:
        """A session in a fresh guest of this template."""
        from belljar.sandbox import Sandbox

        return Sandbox(template=self, files=files, stdin=stdin)

    @property
    def python(self) -> tuple[int, int, int]:
        """The version of its interpreter."""
        version = self._core.python
        return version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF

    @property
    def layers(self) -> dict[str, str]:
        """The layers of the lockdown that are in force: "on", or "off" or "waived" with the reason."""
        return {name: state if not reason else f"{state}: {reason}" for name, state, reason in self._core.layers()}

    def close(self) -> None:
        """Ends its processes. Executions stay readable, but not their files; open sandboxes keep it until they close."""
        for reference in self._held:
            if (execution := reference()) is not None:
                execution._release(keeps_files=False)
        self._held.clear()
        self._core.close()

    def _retire(self) -> None:
        """No cache knows it any more. Its processes end when nobody has anything of it: a run or a session that is on, a
        result whose files can be read."""
        self._is_retired = True
        self._let_go(0)

    def _has_died(self) -> bool:
        """Whether its supervisor is gone: killed from outside, or for want of memory."""
        poll = select.poll()
        poll.register(self._core.fileno(), 0)
        return bool(poll.poll(0))

    def _hold(self, execution: Execution) -> None:
        self._held.append(weakref.ref(execution))
        self._let_go(0 if self._is_retired else _HELD_MAX)

    def _let_go(self, most: int) -> None:
        """Ends the oldest guests whose runs are over, but not their files."""
        while len(self._held) > most:
            try:
                oldest = self._held.popleft()()
            except IndexError:  # another thread was faster
                break
            if oldest is not None:
                oldest._release(keeps_files=True)

    def __enter__(self) -> Template:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Template {self.policy!r}, preload={list(self.preload)!r}>"


_HELD_MAX = 16
_CACHE_MAX = 8

_Key = tuple[Policy, tuple[str, ...], str | None]


def as_policy(policy: Policy | SandboxConfig | None) -> Policy:
    """The policy that is meant. `TypeError` for what is none."""
    if isinstance(policy, Policy):
        return policy
    if policy is None:
        return Policy()
    if isinstance(policy, SandboxConfig):
        return Policy(**policy.to_policy())
    raise TypeError(f"policy: a belljar.Policy or a belljar.SandboxConfig is expected, not {type(policy).__name__}")


def template_key(policy: Policy, preload: tuple[str, ...], python: str | os.PathLike[str] | None) -> _Key:
    """What makes two templates the same."""
    if python is None:
        return policy, preload, None if "python" in policy._given else default_interpreter()
    return policy, preload, os.fsdecode(python)


class _Start:
    """A template that one thread starts and others wait for."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.template: Template | None = None
        self.error: SandboxError | None = None


class _Cache:
    """The templates of belljar.run and Sandbox: the last few stay ready. A forked child starts with none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.templates: collections.OrderedDict[_Key, Template] = collections.OrderedDict()
        self.starts: dict[_Key, _Start] = {}

    def find(self, key: _Key) -> Template | None:
        """The template that is ready for this key."""
        with self.lock:
            template = self.templates.get(key)
            if template is not None and not template._has_died():
                self.templates.move_to_end(key)
                return template
        if template is not None:
            self.drop(template)
        return None

    def get(
        self, policy: Policy | SandboxConfig | None, preload: str | Iterable[str], python: str | os.PathLike[str] | None
    ) -> Template:
        """The template for these, started if it has to be. Threads that want the same one start it once."""
        key = template_key(as_policy(policy), modules(preload), python)
        while True:
            template = self.find(key)
            if template is not None:
                return template
            with self.lock:
                if key in self.templates:
                    continue  # another thread was faster
                start = self.starts.get(key)
                if start is None:
                    mine = self.starts[key] = _Start()
                    break
            start.is_over.wait()
            if start.template is not None:
                return start.template
            if start.error is not None:
                raise copy.copy(start.error)
        return self._start(key, mine)

    def _start(self, key: _Key, start: _Start) -> Template:
        surplus = []
        try:
            made = Template(key[0], preload=key[1], python=key[2])  # slow: without the lock
            with self.lock:
                start.template = self.templates[key] = made
                while len(self.templates) > _CACHE_MAX:
                    surplus.append(self.templates.popitem(last=False)[1])
        except SandboxError as error:
            start.error = error
            raise
        finally:
            with self.lock:
                del self.starts[key]
            start.is_over.set()
        for other in surplus:
            other._retire()
        return made

    def drop(self, template: Template) -> None:
        """Forgets one that has died."""
        with self.lock:
            if self.templates.get(template._key) is template:
                del self.templates[template._key]
        template._retire()

    def close(self) -> None:
        """Ends all of them."""
        with self.lock:
            templates = list(self.templates.values())
            self.templates.clear()
        for template in templates:
            template.close()


_cache = _Cache()


def ready(key: _Key) -> Template | None:
    """The process-wide template for a key, if it has been started."""
    return _cache.find(key)


def shared(
    policy: Policy | SandboxConfig | None = None,
    preload: str | Iterable[str] = (),
    python: str | os.PathLike[str] | None = None,
) -> Template:
    """The process-wide template for these."""
    return _cache.get(policy, preload, python)


def _after_fork() -> None:
    # The parent's templates are of no use here, and the lock may have been held by a thread that is not here.
    global _cache
    _cache = _Cache()


atexit.register(lambda: _cache.close())
os.register_at_fork(after_in_child=_after_fork)
