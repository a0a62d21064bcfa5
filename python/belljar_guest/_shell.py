"""The shell: what `belljar shell` asks (cli/shell.c), under every policy."""

from __future__ import annotations

import builtins
import os
import sys
from typing import TYPE_CHECKING

from belljar._shared.frames import CALL_FUNCTION, RUN_SESSION
from belljar_guest import _cells, _host, _outcome, _run, _state, native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType
    from typing import Any

    from belljar_guest._policy import Policy


class Shell:
    """What the shell asks of a policy, where there is none. _strict.py has the other."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @property
    def builtins(self) -> dict[str, Any]:
        return builtins.__dict__

    def compiler(self) -> Callable[..., CodeType | None]:
        import codeop

        made = codeop.CommandCompiler()
        made.compiler.flags |= self.policy.more_syntax
        return made

    def before_statement(self) -> None:
        pass

    def forget_traceback(self, error: BaseException) -> None:
        error.__traceback__ = None

    def show_in_shell(self, error: BaseException) -> None:
        """Shows what a statement has raised, as the interpreter does."""
        _outcome.hide_frames(error)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            name = _outcome.to_bytes(_outcome.type_name(error))
            sys.stderr.write(_outcome.format_traceback(error, name + b"\n").decode())


SHELL_DONE, SHELL_MORE, SHELL_EXIT = 0, 1, 2  # and the status of exit() above that
shell_compiler: Callable[..., CodeType | None] | None = None
shell_count = 0


def shell_statement(policy: Policy, text: bytes, is_all: bool) -> tuple[CodeType | None, str, str]:
    """The code of one statement of the shell's and its file's name. The code is None if the statement goes on; whether
    it does is the guest's business: text that nobody trusts is not compiled on the host."""
    global shell_compiler, shell_count
    if shell_compiler is None:
        shell_compiler = policy.shell.compiler()
        if sys.path[:1] != [_state.WORK]:
            sys.path.insert(0, _state.WORK)
        sys.argv[:] = [""]
        builtins.input = shell_input
        try:  # nothing else of the host's is read: sys.stdin is at its end
            reader, writer = os.pipe()
            os.dup2(reader, 0)
            os.close(reader)
            os.close(writer)
        except OSError:
            pass
    filename = "<stdin-%d>" % (shell_count + 1)
    source = text.decode()
    code = failure = None
    try:
        code = shell_compiler(source, filename, "single")
    except SyntaxError as error:
        failure = error
    more = policy.more_syntax if policy.is_open else 0
    if failure is not None and policy.is_open and not source.startswith("%%"):
        other = _cells.rewritten(policy, source, filename)  # a line for IPython or a shell
        if other is not None and _cells.CALL in other:
            code, failure = compile(other, filename, "single", more, True), None
    if failure is not None:  # in codeop's words it is "incomplete input", whatever it is
        compile(source, filename, "single", more, True)
        raise failure
    if code is None and is_all:
        code = compile(source + "\n", filename, "single", more, True)
    if code is not None:
        shell_count += 1
    return code, filename, source


def command_shell(policy: Policy, text: bytes, is_all: bool) -> int:
    """One statement: what became of it."""
    try:
        try:
            code, filename, source = shell_statement(policy, text, is_all)
        except (SyntaxError, ValueError, OverflowError) as error:
            policy.shell.forget_traceback(error)
            raise
        if code is None:
            return SHELL_MORE
        policy.remember(filename, source)
        policy.shell.before_statement()
        with policy.guard:
            if policy.awaits(code):
                policy.run_cell([code], filename, RUN_SESSION)
            else:
                exec(code, policy.names)
    except SystemExit as error:
        return SHELL_EXIT + _outcome.exit_status(error)
    except BaseException as error:
        if isinstance(error, MemoryError):
            native.make_room()
        _run.flush_streams()
        policy.shell.show_in_shell(error)
    return SHELL_DONE


def shell_input(prompt: object = "", /) -> str:
    """input(): the host reads the line, from where it reads statements."""
    _run.flush_streams()
    data = native.encode_value(str(prompt)[:1000])
    failed, encoded, _ = _host.exchange(CALL_FUNCTION, data)
    answer = native.decode_value(encoded)
    if failed:
        raise EOFError if answer == "EOFError" else KeyboardInterrupt
    return str(answer)


def complete_words(text: str, spaces: list[dict[str, Any]], keywords: Iterable[str]) -> str:
    """What the word at the end of a line may become: names of the namespaces, or attributes."""
    *path, begun = text.split(".")
    if path:
        thing: Any = next((space[path[0]] for space in spaces if path[0] in space), None)
        for name in path[1:]:
            thing = getattr(thing, name)
        found = dir(thing)
    else:
        found = [name for space in spaces for name in space]
        found += keywords
    words = {name for name in found if type(name) is str and name.startswith(begun)}
    if not begun:
        words = {name for name in words if not name.startswith("_")}
    return "\n".join(".".join([*path, name]) for name in sorted(words)[:1000])


def command_complete(policy: Policy, text: bytes) -> str:
    """Finished words, one a line; nothing where looking them up fails, which may run code of the program's."""
    import keyword

    try:
        with policy.guard:
            return complete_words(text.decode(), [policy.names, policy.shell.builtins], keyword.kwlist)
    except BaseException:
        return ""
