"""A guest's life: frames in, programs run, results out. For every policy; what depends on it is asked of _state.policy."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import _thread

from belljar._shared.frames import (
    FRAME_BRANCH, FRAME_RUN, RESULT_SETUP, RUN_COMMAND, RUN_EXCEPTION, RUN_EXIT, RUN_LAST_VALUE,
    RUN_MODULE, RUN_OK, RUN_PREPARED, RUN_SCRIPT, RUN_SESSION, RUN_SHOWS,
)  # fmt: skip
from belljar_guest import _cells, _folders, _host, _outcome, _program, _session, _settings, _start, _state, native

if TYPE_CHECKING:
    from typing import Any

    from belljar_guest._policy import Policy

    Fields = tuple[bytes, bytes, bytes, bytes, bytes]  # error name, error value, traceback, text, value as CBOR
    Result = tuple[int, int, int, Fields]  # enum run_outcome, exit status, enum result_flags
    Frame = tuple[int, bytes, str, str, list[str], list[tuple[str, bytes]]]  # flags, code, filename, sys.path[0], argv, files

EMPTY: Fields = (b"", b"", b"", b"", b"")
NOT_FLUSHED: Result = RUN_EXIT, 120, 0, EMPTY  # as the interpreter ends then


def serve() -> None:
    """A guest's life: made its own, warmed, parked, run. Called again if an interrupt came between two runs."""
    policy = _state.policy
    policy.begin()
    while True:
        kind, frame = native.read_frame()
        if kind in _FRAMES:
            _FRAMES[kind](policy, frame)


def on_branch(policy: Policy, frame: Frame) -> None:
    """FRAME_BRANCH: this process twice."""
    if not native.branch():
        return
    if _state.can_ask:
        _host.after_branch()
    if _state.runner is not None:  # else its module may not be loaded, and would be here, in every branch
        _cells.after_branch()


def on_run(policy: Policy, frame: Frame) -> None:
    """FRAME_RUN: a program, or a session's next."""
    _folders.forget()
    answer(policy, frame, native.STAY if frame[0] & RUN_SESSION else native.LEAVE)


_FRAMES = {FRAME_RUN: on_run, FRAME_BRANCH: on_branch}
"""What the host may send between two runs. A FRAME_REPLY is for a call that waits (_host.py); one that comes now is too late, and
nobody's. FRAME_LEND is served where frames are read (guest/frame.c)."""


def answer(policy: Policy, frame: Frame, then: int) -> Result:
    """Does one FRAME_RUN and sends its result, and returns it; the guest's end if `then` is LEAVE."""
    try:
        result = run(policy, frame)
    except BaseException as error:
        result = without_room(policy, error, then)
    end(policy, result, then)
    return result


def interrupted(error: BaseException, then: int) -> None:
    """The end of a run whose interrupt came into this runner, before the program or after it."""
    policy = _state.policy
    end(policy, outcome(policy, error, None, 0), then)


def without_room(policy: Policy, error: BaseException, then: int) -> Result:
    """The result of a run that not even the tuple for its outcome found room for."""
    if then == native.LEAVE:
        policy.failures.let_go(error)
    return outcome(policy, error, None, 0)


def end(policy: Policy, result: Result, then: int) -> None:
    if then == native.LEAVE:
        try:
            result = policy.finish(result)
        except BaseException:
            pass  # an interrupt in between: what the program came to is known all the same
    if _state.can_ask:
        _host.end_calls()
    if then != native.LEAVE:
        flush_streams()
    send(result, then)


def conclude(policy: Policy, flags: int, held: list[Any], then: int) -> None:
    """The end of a run that guest/plain.c has begun. `held`: an exception or None, and a value, which nobody else holds."""
    error, value = held
    held.clear()
    try:
        if error is None:
            error, value = show_value(policy, flags, value)
        else:
            policy.hide_runner(error)
        try:
            result = result_of(policy, error, value, flags)
        finally:
            error = value = None
    except BaseException as failure:
        result = without_room(policy, failure, then)
    end(policy, result, then)


def run(policy: Policy, frame: Frame) -> Result:
    """Does one FRAME_RUN. Returns the fields of its result."""
    flags, code, filename, path0, argv, files = frame
    if flags & (RUN_COMMAND | RUN_SHOWS | RUN_PREPARED):
        perform_command = _session.perform_command  # the host may be asked from now on
    if flags & RUN_SHOWS:
        _state.shows_at_once = True
    if _state.start_time is not None:
        native.set_clock(_state.start_time, _state.clock_stands)
        _state.start_time = None
    if _state.can_ask:
        _host.begin_calls()
    try:
        if files:
            _program.write_files(files)
    except OSError as failure:
        text = _outcome.to_bytes("the file handed in as %s cannot be written: %s" % (failure.filename, failure.strerror))
        return RUN_EXCEPTION, 1, RESULT_SETUP, (b"OSError", text, b"", b"", b"")
    if "failure" in _state.start:
        unmade: OSError = _state.start["failure"]
        kind, said = type(unmade).__name__, "cwd: %s cannot be made: %s" % (_state.start["cwd"], unmade.strerror)
        told = _outcome.to_bytes("%s: %s\n" % (kind, said))
        return RUN_EXCEPTION, 1, 0, (_outcome.to_bytes(kind), _outcome.to_bytes(said), told, b"", b"")
    if "links" in _state.start:
        _start.link(_state.start.pop("links"))
    undo: _settings.Undo = []
    if flags & RUN_PREPARED:
        settings, code = native.decode_value(code)
        try:
            undo = _settings.apply(policy, settings)
        except OSError as failure:
            return (
                RUN_EXCEPTION,
                1,
                0,
                (_outcome.to_bytes(type(failure).__name__), _outcome.to_bytes(failure.strerror), b"", b"", b""),
            )
        if path0 == _state.WORK and policy.is_open and not flags & RUN_SESSION:
            path0 = sys.path[0]  # where it starts
    try:
        native.raise_late()
        if flags & RUN_COMMAND:
            if argv != [filename]:  # a command's own, and not what stands for none
                sys.argv[:] = argv
            return perform_command(policy, code)
        return run_code(policy, flags, code, filename, path0, argv)
    finally:
        if undo and flags & RUN_SESSION:
            _settings.put_back(undo)


def run_code(policy: Policy, flags: int, code: bytes, filename: str, path0: str, argv: list[str]) -> Result:
    if flags & RUN_LAST_VALUE:
        policy.offer_results()
    if flags & RUN_SCRIPT and policy.is_open and path0 == _state.WORK and filename != "<stdin>":
        file = _program.place_script(filename, argv, code)
        policy.set_arguments(flags, file, path0, argv)
        filename = filename if os.path.isabs(filename) else file
    else:
        policy.set_arguments(flags, filename, path0, argv)
    error, value = perform(policy, flags, code, filename)
    try:
        return result_of(policy, error, value, flags)
    finally:
        error = value = None  # the exception knows this frame: neither of them would come to its end


def result_of(policy: Policy, error: BaseException | None, value: object, flags: int) -> Result:
    try:
        if isinstance(error, MemoryError) and not flags & RUN_SESSION:
            policy.failures.let_go(error)
        return outcome(policy, error, value, flags)
    finally:
        error = value = None


def parse_cell(policy: Policy, source: Any, filename: str, more: int, is_longer: bool = False) -> Any:
    """What split_last_expression makes of it. Text that is no Python may be a notebook's."""
    text = _program.text_of_source(source, filename)
    try:
        return _program.split_last_expression(text, filename, more, is_longer)
    except SyntaxError as error:
        failure = error
    try:
        other = _cells.rewritten(policy, text, filename)
        if other is not None:
            try:
                return _program.split_last_expression(other, filename, more)
            except SyntaxError:
                pass
        raise failure
    finally:
        del failure


def perform(policy: Policy, flags: int, code: bytes, filename: str) -> tuple[BaseException | None, Any]:
    """Runs the code. Returns (exception or None, value of a last expression or None)."""
    try:
        if flags & RUN_MODULE:
            policy.run_module(code.decode())
            return None, None
        source = policy.source(code, flags)
        policy.remember(filename, source)
        if not flags & RUN_LAST_VALUE:
            with policy.guard:
                exec(compile(source, filename, "exec", 0, True), policy.names)
            return None, None
        more = policy.more_syntax
        body, last = parse_cell(policy, source, filename, more)
        first = compile(body, filename, "exec", more, True) if body is not None else None
        with policy.guard:
            value = policy.run_cell([part for part in (first, last) if part is not None], filename, flags)
        return show_value(policy, flags, value)
    except BaseException as error:
        policy.hide_runner(error)
        return error, None


def show_value(policy: Policy, flags: int, value: object) -> tuple[BaseException | None, Any]:
    """What comes of a last expression's value. As perform()."""
    try:
        policy.collect_results(value)
        if value is not None and flags & RUN_SESSION:
            policy.keep_last(value)
        return None, value
    except BaseException as error:
        policy.hide_runner(error)
        return error, None


def outcome(policy: Policy, error: BaseException | None, value: object, flags: int) -> Result:
    """The result of a run as the fields of FRAME_RESULT. Survives whatever the program left behind."""
    if error is None and value is None:
        return RUN_OK, 0, 0, EMPTY
    for _ in range(3):
        try:
            if error is not None:
                return _outcome.describe(policy, error, flags)
            text = policy.result_text(value)
            return RUN_OK, 0, 0, (b"", b"", b"", text, native.encode_value(value))
        except MemoryError:
            native.make_room()
        except KeyboardInterrupt:
            pass  # it came too late: the program is over
        except BaseException:
            break
    name, text = b"Exception", b"belljar: the result cannot be described"
    try:
        if error is not None:
            name, text = _outcome.briefly(error)
    except BaseException:
        pass
    return RUN_EXCEPTION, 1, 0, (name, text, b"", b"", b"")


def flush_at_end() -> bool:
    """Whether the output went out, as the interpreter sees it at its end."""
    is_flushed = True
    for name in ("stdout", "stderr"):
        try:
            stream = getattr(sys, name, None)
            try:
                is_closed = stream is None or stream.closed
            except Exception:
                is_closed = False
            is_flushed &= bool(is_closed) or native.flush(stream, name == "stdout")
        except BaseException:
            pass
    return is_flushed


def is_quiet() -> bool:
    """Whether the program leaves nothing that would notice the interpreter's end: no thread, no function to call, no object
    that does anything as it ends."""
    modules: dict[str, Any] = sys.modules
    if _thread._count() or gc.callbacks:
        return False
    if "atexit" in modules and modules["atexit"]._ncallbacks():
        return False
    if "threading" in modules and modules["threading"]._threading_atexits:
        return False
    return native.is_quiet(gc.get_objects())


def flush_streams() -> None:
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            pass  # closed, replaced or broken: the program's doing


def send(result: Result, then: int) -> None:
    """Sends FRAME_RESULT, unless this is a rehearsal."""
    displays = _state.displays[:]
    _state.displays.clear()
    for _ in range(6):
        try:
            native.send_result(*result, displays, then)
            return
        except KeyboardInterrupt:
            if not native.owes():  # it has gone: this may be the next run's, as serve() is told
                raise
        except BaseException:  # memory, or something the program put into the result
            native.make_room()
            kind, status, flags, fields = result
            result = kind, status, flags, (fields[0][:1000], fields[1][:1000], fields[2][:1000], b"", b"")
            displays = []
    os._exit(70)  # there is no room even for that: core/result.c knows what it means
