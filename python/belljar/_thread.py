"""Waiting in the caller's thread: for the runs of an operation, for what a stream gives, for one's turn in a session."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from typing import Any, TypeVar

from belljar._core import core
from belljar._engine import Operation, Run, Session, Stream, in_context, waits_for
from belljar._streaming import Event
from belljar._instead import wrong_type
from belljar._language import Language, show_all
from belljar._session import Desk
from belljar._template import shared
from belljar.config import SandboxConfig

__all__ = ["alone", "drive", "events", "for_call", "fork", "turn"]

T = TypeVar("T")


def drive(operation: Operation[T]) -> T:
    """Does what an operation yields, one run after the other. Returns what it comes to."""
    result: Any = None
    try:
        while True:
            try:
                run = operation.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            result = _performed(run)
    finally:
        operation.close()


def _performed(run: Run) -> core.Result:
    guest, code, job, failed = run
    desk = getattr(job.get("on_frame"), "__self__", None)
    try:
        return _stepped(run, desk) if desk is not None and desk.functions else guest.run(code, **job)
    except BaseException as error:
        failed(error)
        raise


def _stepped(run: Run, desk: Desk) -> core.Result:
    """A run in which host functions may be at work in other threads."""
    guest, code, job, _ = run
    guest.start(code, **job)
    try:
        while (result := guest.step()) is None:
            desk.settle()
            _wait(guest, desk)
        return result
    finally:
        desk.end_run()


def _wait(guest: core.Guest, desk: Desk, at_most_ms: int = -1) -> None:
    """Returns when the guest's run can go on, or a host function has ended."""
    fds, timeout_ms = waits_for(guest, at_most_ms)
    poll = select.poll()
    for fd, wanted in fds:
        poll.register(fd, wanted)
    if desk.finished.fileno() >= 0:
        poll.register(desk.finished.fileno(), select.POLLIN)
    poll.poll(timeout_ms)


class turn:
    """One verb: in its context, and one at a time once there are several. A class, as nested generators took 4.3 us against 1.5."""

    __slots__ = ("_context", "_session", "_taken", "_token")

    def __init__(self, session: Session, context: str) -> None:
        self._session = session
        self._context = context

    def __enter__(self) -> None:
        session, context = self._session, self._context
        # A host function that asks from within a run would wait for itself.
        self._taken = None if session.desk.is_asking_here() else session.turns.take(context)
        self._token = in_context.set(context)

    def __exit__(self, *_: object) -> None:
        try:
            in_context.reset(self._token)
        except ValueError:
            pass  # a stream that another thread ends
        finally:
            if self._taken is not None:
                self._session.turns.give_back(self._taken)


def events(session: Session, context: str, begun: Operation[Stream]) -> Iterator[Event]:
    """What happens in a run, as it happens."""
    with turn(session, context):
        stream = drive(begun)
        try:
            for event in stream.steps():
                if event is None:
                    _wait(session.guest, session.desk)
                else:
                    yield event
        except GeneratorExit:
            for left_ms in stream.stopping():
                _wait(session.guest, session.desk, left_ms)
            raise
        except BaseException as error:
            session.failed(error)
            raise
        finally:
            session.desk.end_run()
    yield from stream.rest()


@contextlib.contextmanager
def for_call(session: Session) -> Iterator[Session]:
    """Where `call` and `execute` run: under a language policy in a guest of their own."""
    if session.language is None:
        yield session
        return
    with contextlib.closing(session.beside(session.pool.core.take())) as beside:
        yield beside


def fork(session: Session, n: object) -> list[Session]:
    """`n` branches of a session, or none."""
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


@contextlib.contextmanager
def alone(config: SandboxConfig) -> Iterator[Session]:
    """A session for one call, with a guest of its own and views that call methods: pysandbox's way."""
    pool = shared(config)
    session = Session(pool, pool.core.take(), Language(config, show_all))
    with contextlib.closing(session):
        yield session
