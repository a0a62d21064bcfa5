"""The same for event loops: nothing here blocks one for longer than a fork takes."""

from __future__ import annotations

import asyncio
import os
import select
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from belljar import template as templates
from belljar._core import core
from belljar.execution import Execution, Result
from belljar.files import Watch
from belljar.policy import Policy
from belljar.template import Content, Stdin, Template, contents, make_job, modules, show_results, source, template_key

__all__ = ["arun"]

_TAKE_AGAIN_MS = 5
"""A guest may have been announced to another waiter of the template: look again after that time."""


class _Waiter:
    """Waits on a changing set of descriptors through one epoll descriptor, which any kind of loop can watch.

    Two waiters may watch the same descriptor that way, which loop.add_reader does not allow."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.epoll = select.epoll()
        self.watched: dict[int, int] = {}
        self.event = asyncio.Event()
        self.loop.add_reader(self.epoll.fileno(), self.event.set)

    def update(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Watches these (descriptor, poll events) from now on."""
        now = dict(wanted)
        for fd in self.watched.keys() - now.keys():
            try:
                self.epoll.unregister(fd)
            except OSError:
                pass  # closed in the meantime
        for fd, events in now.items():
            if fd not in self.watched:
                try:
                    self.epoll.register(fd, events)
                except FileExistsError:
                    self.epoll.modify(fd, events)
                except PermissionError:
                    self.event.set()  # a regular file as stdin: always ready
            elif self.watched[fd] != events:
                self.epoll.modify(fd, events)
        self.watched = now

    async def wait(self, timeout_ms: int) -> None:
        """Returns when a descriptor is ready or the time is over."""
        handle = self.loop.call_later(timeout_ms / 1000, self.event.set) if timeout_ms >= 0 else None
        try:
            await self.event.wait()
        finally:
            self.event.clear()
            if handle is not None:
                handle.cancel()

    def __enter__(self) -> _Waiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.loop.remove_reader(self.epoll.fileno())
        self.epoll.close()


class _Line:
    """Those of one loop who wait for a guest of one template, in a queue: the first watches its descriptor.

    (All of them cannot: a descriptor may be in 500 nested epoll sets at most.)"""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.first = asyncio.Lock()


_lines: weakref.WeakKeyDictionary[Template, _Line] = weakref.WeakKeyDictionary()


async def _take(template: Template) -> core.Guest:
    line = _lines.get(template)
    if line is None or line.loop is not asyncio.get_running_loop():
        line = _lines[template] = _Line()
    async with line.first:
        guest = template._core.try_take()
        if guest is not None:
            return guest
        with _Waiter() as waiter:
            waiter.update([(template._core.fileno(), select.POLLIN)])
            while guest is None:
                await waiter.wait(_TAKE_AGAIN_MS)
                guest = template._core.try_take()
        return guest


async def _finish(guest: core.Guest, waiter: _Waiter) -> core.Result:
    while True:
        result = guest.step()
        if result is not None:
            return result
        fds, timeout_ms = guest.pollfds()
        waiter.update(fds)
        await waiter.wait(timeout_ms)


async def arun(
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
    """`run` for event loops: `execution = await belljar.arun("print(6 * 7)")`. Cancelling the task kills the guest.

    The callbacks are called in the loop's thread."""
    key = template_key(policy if policy is not None else Policy(), modules(preload), python)
    template = templates.ready(key)
    if template is None:
        template = await asyncio.get_running_loop().run_in_executor(None, templates.shared, key[0], key[1], key[2])
    job = make_job(stdin=stdin, files=contents(files), filename=filename, argv=argv, timeout=timeout,
                   on_stdout=on_stdout, on_stderr=on_stderr)  # fmt: skip
    guest = await _take(template)
    with _Waiter() as waiter:
        try:
            guest.start(source(code), **job)
            execution = Execution(await _finish(guest, waiter), guest, Watch(job.get("files", ())))
        except BaseException:
            guest.close()
            raise
    template._hold(execution)
    show_results(execution, on_result)
    return execution
