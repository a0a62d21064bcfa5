"""The files of a guest: what lies in its scratch (/work, /tmp, its home).

Their names and contents are the guest's. They are opened one component at a time, below a directory descriptor and
without following a link, so a name never leads to a file of the host.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

__all__ = ["Files"]

_ROOTS = {"/work": "work", "/tmp": "tmp", "/home/user": "home"}
_DEPTH_MAX = 64
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def _parts(name: str | os.PathLike[str]) -> list[str]:
    """The way to a file below the scratch: "out.csv" and "/work/out.csv" are ["work", "out.csv"]."""
    path = posixpath.normpath(posixpath.join("/work", os.fspath(name)))
    for root, folder in _ROOTS.items():
        if path == root:
            return [folder]
        if path.startswith(root + "/"):
            return [folder, *path[len(root) + 1 :].split("/")]
    raise KeyError(f"{name}: a guest's files lie in {', '.join(_ROOTS)}")


def _open_beneath(scratch: int, parts: list[str], flags: int) -> int:
    """A new descriptor of what lies there; OSError if it does not, or if a link is on the way."""
    at = os.dup(scratch)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FLAGS | flags, dir_fd=at)
    finally:
        os.close(at)


class Files(Mapping[str, bytes]):
    """What a guest wrote and what was handed in: a read-only mapping of names to contents.

    Names are relative to `/work`, where a guest starts; files elsewhere are reached by their absolute name, as in
    `files["/tmp/cache.db"]`. Only regular files count: links, pipes and sockets are not followed or opened.
    """

    __slots__ = ("_scratch",)

    def __init__(self, scratch: Callable[[], int]) -> None:
        self._scratch = scratch  # the directory's descriptor (borrowed), or -1: nothing was ever written

    def open(self, name: str | os.PathLike[str]) -> BinaryIO:
        """The file, opened for reading: for large ones. `KeyError` if there is no such regular file."""
        scratch = self._scratch()
        parts = _parts(name)
        if scratch < 0 or len(parts) < 2:
            raise KeyError(os.fspath(name))
        try:
            fd = _open_beneath(scratch, parts, 0)
        except (OSError, ValueError):
            raise KeyError(os.fspath(name)) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise KeyError(f"{os.fspath(name)} is not a regular file")
        return os.fdopen(fd, "rb")

    def __getitem__(self, name: str | os.PathLike[str]) -> bytes:
        with self.open(name) as file:
            return file.read()

    def __contains__(self, name: object) -> bool:
        try:
            self.open(name).close()  # type: ignore[arg-type]
        except (KeyError, TypeError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def list(self, folder: str | os.PathLike[str] = "/work") -> list[str]:
        """The names of the regular files in a folder and below it, sorted; relative ones are relative to /work."""
        scratch = self._scratch()
        parts = _parts(folder)
        prefix = posixpath.normpath(posixpath.join("/work", os.fspath(folder)))
        prefix = "" if prefix == "/work" else prefix.removeprefix("/work/") + "/"
        names: list[str] = []
        pending = [(parts, prefix)] if scratch >= 0 else []
        while pending:
            parts, prefix = pending.pop()
            try:
                fd = _open_beneath(scratch, parts, os.O_DIRECTORY)
            except OSError:
                continue
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        if entry.is_file(follow_symlinks=False):
                            names.append(prefix + entry.name)
                        elif entry.is_dir(follow_symlinks=False) and len(parts) < _DEPTH_MAX:
                            pending.append(([*parts, entry.name], f"{prefix}{entry.name}/"))
            finally:
                os.close(fd)
        return sorted(names)

    def glob(self, pattern: str) -> dict[str, bytes]:
        """The files whose names match, with their contents: `files.glob("*.png")`. `*` matches slashes too."""
        folder = "/tmp" if pattern.startswith("/tmp/") else "/home/user" if pattern.startswith("/home/user/") else "/work"
        return {name: self[name] for name in self.list(folder) if fnmatch.fnmatchcase(name, pattern)}

    def __repr__(self) -> str:
        return f"<files {self.list()!r}>"
