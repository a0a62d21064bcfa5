"""What a ModuleNotFoundError says more than its name: what is installed and near, and how packages are added."""

from __future__ import annotations

import posix
import sys

from belljar_guest import _adapt, native

found: dict[str, list[str]] = {}  # by the entries of sys.path: the top-level names below
PACKAGES = "packages are added by installing them outside, for the sandbox's interpreter or in a virtual environment (--python VENV/bin/python3, python=)"
NEAR_MAX = 3


def install() -> None:
    """From now on importlib says it, and has libraries made to fit as they come. The wrapper is compiled: it leaves no frame in tracebacks."""
    bootstrap = sys.modules["_frozen_importlib"]
    name = "_find_and_load_unlocked"
    setattr(bootstrap, name, native.explain_missing(getattr(bootstrap, name), explain, _adapt.ON_IMPORT))


def explain(error: ModuleNotFoundError) -> None:
    """Adds the words, if the name is that of a package or module as it would be installed."""
    name = error.name
    if type(name) is not str or "." in name or error.msg != "No module named %r" % name:
        return
    try:
        names = installed()
    except Exception:
        return
    near = nearest(name, names)
    error.msg = "%s; installed and near: %s; %s" % (error.msg, ", ".join(near) if near else "nothing", PACKAGES)
    error.args = (error.msg,)


def installed() -> set[str]:
    """The names that an import statement can have, as far as files tell."""
    names = {name for name in sys.builtin_module_names if name[0] != "_"}
    for entry in sys.path:
        if type(entry) is not str:
            continue
        if entry not in found:
            try:
                found[entry] = [name.partition(".")[0] for name in posix.listdir(entry or ".") if is_module(name)]
            except OSError:
                found[entry] = []
        names.update(found[entry])
    return names


def is_module(name: str) -> bool:
    first, _, rest = name.partition(".")
    return first.isidentifier() and first[0] != "_" and (rest in ("", "py") or rest.endswith("so"))


def nearest(name: str, names: set[str]) -> list[str]:
    """Those with few letters of difference, the nearest first; and those that begin with it, or it with them."""
    low, most = name.lower(), 1 if len(name) < 5 else 2
    ranked = []
    for other in names:
        if abs(len(other) - len(name)) <= most:
            distance = letters_between(low, other.lower(), most)
        elif min(len(low), len(other)) >= 4 and (other.lower().startswith(low) or low.startswith(other.lower())):
            distance = most
        else:
            continue
        if distance <= most:
            ranked.append((distance, other))
    return [other for _, other in sorted(ranked)[:NEAR_MAX]]


def letters_between(one: str, other: str, most: int) -> int:
    """How many letters to add, leave out, change or swap with the next; more than `most` is only that."""
    if not set(one) & set(other) or len(set(one) ^ set(other)) > 2 * most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, with_letter in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != with_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == with_letter:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
