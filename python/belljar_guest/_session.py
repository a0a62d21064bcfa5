"""Commands of the host between two runs, under every policy: COMMANDS.

Under a language policy some do what the policy makes of them, and the others answer with what to write instead."""

from __future__ import annotations

import gc
import os
from types import CoroutineType
from typing import TYPE_CHECKING

from belljar._shared.frames import RUN_BYTES, RUN_COMMAND, RUN_OK, RUN_SESSION
from belljar_guest import _host, _program, _run, _shell, _state, native

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from belljar_guest._policy import Policy
    from belljar_guest._run import Result

LINK, FOLDER, FILE, MORE = "link", "folder", "file", "more"
TOO_LARGE = b"\xd8\x1b", b"\xd8\x1c\xd8\x1b"  # tag 27, no list: all of it is one stand-in


def perform_command(policy: Policy, code: bytes) -> Result:
    """Does one RUN_COMMAND. Returns the fields of its result."""
    try:
        name, *arguments = native.decode_value(code, buffers=native.lent())
        if name not in COMMANDS:
            raise _host.SandboxError("a session has no command %r: host and guest are of two versions of belljar" % (name,))
        value = COMMANDS[name](policy, *arguments)
        if value is None:
            return RUN_OK, 0, 0, _run.EMPTY
        data = native.encode_value(value)
        if data.startswith(TOO_LARGE):
            raise ValueError("the value is too large, or nested too deeply, to be sent to the host")
        return RUN_OK, 0, 0, (b"", b"", b"", b"", data)
    except BaseException as error:
        return _run.outcome(policy, error, None, RUN_SESSION | RUN_COMMAND)


class Requests:
    """What commands ask of a policy, where there is none. _strict.py has the other."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def execute_in_empty(self, code: bytes, given: Any, given_local: Any, is_one: bool, filename: str) -> list[Any]:
        raise _host.SandboxError("without a language policy there is no namespace of a run's own: write execute(code, names)")

    def call(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        result = function(*arguments, **keywords)
        if type(result) is CoroutineType:
            import asyncio

            return asyncio.run(result)
        return result

    def host_function(self, name: str, parameters: list[list[Any]] | None, doc: str | None, is_async: bool) -> Any:
        return _host.host_function(name, parameters, doc, is_async)


# ---- Variables ---------------------------------------------------------------------------------------------------


def get(policy: Policy, name: str) -> list[Any]:
    return [name in policy.names, policy.names.get(name)]


def put(policy: Policy, name: str, wrapped: Any) -> None:
    value = _host.unwrap(wrapped)
    policy.names[name] = policy.arriving(value[0] if wrapped[0] == 5 else value)


def delete(policy: Policy, name: str) -> None:
    del policy.names[name]


def has(policy: Policy, name: str) -> list[bool]:
    return [name in policy.names]


def names(policy: Policy) -> list[list[str]]:
    return [[name for name in policy.names if type(name) is str and not name.startswith("_")]]


def expose(policy: Policy, name: str, parameters: list[list[Any]] | None, doc: str | None, is_async: bool = False) -> None:
    function = policy.names[name] = policy.requests.host_function(name, parameters, doc, is_async)
    _host.exposed[id(function)] = _host.Exposed(function, name)


# ---- Code --------------------------------------------------------------------------------------------------------


def given(policy: Policy, wrapped: Any) -> dict[str, Any]:
    """Names that the host gives, as the program sees them: a dict, or a list of the names and of their values."""
    found = _host.unwrap(wrapped)
    if type(found) is list:
        names, *values = found
        found = dict(zip(names, values))
    return {name: policy.arriving(value) for name, value in found.items()}


def execute(
    policy: Policy, code: bytes, wrapped: Any, wrapped_local: Any, filename: str, is_text: bool = False
) -> list[dict[str, Any] | None]:
    """Runs code in the session's namespace, or in one of the host's. Returns what these have become."""
    source = policy.source(code, 0 if is_text else RUN_BYTES)
    policy.remember(filename, source)
    own = given(policy, wrapped) if wrapped is not None else None
    local = given(policy, wrapped_local) if wrapped_local is not None else None
    inside = policy.names if own is None else policy.namespace(own)
    with policy.guard:
        exec(compile(source, filename, "exec", 0, True), inside, inside if local is None else local)
    if own is not None:
        own = {key: value for key, value in inside.items() if key != "__builtins__"}
    return [own, local]


def call(policy: Policy, packed: list[Any]) -> list[Any]:
    """Calls a function of the host's: it, the names of its keywords, and the arguments."""
    function, keywords, *values = _host.unwrap(packed)
    given = len(values) - len(keywords)
    return [policy.requests.call(function, values[:given], dict(zip(keywords, values[given:])))]


def strict_execute(policy: Policy, *arguments: Any) -> Any:
    return policy.requests.execute_in_empty(*arguments)


def show(policy: Policy) -> None:
    _state.shows_at_once = True


def rest(policy: Policy) -> None:
    """The session will not be used for a while: gives back what it can do without."""
    gc.collect()  # figures and tables that nobody has any more are cycles, as a rule


# ---- Files -------------------------------------------------------------------------------------------------------


def write(policy: Policy, entries: list[list[Any]]) -> None:
    for kind, path, data, mode in entries:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == LINK:
            os.symlink(data, path)
        elif kind == FOLDER:
            os.makedirs(path, exist_ok=True)
        else:
            _program.write_all(path, data, "w" if kind == FILE else "a")
        if kind in (FOLDER, FILE):
            os.chmod(path, mode)


COMMANDS: dict[str, Callable[..., Any]] = {
    "call": call,
    "complete": lambda policy, text: _shell.command_complete(policy, text),
    "delete": delete,
    "execute": execute,
    "expose": expose,
    "get": get,
    "has": has,
    "names": names,
    "rest": rest,
    "set": put,
    "shell": lambda policy, source, is_all: _shell.command_shell(policy, source, is_all),
    "show": show,
    "strict_execute": strict_execute,
    "write": write,
}
