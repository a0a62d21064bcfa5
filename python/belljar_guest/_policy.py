"""How programs are run where there is no language policy: as `python` would. _strict.py says what is different under one."""

from __future__ import annotations

import builtins
import gc
import os
import sys
from typing import TYPE_CHECKING

import _thread

from belljar._shared.frames import RUN_BYTES, RUN_EXCEPTION, RUN_SCRIPT, RUN_SESSION
from belljar_guest import (
    _cells,
    _end,
    _folders,
    _host,
    _outcome,
    _preload,
    _program,
    _results,
    _run,
    _session,
    _shell,
    _start,
    _state,
    native,
)

if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    from belljar_guest._run import Result

OURS = globals()["__builtins__"]  # frames of ours are known by it: a program has another


def import_linecache() -> ModuleType:
    """linecache is wanted from the start, the 40 files that it imports for use in rare moments are not."""

    class Later(type(sys)):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            return getattr(__import__(self.__name__), name)

    later = [name for name in ("functools", "tokenize") if name not in sys.modules]
    sys.modules.update((name, Later(name)) for name in later)
    try:
        import linecache
    finally:
        for name in later:
            del sys.modules[name]
    return linecache


linecache = import_linecache()


def set_list(name: str, items: list[str]) -> None:
    """Sets a list of sys in place, as others may hold it; one that the program took away is made anew."""
    try:
        getattr(sys, name)[:] = items
    except (AttributeError, TypeError):
        setattr(sys, name, items)


class Guard:
    """What is done around a program's code: nothing here."""

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Policy:
    """The program's module, and what is done with programs."""

    is_open = True
    no_lines = ""  # in the place of lines for IPython, where they are refused
    more_syntax = _program.ALLOW_AWAIT  # that a cell may have and a file may not
    guard: Any = Guard()

    def __init__(self) -> None:
        self.main: ModuleType | None = None  # once the guest is parked
        self.names: dict[str, Any] = {}  # the module's
        self.module_count = 0  # of sys.modules before the program: what comes after is its doing
        self.is_settled = False  # the zygote has made this for a guest that does not warm up

    # ---- Before a run ----

    def begin(self) -> None:
        """Makes the guest its own, and ready for its program."""
        if self.main is None or self.is_settled and not native.is_cold():
            self.is_settled = False
            if _state.has_preloaded:
                _preload.reseed()
            if "later" in _state.start:
                _start.import_later()
            if _state.warm_text and not native.is_cold():
                _preload.warm_up(self)
                gc.freeze()  # what is made from now on is the program's
                self.make_main()
                native.rehearse("1 + 1", "<code>")  # a run from its frame to its answer, and how it ends
                linecache.cache.pop("<code>", None)
            else:
                self.make_main()
            if _state.start:
                _start.begin()

    def make_names(self) -> None:
        """A module of its own, with nothing in it."""
        self.main = type(sys)("__main__")
        self.names = self.main.__dict__
        self.names["__builtins__"] = builtins
        sys.modules["__main__"] = self.main

    def make_main(self) -> None:
        self.make_names()
        self.module_count = len(sys.modules)
        set_list("path", [_state.WORK, *_state.original_path])

    def do_plainly(self) -> None:
        """In the zygote: from now on plain runs are done in C (guest/plain.c). If guests need nothing of their own before a run,
        those that do not warm up have begun as well: they run no Python before it."""
        self.is_settled = not (_state.reseeded or _state.start or {"uuid", "threading"} & sys.modules.keys())
        if self.is_settled:
            self.set_arguments(0, "<code>", "", [])  # as most runs have them: a guest need not write to these lists
            self.make_main()
        modules = {"state": _state, "host": _host, "linecache": linecache, "sys": sys, "builtins": builtins, "policy_names": self}
        native.plain({
            **{name: vars(module) for name, module in modules.items()},
            "modules": sys.modules, "policy": self, "known": _folders.known, "listed": _folders.listed, "original_path": _state.original_path,
            "display": _results.display, "main_mark": _results.MAIN_MARK[0], "parse_cell": _run.parse_cell,
            "conclude": _run.conclude, "compile": compile, "eval": eval, "get_objects": gc.get_objects,
            "callbacks": gc.callbacks, "thread_count": _thread._count,
        }, self.is_settled)  # fmt: skip

    def offer_results(self) -> None:
        _results.offer_results()

    def set_arguments(self, flags: int, filename: str, path0: str, argv: list[str]) -> None:
        argv = argv or [filename]
        set_list("argv", argv)
        set_list("orig_argv", [getattr(sys, "executable", ""), *argv])
        if not flags & RUN_SESSION or type(getattr(sys, "path", None)) is not list:  # a session's is what its code has made of it
            set_list("path", [path0 or _state.WORK, *_state.original_path])
        if flags & RUN_SCRIPT:
            file = os.path.join(_state.WORK, filename) if filename != "<stdin>" else filename
            self.names.update(__file__=file, __cached__=None)

    # ---- The program's text ----

    def source(self, code: bytes, flags: int) -> Any:
        """Its text as compile() gets it: str, or a file's bytes."""
        return code if flags & (RUN_SCRIPT | RUN_BYTES) else code.decode("utf-8", "surrogatepass")

    def remember(self, filename: str, source: str | bytes) -> None:
        """Has tracebacks, the program's own too, show the lines of a file that is not there."""
        if isinstance(source, bytes):
            try:
                source = _program.decoded(source) if says_how(source) else source.decode()
            except (SyntaxError, UnicodeDecodeError):
                return  # compile() says it better
        if "\r" in source:
            source = source.replace("\r\n", "\n").replace("\r", "\n")
        lines = [line + "\n" for line in source.split("\n")]
        if lines[-1] == "\n":
            lines.pop()
        try:
            linecache.cache[filename] = len(source), None, lines, filename
        except (AttributeError, TypeError):
            pass  # the program has taken it away: tracebacks do without

    def run_module(self, name: str) -> None:
        """`python -m name`: runpy does it in sys.modules["__main__"], as the interpreter has it do."""
        import runpy

        runpy._run_module_as_main(name)  # type: ignore[attr-defined]

    def run_cell(self, parts: list[CodeType], filename: str, flags: int) -> Any:
        """Runs a cell. If one of its parts awaits, all of them run in the loop."""
        waits = [self.awaits(part) for part in parts]
        value = None
        if not any(waits):
            for part in parts:
                value = eval(part, self.names)
            return value
        try:
            return _cells.run_coroutine(_cells.cell_in_loop(self.names, parts, waits), bool(flags & RUN_SESSION))
        except BaseException as error:
            self.hide_loop(error, filename)
            raise

    def awaits(self, code: CodeType) -> bool:
        return bool(code.co_flags & _program.IS_COROUTINE)

    def hide_loop(self, error: BaseException, filename: str) -> None:
        _cells.hide_loop(error, filename)

    # ---- Its values ----

    def keep_last(self, value: object) -> None:
        """The value of a cell is `_` in the next one, as in the interpreter: unless the program has a `_` of its own."""
        builtins._ = value  # type: ignore[attr-defined]

    def collect_results(self, value: object) -> None:
        _results.collect_results(value)

    def result_text(self, value: object) -> bytes:
        """The text of a last expression's value, made once: a repr may take its time, or have effects."""
        forms = _state.displays[-1] if _state.displays else None
        return forms[1][1] if forms and forms[0] == _results.MAIN_MARK else _outcome.value_text(value)

    def arriving(self, value: Any) -> Any:
        """A value of the host's as the program sees it."""
        return value

    def namespace(self, values: dict[str, Any]) -> dict[str, Any]:
        """A namespace for code to run in, with values that have arrived."""
        values.setdefault("__builtins__", builtins)
        return values

    # ---- What is compiled when it is wanted ----

    @property
    def failures(self) -> _outcome.Failures:
        return _outcome.Failures(self)

    @property
    def requests(self) -> _session.Requests:
        return _session.Requests(self)

    @property
    def shell(self) -> _shell.Shell:
        return _shell.Shell(self)

    def hide_runner(self, error: BaseException) -> None:
        """Takes the frames of who runs the program off the beginning of a traceback: plain Python has none."""
        entry = _outcome.TRACEBACK.__get__(error)
        while entry is not None and entry.tb_frame.f_builtins is OURS:
            entry = entry.tb_next
        _outcome.TRACEBACK.__set__(error, entry)

    # ---- Its end ----

    def finish(self, result: Result) -> Result:
        try:
            if _run.is_quiet():  # the usual case: nothing is left to end
                is_flushed = _run.flush_at_end()
                return result if is_flushed or result[0] == RUN_EXCEPTION else _run.NOT_FLUSHED
        except BaseException:
            pass  # memory, an interrupt, or what the program made of its modules: the long way
        try:
            finish = _end.finish
        except MemoryError:  # not even for compiling it
            native.make_room()
            finish = _end.finish
        return finish(self, result)


def says_how(source: bytes) -> bool:
    return b"coding" in source[:1000] or source.startswith(b"\xef\xbb\xbf")
