"""The files of a guest: what lies in its scratch (/work, /tmp, /var/tmp, /dev/shm, its home).

Their names and contents are the guest's. They are opened one component at a time, below a directory descriptor and
without following a link, so a name never leads to a file of the host. What the host writes there, the guest's runner
writes: it belongs to the guest then, and counts for its quota.
"""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import io
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from belljar._core import core
from belljar._instead import Face
from belljar.errors import SandboxError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Files", "SessionFiles", "Watch"]

_StrPath = str | os.PathLike[str]

_ROOTS = {root: root[1:].split("/") for root in core.SCRATCH_PLACES}
_DEPTH_MAX = 64
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def _parts(name: _StrPath) -> list[str]:
    """The way to a file below the scratch: "out.csv" and "/work/out.csv" are ["work", "out.csv"]."""
    path = posixpath.normpath(posixpath.join("/work", os.fspath(name)))
    for root, folders in _ROOTS.items():
        if path == root:
            return [*folders]
        if path.startswith(root + "/"):
            return [*folders, *path[len(root) + 1 :].split("/")]
    raise KeyError(f"{name}: a guest's files lie in {', '.join(_ROOTS)}")


def _file_parts(name: _StrPath) -> list[str]:
    """The parts of the name of what can be a file. `KeyError` for the folders themselves."""
    parts = _parts(name)
    if parts in _ROOTS.values():
        raise KeyError(f"{name} is a folder")
    return parts


def _name(parts: list[str]) -> str:
    """The name of what lies there, as `list` gives it."""
    if parts[0] == "work":
        return "/".join(parts[1:])
    return "/" + "/".join(parts)


def _open_beneath(scratch: int, parts: list[str], flags: int) -> int:
    """A new descriptor of what lies there; OSError if it does not, or if a link is on the way."""
    at = fcntl.fcntl(scratch, fcntl.F_DUPFD_CLOEXEC, 3)  # clear of standard streams that are closed
    try:
        for part in parts[:-1]:
            below = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FLAGS | flags, dir_fd=at)
    finally:
        os.close(at)


def _walk(scratch: int, parts: list[str]) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
    """The regular files of a folder and below: (name, descriptor of its folder (borrowed), entry)."""
    pending = [parts] if scratch >= 0 else []
    while pending:
        parts = pending.pop()
        try:
            fd = _open_beneath(scratch, parts, os.O_DIRECTORY)
        except OSError:
            continue
        try:
            if not os.access(".", os.X_OK, dir_fd=fd):
                continue  # names of files that its mode hides from us
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        yield _name([*parts, entry.name]), fd, entry
                    elif entry.is_dir(follow_symlinks=False) and len(parts) < _DEPTH_MAX:
                        pending.append([*parts, entry.name])
        finally:
            os.close(fd)


def _check_folder(scratch: int, parts: list[str], name: str) -> None:
    error = errno.ENOENT
    try:
        if scratch >= 0:
            os.close(_open_beneath(scratch, parts, os.O_DIRECTORY))
            return
    except OSError as failure:
        error = errno.ENOTDIR if failure.errno == errno.ELOOP else failure.errno or errno.EIO
    if error in (errno.ENOENT, errno.ENOTDIR):  # what a mode hides from us is empty
        raise OSError(error, os.strerror(error), name)


_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


def size_bytes(size: int | str) -> int:
    """A policy's size as a number."""
    if isinstance(size, str):
        return int(float(size[:-1]) * (1 << _UNITS[size[-1]])) if size[-1] in _UNITS else int(size)
    return size


class Ledger:
    """Keeps what is read of a scratch within what it may hold, whatever its files say of themselves.

    Files that take what they say are together no more than the scratch. Those with holes, and those with several names, say
    more: what is read of them is summed up, each name once, and may be as much again."""

    __slots__ = ("_more", "limit")

    def __init__(self, limit: int | str) -> None:
        self.limit = size_bytes(limit)
        self._more: dict[str, int] = {}

    def admit(self, scratch: int, name: str, found: os.stat_result) -> None:
        """This file is going to be read as a whole. `SandboxError` if that is too much."""
        more = _more(found)
        if more and sum(self._more.values()) - self._more.get(name, 0) + more > self.limit:
            self._more = {known: _more_at(scratch, known) for known in self._more}  # some may be gone
            if sum(self._more.values()) - self._more.get(name, 0) + more > self.limit:
                raise SandboxError(
                    f"{name} says that it has {found.st_size} bytes, but takes {found.st_blocks * 512} as one of {found.st_nlink}: "
                    f"with what was read of other such files, that have holes or several names, it is more than the {self.limit} "
                    "bytes of the policy's scratch: read it in pieces with files.open(), or allow more with scratch=",
                    "files",
                )
        if more or name in self._more:
            self._more[name] = more


def _more(found: os.stat_result) -> int:
    """How much more than it takes a file makes of itself when it is read."""
    if found.st_nlink > 1:
        return found.st_size
    return max(found.st_size - found.st_blocks * 512, 0)


def _more_at(scratch: int, name: str) -> int:
    try:
        fd = _open_beneath(scratch, _file_parts(name), 0)
    except (OSError, ValueError, KeyError):
        return 0
    try:
        return _more(os.fstat(fd))
    finally:
        os.close(fd)


class Files(Face, Mapping[str, bytes]):
    """Files of a guest: a read-only mapping of names to contents.

    Names are relative to `/work`, where a guest starts; files elsewhere are reached by their absolute name, as in
    `files["/tmp/cache.db"]`. Iterating gives those below `/work`, apart from those in folders whose modes keep the host's
    user out. Only regular files count: links, pipes and
    sockets are not followed or opened. What is read of files that say they are larger than what they take (they have holes,
    or several names) is limited to the policy's `scratch` in all: `SandboxError`; `open` reads them in pieces. `Execution.files` has those that its run created or changed.
    """

    _elsewhere = {
        "exists": "name in files", "get_info": "files.open(name)", "make_dir": "files[name] = content: folders on the way are made",
        "mkdir": "files[name] = content: folders on the way are made", "read": "files[name]", "read_bytes": "files[name]",
        "read_text": "files[name].decode()", "remove": "del files[name]", "rename": "files[new] = files.pop(old)",
        "write_files": "files.update({name: content})",
    }  # fmt: skip
    __slots__ = ("_ledger", "_only", "_scratch")

    def __init__(self, scratch: Callable[[], int], ledger: Ledger, only: Callable[[], Collection[str]] | None = None) -> None:
        self._scratch = scratch  # the directory's descriptor (borrowed), or -1: nothing was ever written
        self._ledger = ledger
        self._only = only  # the names that count; None: all

    def open(self, name: _StrPath) -> BinaryIO:
        """The file, opened for reading: for large ones. `KeyError` if there is no such regular file."""
        parts = _file_parts(name)
        scratch = self._scratch()
        if scratch < 0 or (self._only is not None and _name(parts) not in self._only()):
            raise KeyError(os.fspath(name))
        try:
            fd = _open_beneath(scratch, parts, 0)
        except (OSError, ValueError):
            raise KeyError(os.fspath(name)) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise KeyError(f"{os.fspath(name)} is not a regular file")
        return os.fdopen(fd, "rb")

    def _open_whole(self, name: _StrPath) -> BinaryIO:
        """The file, to be read to its end. `SandboxError` if it is, by holes or names, more than scratch may hold."""
        file = Files.open(self, name)
        try:
            self._ledger.admit(self._scratch(), _name(_file_parts(name)), os.fstat(file.fileno()))
        except BaseException:
            file.close()
            raise
        return file

    def __getitem__(self, name: _StrPath) -> bytes:
        with self._open_whole(name) as file:
            return file.read()

    def __contains__(self, name: object) -> bool:
        try:
            Files.open(self, name).close()  # type: ignore[arg-type]
        except (KeyError, TypeError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def list(self, folder: _StrPath = "/work") -> list[str]:
        """The names of the files in a folder and below it, sorted; relative ones are relative to /work. `FileNotFoundError` if there
        is no such folder, `NotADirectoryError` for a file, as `os.listdir` has them."""
        only = self._only() if self._only is not None else None
        parts, scratch = _parts(folder), self._scratch()
        if parts not in _ROOTS.values():
            _check_folder(scratch, parts, os.fspath(folder))
        names = (name for name, _, _ in _walk(scratch, parts))
        return sorted(name for name in names if only is None or name in only)

    def _matching(self, pattern: str) -> Iterable[str]:
        folder = next((root for root in _ROOTS if pattern.startswith(root + "/")), "/work")
        pattern = pattern.removeprefix("/work/")
        return (name for name in self.list(folder) if fnmatch.fnmatchcase(name, pattern))

    def glob(self, pattern: str) -> dict[str, bytes]:
        """The files whose names match, with their contents: `files.glob("*.png")`. `*` matches slashes too."""
        return {name: self[name] for name in self._matching(pattern)}

    def collect(self, pattern: str, folder: _StrPath) -> Collection[Path]:
        """Copies the files whose names match into a folder of the host, and returns where they are.

        Folders in the names are made there. What is there already is replaced, links too."""
        made: list[Path] = []
        for name in self._matching(pattern):
            target = Path(folder, name.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._open_whole(name) as source:
                target.unlink(missing_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(source, copy, _CHUNK)
            made.append(target)
        return made

    def __repr__(self) -> str:
        return f"<files {self.list()!r}>"


def open_whole(files: Files, name: _StrPath) -> BinaryIO:
    """A file, to be read to its end: counted as `files[name]` is."""
    return files._open_whole(name)


# ---- Of a living session -------------------------------------------------------------------------------------------

_CHUNK = 8 << 20

Entry = list[Any]
"""One step of writing, as belljar_guest/_session.py does it: [kind, absolute path, bytes, mode]."""


class _Writer(io.RawIOBase):
    """Sends what is written to it to a file of the guest."""

    def __init__(self, path: str, write: Callable[[list[Entry]], object], mode: int) -> None:
        self._path = path
        self._write = write
        self._mode = mode

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _CHUNK):
            self._write([["more", self._path, bytes(view[at : at + _CHUNK]), self._mode]])
        return len(view)


class SessionFiles(Files, MutableMapping[str, bytes]):
    """The files of a living session: those of `Files`, and they can be written and deleted.

    >>> with belljar.Sandbox() as sandbox:
    ...     sandbox.files["in.txt"] = b"1 2 3"
    ...     _ = sandbox.run_code("open('out.txt', 'w').write(open('in.txt').read()[::-1])")
    ...     sandbox.files["out.txt"]
    b'3 2 1'

    What is written belongs to the guest and counts for its `scratch` quota. Not while code runs.
    """

    __slots__ = ("_write",)

    def __init__(self, scratch: Callable[[], int], ledger: Ledger, write: Callable[[list[Entry]], object]) -> None:
        super().__init__(scratch, ledger)
        self._write = write

    def open(self, name: _StrPath, mode: str = "rb") -> BinaryIO:
        """The file as a binary file object, for large ones: "rb" reads, "wb" writes it anew, "ab" appends."""
        if mode in ("rb", "r"):
            return super().open(name)
        if mode not in ("wb", "ab"):
            raise ValueError(f"a file of a sandbox is opened as 'rb', 'wb' or 'ab', not {mode!r}")
        path = guest_path(name)
        self._write([["file" if mode == "wb" else "more", path, b"", 0o644]])
        return cast(BinaryIO, io.BufferedWriter(_Writer(path, self._write, 0o644), _CHUNK))

    def write(self, name: _StrPath, content: bytes | str | os.PathLike[str], mode: int = 0o644) -> None:
        """Writes a file: bytes, text, or the contents of a file of the host. Folders on the way are made."""
        for entries in writing(name, content, mode):
            self._write(entries)

    def __setitem__(self, name: _StrPath, content: bytes | str | os.PathLike[str]) -> None:
        self.write(name, content)

    def __delitem__(self, name: _StrPath) -> None:
        delete(self._scratch(), name)


def guest_path(name: _StrPath, is_folder: bool = False) -> str:
    """The absolute path in the guest of a file of its scratch. `KeyError` if it would lie elsewhere."""
    return posixpath.normpath(posixpath.join("/work", _name(_parts(name) if is_folder else _file_parts(name))))


def file_name(name: _StrPath) -> str:
    """A file's name as `list` gives it. `KeyError` if it would lie elsewhere."""
    return _name(_file_parts(name))


def files_below(name: str, folder: str) -> Iterator[tuple[str, str]]:
    """The regular files in a folder of the host and below it: (what each is called there, its path). Links are not followed."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        for one in sorted(names):
            path = os.path.join(where, one)
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield posixpath.join(name, os.path.relpath(path, folder)), path


def writing(name: _StrPath, content: bytes | str | os.PathLike[str], mode: int = 0o644) -> Iterator[list[Entry]]:
    """The steps that write a file, each small enough for one command."""
    if isinstance(content, os.PathLike) and os.path.isdir(content):
        for one, below in files_below(os.fspath(name), os.fspath(content)):
            yield from writing(one, Path(below), mode)
        return
    path = guest_path(name)
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    if isinstance(content, os.PathLike):
        with open(content, "rb") as file:
            yield [["file", path, file.read(_CHUNK), mode]]
            while data := file.read(_CHUNK):
                yield [["more", path, data, mode]]
        return
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"files[{os.fspath(name)!r}]: bytes, str or a path is expected, not {type(content).__name__}")
    view = memoryview(content).cast("B")
    yield [["file", path, bytes(view[:_CHUNK]), mode]]
    for at in range(_CHUNK, len(view), _CHUNK):
        yield [["more", path, bytes(view[at : at + _CHUNK]), mode]]


def delete(scratch: int, name: _StrPath) -> None:
    """Deletes a file, or a link itself. `KeyError` if there is none."""
    parts = _file_parts(name)
    if scratch < 0:
        raise KeyError(os.fspath(name))
    try:
        folder = _open_beneath(scratch, parts[:-1], os.O_DIRECTORY)
    except (OSError, ValueError):
        raise KeyError(os.fspath(name)) from None
    try:
        os.unlink(parts[-1], dir_fd=folder)
    except (FileNotFoundError, IsADirectoryError, ValueError):
        raise KeyError(os.fspath(name)) from None
    finally:
        os.close(folder)


# ---- What a run changed ----------------------------------------------------------------------------------------------


class Watch:
    """Tells which files a run created or changed, by comparing what lies there after each."""

    __slots__ = ("_handed", "_seen", "ledger")

    def __init__(self, ledger: Ledger, handed: Iterable[tuple[str, bytes]] = ()) -> None:
        self.ledger = ledger
        self._seen: dict[str, tuple[int, int, int, int]] = {}
        self._handed: dict[str, bytes] = {}
        self.hand(handed)

    def hand(self, files: Iterable[tuple[str, bytes]]) -> None:
        """These go in with the next run: they count only if it changes them."""
        for name, content in files:
            try:
                self._handed[_name(_file_parts(name))] = content
            except KeyError:
                pass  # not in its scratch: the guest will say so

    @property
    def is_empty(self) -> bool:
        """Whether nothing was there after the last run."""
        return not self._seen

    def changed(self, scratch: int) -> frozenset[str]:
        """What was created or changed since the last call."""
        before, self._seen = self._seen, {}
        handed, self._handed = self._handed, {}
        names: set[str] = set()
        for parts in _ROOTS.values():
            for name, fd, entry in _walk(scratch, parts):
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # gone, or out of reach since
                self._seen[name] = row = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
                if before.get(name) != row and not (name in handed and _holds(fd, entry.name, handed[name])):
                    names.add(name)
        return frozenset(names)


def _holds(folder: int, name: str, content: bytes) -> bool:
    """Whether a file holds exactly that."""
    try:
        fd = os.open(name, _FLAGS, dir_fd=folder)
    except OSError:
        return False
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size != len(content):
            return False
        view = memoryview(content)
        return all(file.read(_CHUNK) == view[at : at + _CHUNK] for at in range(0, len(view), _CHUNK))
