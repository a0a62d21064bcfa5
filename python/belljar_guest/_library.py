"""Modules of the library, made to work where introspection is hidden: adapt().

They read bases, frames and what stands behind a method, which _language.py hides from them as well. Here each gets, as a global
of its own, the one thing that it needs, and nothing that a program could ask for something else. Runs in the zygote, after the
modules are imported and before the policy is entered; what is defined here is called in guests.
"""

from __future__ import annotations

import _thread
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from belljar_guest._language import Language

# Library code asks for these by dotted names when it is called: (module, what it asks for, the symbol of it).
ASKED_LATE = (("json", "json.decoder", "JSONDecodeError"), ("asyncio", "asyncio.queues", "Queue"))
MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT: the instances' dictionary lies before the object
POINTER = tuple.__itemsize__

own: Any = type.__dict__
get_dict = own["__dict__"].__get__
get_mro = own["__mro__"].__get__


# What values of PLAIN import while they are formatted or read. A program cannot import these.
FOR_PLAIN = "time", "_strptime"
PLAIN = """datetime:date datetime:datetime datetime:time datetime:timedelta datetime:timezone decimal:Decimal fractions:Fraction
    uuid:UUID zoneinfo:ZoneInfo""".split()


def plain_types() -> tuple[type, ...]:
    """The types of values that a program is given as they are: immutable, of exactly these types."""
    found: list[type] = [range]
    for module, _, name in (text.partition(":") for text in PLAIN):
        try:
            __import__(module)
            found.append(getattr(sys.modules[module], name))
        except ImportError:
            pass  # an interpreter without it
    return tuple(found)


def late_imports(code: types.CodeType, package: str, found: set[str]) -> None:
    """Adds the modules that a function's code imports."""
    from importlib.util import resolve_name
    from opcode import EXTENDED_ARG, opmap

    number = 0
    constants: list[Any] = [0, None]  # level and names, before the import itself
    for at in range(0, len(code.co_code), 2):
        operation, number = code.co_code[at], number << 8 | code.co_code[at + 1]
        if operation == opmap["LOAD_CONST"]:
            constants = [constants[-1], code.co_consts[number]]
        elif operation == opmap.get("LOAD_SMALL_INT"):
            constants = [constants[-1], number]
        elif operation == opmap["IMPORT_NAME"]:
            name, level, names = code.co_names[number], *constants
            if type(level) is int and level > 0 and package:
                try:
                    name = resolve_name("." * level + name, package)
                except ImportError:
                    name = ""
                found.update(f"{name}.{one}" for one in names or () if name)
            found.add(name)
        if operation != EXTENDED_ARG:
            number = 0
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            late_imports(constant, package, found)


def adapt(language: Language) -> None:
    """Changes the modules that are there."""
    for name, change in ADAPTED.items():
        if name in sys.modules:
            change(sys.modules[name], language)


def named_as(real: Any, function: Any) -> Any:
    """The function, under the name of what it replaces."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(function, name, getattr(real, name))
    return function


# ---- sys, as a module of the library uses it ----


class Stream:
    """Stands in for a standard stream that a module keeps where a program finds it: text goes there, and nothing leads to it."""

    def __init__(self, name: str) -> None:
        self.name = f"<{name}>"
        self.write = lambda text: getattr(sys, name).write(text)
        self.flush = lambda: getattr(sys, name).flush()


class System:
    """Stands in for sys: frames that show the name of their module, streams to write to, no modules."""

    modules: dict[str, Any] = {}

    def __init__(self, language: Language) -> None:
        self.language = language

    def __getattr__(self, name: str) -> Any:
        return Stream(name) if name in ("stdout", "stderr") else getattr(sys, name)

    def _getframe(self, depth: int = 0) -> Any:
        names = self.language.reveal(sys._getframe(depth + 1), "frame", "f_globals")
        return types.SimpleNamespace(f_globals={"__name__": names.get("__name__", "__main__")})

    def _getframemodulename(self, depth: int = 0) -> Any:
        names = self.language.reveal(sys._getframe(depth + 1), "frame", "f_globals")
        return names.get("__name__", "__main__")


def adapt_frames(module: Any, language: Language) -> None:
    for name in ("sys", "_sys"):
        if hasattr(module, name):
            setattr(module, name, System(language))


# ---- heapq.merge: the iterator behind its __next__ ----


class Step:
    """`iter(it).__next__` with the `__self__` that is hidden on the real one."""

    def __init__(self, iterable: Any) -> None:
        self.__self__ = iter(iterable)

    def __call__(self) -> Any:
        return next(self.__self__)


class Stepped:
    """An iterator with such a `__next__`."""

    def __init__(self, iterable: Any) -> None:
        self.step = Step(iterable)

    def __iter__(self) -> Any:
        return self.step.__self__

    @property
    def __next__(self) -> Step:
        return self.step


def adapt_heapq(module: Any, language: Language) -> None:
    module.iter = Stepped


# ---- collections.namedtuple: the defaults of a function that it made ----


def adapt_collections(module: Any, language: Language) -> None:
    adapt_frames(module, language)
    real = module.namedtuple
    set_defaults = types.FunctionType.__dict__["__defaults__"].__set__

    def namedtuple(typename: Any, field_names: Any, *, rename: Any = False, defaults: Any = None, module: Any = None) -> Any:
        if module is None:
            module = language.reveal(sys._getframe(1), "frame", "f_globals").get("__name__", "__main__")
        defaults = None if defaults is None else tuple(defaults)
        made = real(typename, field_names, rename=rename, defaults=defaults, module=module)
        if defaults is not None:
            set_defaults(made.__new__, defaults)
            vars(made.__new__).pop("__defaults__", None)  # where it was put, as the attribute is hidden
        return made

    module.namedtuple = named_as(real, namedtuple)


# ---- copy: what object.__reduce_ex__ gives, for copying only ----


def adapt_copy(module: Any, language: Language) -> None:
    def get(value: Any, name: str, *otherwise: Any) -> Any:
        if name != "__reduce_ex__":
            return getattr(value, name, *otherwise)
        found = getattr(value, "__reduce_ex__", None)
        if found is not None:
            return found
        found = getattr(value, "__reduce__", None)
        return (lambda protocol: found()) if found is not None else lambda protocol: reduced(value)

    module.getattr = get


def new_object(cls: Any, *args: Any) -> Any:
    return cls.__new__(cls, *args)


def new_object_by_names(cls: Any, args: Any, kw: Any) -> Any:
    return cls.__new__(cls, *args, **kw)


def reduced(value: Any) -> tuple[Any, ...]:
    """What object.__reduce_ex__(4) says of a value: how to make another, and its state."""
    kind = type(value)
    slots = list(slots_of(kind))
    makes: Any = getattr(value, "__getnewargs_ex__", None)
    if makes is not None:
        args, kw = makes()
        maker: tuple[Any, Any] = (new_object_by_names, (kind, args, kw))
    else:
        makes = getattr(value, "__getnewargs__", None)
        maker = (new_object, (kind, *(makes() if makes is not None else ())))
    if makes is None and not isinstance(value, list | dict):
        size = object.__basicsize__ + POINTER * len(slots)
        size += POINTER * (kind.__dictoffset__ != 0 and not kind.__flags__ & MANAGED_DICT) + POINTER * (kind.__weakrefoffset__ > 0)
        if kind.__itemsize__ or kind.__basicsize__ > size:
            raise TypeError(f"cannot pickle {kind.__name__!r} object")
    asks = getattr(value, "__getstate__", None)
    if asks is not None:
        state = asks()
    else:
        state = getattr(value, "__dict__", None) if kind.__dictoffset__ else None
        held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        state = (state, held) if held else state
    return (
        *maker,
        state,
        iter(value) if isinstance(value, list) else None,
        iter(value.items()) if isinstance(value, dict) else None,
    )


def slots_of(kind: type) -> Iterator[str]:
    for cls in get_mro(kind):
        slots = get_dict(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            is_private = name.startswith("__") and not name.endswith("__") and cls.__name__.strip("_")
            yield f"_{cls.__name__.lstrip('_')}{name}" if is_private else name


# ---- dataclasses: it makes source text of the names of fields ----


class Looked:
    """Stands in for sys in dataclasses: it looks up by name where ClassVar and InitVar are, and in which module's globals the
    methods run. Those of a program run in none."""

    def __init__(self, module: Any) -> None:
        typing = sys.modules.get("typing") or __import__("typing")
        self.typing = types.SimpleNamespace(**vars(typing))
        self.program = types.SimpleNamespace(
            ClassVar=typing.ClassVar, InitVar=module.InitVar, KW_ONLY=module.KW_ONLY, typing=self.typing, dataclasses=module
        )
        self.module, self.modules = module, self

    def __getitem__(self, name: object) -> Any:
        return self.module  # it asks for itself only

    def __contains__(self, name: object) -> bool:
        return False

    def get(self, name: object) -> Any:
        return self.typing if name == "typing" else self.program

    @staticmethod
    def _getframemodulename(depth: int = 0) -> str:
        return "__main__"


def adapt_dataclasses(module: Any, language: Language) -> None:
    def execute(text: str, names: Any, local: Any) -> None:
        """Its text runs with what exec() of the program has: whatever the names of fields are, it reaches no more."""
        exec(text, {"__builtins__": language.builtins}, local)

    module.exec = execute
    module.builtins = types.SimpleNamespace(object=object)
    module.getattr = lambda *asked: getattr(*asked)  # asked from here, what is hidden stays so
    module.sys = Looked(module)
    module.inspect = types.SimpleNamespace(
        signature=lambda cls: signature(module, cls),
        get_annotations=lambda cls: get_dict(cls).get("__annotations__", {}),
    )


def signature(module: Any, cls: Any) -> str:
    """The text of a dataclass's signature, for its docstring."""
    before: list[str] = []
    named: list[str] = []
    for field in getattr(cls, module._FIELDS).values():
        if not field.init or field._field_type is module._FIELD_CLASSVAR:
            continue
        kind = field.type.type if type(field.type) is module.InitVar else field.type
        text = f"{field.name}: {kind.__qualname__ if isinstance(kind, type) and kind.__module__ == 'builtins' else repr(kind)}"
        if field.default is not module.MISSING:
            text += f" = {field.default!r}"
        elif field.default_factory is not module.MISSING:
            text += " = <factory>"
        (named if field.kw_only else before).append(text)
    return f"({', '.join([*before, *(['*', *named] if named else [])])})"


# ---- logging: frames, streams, tracebacks and files ----


def adapt_logging(module: Any, language: Language) -> None:
    adapt_frames(module, language)
    real_config = module.basicConfig
    own_files = {module.__file__}

    def find_caller(self: Any, stack_info: bool = False, stacklevel: int = 1) -> tuple[str, int, str, None]:
        depth = 1
        try:
            while True:
                frame = sys._getframe(depth)
                code = language.reveal(frame, "frame", "f_code")
                filename = language.reveal(code, "code", "co_filename")
                if filename not in own_files:
                    stacklevel -= 1
                    if stacklevel <= 0:
                        line = language.reveal(frame, "frame", "f_lineno")
                        return filename, line, language.reveal(code, "code", "co_name"), None
                depth += 1
        except ValueError:
            return "(unknown file)", 0, "(unknown function)", None

    def config(**options: Any) -> None:
        for name in ("filename", "filemode"):
            if options.get(name) is not None:
                raise PermissionError(13, "logging to a file blocked by the sandbox; give basicConfig() a stream or handlers")
        real_config(**options)

    def flush(self: Any) -> None:
        self.acquire()
        try:
            if self.stream is not None and hasattr(self.stream, "flush"):
                self.stream.flush()
        finally:
            self.release()

    def print_exception(kind: Any, error: Any, traceback: Any, limit: Any = None, file: Any = None, chain: bool = True) -> None:
        language.print_exception(error, file=file or sys.stderr, chain=chain)

    module.Logger.findCaller = named_as(module.Logger.findCaller, find_caller)
    module.StreamHandler.flush = named_as(module.StreamHandler.flush, flush)
    module.basicConfig = named_as(real_config, config)
    module.traceback = types.SimpleNamespace(print_exception=print_exception, print_stack=lambda *args, **kw: None)


# ---- asyncio: an event loop that waits for its own timers only ----

NEEDS_MACHINE = (
    "run_in_executor set_default_executor getaddrinfo getnameinfo create_connection create_server create_unix_connection "
    "create_unix_server create_datagram_endpoint connect_accepted_socket connect_read_pipe connect_write_pipe start_tls sendfile "
    "subprocess_exec subprocess_shell add_reader remove_reader add_writer remove_writer sock_recv sock_sendall sock_connect "
    "sock_accept add_signal_handler remove_signal_handler"
).split()


class Waiter:
    """Stands in for a selector: there is nothing that could become ready. An interrupt wakes it."""

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def select(self, seconds: float | None = None) -> list[Any]:
        if seconds is None or seconds > 0:
            self.lock.acquire(True, 1e6 if seconds is None else min(seconds, 1e6))
        return []

    def wake(self) -> None:
        if self.lock.locked():
            self.lock.release()


def adapt_asyncio(module: Any, language: Language) -> None:
    class Loop(module.BaseEventLoop):  # type: ignore[misc]
        """An event loop without files, sockets, threads and processes."""

        def __init__(self) -> None:
            super().__init__()
            self._selector = Waiter()

        def _process_events(self, events: Any) -> None:
            pass

        def _write_to_self(self) -> None:
            self._selector.wake()

        async def shutdown_default_executor(self, timeout: Any = None) -> None:
            pass

    def refusing(name: str) -> Any:
        def refuse(self: Any, *args: Any, **kw: Any) -> Any:
            raise NotImplementedError(f"{name}() blocked by the sandbox: its event loop has no network, files, threads and "
                                      "processes; nothing permits it under a language policy")  # fmt: skip

        return refuse

    for name in NEEDS_MACHINE:
        setattr(Loop, name, refusing(name))
    Loop.__name__ = Loop.__qualname__ = "EventLoop"
    get_policy = getattr(module.events, "_get_event_loop_policy", None) or module.get_event_loop_policy
    get_policy()._loop_factory = Loop


ADAPTED: dict[str, Callable[[Any, Language], None]] = {
    "asyncio": adapt_asyncio,
    "heapq": adapt_heapq,
    "copy": adapt_copy,
    "dataclasses": adapt_dataclasses,
    "logging": adapt_logging,
    "collections": adapt_collections,
    "enum": adapt_frames,
    "typing": adapt_frames,
    "pprint": adapt_frames,
}
