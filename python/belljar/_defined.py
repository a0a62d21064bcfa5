"""What of a session can be made again from text: modules, things of modules, functions and classes of its cells. This file's text is
run in the guest, by `Session.export`; what it finds is data, as all that a guest sends."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from types import ModuleType
from typing import Any

__all__ = ["again"]

_MINE = ("<cell ", "<restored ", "<code>")
"""How the texts are called in which a session's own things are defined."""


def again(wanted: list[str]) -> dict[str, list[Any]]:
    """For each of these variables that can be made again: [where it comes in the order, text]."""
    main = vars(sys.modules["__main__"])
    found: dict[str, list[Any]] = {}
    for name in wanted:
        try:
            made = _again(name, main[name], main)
        except Exception:
            continue
        if made is not None:
            found[name] = made
    return found


def _again(name: str, thing: Any, main: dict[str, Any]) -> list[Any] | None:
    if type(thing) is ModuleType:
        path = thing.__name__
        return [[0, 0], f"import {path} as {name}"] if _is_path(path) and sys.modules.get(path) is thing else None
    module, own = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if type(module) is not str or type(own) is not str:
        return None
    if module != "__main__":
        is_there = _is_path(module) and own.isidentifier() and getattr(sys.modules.get(module), own, None) is thing
        return [[0, 1], f"from {module} import {own} as {name}"] if is_there else None
    if own not in (name, "<lambda>"):
        return [[sys.maxsize, 0], f"{name} = {own}"] if own.isidentifier() and main.get(own) is thing else None
    return _of_class(name, thing) if isinstance(thing, type) else _of_function(name, inspect.unwrap(thing))


def _is_path(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _of_function(name: str, function: Any) -> list[Any] | None:
    code = function.__code__
    lines = linecache.getlines(code.co_filename)
    if code.co_freevars or not code.co_filename.startswith(_MINE) or not lines:
        return None
    text = textwrap.dedent("".join(inspect.getblock(lines[code.co_firstlineno - 1 :])))
    statement = ast.parse(text).body[0]
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        is_it = statement.name == name
    else:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        is_it = isinstance(target, ast.Name) and target.id == name and isinstance(statement.value, ast.Lambda)  # type: ignore[attr-defined]
    return [_place(code.co_filename, code.co_firstlineno), _segment(text, statement)] if is_it else None


def _of_class(name: str, made: type) -> list[Any] | None:
    """The last text that defines such a class; that of the functions in it, if there are any."""
    files = [getattr(one, "__code__", None) for one in vars(made).values()]
    within = {code.co_filename for code in files if code is not None and code.co_filename.startswith(_MINE)}
    texts = within or {file for file in linecache.cache if file.startswith(_MINE)}
    for file in sorted(texts, key=lambda file: _place(file, 0), reverse=True):
        try:
            text = textwrap.dedent("".join(linecache.getlines(file)))
            body = ast.parse(text).body
        except SyntaxError:
            continue
        for statement in reversed(body):
            if isinstance(statement, ast.ClassDef) and statement.name == name:
                return [_place(file, statement.lineno), _segment(text, statement)]
    return None


def _segment(text: str, statement: ast.stmt) -> str:
    """A statement with its decorators."""
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
    return "\n".join(text.splitlines()[first - 1 : statement.end_lineno]) + "\n"


def _place(file: str, line: int) -> list[int]:
    """Where it comes: what was restored, then by cells and lines."""
    number = file.strip("<>").rpartition(" ")[2]
    kind = next(place for place, begin in enumerate(("<restored ", "<code>", "<cell ")) if file.startswith(begin))
    return [kind + 1, int(number) if number.isdecimal() else 0, line]
