"""The listing of /proc/self/fd and /dev/fd: what is open can only be seen from here."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING

from belljar_guest import native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MOST = 65536  # as a policy may grant


def install() -> None:
    """Before a program has taken the functions for itself."""
    for scans, (name, listing) in enumerate((("listdir", names), ("scandir", Listing))):
        function = native.list_descriptors(getattr(posix, name), listing, scans)
        for module in (posix, os):
            setattr(module, name, function)
    os.supports_fd.update((os.listdir, os.scandir))


def names(path: object = None) -> list[Any]:
    """The numbers of all that the program has open, as bytes where the folder is named by bytes."""
    is_bytes = isinstance(path, bytes)
    found: list[Any] = []
    limit = min(os.sysconf("SC_OPEN_MAX"), MOST)
    ours = native.own_descriptors()
    for number in range(limit if limit > 0 else MOST):
        if number in ours:
            continue
        try:
            os.get_inheritable(number)
        except OSError:
            continue
        found.append(b"%d" % number if is_bytes else str(number))
    return found


class Entry:
    """What scandir gives for each: a link to what is open."""

    def __init__(self, folder: Any, name: Any) -> None:
        self.name = name
        self.path = os.path.join(folder, name)

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return "<DirEntry %r>" % self.name

    def inode(self) -> int:
        return self.stat().st_ino

    def is_symlink(self) -> bool:
        return True

    def is_junction(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return follow_symlinks and os.path.isdir(self.path)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return follow_symlinks and os.path.isfile(self.path)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)


class Listing:
    """What scandir gives: to be gone through once."""

    def __init__(self, path: Any) -> None:
        folder = os.fspath(path)
        self.entries = iter([Entry(folder, name) for name in names(folder)])

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        return next(self.entries)

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.entries = iter(())
