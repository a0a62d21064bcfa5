"""What the host sets for a session or for one run: environment, working directory, who answers input(). For every policy."""

from __future__ import annotations

import builtins
import io
import os
import sys
from typing import TYPE_CHECKING

from belljar._shared.frames import CALL_FUNCTION
from belljar_guest import _host

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from belljar_guest._policy import Policy

    Undo = list[Callable[[], object]]

STDIN = "<stdin>"  # the host function that answers; no program's name
asks = False  # who reads standard input asks the host
has_begun = False  # the session's own settings are in force


class Asked(io.RawIOBase):
    """Standard input that the host is asked for, when somebody reads."""

    prompt = ""
    rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.rest:
            prompt, self.prompt = self.prompt, ""
            self.rest = _host.ask(CALL_FUNCTION, [None, STDIN, [prompt], {}])
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count


asked = Asked()
real_input = builtins.input


def read_input(prompt: object = "", /) -> str:
    """input(), whose prompt the host gets with the question."""
    asked.prompt = str(prompt)[:1000]
    try:
        return real_input(prompt)
    finally:
        asked.prompt = ""


def input_as_set(prompt: object = "", /) -> str:
    """input() under a language policy, whose builtins are chosen before anybody has said who answers it."""
    return (read_input if asks else real_input)(prompt)


def ask_for_input() -> None:
    """From now on input() and sys.stdin ask the host."""
    global asks
    if asks or sys.__stdin__ is None:  # None: the language policy has no stdin
        return
    asks = True
    stream: Any = io.TextIOWrapper(io.BufferedReader(asked), "utf-8", "surrogateescape")
    stream.mode = "r"
    if builtins.input is real_input:
        builtins.input = read_input
    sys.stdin = sys.__stdin__ = stream


contexts: dict[str, list[Any]] = {}  # name -> main module or None, its names, the last value


def enter_context(policy: Policy, name: str, undo: Undo) -> None:
    """Has the run see the names of another context."""
    before = [policy.main, policy.names, getattr(builtins, "_", None)]
    if name not in contexts:
        policy.make_names()
        contexts[name] = [policy.main, policy.names, None]
    mine = contexts[name]
    use_context(policy, mine)

    def leave() -> None:
        mine[2] = getattr(builtins, "_", None)
        use_context(policy, before)

    undo.append(leave)


def use_context(policy: Policy, context: list[Any]) -> None:
    policy.main, policy.names, last = context
    if policy.main is not None:
        sys.modules["__main__"] = policy.main
        builtins._ = last  # type: ignore[attr-defined]


def apply(policy: Policy, settings: dict[str, Any]) -> Undo:
    """Puts settings in force. Returns what puts those of this run back. OSError for a directory that cannot be."""
    global has_begun
    undo: Undo = []
    if not has_begun:
        set_place(settings.get("session") or {}, [])
        has_begun = True
    if settings.get("asks"):
        ask_for_input()
    if "context" in settings:
        enter_context(policy, settings["context"], undo)
    set_place(settings, undo)
    return undo


def set_place(settings: dict[str, Any], undo: Undo) -> None:
    cwd = settings.get("cwd")
    if cwd is not None:
        try:
            before = os.getcwd()
            os.makedirs(cwd, exist_ok=True)
            os.chdir(cwd)
            undo.append(lambda: os.chdir(before))
            look_for_modules(before, os.getcwd(), undo)
        except OSError as error:
            raise type(error)(error.errno, "cwd=%r: %s" % (cwd, error.strerror)) from None
    for name, value in (settings.get("env") or {}).items():
        undo.append(restorer(name, os.environ.get(name)))
        os.environ[name] = value


def look_for_modules(before: str, now: str, undo: Undo) -> None:
    """They are found where the program starts, as with python -c."""
    path = sys.path
    if type(path) is list and path[:1] == [before]:
        path[0] = now
        undo.append(lambda: path.__setitem__(0, before) if path[:1] == [now] else None)


def restorer(name: str, before: str | None) -> Callable[[], object]:
    def restore() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    return restore


def put_back(undo: Undo) -> None:
    for step in reversed(undo):
        try:
            step()
        except BaseException:
            pass  # the folder is gone, or an interrupt came
