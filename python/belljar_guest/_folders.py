"""Has importlib ask once what stands in the folders that Python's own modules and packages come from: install().

Each question is a call that the supervisor answers, and an import asks the same ones again for each module. What a guest may write to is
never remembered: not its scratch, and nothing at all where a folder of the host's is granted for writing. What the host changes, or the guest
behind a link that the host has put into one of these folders, is seen by the next run, after a second, and after
importlib.invalidate_caches(), which has the folders listed again."""

from __future__ import annotations

import errno
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from typing import Any

STALE_NS = 1_000_000_000

known: dict[object, os.stat_result] = {}
listed: dict[str, tuple[os.stat_result, list[str]]] = {}  # names of a folder, and its stat from just before
known_since = 0


def install(folders: list[str]) -> None:
    """From now on, for what is in these folders or is one of them."""
    external: Any = sys.modules["_frozen_importlib_external"]
    stat = external._path_stat
    finder = external.FileFinder
    fill, invalidate = finder._fill_cache, finder.invalidate_caches
    list_folder = external._os.listdir
    clock = time.monotonic_ns
    roots = tuple(folder + "/" for folder in folders)

    def path_stat(path: object) -> os.stat_result:
        global known_since
        if type(path) is not str or not (path + "/").startswith(roots) or "/.." in path:
            return stat(path)  # type: ignore[no-any-return]
        now = clock()
        if now - known_since > STALE_NS:
            forget()
            known_since = now
        found = known.get(path)
        if found is None:
            folder, _, name = path.rpartition("/")
            if name.startswith("__init__.") and not may_have(folder, name):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            found = known[path] = stat(path)
        return found

    def may_have(folder: str, name: str) -> bool:
        """Of a package four kinds of __init__ are asked for, and then it is listed. So it is listed first; after its stat, as the
        finder of what is in it compares the time there with that of its own list."""
        entry = listed.get(folder)
        if entry is None:
            found = path_stat(folder)
            try:
                entry = listed[folder] = found, list_folder(folder)
            except OSError:  # to be searched and not to be read
                return True
        return name in entry[1]

    def fill_cache(self: Any) -> None:
        entry = listed.get(self.path)  # another thread may forget it at any time
        if entry is not None and known.get(self.path) is entry[0]:
            self._path_cache = set(entry[1])
        else:
            fill(self)

    def invalidate_caches(self: Any) -> None:
        forget()
        invalidate(self)

    external._path_stat = path_stat
    finder._fill_cache, finder.invalidate_caches = fill_cache, invalidate_caches


def forget() -> None:
    """Before a run: what the host has installed since the last one is there."""
    known.clear()
    listed.clear()
