"""Whose turn it is in a session: one runs. Once there are contexts the others wait, each context's in the order in which they came, and
the contexts in turn, so that none waits for all that another has still to do."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

__all__ = ["Turns"]

_held: contextvars.ContextVar[tuple[_Turn, ...]] = contextvars.ContextVar("belljar_turns", default=())
"""The turns within which this code runs: whoever waits for one of them waits for itself."""


class _Turn:
    __slots__ = ("context", "is_over", "token", "wake")

    token: contextvars.Token[tuple[_Turn, ...]]  # once it is held
    wake: Callable[[], None]  # once it waits

    def __init__(self, context: str) -> None:
        self.context = context
        self.is_over = False


class Turns:
    """Those of one session."""

    def __init__(self) -> None:
        self.has_contexts = False
        self._lock = threading.Lock()
        self._now: _Turn | None = None
        self._queues: dict[str, deque[_Turn]] = {}

    def take(self, context: str) -> _Turn | None:
        """A turn, in a thread, which is to be given back. None, at once, for who would wait for itself, or where nobody waits as there
        are no contexts. No context manager: every run comes by here."""
        turn = _Turn(context)
        with self._lock:
            is_first = self._ask(turn)
            if is_first is None:
                return None
            if not is_first:
                waiting = threading.Lock()
                waiting.acquire()
                turn.wake = waiting.release
        try:
            if not is_first:
                waiting.acquire()
            _hold(turn)
        except BaseException:
            self._pass_on(turn)
            raise
        return turn

    def give_back(self, turn: _Turn) -> None:
        """What `take` gave."""
        try:
            _let_go(turn)
        finally:
            self._pass_on(turn)

    @contextlib.asynccontextmanager
    async def awaited(self, context: str) -> AsyncIterator[bool]:
        """A turn, on a loop."""
        future = asyncio.get_running_loop().create_future()
        turn = _Turn(context)
        turn.wake = lambda: None if future.done() else future.set_result(None)
        with self._lock:
            is_first = self._ask(turn)
        if is_first is None:
            yield False
            return
        try:
            if not is_first:
                await future
            _hold(turn)
            try:
                yield True
            finally:
                _let_go(turn)
        finally:
            self._pass_on(turn)

    def _ask(self, turn: _Turn) -> bool | None:
        """(locked) Whether it is its turn at once; None if it is not to wait."""
        if self._now is None:
            self._now = turn
            return True
        if not self.has_contexts or self._now in _held.get():
            return None
        self._queues.setdefault(turn.context, deque()).append(turn)
        return False

    def _pass_on(self, turn: _Turn) -> None:
        """A turn is over, or waits no longer."""
        with self._lock:
            turn.is_over = True
            if self._now is not turn:
                self._queues[turn.context].remove(turn)
                if not self._queues[turn.context]:
                    del self._queues[turn.context]
                return
            self._now = None
            if not self._queues:
                return
            context = next(iter(self._queues))
            queue = self._queues.pop(context)
            self._now = queue.popleft()
            if queue:
                self._queues[context] = queue  # behind the others
            self._now.wake()


def _hold(turn: _Turn) -> None:
    others = _held.get()
    turn.token = _held.set((*[other for other in others if not other.is_over], turn) if others else (turn,))


def _let_go(turn: _Turn) -> None:
    try:
        _held.reset(turn.token)
    except ValueError:
        pass  # a stream that another thread, or task, ends
