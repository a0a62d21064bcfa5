"""A run as a series of events: `Sandbox.stream` and its async twin."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from belljar._core import core
from belljar._execution import Execution, Result
from belljar._template import Job, make_job, source

if TYPE_CHECKING:
    from belljar.sandbox import Sandbox

__all__ = ["Event", "Output", "stream"]

INTERRUPT_SECONDS = 1.0
"""So long a run that nobody listens to any more may take to end after its interrupt."""


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a run's output, as it came: whole characters, not always whole lines."""

    stream: Literal["stdout", "stderr"]
    text: str


Event = Output | Result | Execution
"""What a streamed run gives: output as it comes, then results, at the end the execution."""


def streamed_job(
    sandbox: Sandbox, filename: str | None, timeout: float | None
) -> tuple[Job, deque[Output | Result]]:
    """The arguments of a run, and where its output arrives, and its results."""
    events: deque[Output | Result] = deque()
    job = make_job(stdin=sandbox._stdin, files=sandbox._files, filename=filename, timeout=timeout,
                   on_stdout=lambda text: events.append(Output("stdout", text)),
                   on_stderr=lambda text: events.append(Output("stderr", text)))  # fmt: skip
    return job, events


def _wait(guest: core.Guest, at_most_ms: int = -1) -> None:
    """Returns when the guest's run can go on."""
    fds, timeout_ms = guest.pollfds()
    if at_most_ms >= 0:
        timeout_ms = at_most_ms if timeout_ms < 0 else min(timeout_ms, at_most_ms)
    poll = select.poll()
    for fd, wanted in fds:
        poll.register(fd, wanted)
    poll.poll(timeout_ms)


def stream(sandbox: Sandbox, code: str | bytes, filename: str | None, timeout: float | None) -> Iterator[Event]:
    """Sandbox.stream."""
    sandbox._show_at_once()
    job, events = streamed_job(sandbox, filename, timeout)
    sandbox._begin(job, events.append)
    guest = sandbox._guest
    try:
        guest.start(source(code, job), **job)
        while (result := guest.step()) is None:
            yield from _drained(events)
            _wait(guest)
    except GeneratorExit:
        _stop(sandbox)
        raise
    except BaseException as error:
        sandbox._failed(error)
        raise
    execution = sandbox._ran(sandbox._done(result))
    yield from _drained(events)
    yield from execution.results[len(execution._shown) :]
    yield execution


def _drained(events: deque[Output | Result]) -> Iterator[Output | Result]:
    while events:
        yield events.popleft()


def _stop(sandbox: Sandbox) -> None:
    """Nobody listens any more: interrupts the code, ends the session if that does not help."""
    guest = sandbox._guest
    if guest.is_closed:
        return
    guest.interrupt()
    until = time.monotonic() + INTERRUPT_SECONDS
    while (result := guest.step()) is None:
        left_ms = round((until - time.monotonic()) * 1000)
        if left_ms <= 0:
            sandbox._end("its last run went on after it was interrupted")
            return
        _wait(guest, left_ms)
    sandbox._ran(sandbox._done(result))
