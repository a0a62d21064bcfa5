"""Asking the host: host functions and host objects (wire/frame.h).

Like everything here it is in the hands of the untrusted code: what a guest may do to its host is decided there, when it asks.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import _thread
from _weakref import ref

from belljar._shared.exceptions import EXCEPTIONS as CROSSING
from belljar._shared.frames import CALL_BESIDE, CALL_DISPLAY, CALL_FUNCTION, CALL_OPERATION, REPLY_VALUE
from belljar._shared.questions import BYTES_MAX, ELEMENTS_MAX
from belljar._shared.values import Opaque, Record
from belljar_guest import _code, _outcome, _state, native

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from belljar_guest._state import Forms

AWAITED_MAX = 16  # questions of one session that are awaited at a time
LOOK_DEPTH, LOOK_ITEMS = 3, 1000  # host objects in arguments are found so far down, in containers of so many items

# Under a language policy there is one already, for what the policy refuses.
SandboxError: type[Exception] = getattr(native, "SandboxError", None) or type(
    "SandboxError", (Exception,), {"__doc__": "The sandbox refused.", "__module__": "belljar"}
)
EXCEPTIONS = {**CROSSING, "SandboxError": SandboxError}  # what an answer may raise

belljar_module: Any = type(sys)("belljar", "What belljar defines inside a sandbox.")
belljar_module.SandboxError = SandboxError
for kind in (Record, Opaque):
    kind.__module__ = "belljar"
    setattr(belljar_module, kind.__name__, kind)


class Waiting:
    """Who has asked, and waits: for the answer, or to be the one that reads."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes, Any] | None = None  # status, value, memory that came with it
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def wake(self) -> None:
        try:
            self.lock.release()
        except RuntimeError:
            pass  # it is awake


# ---- Asking the host ---------------------------------------------------------------------------------------------

call_lock = _thread.allocate_lock()  # for who sends one
read_lock = _thread.allocate_lock()  # for who reads answers: of those that wait, one does for all
call_number = 0
pending: dict[int, Waiting] = {}  # those that wait, by the numbers of their questions
released: list[int] = []  # handle, count, …: host objects that are gone here
known: dict[int, list[Any]] = {}  # handle -> weak reference to the object here


def ask(kind: int, message: list[Any]) -> Any:
    """Sends one question; its answer, or the exception that it is."""
    message[0] = released[:]
    del released[: len(message[0])]
    data = encode_message(message)  # may ask by itself: for the repr of a host object
    status, encoded, lent = exchange(kind, data)
    answer = native.decode_value(encoded, buffers=lent)
    if status == REPLY_VALUE:
        return unwrap(answer)
    name, text = answer
    raise EXCEPTIONS.get(name, RuntimeError)(text)


def exchange(kind: int, data: bytes) -> tuple[int, bytes, Any]:
    """Sends one question and waits for its answer; other threads may do so at the same time."""
    mine = Waiting()
    with call_lock:
        if not _state.is_running:
            raise RuntimeError("the host answers only while it runs code here")
        number = next_number()
        pending[number] = mine
        try:
            native.send_call(number, kind, data)
        except BaseException:
            del pending[number]
            raise
    try:
        while mine.answer is None:
            if read_lock.acquire(False):
                try:
                    read_answers(mine)
                finally:
                    read_lock.release()
            else:
                mine.lock.acquire()
    finally:
        pending.pop(number, None)
        for other in list(pending.values()):  # somebody has to read on; who is answered has left
            other.wake()
            break
    return mine.answer


def read_answers(mine: Waiting) -> None:
    """Reads, for everybody, until the answer to one's own question is there. Answers to those who have left are dropped."""
    while mine.answer is None:
        number, status, encoded = native.read_answer()
        lent = native.lent()
        other = pending.pop(number, None)
        if other is not None:
            other.answer = status, encoded, lent
            other.wake()


def next_number() -> int:
    """The number of the next question, for who holds the lock."""
    global call_number
    call_number += 1
    return call_number


def encode_message(message: list[Any]) -> bytes:
    try:
        return native.encode_value(message, strict=True, bytes=BYTES_MAX, elements=ELEMENTS_MAX)
    except (TypeError, ValueError):
        pass  # with descriptions of what cannot cross, if the whole does not become one
    data = native.encode_value(message, bytes=BYTES_MAX, elements=ELEMENTS_MAX)
    sent = native.decode_value(data, bytes=BYTES_MAX, elements=ELEMENTS_MAX)
    is_whole = type(sent) is list and len(sent) == len(message) and all(
        type(part) is list and len(part) == 2 and type(part[1]) is type(given[1])
        for part, given in zip(sent[2:], message[2:]) if type(given) is list)  # fmt: skip
    if not is_whole:
        raise ValueError("too large, or nested too deeply, to be sent to the host")
    return data


def wrap(value: Any) -> list[Any]:
    """A value for the host: [0, value], or with host objects among the items of a list, tuple or dict."""
    kind = type(value)
    if issubclass(kind, HostObject):
        return [1, value._host[0]]
    if has_host_objects(value, LOOK_DEPTH):
        if kind is dict:
            return [4, [[[0, key], wrap(item)] for key, item in value.items()]]
        return [2 if kind is list else 3, [wrap(item) for item in value]]
    return [0, value]


def has_host_objects(value: Any, depth: int) -> bool:
    """Whether it is a list, tuple or dict that is not too large and has any among its items, or theirs."""
    kind = type(value)
    if (kind is not list and kind is not tuple and kind is not dict) or len(value) > LOOK_ITEMS:
        return False
    for item in value.values() if kind is dict else value:
        if issubclass(type(item), HostObject) or (depth > 1 and has_host_objects(item, depth - 1)):
            return True
    return False


def unwrap(wrapped: Any) -> Any:
    kind = wrapped[0]
    if kind == 0:
        return wrapped[1]
    if kind == 1:
        return host_object(*wrapped[1:])
    if kind == 2:
        return [unwrap(item) for item in wrapped[1]]
    if kind == 3:
        return tuple([unwrap(item) for item in wrapped[1]])
    if kind == 5:
        return _code.unpack(*wrapped[1])
    return {unwrap(key): unwrap(item) for key, item in wrapped[1]}


def begin_calls() -> None:
    _state.is_running = True
    if getattr(sys.__stdin__, "closed", False):
        reopen_stdin()


def reopen_stdin() -> None:
    """exit() closes it, and the session goes on."""
    try:
        stream: Any = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), "utf-8", "surrogateescape")
    except OSError:
        return  # the profile has no calls for this
    stream.mode = "r"
    if sys.stdin is sys.__stdin__:
        sys.stdin = stream
    sys.__stdin__ = stream


def end_calls() -> None:
    """Before the result goes out: threads that are asking get their answer first, later ones an exception."""
    with call_lock:
        _state.is_running = False
    while pending:
        if read_lock.acquire(False):
            try:
                read_answers(next(iter(list(pending.values())), Waiting()))
            finally:
                read_lock.release()
        else:
            with read_lock:  # another thread reads, for itself and for all
                pass


def after_branch() -> None:
    global call_lock, read_lock, pool
    call_lock, read_lock = _thread.allocate_lock(), _thread.allocate_lock()
    pending.clear()
    pool = None  # its threads are the other's


# ---- Host objects ------------------------------------------------------------------------------------------------


def show_at_once(forms: Forms) -> None:
    """Shows one thing to the host while the program runs."""
    ask(CALL_DISPLAY, [None, [list(form) for form in forms]])


def operate(thing: HostObject, operation: str, *arguments: object) -> Any:
    return ask(CALL_OPERATION, [None, thing._host[0], operation, wrap(list(arguments))])


def read_only(self: object, *arguments: object) -> NoReturn:
    raise SandboxError("Read only object")


may_subclass = False


class HostObject:
    """An object of the host, shown read-only."""

    __slots__ = ("__weakref__", "_host")

    if TYPE_CHECKING:
        _host: tuple[int, str, tuple[str, ...], tuple[str, ...]]  # handle, type name, operations, methods

    def __new__(cls, *arguments: object, **keywords: object) -> NoReturn:
        raise TypeError("host objects are not made in a sandbox")

    def __init_subclass__(cls) -> None:
        if not may_subclass:
            raise TypeError("type 'HostObject' is not an acceptable base type")

    def __getattr__(self, name: str) -> Any:
        handle, type_name, operations, methods = self._host
        if name in methods:
            return HostMethod(self, name)
        if name.startswith("_"):
            raise AttributeError("host %s object has no attribute %r" % (type_name, name))
        return operate(self, "attribute", name)

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = read_only
    __iadd__ = __isub__ = __imul__ = __ior__ = __iand__ = __ixor__ = read_only

    def __dir__(self) -> list[str]:
        return sorted([*operate(self, "names"), *self._host[3]])

    def __repr__(self) -> str:
        return "<host %s #%d>" % (self._host[1], self._host[0])

    def __eq__(self, other: object) -> Any:
        theirs: Any = other
        return self._host[0] == theirs._host[0] if isinstance(other, HostObject) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._host[0])

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")

    def __copy__(self) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")


class HostMethod:
    __slots__ = ("__name__", "__self__")

    def __init__(self, owner: HostObject, name: str) -> None:
        self.__self__, self.__name__ = owner, name

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        owner = self.__self__
        if "mapping" in owner._host[2] and self.__name__ in ("keys", "values", "items"):
            return HostView(owner, self.__name__)
        return ask(CALL_OPERATION, [None, owner._host[0], "method",
                                    wrap([self.__name__, *arguments]), wrap(keywords)])  # fmt: skip

    def __repr__(self) -> str:
        return "<method %s of %r>" % (self.__name__, self.__self__)


class HostView:
    """keys(), values() or items() of a mapping."""

    __slots__ = ("_of", "_what")

    def __init__(self, of: Any, what: str) -> None:
        self._of, self._what = of, what

    def __len__(self) -> int:
        return operate(self._of, "len")  # type: ignore[no-any-return]

    def __iter__(self) -> HostIterator:
        return HostIterator(self._of, self._what)

    def __contains__(self, item: object) -> bool:
        return item in self._of if self._what == "keys" else any(item == other for other in self)

    def __repr__(self) -> str:
        return "host_%s(%r)" % (self._what, list(self))


class HostIterator:
    """Items of a host object, some at a time. No generator: under a language policy that would not be shown."""

    __slots__ = ("_at", "_items", "_more")

    def __init__(self, of: Any, what: str) -> None:
        self._more, self._items = operate(of, "iter", what)
        self._at = 0

    def __iter__(self) -> HostIterator:
        return self

    def __next__(self) -> Any:
        while self._at >= len(self._items):
            if self._more is None:
                raise StopIteration
            is_more, self._items = operate(self._more, "next")
            self._at = 0
            if not is_more:
                self._more = None
        self._at += 1
        return self._items[self._at - 1]


def next_item(self: HostObject) -> Any:
    is_more, items = operate(self, "next")
    if not items:
        raise StopIteration
    return items[0]


def forwarded(operation: str) -> Callable[..., Any]:
    return lambda self, *arguments: operate(self, operation, *arguments)


def compare(operation: str) -> Callable[[HostObject, object], Any]:
    def method(self: HostObject, other: object) -> Any:
        if isinstance(other, HostObject) or type(other) in (list, tuple, dict, set, frozenset):
            return operate(self, "compare", operation, other)
        return NotImplemented

    return method


def repr_of(form: Callable[[Any], str]) -> Callable[[HostObject], str]:
    def method(self: HostObject) -> str:
        text = form(self)
        return text if len(text) <= 10000 else text[:5000] + " ... " + text[-5000:]

    return method


OPERATIONS: dict[str, dict[str, Any]] = {
    "len": {"__len__": forwarded("len")},
    "item": {"__getitem__": forwarded("item")},
    "contains": {"__contains__": forwarded("contains")},
    "iter": {"__iter__": lambda self: HostIterator(self, "")},
    "reversed": {"__reversed__": lambda self: HostIterator(self, "reversed")},
    "next": {"__iter__": lambda self: self, "__next__": next_item},
    "call": {"__call__": lambda self, *arguments, **keywords: ask(
        CALL_OPERATION, [None, self._host[0], "call", wrap(list(arguments)), wrap(keywords)])},
    "compare": {**{"__%s__" % name: compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}, "__hash__": None},
    "with": {
        "__enter__": forwarded("enter"),
        "__exit__": lambda self, kind, error, traceback: operate(
            self, "exit", None if kind is None else type_name_of(kind), None if error is None else _outcome.text_of(error)[:1000]),
    },
    "sequence": {"__repr__": repr_of(lambda self: repr(list(self)))},
    "mapping": {"__repr__": repr_of(lambda self: repr(dict(self.items())))},
    "set": {"__repr__": repr_of(lambda self: repr(set(self)) if len(self) else "set()")},
    "doc": {"__doc__": property(forwarded("doc"))},
    "hash": {"__hash__": forwarded("hash")},
    "repr": {"__repr__": forwarded("repr")},
    "str": {"__str__": forwarded("str")},
}  # fmt: skip


def type_name_of(kind: type) -> str:
    """The nearest type that the host knows."""
    for base in kind.__mro__:
        if EXCEPTIONS.get(base.__name__) is base:
            return base.__name__
    return "Exception"


classes: dict[tuple[str, ...], type[HostObject]] = {}


def host_class(operations: Sequence[str]) -> type[HostObject]:
    global may_subclass
    key = tuple(operations)
    if key not in classes:
        names: dict[str, Any] = {"__slots__": (), "__doc__": HostObject.__doc__, "__module__": "belljar"}
        for operation in key:
            names.update(OPERATIONS[operation])
        may_subclass = True
        try:
            classes[key] = type("HostObject", (HostObject,), names)
        finally:
            may_subclass = False
    return classes[key]


HostObject.__module__ = "belljar"
set_host = HostObject.__dict__["_host"].__set__


def host_object(handle: int, type_name: str, operations: Sequence[str], methods: Sequence[str]) -> HostObject:
    """The object for a handle; the one that is here already if there is."""
    thing: HostObject | None = known[handle][0]() if handle in known else None
    if thing is not None:
        known[handle][1] += 1
        return thing
    thing = object.__new__(host_class(operations))
    set_host(thing, (handle, type_name, tuple(operations), tuple(methods)))
    entry = known.get(handle)
    if entry is not None:  # gone, and not told yet
        entry[1] += 1
        entry[0] = ref(thing, dropper(handle))
    else:
        known[handle] = [ref(thing, dropper(handle)), 1]
    return thing


def dropper(handle: int) -> Callable[[object], None]:
    def drop(reference: object) -> None:
        entry = known.get(handle)
        if entry is not None and entry[0] is reference:
            del known[handle]
            released.extend((handle, entry[1]))

    return drop


# ---- Host functions ----------------------------------------------------------------------------------------------


class Default:
    """The default of a host function's parameter: the host has it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def running_loop() -> Any:
    """The event loop that runs in this thread, if there is one."""
    asyncio: Any = sys.modules.get("asyncio")
    return asyncio._get_running_loop() if asyncio is not None else None


pool: Any = None


def threads() -> Any:
    """Those in which awaited questions wait for their answers."""
    global pool
    if pool is None:
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(max(1, min(AWAITED_MAX, _state.thread_limit - 2)), "belljar-host")
    return pool


def host_function(
    name: str, parameters: list[list[Any]] | None, doc: str | None, is_async: bool = False
) -> Callable[..., Any]:
    """A function with the signature of the host's. parameters: (name, kind, default's text, annotation), or None if
    they are not known. One that is `async def` there can be awaited in code that awaits."""
    header: list[str] = []
    positional: list[str] = []
    keywords: list[str] = []
    defaults: list[Default] = []
    annotations: dict[str, Any] = {}
    previous = None
    if parameters and parameters[-1][1] == 5:  # not a parameter: what it returns
        annotations["return"] = parameters[-1][3]
        parameters = parameters[:-1]
    for parameter, kind, default, annotation in parameters or (("args", 2, None, None), ("kwargs", 4, None, None)):
        if previous == 0 and kind != 0:
            header.append("/")
        if kind == 3 and previous not in (2, 3):
            header.append("*")
        text = {2: "*", 4: "**"}.get(kind, "") + parameter
        if default is not None:
            text += "=_belljar[%d]" % len(defaults)
            defaults.append(Default(default))
        header.append(text)
        if annotation is not None:
            annotations[parameter] = annotation
        if kind in (0, 1):
            positional.append(parameter)
        elif kind == 2:
            positional.append("*" + parameter)
        elif kind == 3:
            keywords.append("%s=%s" % (parameter, parameter))
        else:
            keywords.append("**" + parameter)
        previous = kind
    if previous == 0:
        header.append("/")
    has_rest = any(kind == 2 for _, kind, _, _ in parameters or ())
    if not has_rest:  # a default that stands is left out, so what follows goes by name
        by_name = [parameter for parameter, kind, _, _ in parameters or () if kind == 1]
        positional = [parameter for parameter in positional if parameter not in by_name]
        keywords = ["%s=%s" % (parameter, parameter) for parameter in by_name] + keywords
    text = "def %s(%s): return _belljar_ask([%s], dict(%s))" % (
        name if name.isidentifier() else "function", ", ".join(header), ", ".join(positional), ", ".join(keywords))

    def send(arguments: list[Any], keywords: dict[str, Any]) -> Any:
        arguments = [value for value in arguments if type(value) is not Default]
        keywords = {key: value for key, value in keywords.items() if type(value) is not Default}
        message = [None, name, wrap(arguments), wrap(keywords)]
        if is_async and (loop := running_loop()) is not None:
            return loop.run_in_executor(threads(), ask, CALL_BESIDE, message)
        return ask(CALL_BESIDE if _thread._count() else CALL_FUNCTION, message)

    names: dict[str, Any] = {"_belljar": defaults, "_belljar_ask": send, "__name__": "host", "__builtins__": globals()["__builtins__"]}
    exec(compile(text, "<host>", "exec"), names)
    function: Callable[..., Any] = names[name if name.isidentifier() else "function"]
    function.__doc__ = doc
    if annotations:
        function.__annotations__ = annotations
    return function


sys.modules["belljar"] = belljar_module
_state.can_ask = True
