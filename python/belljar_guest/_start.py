"""What a policy has a guest start with: variables, a directory, a seed, a time."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from belljar_guest import _state, native

if TYPE_CHECKING:
    from typing import Any

LINKS_MOST = 200


class Rules:
    """How json reads, for its half in C alone: the other one imports re, which takes longer than all the rest of a start."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def prepare(text: str) -> None:
    """Reads what the host says (JSON). In the zygote, so that no guest imports anything for it."""
    json: Any = __import__("_json")
    _state.start = json.make_scanner(Rules)(text, 0)[0]
    _state.start_time = _state.start.pop("start_time", None)
    if _state.start.pop("clock", "") == "stands":
        _state.clock_stands = True
        if _state.start_time is None:
            _state.start_time = -1.0
    if "seed" in _state.start:
        import random
        import uuid

        random.seed()
        uuid._generate_time_safe = uuid._UuidCreate = None  # type: ignore[attr-defined]  # they ask the machine
        os.environ.pop("PYTHONHASHSEED", None)
    os.environ.update(_state.start.pop("env", {}))  # before what is preloaded: most libraries look once
    if "seed" in _state.start or _state.start_time is not None:
        fix_calls()


def fix_calls() -> None:
    """Has the interpreter's calls for time and random bytes answered here, and those of what is loaded later."""
    imp: Any = sys.modules["_imp"]
    create = imp.create_dynamic

    def create_dynamic(*arguments: Any) -> Any:
        module = create(*arguments)
        native.fix_calls()
        return module

    imp.create_dynamic = create_dynamic
    native.fix_calls()


def begin() -> None:
    """In the guest, before its program."""
    if "seed" in _state.start:
        seed(_state.start["seed"])
    directory = _state.start.get("cwd")
    if directory:
        try:
            enter(directory)
        except OSError as failure:
            _state.start["failure"] = failure


def import_later() -> None:
    """Imports what could not be preloaded. An error is the program's to see, when it imports that."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", "replace")
    try:
        for name in _state.start.pop("later"):
            try:
                __import__(name)
            except Exception:
                pass
    finally:
        sys.stdout, sys.stderr = before


def link(directory: str) -> None:
    """Makes what lies there known in /work by name; what was handed in goes first. A few, as each counts for the quota."""
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
        for name in names[:LINKS_MOST]:
            try:
                os.symlink(os.path.join(directory, name), os.path.join(_state.WORK, name))
            except FileExistsError:
                pass
    except OSError:
        pass  # no quota is left: the program finds fewer names


def enter(directory: str) -> None:
    """Goes there. A directory of its own is made; the host has looked at any other."""
    try:
        os.chdir(directory)
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)
        os.chdir(directory)
    os.environ["PWD"] = directory
    if sys.path[:1] == [_state.WORK]:
        sys.path[0] = directory


def seed(number: int) -> None:
    """Makes random numbers come from one seed: the bytes that all generators take theirs from, and the generators that are there."""
    native.set_random(number)
    modules: dict[str, Any] = sys.modules
    random = modules["random"]
    random.seed(number)
    for generator in _state.generators:  # made before the fork
        if isinstance(generator, random.Random):
            generator.seed(number)
        else:
            generator = getattr(generator, "bit_generator", generator)
            if not hasattr(generator, "seed"):
                generator.state = type(generator)(number).state
    if "numpy.random" in modules:
        modules["numpy.random"].seed(number)
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    modules["uuid"]._node = random.Random(number).getrandbits(48) | 1 << 40  # the bit says that it is nobody's address
    modules["uuid"]._last_timestamp = None
