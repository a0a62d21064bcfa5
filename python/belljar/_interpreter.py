"""Which interpreter runs in the guest if nobody says: the one that runs the host program, where it can be reached."""

from __future__ import annotations

import functools
import os
import stat
import sys
import warnings

__all__ = ["callers_level", "default_interpreter"]

_DEBIAN = "/usr/bin/python3"


def _blocked_at(path: str) -> str | None:
    """The directory or file on the way to path that an unprivileged user cannot pass, or None."""
    for way in (os.path.abspath(path), os.path.realpath(path)):
        at = ""
        for part in way.split("/")[1:]:
            at += "/" + part
            try:
                if not os.stat(at).st_mode & stat.S_IXOTH:
                    return at
            except OSError:
                return at
    return None


def callers_level() -> int:
    """The stacklevel, for warnings.warn in the calling function, of the first frame outside of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "belljar":
        level, frame = level + 1, frame.f_back
    return level


@functools.lru_cache(maxsize=4)
def _choose(executable: str, base: str, is_root: bool) -> str:
    if not is_root and executable:
        return executable
    blocked = _blocked_at(sys.prefix) or _blocked_at(sys.base_prefix) or _blocked_at(executable) if executable else "?"
    if blocked is None:
        return executable
    candidates = [base] if base and _blocked_at(sys.base_prefix) is None else []
    chosen = next((path for path in [*candidates, _DEBIAN] if _blocked_at(path) is None), _DEBIAN)
    if executable:
        warnings.warn(
            f"belljar drops root's rights, and an unprivileged user cannot reach {executable} ({blocked} bars the way): the "
            f"sandbox uses {chosen} instead. Name another with python=, or open the way: chmod o+x {blocked}",
            RuntimeWarning, stacklevel=callers_level())  # fmt: skip
    return chosen


def default_interpreter() -> str:
    """The path of the interpreter for a guest. Warns where the host's own cannot be used."""
    return _choose(sys.executable or "", getattr(sys, "_base_executable", "") or "", os.geteuid() == 0)
