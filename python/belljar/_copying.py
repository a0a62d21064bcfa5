"""The files of a session, for the sandbox that it was forked into: read here, written there by the guest itself.

Names, links and sizes are the guest's. Directories are entered by descriptor and links are not followed but copied as the
text that they hold; the twin writes with its own rights and under its own limits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from belljar._core import core
from belljar.errors import SandboxError
from belljar._files import size_bytes

__all__ = ["copies"]

_ROOTS: Final = {top: f"/{top}" for top in (place.split("/")[1] for place in core.SCRATCH_PLACES)}
_PLACES: Final = {place for place in core.SCRATCH_PLACES if place.count("/") > 1}  # they are there already
_DEPTH_MAX = 64
_PIECE = 8 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def copies(scratch: int, limit: int | str) -> Iterator[list[list[Any]]]:
    """Lists of [kind, path, content, mode] for the guest's command "write". `scratch` is the directory's descriptor, or -1.

    `SandboxError` if there is more than the policy's scratch holds (a file can say that it is larger than what it
    takes)."""
    if scratch < 0:
        return
    left = 2 * size_bytes(limit)
    batch: list[list[Any]] = []
    size = 0
    for entry in _walk(scratch):
        batch.append(entry)
        size += len(entry[2]) + 200
        left -= len(entry[2])
        if left < 0:
            raise SandboxError(
                f"the session's files are larger than its scratch, as {entry[1]} is read (files with holes or several names say "
                "more than they take): they cannot be copied; delete some, or allow more with scratch=", "fork"
            )  # fmt: skip
        if size > _PIECE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _walk(scratch: int) -> Iterator[list[Any]]:
    for name, path in _ROOTS.items():
        try:
            fd = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=scratch)
        except OSError:
            continue
        yield from _walk_directory(fd, path, 0)


def _walk_directory(fd: int, path: str, depth: int) -> Iterator[list[Any]]:
    """Takes fd."""
    try:
        for name in os.listdir(fd):
            if not name.isprintable() and any("\udc80" <= c <= "\udcff" for c in name):
                continue  # not UTF-8: no such name crosses
            below = f"{path}/{name}"
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                yield ["link", below, os.readlink(name, dir_fd=fd), 0]
            elif stat.S_ISDIR(found.st_mode) and depth < _DEPTH_MAX:
                inner = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=fd)
                if below not in _PLACES:
                    yield ["folder", below, b"", stat.S_IMODE(found.st_mode) | 0o700]
                yield from _walk_directory(inner, below, depth + 1)
            elif stat.S_ISREG(found.st_mode):
                yield from _read(name, fd, below)
    finally:
        os.close(fd)


def _read(name: str, directory: int, path: str) -> Iterator[list[Any]]:
    fd = os.open(name, _FLAGS, dir_fd=directory)
    with os.fdopen(fd, "rb", buffering=0) as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return
        kind = "file"
        while True:
            piece = file.read(_PIECE)
            if kind == "more" and not piece:
                return
            yield [kind, path, piece, stat.S_IMODE(found.st_mode)]
            if not piece:
                return
            kind = "more"
