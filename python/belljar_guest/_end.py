"""The end of a one-shot run: what the interpreter does at its end, in its order."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import TYPE_CHECKING

import _thread
from _io import _IOBase as IOBase  # type: ignore[import]

from belljar._shared.frames import RUN_EXCEPTION
from belljar_guest import _run, _state, native

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from belljar_guest._policy import Policy
    from belljar_guest._run import Result


def finish(policy: Policy, result: Result) -> Result:
    """What the interpreter does at its end, in its order; nothing that a program has written is lost. The result as it is
    after that."""
    modules = sys.modules
    if result[0] == RUN_EXCEPTION and ("threading" in modules or "atexit" in modules):
        try:  # where a traceback is looked for if this guest is ended before it can send its result
            os.write(native.CRASH_FD, result[3][2][-4000:])
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
    is_flushed = _run.flush_at_end()
    try:
        finalize(policy, modules)
    except BaseException:
        pass  # memory, a signal, or what the program made of its modules
    is_flushed &= _run.flush_at_end()  # what __del__ has printed
    if not is_flushed and result[0] != RUN_EXCEPTION:
        return _run.NOT_FLUSHED
    return result


def finalize(policy: Policy, modules: dict[str, ModuleType]) -> None:
    """Parts with the program's modules, so that what they hold comes to its end: __del__, files that were left open."""
    module: Any
    gone: list[Any] = [policy.main] if policy.main is not None else []
    count = len(modules) - policy.module_count
    later = [name for name, _ in zip(reversed(modules), range(count))] if count > 0 else []
    libraries = tuple([path + "/" for path in _state.original_path if path]) if later else ()
    for name in reversed(later):
        module = modules[name]
        path = getattr(module, "__file__", None)
        if type(module) is type(sys) and (not path.startswith(libraries) if type(path) is str else module.__spec__ is None):
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
    policy.main, policy.names = None, {}
    gone.clear()
    module = None
    gc.collect()
    things = gc.get_objects()
    if not _thread._count():
        for names in things:
            if id(names) in spaces and type(names) is dict:  # something else knows of it
                clear_names(names)
    names = None
    end_files(things, True)


def clear_names(names: dict[Any, Any]) -> None:
    """The names of a module, in the interpreter's order."""
    for is_private in (True, False):
        for name in list(names):
            if type(name) is str and name != "__builtins__" and (name[:1] == "_" != name[1:2]) == is_private:
                names[name] = None


def end_files(things: list[Any], is_end: bool) -> None:
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
