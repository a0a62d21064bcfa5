
# #### Compiled when a session first needs it: see complete_session() ##############################################
#
# Commands between two runs, host functions and host objects (wire/frame.h). Like all of this text it is in the hands of
# the untrusted code: what a guest may do to its host is decided there, when it asks.

import _thread
from _weakref import ref

CALL_FUNCTION, CALL_OPERATION, CALL_DISPLAY = 1, 2, 3
REPLY_VALUE, REPLY_EXCEPTION = 0, 1
LOOK_DEPTH, LOOK_ITEMS = 3, 1000  # host objects in arguments are found so far down, in containers of so many items
BYTES_MAX, ELEMENTS_MAX = 32 << 20, 1 << 20  # of a question: the host reads no larger one
LINK, FOLDER, FILE, MORE = "link", "folder", "file", "more"


class SandboxError(Exception):
    """The sandbox refused."""


class Record:
    """A dataclass, named tuple or enumeration member, by value: a read-only mapping with attributes."""

    __slots__ = ("_fields", "_type_name")

    def __init__(self, type_name, fields):
        object.__setattr__(self, "_type_name", type_name)
        object.__setattr__(self, "_fields", fields)

    @property
    def type_name(self):
        return self._type_name

    def __getattr__(self, name):
        if not name.startswith("_") and name in self._fields:
            return self._fields[name]
        raise AttributeError("no field %r" % name)

    def __setattr__(self, name, value):
        raise AttributeError("records are read-only")

    __delattr__ = __setattr__

    def __getitem__(self, name):
        return self._fields[name]

    def __iter__(self):
        return iter(self._fields)

    def __len__(self):
        return len(self._fields)

    def __bool__(self):
        return True

    def keys(self):
        return self._fields.keys()

    def values(self):
        return self._fields.values()

    def items(self):
        return self._fields.items()

    def get(self, name, default=None):
        return self._fields.get(name, default)

    def __eq__(self, other):
        if type(other) is not Record:
            return NotImplemented
        return self._type_name == other._type_name and self._fields == other._fields

    def __hash__(self):
        return hash((self._type_name, tuple(self._fields.items())))

    def __repr__(self):
        return "%s(%s)" % (self._type_name, ", ".join("%s=%r" % item for item in self._fields.items()))

    def __reduce__(self):
        return Record, (self._type_name, self._fields)


class Opaque:
    """The description of an object that cannot cross."""

    __slots__ = ("_repr", "_type_name")

    def __init__(self, type_name, repr):
        self._type_name, self._repr = type_name, repr

    @property
    def type_name(self):
        return self._type_name

    @property
    def repr(self):
        return self._repr

    def __repr__(self):
        return "<opaque %s: %s>" % (self._type_name, self._repr)


belljar_module = type(sys)("belljar", "What belljar defines inside a sandbox.")
for thing in (SandboxError, Record, Opaque):
    thing.__module__ = "belljar"
    setattr(belljar_module, thing.__name__, thing)
sys.modules["belljar"] = belljar_module


# ---- Asking the host ---------------------------------------------------------------------------------------------

call_lock = _thread.allocate_lock()  # one question at a time
call_number = 0
released = []  # handle, count, …: host objects that are gone here
known = {}  # handle -> weak reference to the object here

# What an answer may raise. The host has the same list.
EXCEPTIONS = {
    name: getattr(builtins, name)
    for name in """ArithmeticError AssertionError AttributeError BlockingIOError BrokenPipeError BufferError
    ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError EOFError Exception
    FileExistsError FileNotFoundError FloatingPointError ImportError IndexError InterruptedError IsADirectoryError KeyError
    LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError OverflowError
    PermissionError ProcessLookupError RecursionError ReferenceError RuntimeError StopAsyncIteration StopIteration
    SystemError TimeoutError TypeError UnicodeError ValueError ZeroDivisionError""".split()
}
EXCEPTIONS["SandboxError"] = SandboxError


def ask(kind, message):
    """Sends one question; its answer, or the exception that it is."""
    global call_number
    message[0] = released[:]
    del released[: len(message[0])]
    data = encode_message(message)  # may ask by itself: for the repr of a host object
    with call_lock:
        if not is_running:
            raise RuntimeError("the host answers only while it runs code here")
        call_number += 1
        status, answer = native.call(call_number, kind, data)
        lent = native.lent()
    answer = native.decode_value(answer, buffers=lent)
    if status == REPLY_VALUE:
        return unwrap(answer)
    name, text = answer
    raise EXCEPTIONS.get(name, RuntimeError)(text)


def encode_message(message):
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


def wrap(value):
    """A value for the host: [0, value], or with host objects among the items of a list, tuple or dict."""
    kind = type(value)
    if issubclass(kind, HostObject):
        return [1, value._host[0]]
    if has_host_objects(value, LOOK_DEPTH):
        if kind is dict:
            return [4, [[[0, key], wrap(item)] for key, item in value.items()]]
        return [2 if kind is list else 3, [wrap(item) for item in value]]
    return [0, value]


def has_host_objects(value, depth):
    """Whether it is a list, tuple or dict that is not too large and has any among its items, or theirs."""
    kind = type(value)
    if (kind is not list and kind is not tuple and kind is not dict) or len(value) > LOOK_ITEMS:
        return False
    for item in value.values() if kind is dict else value:
        if issubclass(type(item), HostObject) or (depth > 1 and has_host_objects(item, depth - 1)):
            return True
    return False


def unwrap(wrapped):
    kind = wrapped[0]
    if kind == 0:
        return wrapped[1]
    if kind == 1:
        return host_object(*wrapped[1:])
    if kind == 2:
        return [unwrap(item) for item in wrapped[1]]
    if kind == 3:
        return tuple([unwrap(item) for item in wrapped[1]])
    return {unwrap(key): unwrap(item) for key, item in wrapped[1]}


def begin_calls():
    global is_running
    is_running = True
    if getattr(sys.__stdin__, "closed", False):
        reopen_stdin()


def reopen_stdin():
    """exit() closes it, and the session goes on."""
    try:
        stream = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), "utf-8", "surrogateescape")
    except OSError:
        return  # the profile has no calls for this
    stream.mode = "r"
    if sys.stdin is sys.__stdin__:
        sys.stdin = stream
    sys.__stdin__ = stream


def end_calls():
    """Before the result goes out: threads that are asking get their answer first, later ones an exception."""
    global is_running
    with call_lock:
        is_running = False


def after_branch():
    global call_lock
    call_lock = _thread.allocate_lock()


# ---- Host objects ------------------------------------------------------------------------------------------------


def operate(thing, operation, *arguments):
    return ask(CALL_OPERATION, [None, thing._host[0], operation, wrap(list(arguments))])


def read_only(self, *arguments):
    raise SandboxError("Read only object")


may_subclass = False


class HostObject:
    """An object of the host, shown read-only."""

    __slots__ = ("__weakref__", "_host")

    def __new__(cls, *arguments, **keywords):
        raise TypeError("host objects are not made in a sandbox")

    def __init_subclass__(cls):
        if not may_subclass:
            raise TypeError("type 'HostObject' is not an acceptable base type")

    def __getattr__(self, name):
        handle, type_name, operations, methods = self._host
        if name in methods:
            return HostMethod(self, name)
        if name.startswith("_"):
            raise AttributeError("host %s object has no attribute %r" % (type_name, name))
        return operate(self, "attribute", name)

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = read_only
    __iadd__ = __isub__ = __imul__ = __ior__ = __iand__ = __ixor__ = read_only

    def __dir__(self):
        return sorted([*operate(self, "names"), *self._host[3]])

    def __repr__(self):
        return "<host %s #%d>" % (self._host[1], self._host[0])

    def __eq__(self, other):
        return self._host[0] == other._host[0] if isinstance(other, HostObject) else NotImplemented

    def __hash__(self):
        return hash(self._host[0])

    def __reduce_ex__(self, protocol):
        raise TypeError("host objects cannot be copied or pickled")

    def __copy__(self):
        raise TypeError("host objects cannot be copied or pickled")

    def __deepcopy__(self, memo):
        raise TypeError("host objects cannot be copied or pickled")


class HostMethod:
    __slots__ = ("__name__", "__self__")

    def __init__(self, owner, name):
        self.__self__, self.__name__ = owner, name

    def __call__(self, *arguments, **keywords):
        owner = self.__self__
        if "mapping" in owner._host[2] and self.__name__ in ("keys", "values", "items"):
            return HostView(owner, self.__name__)
        return ask(CALL_OPERATION, [None, owner._host[0], "method",
                                    wrap([self.__name__, *arguments]), wrap(keywords)])  # fmt: skip

    def __repr__(self):
        return "<method %s of %r>" % (self.__name__, self.__self__)


class HostView:
    """keys(), values() or items() of a mapping."""

    __slots__ = ("_of", "_what")

    def __init__(self, of, what):
        self._of, self._what = of, what

    def __len__(self):
        return operate(self._of, "len")

    def __iter__(self):
        return HostIterator(self._of, self._what)

    def __contains__(self, item):
        return item in self._of if self._what == "keys" else any(item == other for other in self)

    def __repr__(self):
        return "host_%s(%r)" % (self._what, list(self))


class HostIterator:
    """Items of a host object, some at a time. No generator: under a language policy that would not be shown."""

    __slots__ = ("_at", "_items", "_more")

    def __init__(self, of, what):
        self._more, self._items = operate(of, "iter", what)
        self._at = 0

    def __iter__(self):
        return self

    def __next__(self):
        while self._at >= len(self._items):
            if self._more is None:
                raise StopIteration
            is_more, self._items = operate(self._more, "next")
            self._at = 0
            if not is_more:
                self._more = None
        self._at += 1
        return self._items[self._at - 1]


def next_item(self):
    is_more, items = operate(self, "next")
    if not items:
        raise StopIteration
    return items[0]


def forwarded(operation):
    return lambda self, *arguments: operate(self, operation, *arguments)


def compare(operation):
    def method(self, other):
        if isinstance(other, HostObject) or type(other) in (list, tuple, dict, set, frozenset):
            return operate(self, "compare", operation, other)
        return NotImplemented

    return method


def repr_of(form):
    def method(self):
        text = form(self)
        return text if len(text) <= 10000 else text[:5000] + " ... " + text[-5000:]

    return method


OPERATIONS = {
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
            self, "exit", None if kind is None else type_name_of(kind), None if error is None else text_of(error)[:1000]),
    },
    "sequence": {"__repr__": repr_of(lambda self: repr(list(self)))},
    "mapping": {"__repr__": repr_of(lambda self: repr(dict(self.items())))},
    "set": {"__repr__": repr_of(lambda self: repr(set(self)) if len(self) else "set()")},
}  # fmt: skip


def type_name_of(kind):
    """The nearest type that the host knows."""
    for base in kind.__mro__:
        if EXCEPTIONS.get(base.__name__) is base:
            return base.__name__
    return "Exception"


classes = {}


def host_class(operations):
    global may_subclass
    key = tuple(operations)
    if key not in classes:
        names = {"__slots__": (), "__doc__": HostObject.__doc__, "__module__": "belljar"}
        for operation in key:
            names.update(OPERATIONS[operation])
        may_subclass = True
        try:
            classes[key] = type("HostObject", (HostObject,), names)
        finally:
            may_subclass = False
    return classes[key]


HostObject.__module__ = "belljar"


def host_object(handle, type_name, operations, methods):
    """The object for a handle; the one that is here already if there is."""
    thing = known[handle][0]() if handle in known else None
    if thing is not None:
        known[handle][1] += 1
        return thing
    thing = object.__new__(host_class(operations))
    HostObject._host.__set__(thing, (handle, type_name, tuple(operations), tuple(methods)))
    entry = known.get(handle)
    if entry is not None:  # gone, and not told yet
        entry[1] += 1
        entry[0] = ref(thing, dropper(handle))
    else:
        known[handle] = [ref(thing, dropper(handle)), 1]
    return thing


def dropper(handle):
    def drop(reference):
        entry = known.get(handle)
        if entry is not None and entry[0] is reference:
            del known[handle]
            released.extend((handle, entry[1]))

    return drop


# ---- Host functions ----------------------------------------------------------------------------------------------


class Default:
    """The default of a host function's parameter: the host has it."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def host_function(name, parameters, doc):
    """A function with the signature of the host's. parameters: (name, kind, default's text, annotation), or None if
    they are not known."""
    header, positional, keywords, defaults, annotations = [], [], [], [], {}
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

    def send(arguments, keywords):
        arguments = [value for value in arguments if type(value) is not Default]
        keywords = {key: value for key, value in keywords.items() if type(value) is not Default}
        return ask(CALL_FUNCTION, [None, name, wrap(arguments), wrap(keywords)])

    names = {"_belljar": defaults, "_belljar_ask": send, "__name__": "host", "__builtins__": __builtins__}
    exec(compile(text, "<host>", "exec"), names)
    function = names[name if name.isidentifier() else "function"]
    function.__doc__ = doc
    if annotations:
        function.__annotations__ = annotations
    return function


# ---- Commands ----------------------------------------------------------------------------------------------------


def perform_command(code):
    """Does one RUN_COMMAND. Returns the fields of its result."""
    try:
        name, *arguments = native.decode_value(code, buffers=native.lent())
        value = COMMANDS[name](*arguments)
        if value is None:
            return RUN_OK, 0, 0, (b"", b"", b"", b"", b"")
        data = native.encode_value(value)
        if data.startswith((b"\xd8\x1b", b"\xd8\x1c\xd8\x1b")):  # tag 27, no list: all of it is one stand-in
            raise ValueError("the value is too large, or nested too deeply, to be sent to the host")
        return RUN_OK, 0, 0, (b"", b"", b"", b"", data)
    except BaseException as error:
        return outcome((error, None), RUN_SESSION | RUN_COMMAND)


def command_call(data, helper, arguments, keywords):
    import pickle

    if "cloudpickle" not in sys.modules:
        try:
            import cloudpickle
        except ImportError:
            module = type(sys)("cloudpickle")
            sys.modules["cloudpickle"] = sys.modules["cloudpickle.cloudpickle"] = module.cloudpickle = module
            module.__file__ = "<cloudpickle>"
            exec(compile(helper, "<cloudpickle>", "exec"), module.__dict__)
    return pickle.loads(data)(*unwrap(arguments), **unwrap(keywords))


def command_execute(code, names, local_names, filename, is_text=False):
    code = code.decode("utf-8", "surrogatepass") if is_text else code
    remember_source(filename, code)
    names = unwrap(names) if names is not None else None
    local_names = unwrap(local_names) if local_names is not None else None
    inside = main.__dict__ if names is None else names
    inside.setdefault("__builtins__", builtins)
    exec(compile(code, filename, "exec", 0, True), inside, inside if local_names is None else local_names)
    inside = {key: value for key, value in names.items() if key != "__builtins__"} if names is not None else None
    return [inside, local_names]


def command_write(entries):
    for kind, path, data, mode in entries:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == LINK:
            os.symlink(data, path)
        elif kind == FOLDER:
            os.makedirs(path, exist_ok=True)
        else:
            with io.FileIO(path, "w" if kind == FILE else "a") as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        if kind in (FOLDER, FILE):
            os.chmod(path, mode)


def show_at_once(forms):
    """Shows one thing to the host while the program runs."""
    ask(CALL_DISPLAY, [None, [list(form) for form in forms]])


def command_rest():
    gc.collect()  # figures and tables that nobody has any more are cycles, as a rule


def command_delete(name):
    del main.__dict__[name]


COMMANDS = {
    "get": lambda name: [name in main.__dict__, main.__dict__.get(name)],
    "set": lambda name, value: main.__dict__.__setitem__(name, unwrap(value)),
    "delete": command_delete,
    "has": lambda name: [name in main.__dict__],
    "names": lambda: [[name for name in main.__dict__ if type(name) is str and not name.startswith("_")]],
    "expose": lambda name, parameters, doc: main.__dict__.__setitem__(name, host_function(name, parameters, doc)),
    "call": lambda *arguments: [command_call(*arguments)],
    "execute": command_execute,
    "write": command_write,
    "rest": command_rest,
    "show": lambda: globals().update(shows_at_once=True),
}
