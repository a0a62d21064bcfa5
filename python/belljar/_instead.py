"""What to write instead: each face's verbs that another face has, and the sentences that say where.

A wrong name or argument ends in one sentence with subject, fault and remedy, never in a bare TypeError or AttributeError."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypedDict

from belljar._core import core

__all__ = ["Face", "NoOther", "others_of", "refuse_others", "verbs_of", "wrong_type"]

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


_OTHERS = {  # of E2B, Jupyter, Monty and their like: a verb, or a sentence
    "beta_pause": "freeze", "pause": "freeze", "resume": "thaw", "unpause": "thaw", "create_code_context": "context", "get_metrics": "usage",
    "metrics": "usage", "eval": "run_code", "exec": "run_code", "run_cell": "run_code", "dump": "export", "save": "export", "snapshot": "export",
    "create_snapshot": "export", "checkpoint": "export", "upload": "files", "download": "files", "filesystem": "files",
    "branch": "fork", "clone": "fork",
}  # fmt: skip
_NO_PROGRAM = "{}.run_code(code): a guest is one process that runs Python, and starts no other program"
_SENTENCES = {
    "commands": _NO_PROGRAM, "run_command": _NO_PROGRAM, "process": _NO_PROGRAM, "shell": _NO_PROGRAM, "pty": _NO_PROGRAM,
    "set_timeout": "{}.run_code(code, timeout=seconds), or belljar.Policy(timeout=seconds): a sandbox itself lives until it is closed",
    "stop": "{}.close()", "terminate": "{}.close()", "shutdown": "{}.close()",
    "reset": "belljar.Sandbox(policy): another one is as fast", "restart": "belljar.Sandbox(policy): another one is as fast",
    "install": "belljar.Sandbox(python='VENV/bin/python3'): what is installed there is there; nothing is installed from inside",
    "pip_install": "belljar.Sandbox(python='VENV/bin/python3'): what is installed there is there; nothing is installed from inside",
    "get_host": "{}.expose(function): a guest has no network, and no port that is open",
    "is_running": "{}.run_code(code): a belljar.SessionEnded says that it is over, and why",
}  # fmt: skip


def others_of(maker: str) -> dict[str, str]:
    """Verbs that other sandboxes have, and what is written here."""
    written = verbs_of(maker)
    said = {name: text.format(maker) for name, text in _SENTENCES.items()}
    found = {**{name: written[verb] for name, verb in _OTHERS.items()}, **said}
    if "AsyncSandbox" not in maker:
        return found
    return {name: text.replace(f"{maker}.", f"await {maker}.", not text.startswith("await")) for name, text in found.items()}


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


_ANSWERS = {
    "language": "a guest runs Python, and no other language; a language policy is belljar.Policy(language=...)",
    "allow_internet_access": "there is no network in a guest, as with False",
    "metadata": "a sandbox is an object of this program's, which may keep what belongs to it",
    "api_key": "there is no service, and no key: guests run on this machine",
    "auto_pause": "write sandbox.freeze(), and sandbox.thaw()",
    "request_timeout": "there is no service to wait for; timeout= is the time that the code has",
}


def _answer(option: str) -> str:
    """The option table's sentence for words that people look for in vain; "" if it has none."""
    try:
        core.Policy().set(option, "null")
    except Exception as error:
        return str(error).partition(" is not an option of a policy: ")[2]
    return ""


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
        if answer := _ANSWERS.get(name):
            remedy = answer
        elif name in options:
            remedy = f"write it as belljar.Policy({name}=...)"
        elif verb in _WRITTEN:
            remedy = f"that is a session's: write {verbs_of(maker)[verb]}"
        elif answer := _answer(name):
            remedy = answer
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
