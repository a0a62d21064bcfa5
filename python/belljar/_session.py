"""The host's end of a session's value channel: answers what the guest asks while code runs, and makes commands.

Everything that comes from the guest is hostile: exact types, limits before room is made, and whatever does not
belong there ends that sandbox with one `ProtocolError`.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import struct
import time
import types
from collections.abc import Callable, Coroutine
from typing import Any, Final

from belljar._core import core

from belljar._shared.frames import (
    CALL_BESIDE as CALL_BESIDE, CALL_DISPLAY as CALL_DISPLAY, CALL_FUNCTION as CALL_FUNCTION, CALL_OPERATION as CALL_OPERATION,
    FRAME_REPLY as FRAME_REPLY, REPLY_EXCEPTION as REPLY_EXCEPTION, REPLY_VALUE as REPLY_VALUE,
)  # fmt: skip
from belljar._shared.questions import BYTES_MAX as BYTES_MAX, ELEMENTS_MAX as ELEMENTS_MAX
from belljar.errors import ProtocolError
from belljar._execution import Result, Shows, make_result
from belljar._job import ASKED, answerer
from belljar._host_functions import HostFunction, check_arguments, describe_error, run_coroutine
from belljar._proxy import Handles, Refused
from belljar._workers import Finished

__all__ = ["Desk", "Lending", "command", "encode"]

DEPTH_MAX: Final = 32
"""How deep calls may nest: a host function that runs code in a sandbox whose code calls a host function, and so on."""
MEMORY_MAX: Final = 64 * ELEMENTS_MAX + 4 * BYTES_MAX
"""What it is as objects, at most (values/value.h)."""

OUTSTANDING_MAX: Final = 64
"""Calls of one guest that coroutines are at work on. More are refused."""

OUTSTANDING_BYTES_MAX: Final = 2 * MEMORY_MAX
"""What the guest sent with those calls, as objects."""

FORMS_MAX: Final = 64
"""Forms of one result that is displayed while a run is on."""

_LATE: Final = 0.05
"""Seconds after the time limit by which the guest has been ended."""

_HEAD = struct.Struct("<III")
_depth: contextvars.ContextVar[int] = contextvars.ContextVar("belljar_depth", default=0)


LEND_LEAST: Final = 256 << 10
"""Bytes of an array from which on it goes by shared memory: below, copying is no slower."""


LEND_MOST: Final = 1000
"""At most this many arrays of one value go by shared memory, the largest: each is a descriptor on its way."""


class Lending(bytes):
    """Values as bytes, and the memory of the arrays in them, which goes to the guest beside them."""

    memory: list[tuple[core.Memory, int, int]]
    copy: bool

    def lend(self, guest: core.Guest) -> None:
        """Before the bytes are sent."""
        guest.lend(self.memory, self.copy)

    def beside(self, data: bytes) -> Lending:
        """Other bytes, beside which the same memory goes."""
        other = Lending(data)
        other.memory, other.copy = self.memory, self.copy
        return other


def encode(value: object, copy: bool = False, handles: Handles | None = None) -> bytes:
    """A value as bytes for the guest; `Lending` where it has large arrays. `TypeError` for what cannot cross.

    Fields of dataclasses and named tuples whose names begin with an underscore stay here. `copy`: what is lent is copied
    there, for the guest to write to. `handles`: of the guest, which remember what is sent as a record."""
    buffers: list[object] = []
    records: list[object] = []
    data = core.encode_value(value, strict=True, only_public=True, buffers=buffers, records=records, buffer_least=LEND_LEAST)
    if handles is not None and records:
        handles.given.remember(records)
    least = LEND_LEAST
    while len(buffers) > LEND_MOST:
        buffers = []
        least *= 4
        data = core.encode_value(value, strict=True, only_public=True, buffers=buffers, buffer_least=least)
    if not buffers:
        return data
    lending = Lending(data)
    lending.memory = [core.lend(buffer) for buffer in buffers]
    lending.copy = copy
    return lending


def command(name: str, *arguments: object, handles: Handles | None = None) -> bytes:
    """A command for the guest, as the code of a run. `TypeError` for what cannot cross."""
    return encode([name, *arguments], handles=handles)


class Shown:
    """What a run displays while it is on."""

    def __init__(self, on_result: Callable[[Result], object] | None) -> None:
        self.results: list[Result] = []
        self.shows = Shows()
        self._on_result = on_result

    def add(self, forms: list[tuple[str, bytes]]) -> None:
        """Takes one; hands it on."""
        result = make_result(forms, self.shows)
        if result is None:
            return  # nobody looks at so many
        self.results.append(result)
        if self._on_result is not None:
            self._on_result(result)


class Desk:
    """What one guest may ask for: its host functions and the host objects that it has been given.

    `defer` is None where the thread that runs the code waits for coroutines; else it is called with a coroutine that
    answers by itself, makes a task of it, and `belljar` goes on meanwhile."""

    def __init__(self, handles: Handles | None = None) -> None:
        self.handles = handles if handles is not None else Handles()
        self.functions = self.handles.given.functions
        self.guest: core.Guest | None = None
        self.defer: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] | None = None
        self.is_answering = False
        self.shown = Shown(None)  # what the run that is on has displayed
        self.deadline: float | None = None  # when the run that is on will have been ended (time.monotonic)
        self._frozen = 0.0  # since when
        self._last_call = 0
        self.finished = Finished()
        self._outstanding = 0  # calls that tasks are at work on
        self._outstanding_bytes = 0
        self._epoch = 0  # answers of an earlier one come too late

    def copy(self, guest: core.Guest) -> Desk:
        """For the guest that a session was forked into."""
        twin = Desk(self.handles.copy())
        twin.functions.update((name, function.copy()) for name, function in self.functions.items())
        twin.guest = guest
        twin._last_call = self._last_call
        return twin

    def answers_input(self, ask: Callable[[str], Any]) -> None:
        """Has the guest's reads of standard input answered by a function, which gets the prompt."""
        self.functions[ASKED] = HostFunction(answerer(ask), ASKED, None, None)

    def on_frame(self, kind: int, payload: bytes) -> None:
        """One frame of the guest's. `ProtocolError` if it is not a call as it should be."""
        if len(payload) < _HEAD.size:
            raise ProtocolError("the sandbox was ended: it sent half a call")
        number, call, length = _HEAD.unpack_from(payload)
        if length != len(payload) - _HEAD.size:
            raise ProtocolError("the sandbox was ended: it sent a call of the wrong length")
        if number <= self._last_call:
            raise ProtocolError("the sandbox was ended: it sent the same call again")
        self._last_call = number
        handler = _KINDS.get(call)
        if handler is None and call != CALL_DISPLAY:
            raise ProtocolError(f"the sandbox was ended: it sent a call of the kind {call}")
        costs: list[int] = []
        try:
            message = core.decode_value(memoryview(payload)[_HEAD.size :], views=self.handles.view, bytes=BYTES_MAX,
                                        elements=ELEMENTS_MAX, costs=costs)  # fmt: skip
        except ValueError as error:
            raise ProtocolError(f"the sandbox was ended: it sent a call that cannot be read ({error})") from None
        except Refused as error:  # a number that stands for nothing
            self._reply_error(number, error)
            return
        if type(message) is not list or not message:
            raise ProtocolError("the sandbox was ended: it sent a call that is no list")
        if handler is None:
            self._display(message)  # an exception of the callback's is none for the guest: it comes out of the run
            self._send(number, REPLY_VALUE, core.encode_value([0, None], strict=True))
            return
        depth = _depth.get()
        was_answering = self.is_answering
        token = _depth.set(depth + 1)
        self.is_answering = True
        try:
            if depth >= DEPTH_MAX:
                raise Refused("RecursionError", f"host functions and sandboxes call each other more than {DEPTH_MAX} deep")
            self._check_time()
            self._check_outstanding(message[0], costs[0])
            if call == CALL_BESIDE:
                self._call_beside(number, message, costs[0])
                return
            value = handler(self, message)
            if isinstance(value, types.CoroutineType):
                if self.defer is not None:
                    self._defer(self.defer, self._reply_later(number, value, self._epoch), costs[0])
                    return
                left = None if self.deadline is None else self.deadline - time.monotonic()
                value = run_coroutine(value, left)
            self._reply(number, value)
        except ProtocolError as error:
            raise ProtocolError(f"the sandbox was ended: {error}") from None
        except Exception as error:
            self._reply_error(number, error)
        finally:
            _depth.reset(token)
            self.is_answering = was_answering

    def is_asking_here(self) -> bool:
        """Whether this is a host function that its guest waits for."""
        return _depth.get() > 0 and (self.is_answering or self._outstanding > 0)

    def freeze(self, is_on: bool) -> None:
        """Its guest was stopped, or goes on: its time stands still meanwhile."""
        if is_on:
            self._frozen = time.monotonic()
        elif self.deadline is not None:
            self.deadline += time.monotonic() - self._frozen

    def end_run(self) -> None:
        """What has not been answered by now is not answered any more."""
        self._epoch += 1

    def close(self) -> None:
        """The guest has gone."""
        self.end_run()
        self.finished.close()
        self.handles.close()
        self.guest = None

    # ---- Calls

    def _check_time(self) -> None:
        """A guest's calls wait in its channel when it has ended: thousands, none of which anybody wants answered any more."""
        if self.deadline is not None and time.monotonic() >= self.deadline + _LATE:
            raise Refused("TimeoutError", "the sandbox's time is over")

    def _check_outstanding(self, released: object, cost: int) -> None:
        """A guest need not wait for one answer before it asks again; but what it asks is work that waits here."""
        if not self._outstanding:
            return
        if self._outstanding >= OUTSTANDING_MAX or self._outstanding_bytes + cost > OUTSTANDING_BYTES_MAX:
            self._release(released)
            raise Refused("RuntimeError", f"{self._outstanding} calls of the host have not been answered yet: at most "
                          f"{OUTSTANDING_MAX} at a time, with {OUTSTANDING_BYTES_MAX >> 20} MiB of arguments; wait for some")  # fmt: skip

    def _defer(
        self, defer: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]], reply: Coroutine[Any, Any, None], cost: int
    ) -> None:
        def settle(task: asyncio.Task[None]) -> None:
            self._outstanding -= 1
            self._outstanding_bytes -= cost

        task = defer(reply)
        self._outstanding += 1
        self._outstanding_bytes += cost
        task.add_done_callback(settle)

    def _display(self, message: list[Any]) -> None:
        forms = message[1] if len(message) == 2 else None
        if (
            type(forms) is not list
            or not 0 < len(forms) <= FORMS_MAX
            or not all(
                type(form) is list and len(form) == 2 and type(form[0]) is bytes and type(form[1]) is bytes for form in forms
            )
        ):
            raise ProtocolError("the sandbox was ended: it sent a malformed display")
        try:
            self._release(message[0])
            self.shown.add([(mime.decode("utf-8", "replace"), data) for mime, data in forms])
        except ProtocolError as error:
            raise ProtocolError(f"the sandbox was ended: {error}") from None

    def _release(self, released: object) -> None:
        if type(released) is not list or len(released) % 2:
            raise ProtocolError("it sent a malformed list of host objects to give back")
        for number, count in zip(released[::2], released[1::2], strict=True):
            self.handles.drop(number, count)

    def _function_of(self, message: list[Any]) -> tuple[HostFunction, list[Any], dict[str, Any]]:
        if len(message) != 4 or type(message[1]) is not str:
            raise ProtocolError("it sent a malformed call of a host function")
        released, name, arguments, keywords = message
        self._release(released)
        function = self.functions.get(name)
        if function is None:
            raise Refused("NameError", f"no host function {name[:100]!r}")
        return function, *check_arguments(arguments, keywords)

    def _call_function(self, message: list[Any]) -> Any:
        function, arguments, keywords = self._function_of(message)
        return _Whole(function.call(arguments, keywords)).settled()

    def _call_beside(self, number: int, message: list[Any], cost: int) -> None:
        """Begins a call that others may follow before it has ended: in a worker, or as a task of the loop."""
        function, arguments, keywords = self._function_of(message)
        context, epoch = contextvars.copy_context(), self._epoch
        if self.defer is not None:
            if inspect.iscoroutinefunction(function.function):
                value = function.call(arguments, keywords)
            else:
                value = asyncio.to_thread(function.call, arguments, keywords)
            self._defer(self.defer, self._reply_later(number, _whole_later(value), epoch), cost)
            return
        left = None if self.deadline is None else self.deadline - time.monotonic()

        def work() -> tuple[Any, ...]:
            try:
                value = context.run(function.call, arguments, keywords)
                if isinstance(value, types.CoroutineType):
                    value = run_coroutine(value, left)
                return number, epoch, cost, value, None
            except BaseException as error:
                return number, epoch, cost, None, error

        self._outstanding += 1
        self._outstanding_bytes += cost
        self.finished.begin(work)

    def settle(self) -> None:
        """Answers the calls that workers have ended: in the thread that runs the code. `KeyboardInterrupt` and `SystemExit` of a
        function come out here."""
        for number, epoch, cost, value, error in self.finished.take():
            self._outstanding -= 1
            self._outstanding_bytes -= cost
            if epoch != self._epoch:
                continue  # its run is over
            if error is None:
                try:
                    self._reply(number, _Whole(value))
                    continue
                except Exception as wrong:
                    error = wrong
            if not isinstance(error, Exception):
                raise error
            self._reply_error(number, error)

    def _call_operation(self, message: list[Any]) -> Any:
        if len(message) not in (4, 5):
            raise ProtocolError("it sent a malformed operation on a host object")
        released, number, operation, arguments = message[:4]
        self._release(released)
        values, keywords = check_arguments(arguments, message[4] if len(message) == 5 else {})
        return self.handles.operate(number, operation, values, keywords)

    # ---- Answers

    def _send(self, number: int, status: int, data: bytes) -> None:
        if self.guest is not None:
            if type(data) is Lending:
                data.lend(self.guest)
            self.guest.send(FRAME_REPLY, _HEAD.pack(number, status, len(data)) + data)

    def _reply(self, number: int, value: Any) -> None:
        if type(value) is _Whole:
            try:
                data = self._encode(value.value)
            except (TypeError, ValueError) as error:
                raise Refused("TypeError", f"the host's answer cannot cross ({describe_error(error)[1]}): return plain "
                              "values, or belljar.readonly(...)") from None  # fmt: skip
        else:
            data = encode(value, handles=self.handles)
        self._send(number, REPLY_VALUE, data)

    def _encode(self, value: Any) -> bytes:
        try:
            return encode([0, value], handles=self.handles)
        except (TypeError, ValueError):
            return encode(self.handles.wrap(value), handles=self.handles)  # there are views in it

    def _reply_error(self, number: int, error: Exception) -> None:
        self._send(number, REPLY_EXCEPTION, core.encode_value(list(describe_error(error)), strict=True))

    async def _reply_later(self, number: int, coroutine: Coroutine[Any, Any, Any], epoch: int) -> None:
        try:
            value = await coroutine
            if epoch == self._epoch:
                self._reply(number, value)
        except Exception as error:
            if epoch == self._epoch:
                self._reply_error(number, error)


_KINDS: Final[dict[int, Callable[[Desk, list[Any]], Any]]] = {
    CALL_BESIDE: Desk._call_function,
    CALL_FUNCTION: Desk._call_function,
    CALL_OPERATION: Desk._call_operation,
}


class _Whole:
    """A value that is to be wrapped as a whole, which those of operations are already."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def settled(self) -> Any:
        """Itself, or a coroutine for itself."""
        if isinstance(self.value, types.CoroutineType):
            return self._later()
        return self

    async def _later(self) -> _Whole:
        return _Whole(await self.value)


def abandon(coroutine: Any) -> None:
    """Closes what a coroutine would have awaited that is cancelled before it has begun: else each says that it was never awaited."""
    if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
        return
    for value in inspect.getcoroutinelocals(coroutine).values():
        awaited = value.value if type(value) is _Whole else value
        if isinstance(awaited, types.CoroutineType):
            abandon(awaited)
            awaited.close()


async def _whole_later(coroutine: Any) -> _Whole:
    """What it comes to; also where that is a coroutine in turn."""
    value = await coroutine
    return _Whole(await value if inspect.iscoroutine(value) else value)
