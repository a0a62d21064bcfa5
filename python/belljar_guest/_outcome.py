"""What became of a run, as bytes: exceptions, tracebacks, values as text. Survives what a program makes of its objects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from belljar._shared.frames import (
    RESULT_INTERRUPT, RESULT_MEMORY, RESULT_REFUSED, RESULT_SHOWN, RUN_COMMAND, RUN_EXCEPTION, RUN_EXIT, RUN_SESSION,
)  # fmt: skip
from belljar_guest import _state, native

if TYPE_CHECKING:
    from typing import Any

    from belljar_guest._policy import Policy
    from belljar_guest._run import Result

NAME_MAX = 256
VALUE_MAX = 64 << 10
TRACEBACK_MAX = 64 << 10
TEXT_MAX = 1 << 20
FRAMES_SHOWN = 1000  # of each end of a traceback: printing a million takes longer than making them did

OURS = "<host>", "<belljar>"  # as the importer names them

own: Any = type.__dict__
get_name = own["__name__"].__get__
TRACEBACK: Any = BaseException.__dict__["__traceback__"]
"""The interpreter's own: an exception's class may have another, which raises, or takes nothing."""


class Failures:
    """What describe() asks of a policy, where there is none. _strict.py has the other."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def is_exit(self, error: BaseException, is_command: bool) -> bool:
        return isinstance(error, SystemExit) and not is_command

    def is_exhaustion(self, error: MemoryError) -> bool:
        return not is_raised(error)

    def is_refusal(self, error: BaseException) -> bool:
        return is_refusal(error)

    def explain(self, error: BaseException) -> str:
        """The end of its text: what would permit it."""
        return ""

    def is_shown(self, error: BaseException, flags: int) -> bool:
        """Whether the program's own sys.excepthook has shown it."""
        hook = getattr(sys, "excepthook", None)
        if hook is None or hook is getattr(sys, "__excepthook__", None) or flags & RUN_SESSION:
            return False
        try:
            hook(type(error), error, TRACEBACK.__get__(error))
            return True
        except BaseException:
            return False

    def format(self, error: BaseException, otherwise: bytes) -> bytes:
        return format_traceback(error, otherwise)

    def let_go(self, error: BaseException) -> None:
        """Memory is used up and the run is over: what the program holds is given back, to have room to say so."""
        native.make_room()
        entry = TRACEBACK.__get__(error)
        while entry is not None:
            try:
                entry.tb_frame.clear()
            except RuntimeError:
                pass  # a generator's that still runs
            entry = entry.tb_next
        self.policy.names.clear()


def describe(policy: Policy, error: BaseException, flags: int) -> Result:
    failures = policy.failures
    if failures.is_exit(error, bool(flags & RUN_COMMAND)):
        return RUN_EXIT, exit_status(error), 0, (b"", b"", b"", b"", b"")
    result, status = 0, 1
    if isinstance(error, MemoryError):
        native.make_room()
        if failures.is_exhaustion(error):
            result |= RESULT_MEMORY
    if isinstance(error, KeyboardInterrupt):
        result |= RESULT_INTERRUPT
        status = 130
    if failures.is_refusal(error):
        result |= RESULT_REFUSED
    if failures.is_shown(error, flags):
        result |= RESULT_SHOWN
    name = cut(to_bytes(type_name(error)), NAME_MAX)
    with policy.guard:
        text = cut(to_bytes(text_of(error) + failures.explain(error)), VALUE_MAX)
    lines = failures.format(error, name + (b": " + text if text else b"") + b"\n")
    return RUN_EXCEPTION, status, result, (name, text, lines, b"", b"")


def is_raised(error: BaseException) -> bool:
    """Whether a raise statement made it: a MemoryError of the program's own, against one of an allocation that failed."""
    try:
        import opcode

        entry: Any = TRACEBACK.__get__(error)
        while entry.tb_next is not None:
            entry = entry.tb_next
        return bool(entry.tb_frame.f_code.co_code[entry.tb_lasti] == opcode.opmap["RAISE_VARARGS"])
    except BaseException:
        return False


def is_refusal(error: BaseException) -> bool:
    """True for the operating system's no, also where a library wrapped it (urllib's URLError has it as reason)."""
    try:
        for _ in range(8):
            words = error.strerror if isinstance(error, OSError) else error.args[:1] and error.args[0]
            if isinstance(error, (OSError, MemoryError)) and str(words).startswith(native.REFUSED):
                return True
            if isinstance(error, (ValueError, RuntimeError)) and ": " + native.REFUSED in str(words):
                return True  # of a limit, of a thread: after a module's own words
            reason = getattr(error, "reason", None)
            cause = reason if isinstance(reason, BaseException) else error.__cause__
            if cause is None:
                return False
            error = cause
    except BaseException:
        pass
    return False


def format_traceback(error: BaseException, otherwise: bytes) -> bytes:
    path: Any = getattr(sys, "path", None)
    sys.path = _state.original_path[:]  # a traceback.py of the program's is not meant
    try:
        import traceback

        hide_frames(error)
        shorten(error)
        return cut(to_bytes("".join(traceback.format_exception(type(error), error, TRACEBACK.__get__(error)))), TRACEBACK_MAX)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return otherwise
    finally:
        sys.path = path


def briefly(error: BaseException) -> tuple[bytes, bytes]:
    """Its name and text, where there is nothing left to make more of it with."""
    return cut(to_bytes(type_name(error)), NAME_MAX), cut(to_bytes(text_of(error)), VALUE_MAX)


def shorten(error: BaseException) -> None:
    count = 0
    entry: Any = TRACEBACK.__get__(error)
    while entry is not None:
        count, entry = count + 1, entry.tb_next
    if count <= 2 * FRAMES_SHOWN:
        return
    entry = TRACEBACK.__get__(error)
    for _ in range(FRAMES_SHOWN - 1):
        entry = entry.tb_next
    last = entry
    for _ in range(count - 2 * FRAMES_SHOWN + 1):
        last = last.tb_next
    entry.tb_next = last
    if hasattr(error, "add_note"):
        error.add_note("(belljar: %d frames of this traceback are not shown)" % (count - 2 * FRAMES_SHOWN))


def hide_frames(error: BaseException) -> None:
    """Takes our frames out of a traceback: where the program asked its host."""
    before: Any = None
    entry: Any = TRACEBACK.__get__(error)
    while entry is not None:
        after = entry.tb_next
        if entry.tb_frame.f_code.co_filename not in OURS:
            before = entry
        elif before is None:
            TRACEBACK.__set__(error, after)
        else:
            before.tb_next = after
        entry = after


def exit_status(error: Any) -> int:
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        code = int.__index__(code)
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:
        pass
    return 1


def type_name(thing: object) -> str:
    name = get_name(type(thing))
    return name if type(name) is str else "object"


def text_of(error: BaseException) -> str:
    try:
        text = str(error)
        return text if type(text) is str else str.__str__(text)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return "<exception str() failed>"


def value_text(value: object) -> bytes:
    try:
        return cut(to_bytes(repr(value)), TEXT_MAX)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return to_bytes("<unprintable %s object>" % type_name(value))


def to_bytes(text: str) -> bytes:
    return str.encode(text, "utf-8", "backslashreplace")


def cut(data: bytes, limit: int) -> bytes:
    if len(data) <= limit:
        return data
    half = (limit - 80) // 2
    marker = b"\n... %d bytes cut ...\n" % (len(data) - 2 * half)
    return to_bytes(data[:half].decode("utf-8", "ignore")) + marker + to_bytes(data[-half:].decode("utf-8", "ignore"))
