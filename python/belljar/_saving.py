"""Sessions as files: variables that are values, and what they wrote. No pickle: the value codec's bytes, read as a guest's are."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from belljar._core import core
from belljar.errors import SandboxError
from belljar.values import Opaque, Record

__all__ = ["Saver", "is_value", "records"]

MAGIC: Final = b"belljar session 1\n"
RECORD_MAX: Final = 64 << 20
"""A record's bytes: as long as one message between host and guest."""

_LENGTH = struct.Struct("<I")
_KINDS = {"file": bytes, "more": bytes, "folder": bytes, "link": str}
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_ITEMS = (list, tuple, set, frozenset)


class Saver:
    """A file that is made beside the one that it is to be, and takes its place when it is whole."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(os.fspath(path))
        self._file: Any = tempfile.NamedTemporaryFile(dir=os.path.dirname(self._path), prefix=".belljar-", delete=False)
        self._file.write(MAGIC)

    def add(self, *record: Any) -> None:
        """`TypeError` or `ValueError` for what cannot be a value, or is too long."""
        data = core.encode_value(list(record), strict=True)
        if len(data) > RECORD_MAX:
            raise ValueError(f"it is larger than {RECORD_MAX >> 20} MiB")
        self._file.write(_LENGTH.pack(len(data)) + data)

    def finish(self) -> None:
        """Puts the file, which is whole now, in its place."""
        self.add("end")
        self._file.close()
        os.replace(self._file.name, self._path)

    def drop(self) -> None:
        """Deletes the file, which will not be finished."""
        self._file.close()
        os.unlink(self._file.name)


def records(path: str | os.PathLike[str]) -> Iterator[list[Any]]:
    """What a file holds, each looked at: ["variable", name, value], ["code", name, text] and ["write", entries]. `SandboxError` for
    what is none."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _wrong(path, "it does not begin as one")
        while True:
            record = _record(path, file)
            if record == ["end"]:
                return
            yield record


def _record(path: str | os.PathLike[str], file: BinaryIO) -> list[Any]:
    head = file.read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else RECORD_MAX + 1
    if length > RECORD_MAX:
        raise _wrong(path, "it was cut, or changed")
    data = file.read(length)
    if len(data) != length:
        raise _wrong(path, "it was cut")
    try:
        record = core.decode_value(data)
    except ValueError as error:
        raise _wrong(path, str(error)) from None
    if not _is_record(record):
        raise _wrong(path, "it holds what is none of its records")
    return record  # type: ignore[no-any-return]


def _is_record(record: Any) -> bool:
    if type(record) is not list or not record:
        return False
    if record[0] == "variable":
        return len(record) == 3 and type(record[1]) is str and record[1].isidentifier()
    if record[0] == "code":
        return len(record) == 3 and all(type(text) is str for text in record[1:]) and record[1].isidentifier()
    if record[0] == "write":
        return len(record) == 2 and type(record[1]) is list and all(map(_is_entry, record[1]))
    return record == ["end"]


def _is_entry(entry: Any) -> bool:
    if type(entry) is not list or len(entry) != 4 or entry[0] not in _KINDS:
        return False
    kind, name, content, mode = entry
    return type(name) is str and name.startswith("/") and type(content) in (bytes, str) and type(mode) is int


def _wrong(path: str | os.PathLike[str], why: str) -> SandboxError:
    return SandboxError(f"{os.fspath(path)}: no session that Sandbox.export has written ({why})", "load")


def is_value(value: Any, depth: int = 0) -> str:
    """An empty text, or what in it would not be the same again in another session."""
    if isinstance(value, Opaque):
        return f"it is not a value: {value!r:.100}" if depth == 0 else f"it holds something that is not a value: {value!r:.100}"
    if isinstance(value, Record):
        return f"its class is the session's own: {value!r:.100}"
    if type(value) in _PLAIN or depth > 50:
        return ""
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, _ITEMS) else ()
    return next((why for item in items if (why := is_value(item, depth + 1))), "")
