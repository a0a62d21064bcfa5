"""The Python half of the deny-by-default language policy: pysandbox's, on today's Python.

`Language(config)` imports what the policy allows and builds what untrusted code will see; `enter()` then hides what
must not be seen, once and for good in this process; `namespace()` makes an empty namespace to run code in. The C half
(language.c) is `native`. None of it is a wall: it is least authority inside a process that the kernel's wall stands
around, and code that gets past it finds itself in an ordinary guest.

The order matters. After enter() nothing can be imported any more and Python-level introspection is gone, also for the
library: what a program needs is imported before.
"""

from __future__ import annotations

import builtins
import gc
import posixpath
import sys
import types
from typing import TYPE_CHECKING

from belljar._shared.hints import (
    for_attribute, for_await, for_builtin, for_encoding, for_import, for_path, for_recursion, for_stream,
    for_symbol, for_view,
)  # fmt: skip
from belljar_guest import _library, native

if TYPE_CHECKING:
    from typing import Any, NoReturn

ERROR_TEXT_MAX = 64 << 10
CHAIN_MAX = 10
FRAMES_MAX = 40


OURS = ("<belljar>", "<host>", __file__ if "__file__" in globals() else "")  # frames that no traceback shows

KINDS: dict[str, Any] = {
    "function": types.FunctionType,
    "builtin_function_or_method": types.BuiltinFunctionType,
    "method": types.MethodType,
    "method_descriptor": types.MethodDescriptorType,
    "classmethod_descriptor": types.ClassMethodDescriptorType,
    "getset_descriptor": types.GetSetDescriptorType,
    "member_descriptor": types.MemberDescriptorType,
    "frame": types.FrameType,
    "generator": types.GeneratorType,
    "coroutine": types.CoroutineType,
    "async_generator": types.AsyncGeneratorType,
    "traceback": types.TracebackType,
    "code": types.CodeType,
    "cell": types.CellType,
    "module": types.ModuleType,
    "classmethod": classmethod,
    "staticmethod": staticmethod,
    "type": type,
    "object": object,
    "super": super,
    "BaseException": BaseException,
    "AttributeError": AttributeError,
    "NameError": NameError,
    "method-wrapper": types.MethodWrapperType,
    "wrapper_descriptor": types.WrapperDescriptorType,
}

# What is hidden, by deleting it from the type's own dictionary, so that no way of asking finds it: not the dot, not
# getattr, not a pattern, not a format string, not an unbound descriptor. "*" is every name without underscores
# at both ends. One row is: type, names, the feature that leaves them visible (or None), reason.
HIDDEN: list[tuple[str, str, str | None, str]] = [
    ("function", "__globals__ __builtins__", None, "the namespace a function was defined in"),
    ("function", "__code__", None, "bytecode can be replaced and read"),
    ("function", "__closure__", None, "cells hold what a function keeps to itself"),
    ("function", "__defaults__ __kwdefaults__", None, "trusted defaults can be read and changed"),
    ("function", "__new__", None, "a function from any code object and any globals"),
    ("cell", "cell_contents __new__", None, "closures can be read and written"),
    ("code", "* __replace__ __new__", None, "no code object but the compiler's own"),
    ("frame", "*", None, "locals, globals and builtins of every caller"),
    ("generator", "gi_frame gi_code gi_yieldfrom", None, "leads to a frame"),
    ("coroutine", "cr_frame cr_code cr_await cr_origin", None, "leads to a frame"),
    ("async_generator", "ag_frame ag_code ag_await", None, "leads to a frame"),
    ("traceback", "tb_frame __new__", None, "leads to a frame"),
    ("traceback", "tb_next tb_lasti tb_lineno", "traceback", "shows where an error came from"),
    ("BaseException", "__traceback__ __context__ __cause__", "traceback", "errors of others, and where they came from"),
    ("BaseException", "with_traceback", None, "with a traceback of one's choice"),
    ("AttributeError", "obj __getstate__ __reduce__", None, "the object that lacked the attribute"),
    ("builtin_function_or_method", "__self__ __reduce__", None, "leads to the module or object behind it"),
    ("method", "__self__ __func__ __reduce__", None, "leads to the object and function behind it"),
    ("method-wrapper", "__self__ __objclass__ __reduce__", None, "leads to the object behind it"),
    ("wrapper_descriptor", "__objclass__ __reduce__", None, "leads to a type"),
    ("method_descriptor", "__objclass__ __reduce__", None, "leads to a type"),
    ("classmethod_descriptor", "__objclass__", None, "leads to a type"),
    ("getset_descriptor", "__objclass__", None, "leads to a type"),
    ("member_descriptor", "__objclass__ __reduce__", None, "leads to a type"),
    ("classmethod", "__func__ __wrapped__", None, "the function behind a wrapper"),
    ("staticmethod", "__func__ __wrapped__", None, "the function behind a wrapper"),
    ("type", "__subclasses__ __bases__ __base__ __mro__", None, "the graph of all types leads to any module"),
    ("type", "__abstractmethods__", None, "a trusted class can be made abstract"),
    ("module", "__dict__ __init__ __annotations__ __new__", None, "the dictionary behind the builtins"),
    ("super", "__init__", None, "the program's own super looks at the frame before it takes what it needs from there"),
    ("object", "__reduce__ __reduce_ex__ __getstate__", None, "copying gives the raw state and Python helpers"),
]

# Rows of these types stay visible from the code of these modules: they build and test classes, or handle errors, in
# Python. Functions of theirs that would read an attribute of the caller's choice are not in any feature.
LIBRARY = ("_collections_abc", "abc", "collections", "contextlib", "dataclasses", "enum", "functools", "random", "string", "typing")
LIBRARY_ROWS = ("type", "object", "BaseException", "classmethod")

# The preset after restricted mode closes these as well.
HIDDEN_RESTRICTED: list[tuple[str, str, str | None, str]] = [
    ("function", "__dict__ __annotations__", None, "functions cannot be changed from outside"),
    ("BaseException", "__dict__ __setstate__", None, "instances cannot be changed from outside"),
]

# Types whose constructors would make what the rows above keep from being reached.
WITHOUT_CONSTRUCTOR = ("function", "cell", "code", "traceback", "module")

NEVER_PROXIED = ("module", "frame", "code", "cell", "traceback", "generator", "coroutine", "async_generator")

# Of the class that a text in an annotation becomes; `class C[T]` hands it out, and so does whatever of typing takes a text. Its
# method evaluates the text in the library's frame. The names of 3.14 are here as well.
FORWARD_HIDDEN = "_evaluate evaluate __forward_code__ __code__ __globals__ __cell__ __owner__".split()

# Iterators that hold another one: going down into them is bounded by the stack.
NESTING: list[Any] = [filter, map, zip, enumerate, reversed, type(iter(int, 1))]
NESTING_OF_ITERTOOLS = (
    "accumulate chain compress cycle dropwhile filterfalse groupby islice pairwise starmap takewhile zip_longest batched".split()
)

# What a file or stream shows. Not: buffer, raw, detach, fileno, reconfigure, which lead to the descriptor (L081).
FILE_NAMES = frozenset(
    "close closed encoding errors flush isatty line_buffering mode name newlines read readable readline readlines "
    "seek seekable tell writable write writelines".split()
)

SINGLE_HINTS = {"import": for_import, "stream": for_stream}

READ_MODES = ("r", "rb", "rt", "br", "tr", "rU")


# Modules whose functions are not looked into for what they import, and that are not imported for another's: programs,
# sockets, native code.
LATE_NEVER = frozenset("ctypes msvcrt multiprocessing nt os posix pydoc socket subprocess sys unittest webbrowser winreg".split())

INPUT_FRAMES = "input_as_set", "read_input"  # of _settings.py: plain Python's input() has none


class Language:
    """One guest's policy, of a config as SandboxConfig.to_dict() makes it. Everything that it allows is imported here."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.features = frozenset(config["features"])
        self.saved: dict[tuple[str, str], Any] = {}  # (type, name) -> descriptor, for format_exception
        self.sources: dict[str, list[str]] = {}  # file name -> lines of the guest's own code
        self.limits: list[int] = []
        self.entered = False
        self.library: list[dict[str, Any]] = []  # filled by enter(), when everything is imported
        own: Any = type.__dict__
        native.language_set_up(
            set(config["imports"]) | set(config["internal"]),
            FILE_NAMES,
            sys.modules["_io"]._IOBase,
            tuple(KINDS[name] for name in NEVER_PROXIED),
            own["__dict__"],
            own["__mro__"],
            types.CodeType if "compile" in config["builtins"] else None,
            self.library,
        )
        native.language_hints(self.hint)
        native.language_plain(_library.plain_types())
        self.build_modules()
        self.import_what_comes_late()
        _library.adapt(self)
        native.language_settle_modules([name for name in config["optional"] if name != "sys"])
        self.build_codecs()
        self.complete_registries()
        self.builtins = native.language_builtins(self.choose_builtins())

    def hint(self, kind: str, name: str, more: Any) -> str:
        """What would permit what is refused: the end of the message."""
        if not self.config.get("hints", True):
            return ""
        return for_symbol(name, more) if kind == "symbol" else SINGLE_HINTS[kind](name)

    # ---- What can be imported --------------------------------------------------------------------------------

    def build_modules(self) -> None:
        config = self.config
        for name in config["internal"]:
            try:
                __import__(name)
            except ImportError:
                pass  # a helper of another version of Python
        names = dict(config["imports"])
        for name in config["internal"]:
            names.setdefault(name, {"proxied": [], "safe": []})
        for parent, name, symbol in _library.ASKED_LATE:
            if parent in names:
                names.setdefault(name, {"proxied": [], "safe": [symbol]})
        self.dotted: dict[str, Any] = {}
        children: dict[str, list[str]] = {}
        for name in list(names):  # parents that are not allowed themselves are there to lead to their children
            while "." in name:
                parent, _, child = name.rpartition(".")
                children.setdefault(parent, []).append(child)
                names.setdefault(parent, None)
                name = parent
        made: dict[str, Any] = {}
        for name in sorted(names, key=lambda name: -int(name.count("."))):
            row = names[name]
            symbols: dict[str, bool] = {}
            values: dict[str, Any] = {}
            real: Any = None
            if row is not None:
                try:
                    __import__(name)
                    real = sys.modules[name]
                except ImportError:
                    if name not in config["internal"]:
                        raise
                    continue
                present = row["proxied"] + row["safe"]
                if name in config["optional"]:  # rows of features name symbols of every version of Python
                    present = [symbol for symbol in present if hasattr(real, symbol)]
                symbols = {symbol: symbol in row["proxied"] for symbol in present}
                values = self.replacements(name)
            for child in children.get(name, ()):
                if f"{name}.{child}" in made:
                    values[child] = made[f"{name}.{child}"]
                    symbols.pop(child, None)
            listed = getattr(real, "__all__", None)
            everything = [*symbols, *(symbol for symbol in values if row is not None)]
            if listed:
                star = [symbol for symbol in listed if symbol in everything]
            else:
                star = [symbol for symbol in everything if not symbol.startswith("_")]
            made[name] = native.language_module(name, real, symbols, values, star)
            if "." in name:
                self.dotted[name] = made[name]
        for name in _library.FOR_PLAIN:
            __import__(name)
            if name not in made:
                native.language_module(name, sys.modules[name], {}, {}, [])

    def import_what_comes_late(self) -> None:
        """Functions of the modules that are allowed, and of the modules that these use, import others when they are called, and
        then nothing can be imported any more. So those are there from the start; a program sees none of them."""
        modules = {name: sys.modules[name] for name in self.config["imports"] if name in sys.modules}
        for module in list(modules.values()):
            for thing in vars(module).values():
                name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
                if isinstance(name, str) and name in sys.modules:
                    modules[name] = sys.modules[name]
        found: set[str] = set()
        for name in modules.keys() - LATE_NEVER:
            for title, thing in list(vars(modules[name]).items()):
                if getattr(thing, "__module__", None) == name and not title.startswith(("_test", "test", "_main", "main")):
                    for member in vars(thing).values() if isinstance(thing, type) else [thing]:
                        code = getattr(getattr(member, "__func__", member), "__code__", None)
                        if isinstance(code, types.CodeType):
                            _library.late_imports(code, getattr(modules[name], "__package__", "") or "", found)
        for name in found - LATE_NEVER - {""}:
            try:
                __import__(name)
            except ImportError:
                pass  # of another system, or optional

    def build_codecs(self) -> None:
        """Codecs are served from a table: looking one up imports a module that a name chooses (L087), and some of
        them are decompressors (L088)."""
        import codecs
        import encodings.aliases

        self.codecs: dict[str, Any] = {}
        for name in self.config["encodings"]:
            try:
                info = codecs.lookup(name)
            except LookupError:
                continue
            target = name.replace("-", "_")
            for alias in {target, *(alias for alias, real in encodings.aliases.aliases.items() if real == target)}:
                self.codecs[alias] = self.codecs[alias.replace("_", "-")] = info

    @staticmethod
    def complete_registries() -> None:
        """isinstance([], Sequence) holds because a subclass of Sequence has list registered. Subclasses are not
        told any more once __subclasses__ is hidden, so every abstract class gets the registrations below it."""
        import _abc  # type: ignore[import]
        from abc import ABCMeta

        classes: set[Any] = set()
        waiting: list[Any] = [object]
        while waiting:
            for cls in type.__subclasses__(waiting.pop()):
                if cls not in classes:
                    classes.add(cls)
                    waiting.append(cls)
        for cls in classes:
            if isinstance(cls, ABCMeta):
                registered = [reference() for reference in _abc._get_dump(cls)[0]]
                for parent in cls.__mro__[1:]:
                    if isinstance(parent, ABCMeta):
                        for one in registered:
                            if one is not None and not issubclass(parent, one):
                                parent.register(one)

    def replacements(self, name: str) -> dict[str, Any]:
        """Symbols that are given in a form of our own."""
        safe = native.language_function
        if name == "traceback":
            return {
                "format_exc": safe(self.format_current, False),
                "print_exc": safe(self.print_current, False),
                "format_exception": safe(self.format_lines, False),
                "print_exception": safe(self.print_exception, False),
                "format_exception_only": safe(self.format_only, False),
            }
        if name == "pydoc":
            return {"help": safe(self.help, False)}
        if name == "sys" and "exit" in self.features:
            return {"exit": safe(sys.exit, False)}
        return {}

    # ---- Builtins ----------------------------------------------------------------------------------------------

    def choose_builtins(self) -> dict[str, Any]:
        allowed = set(self.config["builtins"])
        functions = native.language_functions
        chosen = {name: value for name, value in vars(builtins).items() if name in allowed}
        for name in ("__import__", "exec", "eval", "compile", "globals", "locals", "vars", "dir"):
            if name in allowed:
                chosen[name] = functions[name]
        if "super" in allowed:
            chosen["super"] = native.language_super()
        safe = native.language_function
        if "exit" in allowed:
            chosen["exit"] = safe(self.exit, False) if "exit" in self.features else functions["exit"]
        if "quit" in allowed:
            chosen["quit"] = safe(self.exit, False)
        if "open" in allowed:
            chosen["open"] = safe(self.open, False)
        if "input" in allowed:
            chosen["input"] = safe(self.input, False)
        if "help" in allowed:
            chosen["help"] = safe(self.help, False)
        for name in ("copyright", "credits", "license"):
            if name in allowed:
                chosen[name] = safe(self.text_printer(name), False)
        # A program's own `__name__ == "__main__"` holds, and its namespace stays empty.
        chosen["__name__"] = "__main__"
        chosen["__doc__"] = chosen["__package__"] = None
        return chosen

    @staticmethod
    def exit(code: Any = None) -> NoReturn:
        raise SystemExit(code)

    @staticmethod
    def input(prompt: Any = "", /) -> str:
        """Read a line from standard input."""
        return builtins.input(prompt)  # the shell puts its own there

    def open(
        self, file: str, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None,
    ) -> Any:  # fmt: skip
        """Open a file that the policy allows, for reading."""
        if type(mode) is not str:
            raise TypeError(f"mode have to be a string, not {type(mode).__name__}")
        if mode not in READ_MODES:
            raise ValueError("Only read modes are allowed.")
        if type(file) is not str:
            raise TypeError(f"file name have to be a string, not {type(file).__name__}")
        path = posixpath.realpath(file)
        if not any(path == allowed or (allowed.endswith("/") and path.startswith(allowed)) for allowed in self.config["open"]):
            raise PermissionError(13, f"Sandbox deny access to the file {file!r}", file)
        for value in (buffering, encoding, errors, newline):
            if type(value) not in (int, str, type(None)):
                raise TypeError("plain values are expected")
        opened = self.real_open(path, mode.replace("U", ""), buffering, encoding, errors, newline)
        return native.language_proxy(opened)

    real_open: Any = staticmethod(builtins.open)

    def text_printer(self, name: str) -> Any:
        text = {
            "copyright": sys.copyright,
            "credits": "Python and its library are the work of many people; see python.org.",
            "license": "Type copyright() for the holders; the licence is the Python Software Foundation's.",
        }[name]

        def printer() -> None:
            print(text)

        printer.__name__ = printer.__qualname__ = name
        printer.__doc__ = text
        return printer

    def help(self, topic: Any = None) -> None:
        """Print the documentation of an object."""
        if topic is None:
            print("help(object) prints what the object says about itself.")
            return
        name = getattr(topic, "__name__", type(topic).__name__)
        text = getattr(topic, "__doc__", None)
        print(f"Help on {type(topic).__name__} {name if type(name) is str else '?'}:\n")
        print(text if type(text) is str else "no documentation")

    # ---- Entering ----------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Hides everything that HIDDEN names, and closes importing. There is no way back."""
        if self.entered:
            return
        self.entered = True
        self.library += [vars(sys.modules[name]) for name in LIBRARY if name in sys.modules]
        self.close_codecs()
        self.close_streams()
        self.close_imports()
        self.close_forward_references()
        dictionary: dict[str, Any] = {name: gc.get_referents(kind.__dict__)[0] for name, kind in KINDS.items()}
        text: Any = gc.get_referents(str.__dict__)[0]
        for name in ("format", "format_map"):
            text[name] = native.language_method("format", text[name])
        del dictionary["module"]["__dir__"]  # which asks for the dictionary
        dictionary["object"]["__dir__"] = native.language_method("object_dir", dictionary["object"]["__dir__"])
        dictionary["type"]["__dir__"] = native.language_method("type_dir", dictionary["type"]["__dir__"])
        rows = HIDDEN + (HIDDEN_RESTRICTED if self.config["restricted"] else [])
        for kind, names, unless, _ in rows:
            own = dictionary[kind]
            for name in names.split():
                matches = [key for key in own if not key.startswith("__")] if name == "*" else [name]
                for match in matches:
                    if match in own:
                        self.saved[kind, match] = own[match]
                        if unless not in self.features:
                            del own[match]
        for kind, name in (("type", "mro"), ("type", "__dict__"), *self.saved):
            if kind in LIBRARY_ROWS and name not in dictionary[kind] or name in ("mro", "__dict__") and kind == "type":
                own = dictionary[kind]
                real = self.saved.get((kind, name)) or own[name]
                own[name] = native.language_hidden(name, real, kind == "BaseException", kind == "object")
        dictionary["AttributeError"]["obj"] = native.language_hidden("obj", None, True, False)
        for name in WITHOUT_CONSTRUCTOR:
            native.language_take_constructor(KINDS[name])
        for one in (*KINDS.values(), str):
            native.language_type_modified(one)
        native.language_close_modules()
        native.language_close_groups()
        itertools = sys.modules.get("itertools")
        found = [getattr(itertools, name, None) for name in NESTING_OF_ITERTOOLS]
        native.language_close_nesting(NESTING + [kind for kind in found if kind is not None])
        if self.config["restricted"]:
            native.language_close_classes()

    @staticmethod
    def close_forward_references() -> None:
        kind: Any = getattr(sys.modules.get("typing"), "ForwardRef", None)
        if kind is not None:
            own: Any = gc.get_referents(kind.__dict__)[0]
            own.update((name, native.language_hidden(name, None, True, False)) for name in FORWARD_HIDDEN if name in own)
            native.language_type_modified(kind)

    def close_codecs(self) -> None:
        import codecs
        import encodings

        codecs.unregister(encodings.search_function)
        codecs.register(self.codecs.get)

    def close_streams(self) -> None:
        streams = [name for name in ("stdin", "stdout", "stderr") if name not in self.config["streams"]]
        for name in streams:
            setattr(sys, name, native.language_stream(name))
            setattr(sys, "__%s__" % name, None)
        if "stderr" in streams and "warnings" in sys.modules:
            sys.modules["warnings"].simplefilter("ignore")  # there is nowhere to show them

    def close_imports(self) -> None:
        """`from x import y` looks for x.y in sys.modules if x has no y, and x may be an object that untrusted code
        made, under any name: so no real module stays there under a dotted name. Others are out of its reach."""
        for name in [name for name in sys.modules if "." in name]:
            del sys.modules[name]
        sys.modules.update(self.dotted)
        sys.meta_path[:] = []
        sys.path_hooks[:] = []

    # ---- Running -----------------------------------------------------------------------------------------------

    def namespace(self, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """An empty namespace under the policy, or one with the given values (already proxied)."""
        return {**(values or {}), "__builtins__": self.builtins}

    proxy = staticmethod(native.language_proxy)
    function = staticmethod(native.language_function)
    build_function = staticmethod(native.language_build_function)

    def run(
        self, source: str, filename: str = "<sandbox>", namespace: dict[str, Any] | None = None, local: Any = None
    ) -> dict[str, Any]:
        """Runs source under the policy. Exceptions come out as they are: format_exception() shows them."""
        if namespace is None:
            namespace = self.namespace()
        namespace.setdefault("__builtins__", self.builtins)
        self.remember(filename, source)
        code = compile(source, filename, "exec", dont_inherit=True)
        self.enter()
        with self:
            exec(code, namespace, namespace if local is None else local)
        return namespace

    def remember(self, filename: str, source: str) -> None:
        self.sources[filename] = source.splitlines()

    def __enter__(self) -> Language:
        """The recursion limit counts from here."""
        limit = self.config["recursion_limit"]
        self.limits.append(sys.getrecursionlimit())
        if limit:
            mine = 2 if sys.version_info >= (3, 12) else 1  # this frame and that of depth(); 3.11 counts one more by itself
            sys.setrecursionlimit(depth() - mine + limit)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setrecursionlimit(self.limits.pop())

    # ---- Showing errors ----------------------------------------------------------------------------------------

    def reveal(self, value: Any, kind: str, name: str) -> Any:
        """A hidden attribute, for showing errors. Never handed on."""
        descriptor = self.saved.get((kind, name))
        return getattr(value, name, None) if descriptor is None else descriptor.__get__(value)

    def frames(self, error: Any) -> list[Any]:
        """(file name, line, function) of an exception's frames, from the program's first on."""
        traceback = self.reveal(error, "BaseException", "__traceback__")
        found: list[Any] = []
        while traceback is not None and len(found) < 10 * FRAMES_MAX:
            frame = self.reveal(traceback, "traceback", "tb_frame")
            code = self.reveal(frame, "frame", "f_code")
            filename = self.reveal(code, "code", "co_filename")
            name = self.reveal(code, "code", "co_name")
            line = self.reveal(traceback, "traceback", "tb_lineno")
            if (filename in self.sources or (found and name not in INPUT_FRAMES)) and filename not in OURS:
                found.append((filename, line, name))
            traceback = self.reveal(traceback, "traceback", "tb_next")
        return found

    def explain(self, error: Any) -> str:
        """What would permit what the interpreter itself refused: the end of the error's text, where it is reported."""
        if not self.config.get("hints", True):
            return ""
        kind = type(error)
        name = getattr(error, "name", None) if kind in (NameError, UnboundLocalError, AttributeError) else None
        if kind is RecursionError and self.config["recursion_limit"]:
            return for_recursion(self.config["recursion_limit"])
        if kind is NameError and type(name) is str and name not in self.config["builtins"]:
            return for_builtin(name)
        if kind is AttributeError and type(name) is str:
            hint = for_attribute(name)
            return "" if "traceback" in self.features and "traceback" in hint else hint
        if kind is native.SandboxError and error.args == ("Read only object",):
            return for_view()
        if kind is native.SandboxError and error.args == ("exit() function blocked by the sandbox",):
            return for_builtin("quit")
        if kind is ValueError and error.args == ("Only read modes are allowed.",):
            return " Nothing permits writing: return the text, or print it"
        if (
            kind is PermissionError
            and str(error.strerror).startswith("Sandbox deny access to the file ")
            and type(error.filename) is str
        ):
            named = posixpath.abspath(error.filename)  # /dev/stdin leads wherever it does
            return for_path(named if named.startswith(("/dev/", "/proc/")) else posixpath.realpath(named))
        if kind is SyntaxError and type(error.msg) is str and error.msg.startswith(("'await' outside", "'async ", "asynchronous ")):
            return for_await() if self.would_await(error.filename) else ""
        if kind is LookupError and type(error.args) is tuple and error.args and type(error.args[0]) is str:
            start, _, encoding = error.args[0].partition("unknown encoding: ")
            return for_encoding(encoding) if not start and encoding else ""
        return ""

    def would_await(self, filename: Any) -> bool:
        """Whether all that is wrong with a cell is that it waits outside of a function."""
        if "asyncio" in self.features or type(filename) is not str:
            return False
        try:
            compile("\n".join(self.sources.get(filename, ["("])), filename, "exec", 0x2000, True)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
        return True

    def format_syntax(self, error: Any) -> list[str]:
        """Line and caret of a SyntaxError, as traceback shows them."""
        lines = [f'  File "{error.filename}", line {error.lineno}\n']
        text, offset, end = error.text, error.offset, error.end_offset
        if type(text) is not str or type(offset) is not int:
            return lines
        left = text.rstrip("\n")
        shown = left.lstrip(" \n\f")
        lines.append(f"    {shown}\n")
        if offset >= 1:
            is_plain = type(end) is int and end not in (0, -1) and error.lineno == error.end_lineno
            end = end if is_plain and end > offset else offset + 1
            start = offset - 1 - (len(left) - len(shown))
            width = max(1, min(end, len(left) + 2) - offset)
            if start >= 0:
                space = "".join([one if one.isspace() else " " for one in shown[:start].ljust(start)])
                lines.append(f"    {space}{'^' * width}\n")
        return lines

    def format_only(self, error: Any, value: Any = None) -> list[str]:
        """["Type: text\\n"], as traceback.format_exception_only gives it. The text is the guest's: it may run code."""
        if value is not None:
            error = value
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
        try:
            text = str(error)
        except Exception:
            text = "<exception str() failed>"
        lines = []
        if isinstance(error, SyntaxError) and type(error.lineno) is int:
            lines += self.format_syntax(error)
            text = str(error.msg)
        text += self.explain(error)
        lines.append(f"{name}: {text}\n" if text else f"{name}\n")
        return lines

    def format_exception(self, error: Any) -> str:
        """The whole text, as Python prints an uncaught exception."""
        return "".join(self.format_lines(error))[:ERROR_TEXT_MAX]

    def format_lines(self, error: Any, value: Any = None, traceback: Any = None, chain: bool = True) -> list[str]:
        if value is not None:
            error = value
        parts: list[list[str]] = []
        seen = 0
        while error is not None and seen < CHAIN_MAX:
            lines = []
            frames = self.frames(error)
            if frames:
                lines.append("Traceback (most recent call last):\n")
            for number, (filename, line, name) in enumerate(frames):
                if FRAMES_MAX // 2 <= number < len(frames) - FRAMES_MAX // 2:
                    if number == FRAMES_MAX // 2:
                        lines.append(f"  [{len(frames) - FRAMES_MAX} more frames]\n")
                    continue
                lines.append(f'  File "{filename}", line {line}, in {name}\n')
                source = self.sources.get(filename, ())
                if type(line) is int and 0 < line <= len(source):
                    lines.append(f"    {source[line - 1].strip()}\n")
            lines += self.format_only(error)
            parts.insert(0, lines)
            seen += 1
            cause = self.reveal(error, "BaseException", "__cause__")
            context = self.reveal(error, "BaseException", "__context__")
            if not chain:
                break
            if cause is not None:
                parts.insert(0, ["\nThe above exception was the direct cause of the following exception:\n\n"])
                error = cause
            elif context is not None and not error.__suppress_context__:
                parts.insert(0, ["\nDuring handling of the above exception, another exception occurred:\n\n"])
                error = context
            else:
                break
        return [line for part in parts for line in part]

    def format_current(self, limit: Any = None, chain: bool = True) -> str:
        """The exception that is being handled, as text."""
        error = sys.exc_info()[1]
        return "NoneType: None\n" if error is None else "".join(self.format_lines(error, chain=chain))

    def print_current(self, limit: Any = None, file: Any = None, chain: bool = True) -> None:
        """Print the exception that is being handled."""
        print(self.format_current(chain=chain), end="", file=file or sys.stderr)

    def print_exception(
        self, error: Any, value: Any = None, traceback: Any = None, limit: Any = None, file: Any = None, chain: bool = True
    ) -> None:
        """Print an exception."""
        print("".join(self.format_lines(error, value, chain=chain)), end="", file=file or sys.stderr)


def depth() -> int:
    """Frames on the stack, the caller's caller included."""
    frame, count = sys._getframe, 1
    try:
        while True:
            frame(count)
            count += 1
    except ValueError:
        return count
