"""What Python does in the zygote (prepare) and in a guest (serve).

The guest module (module.c) runs this text in a namespace of its own, with itself as `native`. In a guest all of this
is in the hands of the untrusted code, like everything else in its process: nothing here is a wall. It imports as
little as it can: the interpreter's start is most of what a cold run costs, and what it does not import here is not
there to be found by a program that expects a fresh interpreter.
"""

import builtins
import gc
import io
import os
import sys

import _thread

from _io import _IOBase as IOBase


def import_linecache():
    """linecache is wanted from the start, the 40 files that it imports for use in rare moments are not."""

    class Later(type(sys)):
        def __getattr__(self, name):
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

# wire/frame.h
FRAME_RUN, FRAME_BRANCH = 1, 2
RUN_LAST_VALUE, RUN_MODULE, RUN_SESSION, RUN_SCRIPT, RUN_COMMAND, RUN_BYTES, RUN_SHOWS = 1, 2, 4, 8, 16, 32, 64
RUN_OK, RUN_EXCEPTION, RUN_EXIT = 0, 1, 2
REHEARSE, STAY, LEAVE = -1, 0, 1  # module.c, guest_send_result
RESULT_MEMORY, RESULT_REFUSED, RESULT_INTERRUPT, RESULT_SHOWN, RESULT_SETUP = 1, 2, 4, 8, 16

NAME_MAX = 256
VALUE_MAX = 64 << 10
TRACEBACK_MAX = 64 << 10
TEXT_MAX = 1 << 20
REFUSALS = (1, 13, 30)  # EPERM, EACCES, EROFS
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
WORK = "/work"

original_path = []  # sys.path as the interpreter made it
generators = []  # generators of random numbers that were made before the fork
warm_text = ""
thread_limit = 0
later_text = ""  # the rest of this text, not compiled yet (module.c)
session_text = None  # what comes after that, once it is known: belljar_session.py
language_texts = ()  # the last of it: belljar_strict.py and what it needs
is_strict = False  # there is a language policy
is_running = False  # the host runs code here and answers questions
module_count = 0  # of sys.modules before the program: what comes after is its doing
main = None  # the program's module __main__, once the guest is parked
displays = []  # what the program displayed: lists of (mime type, bytes)


# ---- In the zygote ---------------------------------------------------------------------------------------------


def prepare(preload, warm, language, threads, files):
    """Imports what guests share and runs everything lazy once. Returns the directories that Python imports from."""
    global warm_text, thread_limit, is_strict
    warm_text, thread_limit = warm, threads
    original_path[:] = sys.path
    import faulthandler

    reset_signals()
    open_streams()
    # The number that the crash pipe will have in a guest; here the module's own file stands there, not writable.
    faulthandler.enable(file=4)
    faulthandler.register(12, file=4, all_threads=True, chain=False)  # SIGUSR2, guest/environment.h
    if preload or warm or not files:  # for many guests, or for one that can import nothing later
        complete_session()
        import_all(["traceback", *preload])
        if not files and not language:  # a language policy imports what it allows, and then closes importing
            import_common()
        if warm and not language:  # its guests are asked for results: once for all of them
            offer_results()
        rehearse()
        find_generators()
        gc.collect()
    if language:
        complete_session()
        exec(compile(language_texts[0], "<belljar>", "exec"), globals())
        start_language(language, language_texts[1:])
        is_strict = True
    sys.addaudithook(native.hook)
    limit_threads()
    directories = module_directories()
    gc.freeze()
    return directories


def complete():
    """Compiles the rest of this text, which a cold run of a program without an error does without: that is a third of
    the time that the zygote takes beyond the interpreter's own start."""
    global later_text, session_text, language_texts
    if later_text:
        later_text, *language_texts = later_text.split("\n# %%%%\n")
        later_text, mark, session_text = later_text.partition("\n# #### ")
        session_text = mark + session_text
        exec(compile(later_text, "<belljar>", "exec"), globals())
        later_text = ""


def complete_session():
    """Compiles what only sessions need."""
    global session_text
    complete()
    if session_text:
        exec(compile(session_text, "<host>", "exec"), globals())
        session_text = ""


def reset_signals():
    """A guest has the signals of an interpreter started by hand, whatever belljar's caller ignores or blocks (a shell's
    background job ignores SIGINT; a guest has to be interruptible)."""
    import _signal

    kept = (_signal.SIGPIPE, _signal.SIGXFSZ)  # Python itself ignores them
    for number in _signal.valid_signals():
        if _signal.getsignal(number) == _signal.SIG_IGN and number not in kept:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def open_streams():
    """Text streams as `python` makes them for pipes, but by lines, so that output comes as it is made.

    Made here although the guests' pipes come later: what a stream asks about its descriptor costs each guest five
    system calls, of which the profile "compute" has none. So 0 is a pipe for this moment, as 1 and 2 are anyway.
    """
    null = os.dup(0)
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        raw = io.FileIO(number, mode, closefd=False)
        raw.name = "<%s>" % name
        buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "surrogateescape"
        stream = io.TextIOWrapper(buffered, "utf-8", errors, "\n" if mode == "w" else None, line_buffering=mode == "w")
        stream.mode = mode
        if mode == "w":
            native.keep_up(number, stream, buffered)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    os.dup2(null, 0)
    for number in (null, reader, writer):
        os.close(number)


def limit_threads():
    """Threads over the limit end the guest (the supervisor counts them): a program gets an exception before."""
    import _thread

    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        start = getattr(_thread, name, None)
        if start is not None:
            limited = native.limit_starter(start, _thread._count, thread_limit)
            setattr(_thread, name, limited)
            threading = sys.modules.get("threading")
            if getattr(threading, "_" + name, None) is start:
                setattr(threading, "_" + name, limited)


def module_directories():
    """What a guest may have to read to import: sys.path, the standard library, the interpreter's shared objects."""
    wanted = [entry for entry in sys.path if entry.startswith("/")]
    wanted.append(os.path.dirname(os.__file__))
    for prefix in (sys.prefix, sys.base_prefix, sys.base_exec_prefix):
        wanted += [prefix + "/lib", prefix + "/" + sys.platlibdir]
    found = {}
    for path in wanted:
        for form in (os.path.normpath(path), os.path.realpath(path)):
            if form != "/" and os.path.exists(form):
                found[form] = None
    return list(found)


# ---- In a guest ------------------------------------------------------------------------------------------------


def serve():
    """A guest's life: made its own, warmed, parked, run. Called again if an interrupt came between two runs."""
    global main, module_count
    if is_strict:
        serve_strict()
    if main is None:
        if not later_text:
            reseed()
        if warm_text and not native.is_cold():
            complete()
            warm_up()
        main = new_main()
        module_count = len(sys.modules)
    while True:
        kind, frame = native.read_frame()
        if kind == FRAME_BRANCH:
            native.branch()
            if session_text == "":
                after_branch()
        if kind != FRAME_RUN:
            continue
        answer(frame, main, LEAVE if not frame[0] & RUN_SESSION else STAY)


def answer(frame, main, then):
    """Does one FRAME_RUN and sends its result; the guest's end if `then` is LEAVE."""
    try:
        result = run(frame, main)
    except BaseException as error:
        if then == LEAVE:  # not even the tuple for the outcome found room
            let_go(error, main.__dict__)
        result = outcome((error, None))
    if then == LEAVE:
        del main
        try:
            result = finish(result)
        except BaseException:
            pass  # an interrupt in between: what the program came to is known all the same
    if session_text == "":
        end_calls()
    if then != LEAVE:
        flush_streams()
    send(result, then)


def new_main():
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def run(frame, main):
    """Does one FRAME_RUN. Returns the fields of its result."""
    flags, code, filename, path0, argv, files = frame
    if flags & (RUN_COMMAND | RUN_SHOWS):
        complete_session()
    if flags & RUN_SHOWS:
        globals().update(shows_at_once=True)
    if session_text == "":
        begin_calls()
    if flags & RUN_COMMAND:
        return perform_command(code)
    if files or flags & (RUN_MODULE | RUN_LAST_VALUE):
        complete()
    if flags & RUN_LAST_VALUE:
        offer_results()
    try:
        if files:
            write_files(files)
    except OSError as error:
        text = to_bytes("the file handed in as %s cannot be written: %s" % (error.filename, error.strerror))
        return RUN_EXCEPTION, 1, RESULT_SETUP, (b"OSError", text, b"", b"", b"")
    sys.argv[:] = argv or [filename]
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    sys.path[:] = [path0 or WORK, *original_path]
    names = main.__dict__
    if flags & RUN_SCRIPT:
        names.update(__file__=os.path.join(WORK, filename) if filename != "<stdin>" else filename, __cached__=None)
    done = perform(flags, code, filename, names)
    try:
        if isinstance(done[0], MemoryError) and not flags & RUN_SESSION:
            let_go(done[0], names)
        return outcome(done, flags)
    finally:
        done = None  # the exception knows this frame: neither of them would come to its end


def let_go(error, names):
    """Memory is used up and the run is over: what the program holds is given back, to have room to say so."""
    native.make_room()
    entry = error.__traceback__
    while entry is not None:
        try:
            entry.tb_frame.clear()
        except RuntimeError:
            pass  # a generator's that still runs
        entry = entry.tb_next
    names.clear()


def perform(flags, code, filename, names):
    """Runs the code. Returns (exception or None, value of a last expression or None)."""
    try:
        if flags & RUN_MODULE:
            return None, run_module(code.decode())
        source = code if flags & (RUN_SCRIPT | RUN_BYTES) else code.decode("utf-8", "surrogatepass")
        remember_source(filename, source)
        last, body = None, source
        if flags & RUN_LAST_VALUE:
            body, last = split_last_expression(text_of_source(source, filename), filename)
        if body is not None:
            exec(compile(body, filename, "exec", 0, True), names)
        value = eval(last, names) if last is not None else None
        if flags & RUN_LAST_VALUE:
            collect_results(value)
        return None, value
    except BaseException as error:
        while error.__traceback__ is not None and error.__traceback__.tb_frame.f_globals is globals():
            error.__traceback__ = error.__traceback__.tb_next  # plain Python has no such frames
        return error, None


def decoded(source):
    """A file's bytes as the interpreter reads them: by their byte order mark or coding line."""
    if b"coding" in source[:1000] or source.startswith(b"\xef\xbb\xbf"):
        from importlib._bootstrap_external import decode_source

        return decode_source(source)
    return source.decode()


def remember_source(filename, source):
    """Has tracebacks, the program's own too, show the lines of a file that is not there."""
    if isinstance(source, bytes):
        try:
            source = decoded(source)
        except (SyntaxError, UnicodeDecodeError):
            return  # compile() says it better
    if "\r" in source:
        source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = [line + "\n" for line in source.split("\n")]
    if lines[-1] == "\n":
        lines.pop()
    linecache.cache[filename] = len(source), None, lines, filename


def outcome(done, flags=0):
    """The result of a run as the fields of FRAME_RESULT. Survives whatever the program left behind."""
    error, value = done
    if error is None and value is None:
        return RUN_OK, 0, 0, (b"", b"", b"", b"", b"")
    for attempt in range(3):
        try:
            complete()
            return describe(error, flags) if error is not None else (
                RUN_OK, 0, 0, (b"", b"", b"", result_text(value), value_bytes(value)))
        except MemoryError:
            native.make_room()
        except KeyboardInterrupt:
            pass  # it came too late: the program is over
        except BaseException:
            break
    return RUN_EXCEPTION, 1, 0, (b"Exception", b"belljar: the result cannot be described", b"", b"", b"")


def finish(result):
    """What the interpreter does at its end, in its order; nothing that a program has written is lost. The result as it is
    after that."""
    modules = sys.modules
    if result[0] == RUN_EXCEPTION and ("threading" in modules or "atexit" in modules):
        try:  # where a traceback is looked for if this guest is ended before it can send its result
            os.write(4, result[3][2][-4000:])
        except BaseException:
            pass
    try:
        if "threading" in modules:
            modules["threading"]._shutdown()
    except BaseException:
        pass
    try:
        if "atexit" in modules:  # who has not imported it has registered nothing
            modules["atexit"]._run_exitfuncs()
    except BaseException:
        pass
    is_flushed = flush_at_end()
    try:
        finalize(modules)
    except BaseException:
        pass  # memory, a signal, or what the program made of its modules
    is_flushed &= flush_at_end()  # what __del__ has printed
    if not is_flushed and result[0] != RUN_EXCEPTION:
        return RUN_EXIT, 120, 0, (b"", b"", b"", b"", b"")
    return result


def flush_at_end():
    """Whether the output went out, as the interpreter sees it at its end."""
    is_flushed = True
    for name in ("stdout", "stderr"):
        try:
            stream = getattr(sys, name, None)
            try:
                is_closed = stream is None or stream.closed
            except Exception:
                is_closed = False
            is_flushed &= bool(is_closed) or native.flush(stream, name == "stdout")
        except BaseException:
            pass
    return is_flushed


def finalize(modules):
    """Parts with the program's modules, so that what they hold comes to its end: __del__, files that were left open."""
    global main
    gone = [main]
    count = len(modules) - module_count
    later = [name for name, _ in zip(reversed(modules), range(count))] if count > 0 else []
    libraries = tuple([path + "/" for path in original_path if path]) if later else ()
    for name in reversed(later):
        module = modules[name]
        path = getattr(module, "__file__", None)
        if type(module) is type(sys) and (
            not path.startswith(libraries) if type(path) is str else module.__spec__ is None
        ):
            gone.append(modules.pop(name))
    modules.pop("__main__", None)
    if _thread._count():  # daemon threads go on: they keep their names, but for what has an end of its own
        for module in gone:
            for name, value in list(module.__dict__.items()):
                if hasattr(type(value), "__del__"):
                    module.__dict__[name] = None
        value = None
    spaces = {id(module.__dict__) for module in gone}
    end_files(gc.get_objects(), False)  # before they are collected, a file perhaps before the buffer that writes to it
    gc.collect()
    main = module = gone = None
    gc.collect()
    things = gc.get_objects()
    if not _thread._count():
        for names in things:
            if id(names) in spaces and type(names) is dict:  # something else knows of it
                clear_names(names)
    names = None
    end_files(things, True)


def clear_names(names):
    """The names of a module, in the interpreter's order."""
    for is_private in (True, False):
        for name in list(names):
            if type(name) is str and name != "__builtins__" and (name[:1] == "_" != name[1:2]) == is_private:
                names[name] = None


def end_files(things, is_end):
    """Has files write what they hold back, at the end wherever they are held; those that a library made up are closed
    there: a zip file's directory is written as it is closed."""
    files = native.instances(things, IOBase)
    if not files:
        return
    files.sort(key=lambda file: (type(file).__module__ == "_io") * (2 - isinstance(file, io.TextIOWrapper)))
    for file in files:
        try:
            is_own = type(file).__module__ == "_io"
            if not file.closed and (is_own or is_end):
                file.flush() if is_own else file.close()
        except BaseException:
            pass


def flush_streams():
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            pass  # closed, replaced or broken: the program's doing


def send(result, then):
    """Sends FRAME_RESULT, unless this is a rehearsal."""
    result_displays = displays[:]
    displays.clear()
    for attempt in range(6):
        try:
            native.send_result(*result, result_displays, then)
            return
        except KeyboardInterrupt:
            pass
        except BaseException:  # memory, or something the program put into the result
            native.make_room()
            outcome_, status, flags, fields = result
            result = outcome_, status, flags, tuple(field[:1000] for field in fields[:3]) + (b"", b"")
            result_displays = []
    os._exit(70)  # there is no room even for that: core/result.c knows what it means


# ==== Compiled when first needed: see complete() =================================================================


# ---- In the zygote of a template ---------------------------------------------------------------------------------


def import_all(names):
    """Imports modules, with a home that does not exist: nothing of theirs is to stay on the host. Only matplotlib
    insists on a folder to write to; it gets one for the time of its import."""
    writers = [name for name in names if name.partition(".")[0] in ("matplotlib", "seaborn")]
    home = "/tmp/belljar-preload-" + os.urandom(8).hex() if writers else "/nonexistent"
    keys = ("HOME", "TMPDIR", "MPLCONFIGDIR")
    before = {key: os.environ[key] for key in keys}
    failure = None
    try:
        if writers:
            os.mkdir(home, 0o700)
    except OSError:
        pass  # a read-only root: then it has to do without
    os.environ.update(dict.fromkeys(keys, home))
    for name in names:
        try:
            __import__(name)
        except BaseException as error:
            failure = "cannot import %s: %s: %s" % (name, type(error).__name__, error)
            break
    os.environ.update(before)
    if writers:
        remove_tree(home)
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None
    if failure:
        native.fail(22, "preload", failure)


# What programs that only compute import; without files there is no other way to it.
COMMON = """abc array base64 binascii bisect calendar codeop collections collections.abc contextlib copy dataclasses datetime decimal
    difflib enum fractions functools hashlib heapq html io itertools json keyword locale math numbers operator pprint random re
    secrets shlex statistics string struct textwrap time types typing unicodedata uuid warnings weakref zlib""".split()


def import_common():
    """For the profile without files: imports what it may want, and has the rest refused in words."""
    for name in COMMON:
        try:
            __import__(name)
        except ImportError:
            pass  # an interpreter that was built without it
    finder = type("NoFiles", (), {"find_spec": staticmethod(native.find_nothing)})
    sys.meta_path[:] = [other for other in sys.meta_path if getattr(other, "__name__", "") != "PathFinder"] + [finder]


def remove_tree(path):
    try:
        for entry in os.scandir(path):
            remove_tree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        os.rmdir(path)
    except OSError:
        pass


def rehearse():
    """One pass of what every run does, so that its pages and lookups are made once, here."""
    for code in ("1+1", "def f(x):\n  return [x for x in range(x)]\nf(3)\n1/0"):
        outcome(perform(RUN_LAST_VALUE, code.encode(), "<rehearsal>", {"__builtins__": builtins}))
    for encoding in ("ascii", "latin-1", "utf-8"):
        "x".encode(encoding).decode(encoding)
    linecache.cache.pop("<rehearsal>", None)
    displays.clear()


def find_generators():
    """Notes the generators of random numbers that exist: every guest would draw the same numbers from them."""
    kinds = []
    if "random" in sys.modules:
        kinds.append(sys.modules["random"].Random)
    if "numpy.random" in sys.modules:
        kinds.append(sys.modules["numpy.random"].BitGenerator)
        kinds.append(sys.modules["numpy.random"].Generator)
        kinds.append(sys.modules["numpy.random"].RandomState)
    if kinds:
        generators[:] = [thing for thing in gc.get_objects() if isinstance(thing, tuple(kinds))]


# ---- In a guest that needs it ------------------------------------------------------------------------------------


def reseed():
    """Parts with the random numbers that a fork shares. (The hash secret and the address space stay shared.)"""
    for generator in generators:
        try:
            if hasattr(generator, "bit_generator"):
                generator = generator.bit_generator
            if hasattr(generator, "seed"):
                generator.seed()
            else:
                generator.state = type(generator)().state
        except Exception:
            pass  # a kind that cannot be seeded: documented
    modules = sys.modules
    if "numpy.random" in modules:
        modules["numpy.random"].seed()
    if "uuid" in modules:
        modules["uuid"]._node = modules["uuid"]._last_timestamp = None
    if "threading" in modules and thread_limit:
        modules["threading"].main_thread()._set_native_id()


def warm_up():
    """Runs the warm text as a run would be, so that the pages a run writes to are private already."""
    global main, module_count
    before = sys.stdout, sys.stderr, sys.argv[:], sys.path[:]
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", "replace", line_buffering=True)
    try:
        main = new_main()
        answer((RUN_LAST_VALUE, warm_text.encode(), "<warm>", WORK, ["<warm>"], []), main, REHEARSE)
        module_count = len(sys.modules)
        flush_at_end()
        finalize(sys.modules)  # what a run ends with; not what others have registered for the end
    finally:
        sys.stdout, sys.stderr, sys.argv[:], sys.path[:] = before
        flush_streams()
        linecache.cache.pop("<warm>", None)
        displays.clear()


def write_files(files):
    for path, content in files:
        path = os.path.join(WORK, path)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with io.FileIO(path, "w") as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
        except OSError as error:
            error.filename = path
            raise
        except MemoryError:
            raise OSError(12, "Cannot allocate memory", path) from None


def run_module(name):
    """`python -m name`: runpy does it in sys.modules["__main__"], as the interpreter has it do."""
    import runpy

    runpy._run_module_as_main(name)


def text_of_source(source, filename):
    if isinstance(source, bytes):
        try:
            return decoded(source)
        except (SyntaxError, UnicodeDecodeError):
            compile(source, filename, "exec", 0, True)  # says it better
            raise
    return source


def split_last_expression(source, filename):
    """(what comes before, fit for compile(), or None; the code of the last expression, or None)."""
    stripped = source.strip()
    if stripped and "\n" not in stripped and source[0] not in " \t\f" and ("=" not in stripped or "(" in stripped):
        try:  # the usual short case without a detour over the tree
            return None, compile(stripped, filename, "eval", 0, True)
        except SyntaxError:
            pass
    tree = compile(source, filename, "exec", ONLY_AST, True)
    if not tree.body or type(tree.body[-1]).__name__ != "Expr":
        return tree, None
    import _ast

    last = compile(_ast.Expression(tree.body.pop().value), filename, "eval", 0, True)
    return (tree if tree.body else None), last


def describe(error, flags):
    if isinstance(error, SystemExit) and not flags & RUN_COMMAND:
        return RUN_EXIT, exit_status(error), 0, (b"", b"", b"", b"", b"")
    result = 0
    status = 1
    if isinstance(error, MemoryError):
        native.make_room()
        if not is_raised(error):
            result |= RESULT_MEMORY
    if isinstance(error, KeyboardInterrupt):
        result |= RESULT_INTERRUPT
        status = 130
    if is_refusal(error):
        result |= RESULT_REFUSED
    if sys.excepthook is not sys.__excepthook__ and not flags & RUN_SESSION:
        try:
            sys.excepthook(type(error), error, error.__traceback__)
            result |= RESULT_SHOWN
        except BaseException:
            pass
    name = cut(to_bytes(type_name(error)), NAME_MAX)
    text = cut(to_bytes(text_of(error)), VALUE_MAX)
    lines = format_traceback(error, name + (b": " + text if text else b"") + b"\n")
    return RUN_EXCEPTION, status, result, (name, text, lines, b"", b"")


def is_raised(error):
    """Whether a raise statement made it: a MemoryError of the program's own, against one of an allocation that failed."""
    try:
        import opcode

        entry = error.__traceback__
        while entry.tb_next is not None:
            entry = entry.tb_next
        return entry.tb_frame.f_code.co_code[entry.tb_lasti] == opcode.opmap["RAISE_VARARGS"]
    except BaseException:
        return False


def is_refusal(error):
    """True for the operating system's no, also where a library wrapped it (urllib's URLError has it as reason)."""
    try:
        for _ in range(8):
            if isinstance(error, OSError) and error.errno in REFUSALS:
                return True
            reason = getattr(error, "reason", None)
            error = reason if isinstance(reason, BaseException) else error.__cause__
            if error is None:
                return False
    except BaseException:
        pass
    return False


def format_traceback(error, otherwise):
    path = sys.path[:]
    sys.path[:] = original_path  # a traceback.py of the program's is not meant
    try:
        import traceback

        hide_frames(error)
        shorten(error)
        return cut(to_bytes("".join(traceback.format_exception(type(error), error, error.__traceback__))), TRACEBACK_MAX)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return otherwise
    finally:
        sys.path[:] = path


FRAMES_SHOWN = 1000  # of each end of a traceback: printing a million takes longer than making them did


def shorten(error):
    count, entry = 0, error.__traceback__
    while entry is not None:
        count, entry = count + 1, entry.tb_next
    if count <= 2 * FRAMES_SHOWN:
        return
    entry = error.__traceback__
    for _ in range(FRAMES_SHOWN - 1):
        entry = entry.tb_next
    last = entry
    for _ in range(count - 2 * FRAMES_SHOWN + 1):
        last = last.tb_next
    entry.tb_next = last
    if hasattr(error, "add_note"):
        error.add_note("(belljar: %d frames of this traceback are not shown)" % (count - 2 * FRAMES_SHOWN))


def hide_frames(error):
    """Takes the frames of belljar_session.py out of a traceback: where the program asked its host."""
    before, entry = None, error.__traceback__
    while entry is not None:
        after = entry.tb_next
        if entry.tb_frame.f_code.co_filename != "<host>":
            before = entry
        elif before is None:
            error.__traceback__ = after
        else:
            before.tb_next = after
        entry = after


def exit_status(error):
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        code = int.__index__(code)
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:
        pass
    return 1


def type_name(thing):
    name = type.__dict__["__name__"].__get__(type(thing))
    return name if type(name) is str else "object"


def text_of(error):
    try:
        text = str(error)
        return text if type(text) is str else str.__str__(text)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return "<exception str() failed>"


def value_text(value):
    try:
        return cut(to_bytes(repr(value)), TEXT_MAX)
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException:
        return to_bytes("<unprintable %s object>" % type_name(value))


def result_text(value):
    """The text of a last expression's value, made once: a repr may take its time, or have effects."""
    forms = displays[-1] if displays else None
    return forms[1][1] if forms and forms[0] == MAIN_MARK else value_text(value)


def value_bytes(value):
    return native.encode_value(value)


def to_bytes(text):
    return str.encode(text, "utf-8", "backslashreplace")


def cut(data, limit):
    if len(data) <= limit:
        return data
    half = (limit - 80) // 2
    marker = b"\n... %d bytes cut ...\n" % (len(data) - 2 * half)
    return to_bytes(data[:half].decode("utf-8", "ignore")) + marker + to_bytes(data[-half:].decode("utf-8", "ignore"))
