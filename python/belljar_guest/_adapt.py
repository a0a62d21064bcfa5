"""Libraries made to fit: those that swallow a refusal and hand out something useless fail, and json writes read-only views."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from belljar_guest import _state

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

adapted: set[str] = set()


def on_socket() -> None:
    """Before a socket is made: an event loop makes a pair for itself before it can do anything else."""
    base_events = sys.modules.get("asyncio.base_events")
    loop = getattr(base_events, "BaseEventLoop", None)
    if "asyncio" not in adapted and loop is not None:
        adapted.add("asyncio")
        fail_without_sockets(loop)
        say_whereto(loop)


def fail_without_sockets(loop: Any) -> None:
    """asyncio leaves out the addresses for which there is no socket, and has a server that nobody reaches if none is left."""
    create_server = loop.create_server

    async def fails_without_sockets(self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
        server = await create_server(self, protocol_factory, host, port, **more)
        if not server.sockets and not getattr(server, "_sockets", None):
            import socket

            try:
                socket.socket().close()
            except OSError as error:
                raise type(error)(error.errno, "%s: host %r, port %r" % (error.strerror, host, port)) from None
        return server

    fails_without_sockets.__name__, fails_without_sockets.__qualname__ = "create_server", create_server.__qualname__
    fails_without_sockets.__doc__ = create_server.__doc__
    loop.create_server = fails_without_sockets


def say_whereto(loop: Any) -> None:
    """A socket is refused before it is asked whereto: the coroutine that knows the address adds it to the words."""
    create_connection = loop.create_connection

    async def says_whereto(self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
        try:
            return await create_connection(self, protocol_factory, host, port, **more)
        except PermissionError as error:
            if host is None or "rule: network" not in str(error.strerror) or ": host " in error.strerror:
                raise
            raise type(error)(error.errno, "%s: host %r, port %r" % (error.strerror, host, port), host) from None

    says_whereto.__name__, says_whereto.__qualname__ = "create_connection", create_connection.__qualname__
    says_whereto.__doc__ = create_connection.__doc__
    loop.create_connection = says_whereto


def on_joblib() -> None:
    """joblib's workers are threads, also of who asks for processes (scikit-learn, with n_jobs): a guest is one process."""
    parallel: Any = sys.modules["joblib.parallel"]
    most = max(_state.thread_limit - POOL_THREADS, 1)

    class GuestThreads(parallel.ThreadingBackend):  # type: ignore[misc]
        supports_inner_max_num_threads = True

        def effective_n_jobs(self, n_jobs: int) -> int:
            workers: int = super().effective_n_jobs(n_jobs)
            return min(workers, most)

        def configure(self, *arguments: Any, **more: Any) -> Any:
            workers = super().configure(*arguments, **more)
            if "joblib" not in adapted:
                adapted.add("joblib")
                import warnings

                warnings.warn("belljar: a guest is one process, so joblib's workers are threads in it", UserWarning, stacklevel=3)
            return workers

    for name in ("loky", "multiprocessing"):
        if name in parallel.BACKENDS:
            parallel.BACKENDS[name] = GuestThreads


def on_threading() -> None:
    """What ends a thread is shown by C, which reads source from files: cells are none. From 3.13 on it asks linecache."""
    threading: Any = sys.modules["threading"]
    if "threading" in adapted or sys.version_info >= (3, 13) or not hasattr(threading, "excepthook"):
        return
    adapted.add("threading")
    real = threading.excepthook

    def excepthook(args: Any, /) -> None:
        stderr = sys.stderr or getattr(args.thread, "_stderr", None)
        if args.exc_type is SystemExit or stderr is None or not runs_through_memory(args.exc_traceback):
            return real(args)  # type: ignore[no-any-return]
        import traceback

        text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        stderr.write("Exception in thread %s:\n%s" % (args.thread.name if args.thread else threading.get_ident(), text))
        stderr.flush()

    excepthook.__module__, excepthook.__qualname__ = "threading", "excepthook"
    threading.excepthook = threading.__excepthook__ = excepthook


def runs_through_memory(trace: TracebackType | None) -> bool:
    """Whether there is source on its way that linecache has from no file."""
    cache = getattr(sys.modules.get("linecache"), "cache", {})
    while trace is not None:
        known = cache.get(trace.tb_frame.f_code.co_filename, ())
        if len(known) == 4 and known[1] is None:
            return True
        trace = trace.tb_next
    return False


LOKY = "loky.backend.context", "joblib.externals.loky.backend.context"


def on_loky() -> None:
    """loky asks `lscpu` how many cores there are, and warns where it cannot: a guest has one CPU."""
    for name in LOKY:
        if getattr(sys.modules.get(name), "physical_cores_cache", 0) is None:
            sys.modules[name].physical_cores_cache = 1  # type: ignore[attr-defined]


def refuse_callbacks() -> None:
    """Where memory cannot become executable: ctypes' own error is a MemoryError without a word, after a dozen tries."""
    ON_IMPORT["ctypes"] = on_ctypes
    if "ctypes" in sys.modules:
        on_ctypes()


def on_ctypes() -> None:
    import posix

    ctypes: Any = sys.modules["ctypes"]
    if "ctypes" in adapted:
        return
    adapted.add("ctypes")
    map_code = ctypes.CDLL(None, use_errno=True).mmap
    map_code.restype = ctypes.c_ssize_t
    map_code.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long

    class _CFuncPtr(ctypes._CFuncPtr):  # type: ignore[misc]
        _flags_ = ctypes._FUNCFLAG_CDECL

        def __new__(cls, *arguments: Any, **more: Any) -> Any:
            if (
                arguments and callable(arguments[0]) and map_code(None, 4096, 7, 0x22, -1, 0) == -1
            ):  # private, anonymous, all rights
                words = posix.strerror(ctypes.get_errno())
                raise MemoryError(words.replace("mmap()", "a callback of ctypes", 1))
            return super().__new__(cls, *arguments, **more)

    ctypes._CFuncPtr = _CFuncPtr


def on_pty() -> None:
    """Its last resort is to look for two hundred names of terminals, and to fail without a word: the refusal is what there is to say."""
    import posix

    sys.modules["pty"]._open_terminal = posix.openpty  # type: ignore[attr-defined]


def on_uuid() -> None:
    """Its uuid1() and getnode() ask the machine for its address, by sockets, a file and programs, and go on with a number of chance."""
    uuid: Any = sys.modules["uuid"]
    uuid._generate_time_safe, uuid._GETTERS = None, []


def on_libraries() -> None:
    """ctypes.util.find_library() asks ldconfig, a program. What that prints is a file, of which it prints no more than is read here."""
    util: Any = sys.modules["ctypes.util"]
    if hasattr(util, "_findSoname_ldconfig"):
        util._findSoname_ldconfig = find_soname


CACHE = "/etc/ld.so.cache"
CACHE_MAGIC = b"glibc-ld.so.cache1.1"
CACHE_ENTRIES = 48  # where they begin: flags, name, path, and what no look by name is about
CACHE_KIND = 0x0303  # libc6, x86-64


def find_soname(name: str) -> str | None:
    """The first library of the name that the loader knows."""
    import os
    import re
    import struct

    try:
        with open(CACHE, "rb") as file:
            cache = file.read()
    except OSError:
        return None
    start = cache.find(CACHE_MAGIC)  # behind an older cache, where there is one
    wanted = re.compile(rb"lib%s\.[^\s]+" % re.escape(os.fsencode(name)))
    try:
        (count,) = struct.unpack_from("=I", cache, start + len(CACHE_MAGIC))
        for i in range(count if start >= 0 else 0):
            kind, at = struct.unpack_from("=iI", cache, start + CACHE_ENTRIES + 24 * i)
            soname = cache[start + at : cache.find(b"\0", start + at)]
            if kind == CACHE_KIND and wanted.fullmatch(soname):
                return os.fsdecode(soname)
    except struct.error:
        pass
    return None


def on_interfaces() -> None:
    """Interfaces by name and number: libc asks a socket, and Python's errors have no word of its refusal. With a loopback there is one."""
    names: Any = sys.modules["_socket"]

    def ask(function: str, asked: object) -> None:
        if not _state.has_loopback:
            try:
                names.socket(names.AF_NETLINK, names.SOCK_RAW).close()
            except PermissionError as error:
                text = error.strerror.replace("socket()", "socket.%s()" % function)
                raise (PermissionError(error.errno, text) if asked is None else PermissionError(error.errno, text, asked)) from None

    def if_nametoindex(oname: Any, /) -> int:
        if not isinstance(oname, (str, bytes)) and not hasattr(oname, "__fspath__"):
            raise TypeError("expected str, bytes or os.PathLike object, not %s" % type(oname).__name__)
        ask("if_nametoindex", oname)
        if oname not in ("lo", b"lo"):
            raise OSError("no interface with this name")
        return 1

    def if_indextoname(if_index: int, /) -> str:
        from _operator import index

        number = index(if_index)
        ask("if_indextoname", number)
        if number != 1:
            import posix

            raise OSError(6, posix.strerror(6))  # ENXIO
        return "lo"

    def if_nameindex() -> list[tuple[int, str]]:
        ask("if_nameindex", None)
        return [(1, "lo")]

    for function in (if_nametoindex, if_indextoname, if_nameindex):
        function.__module__, function.__qualname__ = "_socket", function.__name__
        for module in (names, sys.modules.get("socket")):
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)


def on_names() -> None:
    """A name that a socket is to be connected or bound to: the C code looks it up without the port, which the refusal is to have. It
    gets the address that it would have found."""
    socket: Any = sys.modules["socket"]
    if "names" in adapted or not _state.has_loopback:
        return
    adapted.add("names")

    def with_port(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any) -> Any:
            address = arguments[-1] if arguments else None
            if type(address) is tuple and len(address) > 1 and type(address[0]) is str and type(address[1]) is int:
                host = address[0]
                if host not in KNOWN_HOSTS and ":" not in host and not host.replace(".", "").isdigit() and 0 <= address[1] <= 65535:
                    found = socket.getaddrinfo(host, address[1], self.family, socket.SOCK_DGRAM)
                    arguments = *arguments[:-1], (found[0][4][0], *address[1:])
            return real(self, *arguments)

        call.__name__, call.__qualname__, call.__doc__ = real.__name__, "socket." + real.__name__, real.__doc__
        return call

    for name in ("connect", "connect_ex", "bind", "sendto", "sendmsg"):
        setattr(socket.socket, name, with_port(getattr(socket.socket, name)))


def print_without_sources() -> None:
    """Where there are no files: what the interpreter prints by itself of an exception has no lines of the library's sources, and it would
    look for each of them in every folder of sys.path, refused each time."""
    io: Any = sys.modules["io"]

    def refuse(*_: Any) -> Any:
        raise FileNotFoundError

    def without_sources(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            kept, io.open = io.open, refuse
            try:
                return real(*arguments)
            finally:
                io.open = kept

        call.__name__ = call.__qualname__ = real.__name__
        call.__module__, call.__doc__ = real.__module__, real.__doc__
        return call

    for name in ("unraisablehook", "excepthook"):
        hook = without_sources(getattr(sys, name))
        setattr(sys, name, hook)
        setattr(sys, "__%s__" % name, hook)


def adapt_loaded() -> None:
    """What the zygote has imported before."""
    for module, adapt in ON_IMPORT.items():
        if module in sys.modules:
            adapt()


KNOWN_HOSTS = "", "localhost", "belljar", "<broadcast>"
POOL_THREADS = 3  # of multiprocessing.pool.ThreadPool, beside its workers
ON_IMPORT: dict[str, Callable[[], None]] = {  # what to do once a module is imported
    "joblib.parallel": on_joblib,
    **dict.fromkeys(LOKY, on_loky),
    "pty": on_pty,
    "uuid": on_uuid,
    "ctypes.util": on_libraries,
    "threading": on_threading,
    "_socket": on_interfaces,
    "socket": on_names,
}

# ---- Read-only lists and dicts as JSON ----------------------------------------------------------------------------


def teach_json(encoder: Any) -> None:
    """Has json.encoder write read-only lists and dicts as what they show, whatever the program gives as `default`."""

    def with_views(real: Callable[..., Any]) -> Callable[..., Any]:
        def make(markers: Any, default: Callable[[Any], Any], *rest: Any) -> Any:
            return real(markers, lambda value: shown_as(value) if is_shown_as(value) else default(value), *rest)

        return make

    for name in ("c_make_encoder", "_make_iterencode"):
        if getattr(encoder, name, None) is not None:
            setattr(encoder, name, with_views(getattr(encoder, name)))


def is_shown_as(value: object) -> bool:
    return isinstance(value, (list, tuple, dict))


def shown_as(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else list(value)


def taught(execute: Callable[[Any], None]) -> Callable[[Any], None]:
    def execute_and_teach(module: Any) -> None:
        execute(module)
        teach_json(module)

    return execute_and_teach


awaits_json = False


class JsonFinder:
    """Waits for json.encoder to be imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name != "json.encoder":
            return None
        sys.meta_path.remove(JsonFinder)
        for finder in sys.meta_path:
            spec: Any = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader.exec_module = taught(spec.loader.exec_module)
                return spec
        return None


def await_json() -> None:
    """When the first read-only list or dict is there."""
    global awaits_json
    awaits_json = True
    if "json.encoder" in sys.modules:
        teach_json(sys.modules["json.encoder"])
    else:
        sys.meta_path.insert(0, JsonFinder)
