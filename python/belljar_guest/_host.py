"""Asking the host: host functions and host objects (wire/frame.h).

Like everything here it is in the hands of the untrusted code: what a guest may do to its host is decided there, when it asks.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import _operator
import _thread
from _collections_abc import Mapping, Sequence, Set
from _weakref import ref

from belljar._shared.exceptions import EXCEPTIONS as CROSSING
from belljar._shared.frames import CALL_BESIDE, CALL_DISPLAY, CALL_FUNCTION, CALL_OPERATION, REPLY_VALUE
from belljar._shared.questions import BYTES_MAX, ELEMENTS_MAX
from belljar._shared.values import Opaque, Record
from belljar_guest import _adapt, _code, _outcome, _state, native

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from belljar_guest._state import Forms

AWAITED_MAX = 16  # questions of one session that are awaited at a time

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
    """A thread that has asked, and waits: for the answer, or to be the one that reads."""

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
        return arriving(unwrap(answer))
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


def arriving(value: Any) -> Any:
    """An answer as the program sees it. A language policy has its own."""
    return value


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
    is_whole = (
        type(sent) is list
        and len(sent) == len(message)
        and all(type(part) is type(given) for part, given in zip(sent, message) if type(given) in (list, dict))
    )
    if not is_whole:
        raise ValueError("too large, or nested too deeply, to be sent to the host")
    return data


CONTAINERS: dict[int, type] = {2: list, 3: tuple, 6: set, 7: frozenset}


def unwrap(wrapped: Any) -> Any:
    """A value of the host's in which there are host objects (Handles.wrap in python/belljar/_proxy.py)."""
    kind = wrapped[0]
    if kind == 0:
        return wrapped[1]
    if kind == 1:
        return host_object(*wrapped[1:])
    if kind == 5:
        return _code.unpack(*wrapped[1])
    if kind in CONTAINERS:
        return CONTAINERS[kind]([unwrap(item) for item in wrapped[1]])
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
    return ask(CALL_OPERATION, [None, host_of(thing)[0], operation, list(arguments)])


def read_only(self: object, *arguments: object) -> NoReturn:
    raise SandboxError("Read only object")


may_subclass = True


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
        handle, type_name, operations, methods = host_of(self)
        if name in methods:
            return HostMethod(self, name)
        if name.startswith("_"):
            raise AttributeError("host %s object has no attribute %r" % (type_name, name))
        return operate(self, "attribute", name)

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = read_only
    __iadd__ = __isub__ = __imul__ = __ior__ = __iand__ = __ixor__ = read_only

    def __dir__(self) -> list[str]:
        return sorted([*operate(self, "names"), *host_of(self)[3]])

    def __repr__(self) -> str:
        return "<host %s #%d>" % (host_of(self)[1], host_of(self)[0])

    def __eq__(self, other: object) -> Any:
        theirs: Any = other
        return host_of(self)[0] == host_of(theirs)[0] if isinstance(other, HostObject) else NotImplemented

    def __hash__(self) -> int:
        return hash(host_of(self)[0])

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")

    def __copy__(self) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("host objects cannot be copied or pickled")


class HostMethod:
    """A method of a host object. It crosses as the object's number and its name."""

    __slots__ = ("__name__", "__self__", "_host")

    def __init__(self, owner: Any, name: str) -> None:
        self.__self__, self.__name__ = owner, name
        self._host = host_of(owner)[0], name

    def __eq__(self, other: object) -> Any:
        return self._host == other._host if isinstance(other, HostMethod) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._host)

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        owner = self.__self__
        if "mapping" in host_of(owner)[2] and self.__name__ in ("keys", "values", "items"):
            return HostView(owner, self.__name__)
        return ask(CALL_OPERATION, [None, host_of(owner)[0], "method",
                                    [self.__name__, *arguments], keywords])  # fmt: skip

    def __repr__(self) -> str:
        return "<method %s of %r>" % (self.__name__, self.__self__)


class Exposed(HostMethod):
    """A function of the host's on its way back: its name alone says which one."""

    __slots__ = ()

    def __init__(self, function: object, name: str) -> None:
        self.__self__, self.__name__, self._host = function, name, (0, name)


class HostView(HostMethod):
    """keys(), values() or items() of a mapping."""

    __slots__ = ("_of", "_what")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, of: Any, what: str) -> None:
        super().__init__(of, what + "()")
        self._of, self._what = of, what

    __call__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return operate(self._of, "len")  # type: ignore[no-any-return]

    def __iter__(self) -> HostIterator:
        return HostIterator(self._of, self._what)

    def __contains__(self, item: object) -> bool:
        return item in self._of if self._what == "keys" else any(item == other for other in self)

    def __reversed__(self) -> Any:
        return reversed(list(self))

    def __eq__(self, other: object) -> Any:
        if self._what == "values" or not isinstance(other, (Set, HostView)):
            return NotImplemented
        items = list(other)
        return len(self) == len(items) and all(item in items for item in self)

    def isdisjoint(self, other: Any) -> bool:
        return set(self).isdisjoint(other)

    def __repr__(self) -> str:
        return "host_%s(%r)" % (self._what, list(self))


def as_sets(operation: str, is_reflected: bool) -> Callable[[Any, Any], Any]:
    def method(self: HostView, other: Any) -> Any:
        if self._what == "values" or not hasattr(other, "__iter__"):
            return NotImplemented
        sides = set(self), set(other)
        return getattr(_operator, operation)(*(reversed(sides) if is_reflected else sides))

    return method


for name in ("and_", "or_", "sub", "xor"):
    setattr(HostView, "__%s__" % name.strip("_"), as_sets(name, False))
    setattr(HostView, "__r%s__" % name.strip("_"), as_sets(name, True))


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
        if isinstance(other, (HostObject, list, tuple, dict, set, frozenset)):
            return operate(self, "compare", operation, other)
        return NotImplemented

    return method


def copied(self: Any) -> Any:
    """A list, tuple, dict or set of the program's own, with views of what is in the host's."""
    return self.__class__(self.items() if "mapping" in host_of(self)[2] else self)


def combined(operation: str, kinds: tuple[type, ...], is_reflected: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, kinds):
            return NotImplemented
        sides = copied(self), copied(other) if isinstance(other, HostObject) else other
        return getattr(_operator, operation)(*(reversed(sides) if is_reflected else sides))

    return method


def operators(kinds: tuple[type, ...], *names: str) -> dict[str, Any]:
    """Operators that make something new, of copies."""
    forms = ("__%s__", False), ("__r%s__", True)
    return {form % name.strip("_"): combined(name, kinds, is_reflected) for name in names for form, is_reflected in forms}


class MethodOfCopy(HostMethod):
    """A method that makes something new, of a copy."""

    __slots__ = ()

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        return getattr(copied(self.__self__), self.__name__)(*arguments, **keywords)


class MethodGet(HostMethod):
    """get(): a default that cannot cross, or would not come back as it is, stays here."""

    __slots__ = ()

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        if len(arguments) != 2 or keywords or type(arguments[1]) in (int, str, bool):
            return super().__call__(*arguments, **keywords)
        value = super().__call__(arguments[0])
        return arguments[1] if value is None and arguments[0] not in self.__self__ else value


def method_of(kind: type[HostMethod], name: str) -> Any:
    def method(self: Any) -> HostMethod:
        is_named = kind is MethodOfCopy and name in host_of(self)[3]  # the host has its own
        return HostMethod(self, name) if is_named else kind(self, name)

    return property(method)


def lacking(self: Any) -> NoReturn:
    raise AttributeError


def deeply_copied(self: Any, memo: Any) -> Any:
    from copy import deepcopy

    return deepcopy(copied(self), memo)


def container(kind: type, *methods: str) -> dict[str, Any]:
    """What the containers of this kind have in common, with methods that work on a copy."""
    text = repr_of(lambda self: repr(copied(self)))
    return {
        "__class__": property(lambda self: kind), "__repr__": text, "__str__": text, "__copy__": copied,
        "__deepcopy__": deeply_copied, **{name: method_of(MethodOfCopy, name) for name in methods},
    }  # fmt: skip


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
        CALL_OPERATION, [None, host_of(self)[0], "call", list(arguments), keywords])},
    "compare": {**{"__%s__" % name: compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}, "__hash__": None},
    "with": {
        "__enter__": forwarded("enter"),
        "__exit__": lambda self, kind, error, traceback: operate(
            self, "exit", None if kind is None else type_name_of(kind), None if error is None else _outcome.text_of(error)[:1000]),
    },
    "doc": {"__doc__": property(forwarded("doc"))},
    "hash": {"__hash__": forwarded("hash")},
    "repr": {"__repr__": forwarded("repr")},
    "str": {"__str__": forwarded("str")},
    "sequence": {**container(list, "copy"), **operators((list,), "add"), **operators((int,), "mul")},
    "tuple": {**container(tuple), "copy": property(lacking), **operators((tuple,), "add"), "__hash__": lambda self: hash(copied(self))},
    "mapping": {**container(dict, "copy", "__reversed__"), **operators((dict,), "or_"), "get": method_of(MethodGet, "get")},
    "set": {
        **container(set, "copy", "union", "intersection", "difference", "symmetric_difference"),
        **operators((set, frozenset), "or_", "and_", "sub", "xor"),
    },
}  # fmt: skip


def type_name_of(kind: type) -> str:
    """The nearest type that the host knows."""
    for base in kind.__mro__:
        if EXCEPTIONS.get(base.__name__) is base:
            return base.__name__
    return "Exception"


class HostItems(HostObject):
    """A list, tuple, dict, set or iterator of the host. A language policy has no view of its own for these."""

    __slots__ = ()


class HostSequence(HostItems):
    __slots__ = ()


class HostMapping(HostItems):
    __slots__ = ()


may_subclass = False
kind_of: Any
for kind_of, kind in ((Sequence, HostSequence), (Mapping, HostMapping)):
    kind_of.register(kind)  # for `match`, and what is derived from them
BASES = {"sequence": HostSequence, "mapping": HostMapping, "set": HostItems, "next": HostItems}

classes: dict[tuple[str, ...], type[HostObject]] = {}


def host_class(operations: Sequence[str]) -> type[HostObject]:
    global may_subclass
    key = tuple(operations)
    if key not in classes:
        if not _adapt.awaits_json:
            _adapt.await_json()
        names: dict[str, Any] = {"__slots__": (), "__doc__": HostObject.__doc__, "__module__": "belljar"}
        for operation in key:
            names.update(OPERATIONS[operation])
        may_subclass = True
        try:
            classes[key] = type("HostObject", (next((BASES[name] for name in key if name in BASES), HostObject),), names)
        finally:
            may_subclass = False
    return classes[key]


HostObject.__module__ = "belljar"
exposed: dict[int, Exposed] = {}  # address of a host function -> what says which one it is
for name, thing in (("HostObject", HostObject), ("HostMethod", HostMethod), ("_exposed", exposed)):
    setattr(belljar_module, name, thing)  # the encoder finds them there: they cross as numbers and names
set_host = HostObject.__dict__["_host"].__set__
host_of: Any = HostObject.__dict__["_host"].__get__


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


async def awaited(loop: Any, message: list[Any]) -> Any:
    """A question of code that awaits: a coroutine, as the host's function is."""
    return await loop.run_in_executor(threads(), ask, CALL_BESIDE, message)


def host_function(name: str, parameters: list[list[Any]] | None, doc: str | None, is_async: bool = False) -> Callable[..., Any]:
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
    own, taken = "_belljar", {name, *[row[0] for row in parameters or ()]}
    while own in taken or own + "s" in taken:
        own += "_"
    for parameter, kind, default, annotation in parameters or (("args", 2, None, None), ("kwargs", 4, None, None)):
        if previous == 0 and kind != 0:
            header.append("/")
        if kind == 3 and previous not in (2, 3):
            header.append("*")
        text = {2: "*", 4: "**"}.get(kind, "") + parameter
        if default is not None:
            text += "=%ss[%d]" % (own, len(defaults))
            defaults.append(Default(default))
        header.append(text)
        if annotation is not None:
            annotations[parameter] = annotation
        if kind in (0, 1):
            positional.append(parameter)
        elif kind == 2:
            positional.append("*" + parameter)
        elif kind == 3:
            keywords.append("%r: %s" % (parameter, parameter))
        else:
            keywords.append("**" + parameter)
        previous = kind
    if previous == 0:
        header.append("/")
    has_rest = any(kind == 2 for _, kind, _, _ in parameters or ())
    if not has_rest:  # a default that stands is left out, so what follows goes by name
        by_name = [parameter for parameter, kind, _, _ in parameters or () if kind == 1]
        positional = [parameter for parameter in positional if parameter not in by_name]
        keywords = ["%r: %s" % (parameter, parameter) for parameter in by_name] + keywords
    called = name if name.isidentifier() else "function"
    parts = ", ".join(header), ", ".join(positional), ", ".join(keywords)
    text = "def %s(%s): return %s([%s], {%s})" % (called, parts[0], own, *parts[1:])

    def send(arguments: list[Any], keywords: dict[str, Any]) -> Any:
        arguments = [value for value in arguments if type(value) is not Default]
        keywords = {key: value for key, value in keywords.items() if type(value) is not Default}
        message = [None, name, arguments, keywords]
        if is_async and (loop := running_loop()) is not None:
            return awaited(loop, message)
        return ask(CALL_BESIDE if _thread._count() else CALL_FUNCTION, message)

    names: dict[str, Any] = {own + "s": defaults, own: send, "__name__": "host", "__builtins__": globals()["__builtins__"]}
    exec(compile(text, "<host>", "exec"), names)
    function: Callable[..., Any] = names[called]
    function.__doc__ = doc
    if annotations:
        function.__annotations__ = annotations
    return function


sys.modules["belljar"] = belljar_module
_state.can_ask = True
