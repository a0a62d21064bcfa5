"""A session's files, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from belljar._files import SessionFiles, open_whole, writing
from belljar._instead import Face
from belljar._job import Content
from belljar._loop import Opening

__all__ = ["AsyncFiles"]

_StrPath = str | os.PathLike[str]


class AsyncFiles(Face):
    """The files of an `AsyncSandbox`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Opening) -> None:
        self._owner = owner

    async def _sync(self) -> SessionFiles:
        driver = await self._owner.driver()
        scratch = await driver.do(driver.session.scratch())  # here, not in a thread: the guest is one thread's at a time
        return SessionFiles(lambda: scratch, driver.session.watch.ledger, lambda entries: None)

    async def read(self, name: _StrPath) -> bytes:
        """A file's content. `KeyError` if there is no such regular file."""
        with open_whole(await self._sync(), name) as file:
            return await asyncio.to_thread(file.read)

    async def open(self, name: _StrPath) -> BinaryIO:
        """The file, opened for reading: for large ones. `KeyError` if there is no such regular file."""
        return (await self._sync()).open(name)

    async def exists(self, name: _StrPath) -> bool:
        """Whether there is such a regular file."""
        return name in await self._sync()

    async def list(self, folder: _StrPath = "/work") -> Collection[str]:
        """The names of the files in a folder and below it, sorted; relative ones are relative to /work. `FileNotFoundError` if there
        is no such folder."""
        return (await self._sync()).list(folder)

    async def glob(self, pattern: str) -> dict[str, bytes]:
        """The files whose names match, with their contents. `*` matches slashes too."""
        return (await self._sync()).glob(pattern)

    async def collect(self, pattern: str, folder: _StrPath) -> Collection[Path]:
        """Copies the files whose names match into a folder of the host, and returns where they are."""
        return (await self._sync()).collect(pattern, folder)

    async def write(self, name: _StrPath, content: Content, mode: int = 0o644) -> None:
        """Writes a file: bytes, text, or the contents of a file of the host. Folders on the way are made."""
        for entries in writing(name, content, mode):
            driver = await self._owner.driver()
            await driver.do(driver.session.write(entries))

    async def delete(self, name: _StrPath) -> None:
        """Deletes a file. `KeyError` if there is none."""
        del (await self._sync())[name]
