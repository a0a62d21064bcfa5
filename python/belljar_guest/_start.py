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
    if _state.start_time is not None:
        native.set_clock(None)
    if "seed" in _state.start:
        import random

        random.seed()
        os.environ.pop("PYTHONHASHSEED", None)
    os.environ.update(_state.start.pop("env", {}))  # before what is preloaded: most libraries look once


def begin() -> None:
    """In the guest, before its program."""
    if "seed" in _state.start:
        seed(_state.start["seed"])
    directory = _state.start.get("cwd")
    if directory:
        enter(directory)


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


def seed(number: int) -> None:
    """Makes random numbers come from one seed: of random and numpy, whenever they are imported; of secrets with them, as numpy's
    generators take their seeds there."""
    random: Any = sys.modules["random"]
    random.seed(number)
    random._urandom = random.Random(number).randbytes
    for generator in _state.generators:  # made before the fork
        if isinstance(generator, random.Random):
            generator.seed(number)
        else:
            generator = getattr(generator, "bit_generator", generator)
            if not hasattr(generator, "seed"):
                generator.state = type(generator)(number).state
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(number)
