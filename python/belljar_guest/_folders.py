"""Has importlib ask once what stands in the folders that Python's own modules and packages come from: install().

Each question is a call that the supervisor answers, and an import asks the same ones again for each module. So a folder is listed together
with its own stat and those of its files, in one call, and what importlib asks is looked for there. Of what a guest may write to only
/work's own stat is remembered, until a call of the guest's may have changed its scratch; nothing at all is where a folder of the host's is
granted for writing. What the host changes, or the guest behind a link that the host has put into one of these folders, is seen by the next
run, after a second, and after importlib.invalidate_caches(), which has the folders listed again."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

from belljar_guest import native

if TYPE_CHECKING:
    import os
    from typing import Any

known: dict[object, os.stat_result] = {}  # by path; None: since when (guest/folder.c, which empties it after a second)
listed: dict[str, set[str]] = {}  # the names in a folder: none if it cannot be listed so. Holds while `known` has the folder


def install(folders: list[str]) -> None:
    """From now on, for what is in these folders or is one of them."""
    # Debuggers pass importlib's frames over by the name of their module: these are some of them.
    globals()["__name__"] = "importlib._bootstrap_external"
    external: Any = sys.modules["_frozen_importlib_external"]
    stat = external._path_stat
    finder = external.FileFinder
    fill, invalidate = finder._fill_cache, finder.invalidate_caches
    stat_result = external._os.stat_result
    list_folder, read_module = native.list_folder, native.read_module
    get, audit, flags = external.FileLoader.get_data, sys.audit, external._os.O_RDONLY | external._os.O_CLOEXEC
    tops = frozenset(folders)
    roots = tuple(folder + "/" for folder in folders)

    def look(path: object) -> os.stat_result:
        if type(path) is not str or not (path + "/").startswith(roots) or "/.." in path:
            return stat(path)  # type: ignore[no-any-return]
        if path in tops:
            names_in(path)
        else:  # of a package four kinds of __init__ are asked for
            folder, _, name = path.rpartition("/")
            names = names_in(folder)
            if names and name not in names and name.startswith("__init__."):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        found = known.get(path)
        if found is None:
            found = known[path] = stat(path)
        return found

    def names_in(folder: str) -> set[str]:
        """With its stat from just before: the finder of what is in it compares the time there with that of its own list."""
        names = listed.get(folder)
        if names is None or folder not in known:
            names = list_folder(folder, known, stat_result)
            if names is None:
                names = set()
                known[folder] = stat(folder)
            listed[folder] = names
        return names

    def fill_cache(self: Any) -> None:
        names = listed.get(self.path)  # another thread may forget it at any time
        if names and self.path in known:
            self._path_cache = names
        else:
            fill(self)

    def invalidate_caches(self: Any) -> None:
        forget()
        invalidate(self)

    def get_data(self: Any, path: str) -> bytes:
        try:
            data = read_module(path)
        except OSError:
            audit("open", path, "r", flags)
            raise
        if data is None:
            try:
                return get(self, path)  # type: ignore[no-any-return]
            except BaseException as error:
                error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # as it is without this frame
                raise
        audit("open", path, "r", flags)
        return data

    external.FileLoader.get_data = get_data
    external._path_stat = native.known_stat(known, look, stat_result)
    finder._fill_cache, finder.invalidate_caches = fill_cache, invalidate_caches


def forget() -> None:
    """Before a run: what the host has installed since the last one is there."""
    known.clear()
    listed.clear()
    native.forget_folders()
