"""Has importlib ask once what stands in the folders that Python's own modules and packages come from: install().

Each question is a call that the supervisor answers, and an import asks the same ones again for each module. What a guest may write to is
never remembered: not its scratch, and nothing at all where a folder of the host's is granted for writing. What the host changes, or the guest
behind a link that the host has put into one of these folders, is seen by the next run, after a second, and after
importlib.invalidate_caches(), which has the folders listed again."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from typing import Any

STALE_NS = 1_000_000_000

known: dict[object, os.stat_result] = {}
known_since = 0


def install(folders: list[str]) -> None:
    """From now on, for what is in these folders or is one of them."""
    external: Any = sys.modules["_frozen_importlib_external"]
    stat = external._path_stat
    clock = time.monotonic_ns
    roots = tuple(folder + "/" for folder in folders)

    def path_stat(path: object) -> os.stat_result:
        global known_since
        if type(path) is not str or not (path + "/").startswith(roots) or "/.." in path:
            return stat(path)  # type: ignore[no-any-return]
        now = clock()
        if now - known_since > STALE_NS:
            known.clear()
            known_since = now
        found = known.get(path)
        if found is None:
            found = known[path] = stat(path)
        return found

    external._path_stat = path_stat


def forget() -> None:
    """Before a run: what the host has installed since the last one is there."""
    known.clear()
