"""What to write instead: each face's verbs that another face has, and the sentences that say where.

A wrong name or argument ends in one sentence with subject, fault and remedy, never in a bare TypeError or AttributeError."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypedDict

__all__ = ["Face", "NoOther", "refuse_others", "verbs_of", "wrong_type"]

_WRITTEN = {
    "call": "{}.call(function)",
    "context": "{}.context(name)",
    "create_callback": "{}.create_callback(function)",
    "delete": "del {}[name]",
    "execute": "{}.execute(code)",
    "export": "{}.export(path)",
    "expose": "{}.expose(function)",
    "files": "{}.files",
    "fork": "{}.fork()",
    "freeze": "{}.freeze()",
    "get": "{}[name]",
    "has": "name in {}",
    "interrupt": "{}.interrupt()",
    "kill": "{}.kill()",
    "run_code": "{}.run_code(code)",
    "set": "{}[name] = value",
    "stream": "{}.stream(code)",
    "thaw": "{}.thaw()",
    "usage": "{}.usage()",
    "variables": "{}.variables",
}
"""What a session does, and how it is written."""


_AWAITED = {
    **{
        verb: f"await {text}"
        for verb, text in _WRITTEN.items()
        if verb not in ("context", "create_callback", "files", "interrupt", "kill", "variables")
    },
    "delete": "await {}.delete(name)",
    "get": "await {}.get(name)",
    "has": "await {}.has(name)",
    "set": "await {}.set(name, value)",
    "stream": "async for event in {}.stream(code)",
}
"""How an AsyncSandbox does it, where that is another way."""


def verbs_of(maker: str, *own: str) -> dict[str, str]:
    """The verbs of the session that `maker` makes, as they are written; but for a face's own."""
    written = {**_WRITTEN, **_AWAITED} if "AsyncSandbox" in maker else _WRITTEN
    return {verb: text.format(maker) for verb, text in written.items() if verb not in own}


class NoOther(TypedDict):
    """Keywords of a function that takes no other: a type checker finds those that are, and at run time refuse_others() does."""


class Face:
    """A class with verbs; those that another has are in `_elsewhere`, each with what to write."""

    __slots__ = ()
    _elsewhere: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            kind = type(self).__name__
            remedy = self._elsewhere.get(name)
            raise AttributeError(f"{kind!r} object has no attribute {name!r}" + (f": write {remedy}" if remedy else ""),
                                 name=name, obj=self)  # fmt: skip


_KEYWORDS = {
    "globals": "execute", "locals": "execute", "func": "call", "functions": "expose", "variables": "set", "names": "set",
    "n": "fork", "create_callback": "call",
}  # fmt: skip
"""Keywords that somebody may try, and the verb that does it."""


def refuse_others(
    face: str,
    others: Iterable[str],
    function: Callable[..., Any],
    maker: str,
    options: Iterable[str] = (),
    more: Iterable[str] = (),
) -> None:
    """`TypeError` for keywords that a function does not take, with what to write instead. `options` are a policy's; `more` are
    keywords that it takes beside those of its signature."""
    for name in others:
        rows = inspect.signature(function).parameters.values()
        known = [row.name for row in rows if row.kind != row.VAR_KEYWORD]
        verb = _KEYWORDS.get(name, name)
        if name in options:
            remedy = f"write it as belljar.Policy({name}=...)"
        elif verb in _WRITTEN:
            remedy = f"that is a session's: write {verbs_of(maker)[verb]}"
        elif near := difflib.get_close_matches(name, [*known, *more], 1):
            remedy = f"did you mean {near[0]}=?"
        else:
            beside = (
                "" if len(rows) == len(known) else ", and env, cwd" + (", and the options of a policy" if "memory" in more else "")
            )
            remedy = f"it takes {', '.join(known)}{beside}"
        raise TypeError(f"{face} has no argument {name}=: {remedy}")


def wrong_type(name: str, expected: str, value: object, remedy: str = "") -> TypeError:
    """The exception for an argument of another type."""
    shown = repr(value) if isinstance(value, int | float | str) and len(repr(value)) <= 40 else ""
    given = f"{type(value).__name__}{' ' + shown if shown else ''}"
    return TypeError(f"{name}: {expected} is expected, not {given}" + (f"; {remedy}" if remedy else ""))
