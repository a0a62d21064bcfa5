"""Running code: `run` for one program in a fresh guest, `Sandbox` for a session that keeps its state."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from belljar import template as templates
from belljar.errors import SandboxError, SessionEnded
from belljar.execution import Execution, Result
from belljar.files import Files
from belljar.policy import Policy
from belljar.template import Content, Stdin, Template, contents, make_job, show_results, source

__all__ = ["Sandbox", "run"]


def run(
    code: str | bytes,
    policy: Policy | None = None,
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
) -> Execution:
    """Runs code in a fresh guest and returns what it came to.

    >>> belljar.run("print(6 * 7)").stdout
    '42\\n'

    The first call with a policy starts its template; later ones take a guest that is ready. See `Template.run` for the
    arguments."""
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
    template = templates.shared(policy, preload, python)
    return template._run(template._core.take(), code, job, on_result)


class Sandbox:
    """A session: one guest that keeps its namespace and its files from one `run_code` to the next.

    >>> with Sandbox(Policy(timeout=10), files={"data.txt": "1 2 3"}) as sandbox:
    ...     _ = sandbox.run_code("numbers = [int(n) for n in open('data.txt').read().split()]")
    ...     sandbox.run_code("sum(numbers)").value
    6

    `files` are written below /work, where the guest starts. `stdin` is what the session's standard input holds. A
    session whose code ran into a limit or crashed is over; the next call says so. One thread at a time runs code;
    `interrupt` and `kill` may come from any.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        preload: str | Iterable[str] = (),
        files: Mapping[str, Content] | None = None,
        python: str | os.PathLike[str] | None = None,
        stdin: Stdin = None,
        template: Template | None = None,
    ) -> None:
        if template is not None and (policy is not None or preload or python is not None):
            raise SandboxError("template= comes with its policy, preload and python: give either it or them")
        self._files = contents(files)
        self._stdin = stdin
        self._last: Execution | None = None
        self._template = template if template is not None else templates.shared(policy, preload, python)
        self._guest = self._template._core.take()

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
        self._check()
        job = make_job(stdin=self._stdin, files=self._files, filename=filename, timeout=timeout,
                       on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
        job["session"] = True
        if self._last is not None:
            self._last._complete()  # its counts end where the next run's begin
        try:
            result = self._guest.run(source(code), **job)
        except SandboxError as error:
            self._check_cause(error)
            raise
        except BaseException:
            self.close()  # a callback failed, or Ctrl-C: the core has ended the guest
            raise
        self._files, self._stdin = [], None
        self._last = Execution(result, self._guest)
        show_results(self._last, on_result)
        return self._last

    @property
    def files(self) -> Files:
        """The session's files."""
        return Files(self._scratch)

    def interrupt(self) -> None:
        """KeyboardInterrupt in the running code; the session stays. From any thread."""
        self._guest.interrupt()

    def kill(self) -> None:
        """Ends the guest at once. From any thread."""
        self._guest.kill()

    def close(self) -> None:
        """Ends the session; its files go with it."""
        self._guest.close()

    def _scratch(self) -> int:
        if self._guest.is_closed:
            raise SessionEnded("the sandbox was closed, and its files went with it", self._last)
        return self._guest.scratch()

    def _check(self) -> None:
        if self._guest.is_closed:
            raise SessionEnded("the sandbox was closed; make a new one", self._last)

    def _check_cause(self, error: SandboxError) -> None:
        """Raises SessionEnded if the guest is gone."""
        if error.code != errno.EPIPE:
            return
        last = self._last
        cause = f"its last code ended as {last.verdict}" if last is not None else "its supervisor has ended"
        if last is not None and last.error is not None:
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
