"""How programs are run under a language policy: Strict, in place of Policy. _language.py is that policy.

Compiled, in the zygote, only where there is one. Once the policy is entered, nothing here may import, or look at tracebacks,
frames, code or the globals of functions: they are hidden from this text as well.
"""

from __future__ import annotations

import codeop
import json
import marshal
import os
import sys
from typing import TYPE_CHECKING

from belljar._shared.values import Record
from belljar_guest import _host, _outcome, _preload, _program, _results, _run, _session, _shell, _state, native
from belljar_guest._policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, NoReturn

    from belljar_guest._language import Language
    from belljar_guest._run import Result

# What _program and _shell import when it is too late.
LATE = "_ast", "keyword"

set_keyword_defaults = type(_run.serve).__dict__["__kwdefaults__"].__set__


def start_language(text: str) -> Language:
    """In the zygote. The text is JSON: a SandboxConfig as its to_dict() makes it, or what the command line asks for."""
    for name in LATE:
        __import__(name)
    # Wanting something of each has it compiled now: later is too late.
    _ = _host.ask, _outcome.describe, _program.decoded, _results.display, _session.COMMANDS, _shell.complete_words, _preload.share
    try:
        wanted = json.loads(text)
        if "builtins" not in wanted:
            wanted = expand(wanted)
        from belljar_guest._language import Language

        language = Language(wanted)
        native.language_show_as_is(_host.HostItems, Record)
        _host.arriving = language.proxy
        if "json.encoder" in sys.modules:
            _host.teach_json(sys.modules["json.encoder"])
        _host.awaits_json = True
    except (ImportError, AttributeError, ValueError) as error:
        native.fail(22, "language", str(error))
    return language


def expand(wanted: dict[str, Any]) -> dict[str, Any]:
    """What --feature, --allow-module and --read say, through the same text as in Python."""
    from belljar._shared.config import SandboxConfig

    config = SandboxConfig(*wanted.get("enable", ()))
    for key, allow in (("allow", config.allow_module), ("allow_safe", config.allow_safe_module)):
        for row in wanted.get(key, ()):
            name, _, symbols = row.partition(":")
            allow(name, *[symbol for symbol in symbols.split(",") if symbol])
    for path in wanted.get("paths", ()):
        config.allow_path(path + "/" if os.path.isdir(path) else path)
    return config.to_dict()


class Strict(Policy):
    """An empty namespace, and around each program the policy."""

    is_open = False

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language = self.guard = start_language(text)
        self.has_begun = False

    # ---- Before a run ----

    def begin(self) -> None:
        if not self.has_begun:
            _preload.reseed()
            if _state.warm_text and not native.is_cold():
                _preload.warm_up(Policy())
            self.language.enter()
            self.names = self.language.namespace()
            self.has_begun = True

    def offer_results(self) -> None:
        pass

    def set_arguments(self, flags: int, filename: str, path0: str, argv: list[str]) -> None:
        sys.argv[:] = argv or [filename]  # seen by who is allowed sys.argv, and by argparse

    # ---- The program's text ----

    def source(self, code: bytes, flags: int) -> str:
        """Text is UTF-8 here: what a coding line says could be another text than the one that was looked at."""
        return code.decode("utf-8", "surrogatepass").removeprefix("\ufeff")

    def remember(self, filename: str, source: str | bytes) -> None:
        assert isinstance(source, str)
        self.language.remember(filename, source)

    def run_module(self, name: str) -> NoReturn:
        raise _host.SandboxError("Under a language policy there is no -m: run a file or a text")

    # ---- Its values ----

    def collect_results(self, value: object) -> None:
        """The last value as text: other forms are code of libraries, which the policy may not allow."""
        if value is not None:
            with self.language:
                text = _outcome.value_text(value)
            _state.displays.append([_results.MAIN_MARK, (b"text/plain", text)])

    def result_text(self, value: object) -> bytes:
        if _state.displays and _state.displays[-1][0] == _results.MAIN_MARK:
            return super().result_text(value)
        with self.language:
            return _outcome.value_text(value)

    def arriving(self, value: Any) -> Any:
        return self.language.proxy(value)

    def namespace(self, values: dict[str, Any]) -> dict[str, Any]:
        return self.language.namespace(values)

    def hide_runner(self, error: BaseException) -> None:
        pass  # format() shows the program's frames only

    # ---- What sessions, the shell and failures ask for ----

    @property
    def failures(self) -> StrictFailures:
        return StrictFailures(self)

    @property
    def requests(self) -> StrictRequests:
        return StrictRequests(self)

    @property
    def shell(self) -> StrictShell:
        return StrictShell(self)

    # ---- Its end ----

    def finish(self, result: Result) -> Result:
        _run.flush_streams()
        return result


class StrictFailures(_outcome.Failures):
    policy: Strict

    def is_exit(self, error: BaseException, is_command: bool) -> bool:
        return isinstance(error, SystemExit)

    def is_exhaustion(self, error: MemoryError) -> bool:
        return True

    def is_refusal(self, error: BaseException) -> bool:
        return False

    def is_shown(self, error: BaseException, flags: int) -> bool:
        return False

    def format(self, error: BaseException, otherwise: bytes) -> bytes:
        with self.policy.language:
            shown = self.policy.language.format_exception(error)
        return _outcome.cut(_outcome.to_bytes(shown), _outcome.TRACEBACK_MAX)

    def let_go(self, error: BaseException) -> None:
        native.make_room()


class StrictRequests(_session.Requests):
    policy: Strict

    def check_pickle(self) -> NoReturn:
        raise _host.SandboxError("under a language policy no pickle is loaded, it could make anything: write run_code() with the "
                                 "function's text, or call it by Template.call() or belljar.pysandbox")  # fmt: skip

    def execute_in_empty(self, code: bytes, given: Any, given_local: Any, is_one: bool, filename: str) -> list[Any]:
        """Runs code in an empty namespace or with the given names. Returns what became of the names:
        [[names that are gone, {name: value that is new}] for the globals and for the locals]."""
        source = self.policy.source(code, 0)
        before = _session.given(self.policy, given) if given is not None else {}
        before_local = _session.given(self.policy, given_local) if given_local is not None else None
        inside = self.policy.namespace(before)
        local = inside if is_one else dict(before_local) if before_local is not None else None
        self.policy.language.run(source, filename, inside, local)
        changes = [changed(before, inside) if given is not None else None]
        changes.append(changed(before_local, local) if before_local is not None and local is not None else None)
        return changes

    def call_marshalled(
        self, functions: list[Any], namespaces: list[Any], wanted: int, arguments: Any, keywords: Any
    ) -> list[Any]:
        """Calls a function of the host's: marshalled code and what it refers to (python/belljar/strict.py packs them)."""
        language = self.policy.language
        spaces = [language.namespace() for _ in namespaces]
        built: list[Any] = []

        def item(packed: list[Any]) -> Any:
            kind, value = packed
            if kind == 0:
                return language.proxy(_host.unwrap(value))
            if kind == 1:
                return built[value]
            if kind == 2:
                return language.builtins["__import__"](value, None, None, ("*",))
            if kind == 4:
                return getattr(language.builtins["__import__"](value[0], None, None, (value[1],)), value[1])
            if value == "SandboxError":
                return _host.SandboxError
            return language.builtins[value]

        for marshalled, name, space, defaults, keyword_defaults, cells in functions:
            code = marshal.loads(marshalled)
            language.remember(language.reveal(code, "code", "co_filename"), "")
            function = language.build_function(
                code, spaces[space], name, None if defaults is None else tuple([item(one) for one in defaults]),
                tuple([item(one) for one in cells]))  # fmt: skip
            if keyword_defaults is not None:
                set_keyword_defaults(function, {key: item(one) for key, one in keyword_defaults.items()})
            built.append(function)
        for names, packed in zip(spaces, namespaces):
            for name, one in packed.items():
                names[name] = item(one)
        given = [language.proxy(one) for one in _host.unwrap(arguments)]
        named = _session.given(self.policy, keywords)
        language.enter()
        with language:
            return [built[wanted](*given, **named)]

    def parameters(self, parameters: list[list[Any]] | None) -> list[list[Any]] | None:
        return parameters and [[*row[:3], None] for row in parameters]  # annotations may be hidden


class StrictShell(_shell.Shell):
    policy: Strict

    @property
    def builtins(self) -> Any:
        return self.policy.language.builtins

    def compiler(self) -> Callable[..., CodeType | None]:
        # CommandCompiler remembers what `from __future__ import` asked for, by an attribute that is hidden.
        return codeop.compile_command

    def before_statement(self) -> None:
        sys.displayhook = self.show_value

    def show_value(self, value: object) -> None:
        if value is not None:
            self.policy.names["_"] = None
            _run.flush_streams()
            os.write(1, _outcome.value_text(value) + b"\n")  # sys.stdout is the program's, if it has one
            self.policy.names["_"] = value

    def forget_traceback(self, error: BaseException) -> None:
        pass

    def show_in_shell(self, error: BaseException) -> NoReturn:
        raise error  # the host shows it: the program may have no stderr


# ---- Host objects: pysandbox's views showed these as well ----------------------------------------------------------


def said(what: str) -> Callable[[_host.HostObject], Any]:
    return lambda self: _host.operate(self, "text", what)


for name in ("str", "repr", "hash"):
    setattr(_host.HostObject, "__%s__" % name, said(name))


shown: Any = _host.HostObject
get_attribute = shown.__getattr__


def get_public(self: _host.HostObject, name: str) -> Any:
    if name == "_host":
        raise AttributeError("host objects show public names only")
    return object.__getattribute__(self, name)


setattr(_host.HostItems, "__getattribute__", get_public)


def get_more(self: _host.HostObject, name: str) -> Any:
    if name == "__name__":
        return _host.operate(self, "text", "name")
    if name == "__dict__":
        return {name: getattr(self, name) for name in _host.operate(self, "names")}
    return get_attribute(self, name)


shown.__getattr__ = get_more
shown.__doc__ = property(said("doc"))


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    gone = [name for name in before if name not in after]
    new = {}
    for name, value in list(after.items()):
        if type(name) is str and name != "__builtins__" and not (name in before and before[name] is value):
            new[name] = value
    return [gone, new]
