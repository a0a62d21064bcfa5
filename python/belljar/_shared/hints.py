"""What would permit what a language policy refuses, in words: for its errors, for `belljar check` and for `belljar learn`.

Every text ends a message and begins with a semicolon: "; to permit it: …" or "; nothing permits it: …".
"""

from __future__ import annotations

from belljar._shared.features import BUILTINS, FEATURES

# Modules, and symbols of others, that undo the policy: they look something up by a name or a text that they are given, lead
# from an object to all others, or hand out the real streams. "" is every symbol. docs/pysandbox.md has the list for people.
UNDOING = {
    "builtins": "", "code": "", "codeop": "", "copyreg": "", "ctypes": "", "faulthandler": "", "gc": "", "importlib": "", "inspect": "",
    "linecache": "", "marshal": "", "pdb": "", "pickle": "", "pkgutil": "", "pydoc": "", "runpy": "", "shelve": "", "threading": "",
    "_thread": "", "traceback": "", "tracemalloc": "", "unittest": "", "doctest": "", "bdb": "", "warnings": "", "zipimport": "",
    "codecs": "open register StreamReader StreamWriter StreamReaderWriter",
    "contextlib": "redirect_stdout redirect_stderr chdir",
    "enum": "global_enum",
    "functools": "singledispatch singledispatchmethod",
    "io": "FileIO open open_code TextIOWrapper BufferedReader BufferedWriter BufferedRandom BufferedRWPair",
    "logging": "FileHandler sys os io",
    "string": "Formatter",
    "sys": "modules _getframe _current_frames settrace setprofile meta_path path_hooks __stdin__ __stdout__ __stderr__ addaudithook "
           "call_tracing displayhook excepthook unraisablehook setrecursionlimit monitoring _getframemodulename",
    "types": "FunctionType LambdaType CodeType CellType ModuleType FrameType TracebackType GeneratorType CoroutineType",
    "typing": "get_type_hints ForwardRef",
}  # fmt: skip

# Attributes that are hidden on the types that have them: name -> the feature that shows them, or None. The table of the types is
# HIDDEN of belljar_guest/_language.py; left out here are names that programs have for things of their own as well.
HIDDEN_NAMES: dict[str, str | None] = {
    **dict.fromkeys(
        "__globals__ __builtins__ __code__ __closure__ __defaults__ __kwdefaults__ cell_contents gi_frame gi_code gi_yieldfrom "
        "cr_frame cr_code cr_await cr_origin ag_frame ag_code ag_await tb_frame f_back f_builtins f_code f_globals f_lasti f_lineno "
        "f_locals f_trace co_code co_consts co_names co_varnames with_traceback __self__ __func__ __objclass__ __subclasses__ "
        "__bases__ __base__ __mro__ __abstractmethods__ __reduce__ __reduce_ex__ __getstate__".split()
    ),
    **dict.fromkeys("tb_next tb_lasti tb_lineno __traceback__ __context__ __cause__".split(), "traceback"),
}

# Symbols that a module's view has in a form of the policy's own.
REPLACED = {
    "traceback": "format_exc print_exc format_exception print_exception format_exception_only",
    "pydoc": "help",
}

IPYTHON = "lines that begin with % or !, or end with ?, are IPython's: under a language policy write Python"

_GENERAL = {"everyday"}  # features that are named after the special ones


def _features_with(module: str, symbol: str = "") -> list[str]:
    found = [
        feature.name
        for feature in FEATURES
        for row in feature.modules
        if row.name == module and (not symbol or symbol in row.proxied.split() or symbol in row.safe.split())
    ]
    return sorted(found, key=lambda name: (name in _GENERAL, name))


def _permitted(ways: str) -> str:
    return f"; to permit it: {ways}"


def _by_feature(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return _permitted(f"the feature {', '.join(names[:-1])}{' or ' if names[1:] else ''}{names[-1]}")


def undoes(module: str, symbol: str = "") -> bool:
    """Whether a module, or this symbol of it, undoes the policy if it is allowed as it is."""
    listed = UNDOING.get(module.partition(".")[0] if UNDOING.get(module.partition(".")[0]) == "" else module)
    return listed is not None and (not listed or symbol in listed.split())


def for_import(module: str) -> str:
    """After an import that is blocked."""
    names = _features_with(module)
    if names:
        return _by_feature(names)
    if undoes(module):
        return f'; to permit it: allow_module("{module}", …), which undoes the policy'
    return _permitted(f'allow_module("{module}", …) for views, allow_safe_module("{module}", …) for the things themselves')


def for_symbol(module: str, symbol: str) -> str:
    """After a name that a module's view lacks."""
    names = _features_with(module, symbol)
    if names:
        return _by_feature(names)
    if undoes(module, symbol):
        return f'; to permit it: allow_safe_module("{module}", "{symbol}"), which undoes the policy'
    return _permitted(
        f'allow_module("{module}", "{symbol}") for a view, allow_safe_module("{module}", "{symbol}") for the thing itself'
    )


def for_builtin(name: str) -> str:
    """After a builtin that is not there. "" if it is none, or allowed."""
    for row in BUILTINS:
        if name in row.names.split():
            if isinstance(row.allowed, str):
                return _by_feature([row.allowed])
            if name in ("breakpoint", "__loader__", "__spec__", "_IncompleteInputError"):
                return f"; nothing permits it: {row.reason.partition(' (')[0]}"
            return _permitted(f'builtins_whitelist with "{name}"')
    return ""


def for_await() -> str:
    """After an `await` outside of a function, in a cell."""
    return _by_feature(["asyncio"])


def for_attribute(name: str) -> str:
    """After an attribute that is hidden. "" if the policy hides none of that name."""
    if name not in HIDDEN_NAMES:
        return ""
    feature = HIDDEN_NAMES[name]
    return _by_feature([feature]) if feature else "; nothing permits it: it leads out of the policy"


def for_stream(name: str) -> str:
    """After a standard stream that is not enabled."""
    return _by_feature([name, "everyday"] if name in ("stdout", "stderr") else [name])


def for_encoding(name: str) -> str:
    """After an encoding that is not known. "" if no feature has it."""
    plain = name.lower().replace("_", "-").replace(" ", "-")
    has = {one.replace("_", "-") for feature in FEATURES for one in feature.encodings.split()}
    return _by_feature(["encodings"]) if plain in has else ""


def for_path(path: str) -> str:
    """After a file that open() does not read. What a program has open, and what the kernel tells, is no path that a host could allow."""
    if path.startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")):
        return "; nothing permits it by that name: read sys.stdin, which is there with the feature stdin"
    if path.startswith(("/dev/", "/proc/")):
        return "; nothing permits it: the host hands out no devices, and nothing of procfs"
    return _permitted(f"allow_path({path!r})")


def for_recursion(limit: int) -> str:
    """After a recursion that was too deep."""
    return f"; the limit of {limit} frames is the policy's{_permitted(f'recursion_limit={2 * limit}, or more')}"


def for_view() -> str:
    """After a change of a read-only view."""
    return _permitted("change a copy of it, or have the host allow the thing itself (allow_safe_module, methods=)")
