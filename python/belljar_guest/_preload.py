"""Zygotes of templates, which import for many guests, and the warming of those guests."""

from __future__ import annotations

import builtins
import gc
import io
import os
import sys
from typing import TYPE_CHECKING

from belljar._shared.frames import RUN_EXCEPTION, RUN_EXIT, RUN_LAST_VALUE
from belljar_guest import (
    _code,
    _end,
    _host,
    _outcome,
    _policy,
    _results,
    _run,
    _session,
    _settings,
    _shell,
    _state,
    _threads,
    native,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from belljar_guest._policy import Policy
    from belljar_guest._run import Frame


def share(preload: list[str], warm: str, has_language: bool, files: bool) -> None:
    """What guests have in common, made before they are."""
    _state.has_preloaded = True
    # Wanting something of each has it compiled here, for all guests.
    from belljar._shared.parts import take_apart

    _ = (
        _end.finish,
        _host.ask,
        _outcome.describe,
        _results.display,
        _session.COMMANDS,
        _settings.apply,
        _shell.shell_statement,
        take_apart,
    )
    import_all(["traceback", *preload])
    if not files and not has_language:  # a language policy imports what it allows, and then closes importing
        import_common()
    forget_machine()
    if warm and not has_language:  # its guests are asked for results: once for all of them
        _results.offer_results()
    rehearse()
    find_generators()
    gc.collect()
    if warm and _state.is_warm_ours and not has_language:
        rehearse_warm_up()


def import_all(names: list[str]) -> None:
    """Imports modules, with a home that does not exist: nothing of theirs is to stay on the host. Only matplotlib
    insists on a folder to write to; it gets one for the time of its import."""
    writers = [name for name in names if name.partition(".")[0] in ("matplotlib", "seaborn")]
    home = "/tmp/belljar-preload-" + os.urandom(8).hex() if writers else "/nonexistent"
    keys = ("HOME", "TMPDIR", "MPLCONFIGDIR")
    _threads.check()  # before: those of no module here
    before = {key: os.environ[key] for key in keys}
    failure = threads = None
    try:
        if writers:
            os.mkdir(home, 0o700)
    except OSError:
        pass  # a read-only root: then it has to do without
    os.environ.update(dict.fromkeys(keys, home))
    leave = stand_in_work()
    for name in names:
        before_it = set(sys.modules)
        try:
            __import__(name)
        except BaseException as error:
            failure = "cannot import %s: %s: %s" % (name, type(error).__name__, error)
            break
        running = _threads.others()
        if running:  # the host starts anew without this one: core/preload.c
            threads = "%s\n%s" % (name, _threads.describe(running, [other for other in sys.modules if other not in before_it]))
            break
    leave()
    os.environ.update(before)
    if writers:
        remove_tree(home)
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]
    if failure:
        native.fail(22, "preload", failure)
    if threads:
        native.fail(16, "preload threads", threads)


def stand_in_work() -> Callable[[], None]:
    """The folder that modules find themselves in as they are imported, and keep (hypothesis), is the guests', not the host's.
    Returns what ends it, also for who has kept the function."""
    stands = [True]
    real, real_bytes = os.getcwd, os.getcwdb

    def leave() -> None:
        stands.clear()
        os.getcwd, os.getcwdb = real, real_bytes

    os.getcwd = lambda: _state.WORK if stands else real()
    os.getcwdb = lambda: _state.WORK.encode() if stands else real_bytes()
    return leave


# What programs that only compute import; without files there is no other way to it.
COMMON = """abc array base64 binascii bisect calendar codeop collections collections.abc contextlib copy dataclasses datetime decimal
    difflib enum fractions functools hashlib heapq html io itertools json keyword locale math numbers operator pprint random re
    secrets shlex statistics string struct textwrap time types typing unicodedata uuid warnings weakref zlib""".split()


def import_common() -> None:
    """For the profile without files: imports what it may want, and has the rest refused in words."""
    for name in COMMON:
        try:
            __import__(name)
        except ImportError:
            pass  # an interpreter that was built without it
    _ = _code.unpack  # the host may call its functions here: reading them needs more of the library
    if "_socket" in sys.modules:
        "".encode("idna")  # every name of a host goes through it
    finder: Any = type("NoFiles", (), {"find_spec": staticmethod(native.find_nothing)})
    linecache: Any = _policy.linecache
    lazycache, updatecache = linecache.lazycache, linecache.updatecache
    # The source of modules lies in files: a traceback does without, and asks for none.
    linecache.lazycache = lambda filename, names: filename[:1] != "/" and lazycache(filename, names)
    linecache.updatecache = lambda filename, *names: [] if filename[:1] == "/" else updatecache(filename, *names)
    sys.meta_path[:] = [other for other in sys.meta_path if getattr(other, "__name__", "") != "PathFinder"] + [finder]


def forget_machine() -> None:
    """The zygote is asked what machine it is on by modules that are imported; its guests have one of their own."""
    platform: Any = sys.modules.get("platform")
    if platform is not None:
        platform._uname_cache = None
        platform._platform_cache.clear()


def remove_tree(path: str) -> None:
    try:
        for entry in os.scandir(path):
            remove_tree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        os.rmdir(path)
    except OSError:
        pass


def rehearse() -> None:
    """One pass of what every run does, so that its pages and lookups are made once, here."""
    policy = _policy.Policy()
    for code in ("1+1", "def f(x):\n  return [x for x in range(x)]\nf(3)\n1/0"):
        policy.names = {"__builtins__": builtins}
        error, value = _run.perform(policy, RUN_LAST_VALUE, code.encode(), "<rehearsal>")
        _run.outcome(policy, error, value, 0)
    for encoding in ("ascii", "latin-1", "utf-8"):
        "x".encode(encoding).decode(encoding)
    _policy.linecache.cache.pop("<rehearsal>", None)
    _state.displays.clear()


REHEARSALS = 24  # CPython is done with specialising what it runs after about so many


def rehearse_warm_up() -> None:
    """Begins here as guests will, so that most of what they would make or change once is there, shared. Only with a text of ours:
    one of the caller's may do what only a guest may."""
    start, start_time, path = _state.start, _state.start_time, sys.path[:]
    _state.start, _state.start_time = {}, None  # each guest's own
    gc.freeze()  # what is there need not be looked through each time
    try:
        for _ in range(REHEARSALS):
            _policy.Policy().begin()
    finally:
        _state.start, _state.start_time, sys.path[:] = start, start_time, path
        sys.modules.pop("__main__", None)
    gc.collect()


def find_generators() -> None:
    """Notes the generators of random numbers that exist: every guest would draw the same numbers from them."""
    kinds: list[type] = []
    modules: dict[str, Any] = sys.modules
    if "random" in modules:
        kinds.append(modules["random"].Random)
    if "numpy.random" in modules:
        kinds.append(modules["numpy.random"].BitGenerator)
        kinds.append(modules["numpy.random"].Generator)
        kinds.append(modules["numpy.random"].RandomState)
    if kinds:
        _state.generators += [thing for thing in gc.get_objects() if isinstance(thing, tuple(kinds))]  # those known are frozen
    within = {id(getattr(thing, "_bit_generator", None)) for thing in _state.generators if hasattr(thing, "set_state")}
    _state.reseeded[:] = [thing for thing in _state.generators if id(thing) not in within]


def reseed() -> None:
    """Parts with the random numbers that a fork shares. (The hash secret and the address space stay shared.)"""
    modules: dict[str, Any] = sys.modules
    for generator in _state.reseeded:
        try:
            if hasattr(generator, "bit_generator"):
                generator = generator.bit_generator
            if not (hasattr(generator, "set_state") and fill_twister(generator, modules["numpy"])):
                if hasattr(generator, "seed"):
                    generator.seed()
                else:
                    generator.state = type(generator)().state
        except Exception:
            pass  # a kind that cannot be seeded: documented
    if "uuid" in modules:
        modules["uuid"]._node = modules["uuid"]._last_timestamp = None
    if "threading" in modules and _state.thread_limit:
        modules["threading"].main_thread()._set_native_id()


def fill_twister(generator: Any, numpy: Any) -> bool:
    """Gives numpy's older kind of generator a state of its own as random bytes. It could seed itself, by 100 pages more."""
    try:
        generator.set_state(("MT19937", numpy.frombuffer(os.urandom(4 * 624), numpy.uint32), 624))
    except ValueError:
        return False  # it has another algorithm
    return True


def tell_warm_up(failure: str) -> None:
    """Says on the guest's stderr, where its first run finds it, that its caller's warm text came to nothing."""
    try:
        os.write(
            2,
            ("belljar: the text of warm= %s; its guests go on without the rest of it\n" % failure[:1000]).encode(
                "utf-8", "replace"
            ),
        )
    except OSError:
        pass  # nobody reads


def warm_up(policy: Policy) -> None:
    """Runs the warm text as a run would be, so that the pages a run writes to are private already."""
    before = sys.stdout, sys.stderr, sys.argv[:], sys.path[:]
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", "replace", line_buffering=True)
    try:
        policy.make_main()
        frame: Frame = RUN_LAST_VALUE, _state.warm_text.encode(), "<warm>", _state.WORK, ["<warm>"], []
        kind, status, _, fields = _run.answer(policy, frame, native.REHEARSE)
        policy.module_count = len(sys.modules)
        _run.flush_at_end()
        if _state.is_warm_ours:  # its names are all that it leaves
            policy.names.clear()
            policy.main, policy.names = None, {}
            sys.modules.pop("__main__", None)
        else:
            _end.finalize(policy, sys.modules)  # what a run ends with; not what others have registered for the end
            find_generators()  # it has used them, and may have seeded them, in each guest alike
            reseed()
            if kind == RUN_EXCEPTION:
                name, text = (field.decode("utf-8", "replace") for field in fields[:2])
                tell_warm_up("raised " + (name + ": " + text if text else name))
            elif kind == RUN_EXIT:
                tell_warm_up("ended by sys.exit(%d)" % status)
    finally:
        sys.stdout, sys.stderr, sys.argv[:], sys.path[:] = before
        _run.flush_streams()
        _policy.linecache.cache.pop("<warm>", None)
        _state.displays.clear()
