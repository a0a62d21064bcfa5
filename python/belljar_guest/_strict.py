"""How programs are run under a language policy: Strict, in place of Policy. _language.py is that policy.

Compiled, in the zygote, only where there is one. Once the policy is entered, nothing here may import, or look at tracebacks,
frames, code or the globals of functions: they are hidden from this text as well.
"""

from __future__ import annotations

import builtins
import codeop
import json
import marshal
import os
import sys
from types import CoroutineType
from typing import TYPE_CHECKING

from belljar._shared.hints import IPYTHON
from belljar._shared.parts import take_apart
from belljar._shared.values import Record

from belljar_guest import (
    _adapt, _cells, _code, _host, _outcome, _preload, _program, _results, _run, _session, _settings, _shell, _start, _state, native,
)  # fmt: skip
from belljar_guest._policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, NoReturn

    from belljar_guest._language import Language
    from belljar_guest._run import Result

# What _program and _shell import when it is too late.
LATE = "_ast", "keyword"


def start_language(text: str) -> Language:
    """In the zygote. The text is JSON: a SandboxConfig as its to_dict() makes it, or what the command line asks for."""
    for name in LATE:
        __import__(name)
    # Wanting something of each has it compiled now: later is too late.
    _ = (
        _cells.rewritten,
        _code.unpack,
        _host.ask,
        _outcome.describe,
        _program.decoded,
        _results.display,
        _session.COMMANDS,
        _settings.apply,
    )
    _ = _shell.complete_words, _preload.share, take_apart
    try:
        wanted = json.loads(text)
        if "builtins" not in wanted:
            from belljar._shared.config import expand

            wanted = expand(wanted)
        from belljar_guest._language import Language

        builtins.input = native.language_function(_settings.input_as_set, False)  # it takes what it finds there
        language = Language(wanted)
        native.language_show_as_is(_host.HostItems, Record)
        _host.arriving = language.proxy
        if "json.encoder" in sys.modules:
            _adapt.teach_json(sys.modules["json.encoder"])
        _adapt.awaits_json = True
    except (ImportError, AttributeError, ValueError) as error:
        native.fail(22, "language", str(error))
    return language


class Strict(Policy):
    """An empty namespace, and around each program the policy."""

    is_open = False
    no_lines = IPYTHON

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language = self.guard = StrictBuilder.language = start_language(text)
        _code.make_builder = StrictBuilder
        self.has_loop = "asyncio" in self.language.features
        self.more_syntax = _program.ALLOW_AWAIT if self.has_loop else 0
        self.has_begun = False

    # ---- Before a run ----

    def begin(self) -> None:
        if not self.has_begun:
            _preload.reseed()
            if "later" in _state.start:
                _start.import_later()
            if _state.warm_text and not native.is_cold():
                _preload.warm_up(Policy())
            if _state.start:
                _start.begin()
            self.language.enter()
            self.names = self.language.namespace()
            self.has_begun = True

    def make_names(self) -> None:
        self.names = self.language.namespace()

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

    def awaits(self, code: CodeType) -> bool:
        return bool(self.language.reveal(code, "code", "co_flags") & _program.IS_COROUTINE)

    def hide_loop(self, error: BaseException, filename: str) -> None:
        pass  # format() shows the program's frames only

    def keep_last(self, value: object) -> None:
        self.names["_"] = value

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

    def explain(self, error: BaseException) -> str:
        return self.policy.language.explain(error)

    def format(self, error: BaseException, otherwise: bytes) -> bytes:
        with self.policy.language:
            shown = self.policy.language.format_exception(error)
        return _outcome.cut(_outcome.to_bytes(shown), _outcome.TRACEBACK_MAX)

    def let_go(self, error: BaseException) -> None:
        native.make_room()


class StrictRequests(_session.Requests):
    policy: Strict

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

    def call(self, function: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        with self.policy.language:
            result = function(*arguments, **keywords)
            if type(result) is CoroutineType:
                result = _cells.run_coroutine(result, False) if self.policy.has_loop else finished(result)
            return result

    def host_function(self, name: str, parameters: list[list[Any]] | None, doc: str | None, is_async: bool) -> Any:
        parameters = parameters and [[*row[:3], None] for row in parameters]  # annotations may be hidden
        function = self.policy.arriving(_host.host_function(name, parameters, doc))
        if not (is_async and self.policy.has_loop):
            return function
        names = self.policy.namespace({})
        exec(AWAITED, names)
        function = names["awaited"](function, self.policy.language.function(lambda: _host.running_loop() is not None, False))
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc
        return function


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


def finished(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """What an `async def` function comes to that waits for nobody outside it."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise _host.SandboxError("an async function that waits for an event loop has none here: enable the feature asyncio")


# ---- The host's code ---------------------------------------------------------------------------------------------

# What classes of the program derive from and are made by, whatever the policy: it is not handed to them.
LIBRARY = {"abc": "ABC ABCMeta", "enum": "Enum EnumMeta EnumType Flag IntEnum IntFlag ReprEnum StrEnum"}
# A host function that is `async def` there: its answers come one after the other, as no thread could wait for them.
AWAITED = """
def awaited(function, is_in_loop):
    async def later(arguments, keywords):
        return function(*arguments, **keywords)
    def host(*arguments, **keywords):
        return later(arguments, keywords) if is_in_loop() else function(*arguments, **keywords)
    return host
"""
GENERIC = """
class Generic:
    def __class_getitem__(cls, parameters):
        return cls
"""
PARTIAL = """
def partial(function, arguments, keywords):
    def bound(*more, **others):
        return function(*arguments, *more, **{**keywords, **others})
    return bound
"""


class OwnModule:
    """A module of the host's program: the names of it that its functions use."""


class Blocked:
    """In the place of what code refers to and the policy does not allow: an error as soon as it is used, and not before."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise type(self._error)(str(self._error))

    def __repr__(self) -> str:
        return "<not allowed: %s>" % self._error

    __call__ = __iter__ = __getitem__ = __contains__ = __len__ = __bool__ = __enter__ = __getattr__
    __instancecheck__ = __subclasscheck__ = __mro_entries__ = __getattr__


class StrictBuilder(_code.Builder):
    """What is made here is found by name only where the policy allows it."""

    language: Language
    stand_in: Any = None

    def arriving(self, value: Any) -> Any:
        return self.language.proxy(value)

    def own(self, thing: Any) -> Any:
        native.language_own(thing)
        return thing

    def check_class(self, module: str, name: str) -> NoReturn:
        raise _host.SandboxError("Under a language policy no object is unpickled")

    def make_space(self, number: int) -> dict[str, Any]:
        return self.language.namespace()

    def make_code(self, data: bytes) -> Any:
        code = marshal.loads(data)
        self.language.remember(self.language.reveal(code, "code", "co_filename"), "")
        return code

    def build_function(self, code: Any, names: dict[str, Any], name: str, cells: tuple[Any, ...]) -> Any:
        return self.language.build_function(code, names, name, cells)

    def make_symbol(self, rows: list[list[str]], path: str, is_value: bool = True) -> Any:
        for module, name in rows[::-1]:
            try:
                return self.own(self.find(module, name))
            except (ImportError, AttributeError, KeyError) as found:
                error: Exception = found
        module, name = rows[0]
        if module == "builtins":
            error = _host.SandboxError("%s is not among the builtins of the policy: config.builtins_whitelist has them, and features "
                                       "that add to them" % path)  # fmt: skip
        elif isinstance(error, AttributeError):
            error = _host.SandboxError("%s is not among what the policy allows: config.allow_module(%r, %r) does" % (
                path, module, name.partition(".")[0]))  # fmt: skip
        if is_value:
            raise error
        return self.own(Blocked(error))

    def find(self, module: str, name: str) -> Any:
        if module == "builtins":
            return self.language.builtins[name]
        found = self.language.builtins["__import__"](module, None, None, ("*",))
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def make_library(self, rows: list[list[str]], path: str) -> Any:
        if ["typing", "Generic"] in rows:
            return self.generic()
        for module, name in rows:
            if name in LIBRARY.get(module, "").split() and hasattr(sys.modules.get(module), name):
                return getattr(sys.modules[module], name)
        return self.make_symbol(rows, path)

    def generic(self) -> Any:
        """In the place of typing.Generic, which asks for what a class was written with, and that stays on the host."""
        if self.stand_in is None:
            names = self.language.namespace()
            exec(GENERIC, names)
            self.stand_in = names["Generic"]
        return self.stand_in

    def make_fields(self, rows: list[tuple[Any, ...]]) -> Any:
        """A dataclass's fields are those of one that is made here: the module reads what a view would not show."""
        fields = super().make_fields([tuple([self.arriving(item) for item in row]) for row in rows])
        return fields if fields is _code.NOT_HERE else self.own(fields)

    def make_module(self, name: str) -> Any:
        try:
            return self.language.builtins["__import__"](name, None, None, ("*",))
        except ImportError as error:
            return self.own(Blocked(error))

    def make_apply(self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return function if type(function) is Blocked else super().make_apply(function, arguments, keywords)

    def make_own_module(self, name: str, space: int) -> Any:
        module = OwnModule()
        module.__dict__ = self.space(space)
        return self.own(module)

    def make_partial(self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        names = self.language.namespace()
        exec(PARTIAL, names)
        return self.own(
            names["partial"](function, self.arriving(arguments), {key: self.arriving(one) for key, one in keywords.items()})
        )

    def dataclasses(self) -> Any:
        return sys.modules.get("dataclasses")

    def fill_import(self, name: str) -> None:
        pass


shown: Any = _host.HostObject
get_attribute = shown.__getattr__


def get_public(self: _host.HostObject, name: str) -> Any:
    if name == "_host":
        raise AttributeError("host objects show public names only")
    return object.__getattribute__(self, name)


setattr(_host.HostItems, "__getattribute__", get_public)


def get_more(self: _host.HostObject, name: str) -> Any:
    if name == "__dict__":
        return {name: getattr(self, name) for name in _host.operate(self, "names")}
    return get_attribute(self, name)


shown.__getattr__ = get_more


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    gone = [name for name in before if name not in after]
    new = {}
    for name, value in list(after.items()):
        if type(name) is str and name != "__builtins__" and not (name in before and before[name] is value):
            new[name] = value
    return [gone, new]
