"""What a guest may do: a `Policy`, made of options that are the same in Python, in JSON files and on the command line."""

from __future__ import annotations

import inspect
import json
import math
import os
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

try:
    from typing import Unpack
except ImportError:  # pragma: no cover
    raise ImportError("belljar needs Python 3.11 or later") from None

from belljar._core import core

__all__ = ["Options", "Policy"]

_StrPath = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """The options of a policy. `belljar run --help` says what each does."""

    read: _StrPath | Iterable[_StrPath]
    write: _StrPath | Iterable[_StrPath]
    timeout: float | None
    cpu: float | None
    memory: int | str
    output: int | str
    scratch: int | str
    scratch_files: int
    descriptors: int
    threads: int
    profile: Literal["full", "compute"]
    jit: bool
    preload: str | Iterable[str]
    python: _StrPath
    allow_missing: str | Iterable[str]
    scratch_dir: _StrPath
    user: int
    env: Mapping[str, str] | Iterable[str]
    cwd: _StrPath | None
    links: _StrPath | None
    seed: int | None
    start_time: float | str | None
    warm: str | None
    feature: str | Iterable[str] | None
    allow_module: str | Iterable[str] | None
    allow_safe_module: str | Iterable[str] | None
    recursion_limit: int | None
    language: Mapping[str, Any] | None


def _plain(value: object) -> object:
    """A value as JSON has it: paths as text, collections as lists."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, float) and value == math.inf:
        return None  # no limit, where there may be none
    if isinstance(value, bytes | bytearray):
        raise TypeError("bytes are not an option's value; paths and names are str")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        items = [_plain(item) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    return value


class Policy:
    """What a guest may do. `Policy()` is the open policy: all of Python, private scratch files, no file of the host,
    no network, no other process. Options grant more or set limits:

    >>> Policy(read=["/usr/share/dict"], timeout=10, memory="512M")
    Policy(read=['/usr/share/dict'], timeout=10, memory='512M')

    A policy does not change. Two are equal if they come to the same. An option that does not exist, or a value that
    cannot be, is a `PolicyError` (a `ValueError`) that names the nearest one that would do.
    """

    __slots__ = ("_core", "_given", "_json")

    _core: core.Policy
    _given: dict[str, object]
    _json: str

    def __init__(self, **options: Unpack[Options]) -> None:
        self._core = core.Policy()
        self._given = {}
        for key, value in options.items():
            plain = self._given[key] = _plain(value)
            try:
                text = json.dumps(plain, allow_nan=False)
            except (TypeError, ValueError) as error:
                # Only the core knows whether the option exists: that is the better message.
                self._core.set(key, "null")
                raise TypeError(f"{key}: {error}") from None
            self._core.set(key, text)
        self._json = self._core.json()

    @classmethod
    def from_file(cls, path: _StrPath) -> Policy:
        """The policy of a JSON file: one object, its keys the names of options."""
        self = cls()
        self._core.load(path)
        with open(path, encoding="utf-8") as file:
            self._given = json.load(file)
        self._json = self._core.json()
        return self

    def replace(self, **options: Unpack[Options]) -> Policy:
        """A copy of the policy with these options set instead. Lists are not added to."""
        merged: Any = {**self._given, **options}
        return Policy(**merged)

    def to_json(self) -> str:
        """The effective policy, every option with its value, as a JSON object. `from_file` reads it back."""
        return self._json

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its effective value."""
        options: dict[str, Any] = json.loads(self._json)
        return options

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return self._json == other._json

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return f"Policy({', '.join(f'{key}={value!r}' for key, value in self._given.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._given)

    def __copy__(self) -> Policy:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Policy:
        return self


_UNITS = {
    "SECONDS": "seconds", "SIZE": 'bytes, or text with K, M or G', "N": "a whole number", "PATH": "a path", "EXE": "a path",
    "UID": "the number of a user", "NAME": "a name", "MODULE": "a module's name", "LAYER": "a layer's name",
    "NAME=VALUE": "a mapping of names to values", "DIR": "a path", "TIME": "seconds since 1970, or text as 2026-01-31T12:00:00Z",
    "MODULE:NAME,…": "a module and names of it",
}  # fmt: skip
"""How the command line writes the units of options, and what that is in Python."""


def _option_lines() -> str:
    """The options with their units and defaults, from the table that the command line has as well."""
    lines = []
    for key, _, unit, repeats, commas, fallback, text in core.options():
        fallback_here = json.loads(fallback or "null")
        kind = "true or false" if isinstance(fallback_here, bool) else _UNITS.get(unit or "", "text")
        many = ", or a list of them" if repeats or commas else ""
        lines += [f"    {key}: {kind}{many}; {fallback_here!r}",
                  *textwrap.wrap(text, 110, initial_indent=" " * 8, subsequent_indent=" " * 8)]  # fmt: skip
    return "\n".join(lines)


Policy.__doc__ = f"""{inspect.cleandoc(Policy.__doc__ or "")}

The options, each with its unit and what it is unless given:

{_option_lines()}
"""


def names_interpreter(policy: Policy) -> bool:
    """Whether it was given `python`."""
    return "python" in policy._given


def has_language(policy: Policy) -> bool:
    """Whether it denies by default: guests have a language without imports, files and introspection."""
    return any(policy.options[key] is not None for key in ("feature", "allow_module", "language"))


def for_template(policy: Policy, preload: Iterable[str], python: str | None) -> core.Policy:
    """A copy for the core with more modules to preload and another interpreter."""
    copy = core.Policy()
    for key, value in policy.options.items():
        copy.set(key, json.dumps(value))
    copy.set("preload", json.dumps(list(preload)))
    if python is not None:
        copy.set("python", json.dumps(python))
    return copy


def _restored(kind: type[Policy], given: dict[str, Any]) -> Policy:
    """A policy that was pickled."""
    return kind(**given)
