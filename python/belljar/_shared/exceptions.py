"""The exceptions that cross as themselves, in both directions; a subclass of one crosses as the nearest of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

EXCEPTIONS: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (
        ArithmeticError, AssertionError, AttributeError, BlockingIOError, BrokenPipeError, BufferError, ChildProcessError,
        ConnectionAbortedError, ConnectionError, ConnectionRefusedError, ConnectionResetError, EOFError, Exception,
        FileExistsError, FileNotFoundError, FloatingPointError, ImportError, IndexError, InterruptedError, IsADirectoryError,
        KeyError, LookupError, MemoryError, ModuleNotFoundError, NameError, NotADirectoryError, NotImplementedError, OSError,
        OverflowError, PermissionError, ProcessLookupError, RecursionError, ReferenceError, RuntimeError, StopAsyncIteration,
        StopIteration, SystemError, TimeoutError, TypeError, UnicodeError, ValueError, ZeroDivisionError,
    )
}  # fmt: skip
