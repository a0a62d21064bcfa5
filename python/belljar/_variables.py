"""The variables of a session: a mapping, and its twin whose verbs are awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from typing import Any

from belljar._engine import Operation, Session
from belljar._instead import Face

__all__ = ["AsyncVariables", "Variables"]


class Variables(MutableMapping[str, Any]):
    """The variables of a `Sandbox`, by copy: `sandbox.variables["name"]` is `sandbox["name"]`, and `dict(sandbox.variables)` all of
    them that are values."""

    __slots__ = ("_do", "_session")

    def __init__(self, session: Session, do: Callable[[Operation[Any]], Any]) -> None:
        self._session = session
        self._do = do

    def __getitem__(self, name: str) -> Any:
        return self._do(self._session.get(name))

    def __setitem__(self, name: str, value: object) -> None:
        self._do(self._session.set(name, value))

    def __delitem__(self, name: str) -> None:
        self._do(self._session.delete(name))

    def __contains__(self, name: object) -> bool:
        return self._do(self._session.has(name)) is True

    def __iter__(self) -> Iterator[str]:
        return iter(self._do(self._session.names()))

    def __len__(self) -> int:
        return len(self._do(self._session.names()))

    def __repr__(self) -> str:
        return "<Variables of a sandbox>"


class AsyncVariables(Face):
    """The variables of an `AsyncSandbox`, by copy: `await sandbox.variables.get("name")`."""

    __slots__ = ("_do",)

    _elsewhere = {
        "keys": "await sandbox.variables.names()", "items": "await sandbox.variables.names(), then get(name)",
        "pop": "await sandbox.variables.delete(name)",
    }  # fmt: skip

    def __init__(self, do: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._do = do

    async def get(self, name: str) -> Any:
        """A variable. `KeyError` if there is none."""
        return await self._do(Session.get, name)

    async def set(self, name: str, value: object, *, copy: bool = False) -> None:
        """`Sandbox.set`."""
        await self._do(Session.set, name, value, copy)

    async def delete(self, name: str) -> None:
        """Deletes a variable. `KeyError` if there is none."""
        await self._do(Session.delete, name)

    async def has(self, name: str) -> bool:
        """Whether there is a variable of that name."""
        return await self._do(Session.has, name) is True

    async def names(self) -> list[str]:
        """The names of the session's public variables."""
        names: list[str] = await self._do(Session.names)
        return names
