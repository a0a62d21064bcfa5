"""Threads in which host functions run side by side, and how the thread that runs the code hears of them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

__all__ = ["Finished"]

WORKERS: Final = 64
"""Host functions at work at a time, of all sandboxes of the process; more wait, in the order in which they were asked."""

_pool: ThreadPoolExecutor | None = None


class Finished:
    """What workers have done and the thread that runs the code has not seen yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: deque[tuple[Any, ...]] = deque()
        self._fd = self._writer = -1

    def fileno(self) -> int:
        """Readable when there is something; -1 while nobody works."""
        return self._fd

    def begin(self, work: Callable[[], tuple[Any, ...]]) -> None:
        """Has it done by a worker."""
        global _pool
        if self._fd < 0:
            made = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._fd, self._writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in made)  # clear of closed standard streams
            for fd in made:
                os.close(fd)
        if _pool is None:
            _pool = ThreadPoolExecutor(WORKERS, "belljar-host-function")
        _pool.submit(self._work, work)

    def _work(self, work: Callable[[], tuple[Any, ...]]) -> None:
        self._done.append(work())
        with self._lock:
            if self._writer >= 0:  # else nobody wants it any more
                try:
                    os.write(self._writer, b"1")
                except BlockingIOError:
                    pass  # it has been told often enough

    def take(self) -> list[tuple[Any, ...]]:
        """All that is done."""
        if self._fd < 0:
            return []
        try:
            os.read(self._fd, 4096)
        except BlockingIOError:
            return []
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found

    def close(self) -> None:
        """Nobody looks any more."""
        with self._lock:
            for fd in (self._fd, self._writer):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._writer = -1


def _after_fork() -> None:
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_after_fork)
