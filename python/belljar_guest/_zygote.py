"""Makes the zygote what its guests will be: prepare(). Runs before any untrusted code."""

from __future__ import annotations

import faulthandler
import gc
import io
import os
import sys
from typing import TYPE_CHECKING

import _signal  # type: ignore[import]
import _thread

from belljar_guest import _adapt, _descriptors, _folders, _missing, _preload, _site, _start, _state, _threads, native
from belljar_guest._policy import Policy

if TYPE_CHECKING:
    from typing import Any


def prepare(
    preload: list[str],
    warm: str,
    is_ours: bool,
    language: str,
    start: str,
    threads: int,
    files: bool,
    writes: bool,
    code: bool,
    loopback: bool,
) -> list[str]:
    """Imports what guests share and runs everything lazy once. Returns the directories that Python imports from."""
    _state.warm_text, _state.is_warm_ours, _state.thread_limit, _state.has_files = warm, is_ours, threads, files
    _state.has_loopback = loopback
    if sys.flags.no_site:  # it was left out for us to do
        _site.begin()
    _state.original_path[:] = sys.path
    check_environment()
    reset_signals()
    open_streams()
    # The number that the crash pipe will have in a guest; here the module's own file stands there, not writable.
    faulthandler.enable(file=native.CRASH_FD)
    native.crash_once()
    faulthandler.register(native.TRACEBACK_SIGNAL, file=native.CRASH_FD, all_threads=True, chain=False)
    _state.policy = Policy()
    if start:
        _start.prepare(start)
    if preload or warm or not files:  # for many guests, or for one that can import nothing later
        _preload.share(preload, warm, bool(language), files)
    if language:
        from belljar_guest._strict import Strict

        _state.policy = Strict(language)
    native.adapt = lambda: _adapt.on_socket()
    native.hook()
    if not files:
        _adapt.print_without_sources()
    if not language and not code:
        _adapt.refuse_callbacks()
    if not language:
        _adapt.adapt_loaded()
    if not language and files:
        _missing.install()
        _descriptors.install()
    if os.stat("/proc/self/task").st_nlink != 3:  # ".", the entry in its parent, and one task: then there is nobody to name
        _threads.check()
    limit_threads()
    directories = module_directories()
    _folders.forget()  # loads it: a guest with a language policy and no files can load no more
    if files and not writes:
        _folders.install(directories)
    gc.freeze()
    if _state.has_preloaded and not language:
        _state.policy.do_plainly()  # what it makes is the program's
    return directories


def check_environment() -> None:
    """A virtual environment of another Python has packages that this one does not look at: programs would miss them, and nothing
    would say why."""
    if sys.prefix == sys.base_prefix:
        return
    try:
        with open(sys.prefix + "/pyvenv.cfg", encoding="utf-8", errors="replace") as file:
            lines = [line.partition("=") for line in file]
    except OSError as error:
        native.fail(error.errno or 22, "environment", "%s/pyvenv.cfg cannot be read: %s" % (sys.prefix, error.strerror))
    values = {key.strip().lower(): value.strip() for key, _, value in lines}
    made_for = (values.get("version") or values.get("version_info") or "").split(".")[:2]
    ours = ["%d" % number for number in sys.version_info[:2]]
    if made_for[0] and made_for != ours:
        native.fail(22, "environment", "%s was made for Python %s, and its interpreter is Python %s: make it anew with that interpreter"
                    % (sys.prefix, ".".join(made_for), ".".join(ours)))  # fmt: skip
    packages = "%s/%s/python%s/site-packages" % (sys.prefix, sys.platlibdir, ".".join(ours))
    folders = {packages, "%s/lib/python%s/site-packages" % (sys.prefix, ".".join(ours))}
    if not any(map(os.path.isdir, folders)):
        native.fail(2, "environment", "%s is not there: the environment is incomplete, or of another Python" % packages)
    for folder in folders:
        check_wheels(folder)


def check_wheels(folder: str) -> None:
    """A package that was built for another Python or another machine would fail as it is imported, in words of its own."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".dist-info"))
    except OSError:
        return
    for name in names:
        try:
            with open("%s/%s/WHEEL" % (folder, name), encoding="utf-8", errors="replace") as file:
                tags = [line[4:].strip() for line in file if line.startswith("Tag:")]
        except OSError:
            continue  # not installed from a wheel
        if tags and not any(map(fits, tags)):
            native.fail(8, "environment", "%s in %s is a wheel for %s, and this is CPython %d.%d on %s %s: install it again with the "
                        "environment's own interpreter, or make the environment anew"
                        % (name[:-10].replace("-", " "), sys.prefix, tags[0], *sys.version_info[:2], sys.platform, os.uname().machine))  # fmt: skip


def fits(tag: str) -> bool:
    """Whether a wheel of this tag (Python-ABI-platform, each one or several with dots between) can work here."""
    parts = [part.split(".") for part in tag.split("-")]
    if len(parts) != 3:
        return True  # none of those that are known: its import will tell
    pythons, abis, platforms = parts
    ours = sys.version_info[:2]
    own = "cp%d%d" % ours
    kinds = ("any", "linux_", "manylinux") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ("any", "linux_", "musllinux")
    machine = "_" + os.uname().machine
    if not any(platform == "any" or (platform.startswith(kinds) and platform.endswith(machine)) for platform in platforms):
        return False
    if "none" in abis or "abi3" in abis:
        versions = [python.lstrip("abcdefghijklmnopqrstuvwxyz") for python in pythons if python.startswith(("py", "cp"))]
        return any(text.isdigit() and (int(text[0]), int(text[1:] or 0)) <= ours for text in versions)
    return own + sys.abiflags in abis and own in pythons


def reset_signals() -> None:
    """A guest has the signals of an interpreter started by hand, whatever belljar's caller ignores or blocks (a shell's
    background job ignores SIGINT; a guest has to be interruptible)."""
    kept = (_signal.SIGPIPE, _signal.SIGXFSZ)  # Python itself ignores them
    for number in _signal.valid_signals():
        if _signal.getsignal(number) == _signal.SIG_IGN and number not in kept:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def open_streams() -> None:
    """Text streams as `python` makes them for pipes, but by lines, so that output comes as it is made.

    Made here although the guests' pipes come later: what a stream asks about its descriptor costs each guest five
    system calls, of which the profile "compute" has none. So 0 is a pipe for this moment, as 1 and 2 are anyway.
    """
    null = os.dup(0)
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        raw: Any = io.FileIO(number, mode, closefd=False)
        raw.name = "<%s>" % name
        buffered: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "surrogateescape"
        stream: Any = io.TextIOWrapper(buffered, "utf-8", errors, "\n" if mode == "w" else None, line_buffering=mode == "w")
        stream.mode = mode
        if mode == "w":
            native.keep_up(number, stream, buffered)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    os.dup2(null, 0)
    for number in (null, reader, writer):
        os.close(number)


def limit_threads() -> None:
    """Threads over the limit end the guest (the supervisor counts them): a program gets an exception before."""
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        start = getattr(_thread, name, None)
        if start is not None:
            limited = native.limit_starter(start, _thread._count, _state.thread_limit)
            setattr(_thread, name, limited)
            threading = sys.modules.get("threading")
            if getattr(threading, "_" + name, None) is start:
                setattr(threading, "_" + name, limited)


def module_directories() -> list[str]:
    """What a guest may have to read to import: sys.path, the standard library, the interpreter's shared objects."""
    wanted = [entry for entry in sys.path if entry.startswith("/")]
    wanted.append(os.path.dirname(os.__file__))
    for prefix in (sys.prefix, sys.base_prefix, sys.base_exec_prefix):
        wanted += [prefix + "/lib", prefix + "/" + sys.platlibdir]
    found: dict[str, None] = {}
    for path in dict.fromkeys(wanted):
        for form in (os.path.normpath(path), os.path.realpath(path)):
            if form != "/" and os.path.exists(form):
                found[form] = None
    return list(found)
