"""A program's text and files, as far as not every run needs it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from belljar_guest import _state

if TYPE_CHECKING:
    import ast
    from types import CodeType

ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
ALLOW_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
IS_COROUTINE = 0x80  # inspect.CO_COROUTINE


def decoded(source: bytes) -> str:
    """A file's bytes as the interpreter reads them: by their byte order mark or coding line."""
    if b"coding" in source[:1000] or source.startswith(b"\xef\xbb\xbf"):
        from importlib._bootstrap_external import decode_source  # type: ignore[import]

        return str(decode_source(source))
    return source.decode()


def text_of_source(source: str | bytes, filename: str) -> str:
    if isinstance(source, bytes):
        try:
            return decoded(source)
        except (SyntaxError, UnicodeDecodeError):
            compile(source, filename, "exec", 0, True)  # says it better
            raise
    return source


def split_last_expression(
    source: str, filename: str, flags: int = 0, is_longer: bool = False
) -> tuple[ast.Module | None, CodeType | None]:
    """(what comes before, fit for compile(), or None; the code of the last expression, compiled with these flags, or None). `is_longer`: it is
    known to be no single expression (guest/plain.c)."""
    stripped = source.strip()
    if (
        not is_longer
        and stripped
        and "\n" not in stripped
        and source[0] not in " \t\f\n"
        and ("=" not in stripped or "(" in stripped)
    ):
        try:  # the usual short case without a detour over the tree
            return None, compile(stripped, filename, "eval", flags, True)
        except SyntaxError:
            pass
    tree = compile(source, filename, "exec", ONLY_AST, True)
    if not tree.body or type(tree.body[-1]).__name__ != "Expr":
        return tree, None
    import _ast

    last = compile(_ast.Expression(tree.body.pop().value), filename, "eval", flags, True)
    return (tree if tree.body else None), last


def write_all(path: str, content: bytes, mode: str) -> None:
    with io.FileIO(path, mode) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]


def place_script(filename: str, argv: list[str], code: bytes) -> str:
    """Puts a script whose folder is not shown into the folder of the guest, where its neighbours would be looked for. The path
    there; tracebacks call it by the caller's."""
    path = os.path.join(_state.WORK, os.path.basename(filename))
    if _state.has_files and not os.path.lexists(path):
        try:
            write_all(path, code, "x")
        except OSError:
            pass  # it has no room: it runs all the same
    if argv and argv[0] == filename and os.path.isabs(filename):
        argv[0] = path
    return path


def write_files(files: list[tuple[str, bytes]]) -> None:
    """Writes what the host hands in. OSError with the file's path."""
    for path, content in files:
        path = os.path.join(_state.WORK, path)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_all(path, content, "w")
        except OSError as error:
            error.filename = path
            raise
        except MemoryError:
            raise OSError(12, "Cannot allocate memory", path) from None
