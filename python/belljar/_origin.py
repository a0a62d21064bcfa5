"""Whose code it is: the program's own, which goes to a sandbox, or a module's, which is found there by its name."""

from __future__ import annotations

import builtins
import dis
import functools
import os
import sys
import sysconfig
import types
from typing import Any, Final, NamedTuple

__all__ = ["Origin", "find_origin", "is_own", "names_of"]

_INSIDE: Final = frozenset({"posix", "nt"})
"""Modules whose names nobody writes."""


class Origin(NamedTuple):
    """Where a sandbox has it: (module, dotted name) in each of the places, and the words for it."""

    rows: list[list[str]]
    words: str


def find_origin(value: Any) -> Origin | None:
    """None for what is the program's own, and for what no module has by its name."""
    name = getattr(value, "__name__", None)
    if type(name) is not str:
        return None
    if vars(builtins).get(name) is value:
        return Origin([["builtins", name]], f"builtin {name}")
    full = getattr(value, "__qualname__", name)
    home = getattr(value, "__module__", None)
    found: list[list[str]] = []
    if type(home) is str:
        module = sys.modules.get(home)
        if module is None or is_own(module) or (type(value) is types.FunctionType and not _holds(module, full, value)):
            return None
        if _holds(module, full, value):
            found.append([home, full])
    for other, module in list(sys.modules.items()):
        if (
            isinstance(module, types.ModuleType)
            and vars(module).get(name) is value
            and [other, name] not in found
            and not is_own(module)
        ):
            found.append([other, name])
    if not found:
        return None
    found.sort(key=lambda row: row[0].startswith("_") or row[0] in _INSIDE)
    return Origin(found, ".".join(found[0]))


def _holds(module: types.ModuleType, full: str, value: Any) -> bool:
    thing: Any = module
    for part in full.split("."):
        thing = vars(thing).get(part) if isinstance(thing, type | types.ModuleType) else None
    return thing is value


def is_own(thing: types.ModuleType | type) -> bool:
    """True for modules (and classes of modules) of the program's, which a sandbox does not have."""
    name = getattr(thing, "__module__", "") if isinstance(thing, type) else thing.__name__
    module = sys.modules.get(name) if isinstance(thing, type) else thing
    if module is None or name == "__main__":
        return True
    if name.partition(".")[0] == "belljar":
        return name.startswith("belljar.adapters.")  # no guest has them: what they have run in one goes there as code
    path = getattr(module, "__file__", None)
    return type(path) is str and not _is_installed(path)


@functools.lru_cache(maxsize=4096)
def _is_installed(path: str) -> bool:
    path = os.path.realpath(path)
    return "/dist-packages/" in path or "/site-packages/" in path or path.startswith(_roots())


@functools.cache
def _roots() -> tuple[str, ...]:
    return tuple(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def names_of(code: types.CodeType) -> tuple[dict[str, None], set[str]]:
    """(the global names that code reads, all names that it uses), with those of the functions inside."""
    read: dict[str, None] = {}
    used: set[str] = set()
    waiting = [code]
    while waiting:
        code = waiting.pop()
        used.update(code.co_names)
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                read[str(instruction.argval)] = None
        waiting.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return read, used
