"""What a guest may do: a `Policy`, made of options that are the same in Python, in JSON files and on the command line."""

from __future__ import annotations

import errno
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

from belljar._audit import Audit
from belljar._audit import check as check_audit
from belljar._core import core
from belljar._instead import wrong_type
from belljar.errors import PolicyError

__all__ = ["Options", "Policy"]

_StrPath = str | os.PathLike[str]


class MoreOptions(TypedDict, total=False):
    """Those that are nothing but options of a policy wherever they are written."""

    read: _StrPath | Iterable[_StrPath]
    write: _StrPath | Iterable[_StrPath]
    cpu: float | None
    memory: int | str
    output: int | str
    scratch: int | str
    scratch_files: int
    descriptors: int
    threads: int
    profile: Literal["full", "compute"]
    jit: bool
    network: str | Iterable[str]
    allow_missing: str | Iterable[str]
    scratch_dir: _StrPath
    user: int
    links: _StrPath | None
    seed: int | None
    start_time: float | str | None
    clock: Literal["advances", "stands"]
    warm: str | None
    feature: str | Iterable[str] | None
    allow_module: str | Iterable[str] | None
    allow_safe_module: str | Iterable[str] | None
    recursion_limit: int | None
    language: Mapping[str, Any] | None


class Options(MoreOptions, total=False):
    """The options of a policy. `belljar run --help` says what each does."""

    timeout: float | None
    preload: str | Iterable[str]
    python: _StrPath


class Place(TypedDict, total=False):
    """What a program finds around it. `envs` is another name of `env`."""

    env: Mapping[str, str] | None
    envs: Mapping[str, str] | None
    cwd: _StrPath | None


class Telling(TypedDict, total=False):
    """What the host is told. Not in policy files: `audit` is a function or a file of this program's, and `audit_only` is to be read
    where it is called."""

    audit: Audit
    audit_only: bool


class AllOptions(Options, Place, Telling, total=False):
    """The options of a policy, with those that need no template of their own."""


class RunOptions(MoreOptions, Place, Telling, total=False):
    """What `run` takes beside its own arguments."""


class SessionOptions(RunOptions, total=False):
    """What `Sandbox` and `Template` take beside their own arguments."""

    timeout: float | None


def place(env: object = None, envs: object = None, cwd: object = None) -> dict[str, Any]:
    """The settings for a guest that these come to; {} where nothing is set."""
    if env is not None and envs is not None:
        raise TypeError("env and envs are the same: give one of them")
    env = envs if env is None else env
    settings: dict[str, Any] = {}
    if env is not None and env != {}:
        if not isinstance(env, Mapping):
            raise wrong_type("env", "a mapping of names to texts", env, 'write env={"NAME": "value"}')
        for name, value in env.items():
            if not isinstance(name, str) or not name or "=" in name or "\0" in name:
                raise ValueError(f"env: {name!r} is no name of an environment variable: text without = is expected")
            if not isinstance(value, str):
                raise wrong_type(f"env[{name!r}]", "text", value, f"write str({value!r})" if isinstance(value, int | float) else "")
            if "\0" in value:
                raise ValueError(f"env[{name!r}]: the value holds a NUL character, which no environment can")
        settings["env"] = dict(env)
    if cwd is not None:
        if not isinstance(cwd, str | os.PathLike):
            raise wrong_type("cwd", "the path of a folder inside the sandbox", cwd)
        path = os.fspath(cwd)
        if not path or "\0" in path:
            raise ValueError(f"cwd: {path!r} is no path: name a folder inside the sandbox, as in '/work/data'")
        settings["cwd"] = path
    return settings


def joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others on top of them."""
    both = {**first, **second}
    if "env" in first and "env" in second:
        both["env"] = {**first["env"], **second["env"]}
    return both


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


def _refuse_telling(path: _StrPath, given: object) -> None:
    if isinstance(given, dict) and (told := Telling.__annotations__.keys() & given.keys()):
        raise PolicyError(f"{os.fsdecode(path)}: {min(told)} is not for policy files: say it where the program is run", "policy")


class Policy:
    """What a guest may do. `Policy()` is the open policy: all of Python, private scratch files, no file of the host,
    no network, no other process. Options grant more or set limits:

    >>> Policy(read=["/usr/share/dict"], timeout=10, memory="512M")
    Policy(read=['/usr/share/dict'], timeout=10, memory='512M')

    A policy does not change. Two are equal if they come to the same. An option that does not exist, or a value that
    cannot be, is a `PolicyError` (a `ValueError`) that names the nearest one that would do.
    """

    __slots__ = ("_audit", "_audit_only", "_core", "_given", "_json", "_place")

    _audit: Audit
    _audit_only: bool
    _core: core.Policy
    _given: dict[str, object]
    _json: str
    _place: dict[str, Any]

    def __init__(self, **options: Unpack[AllOptions]) -> None:
        self._core = core.Policy()
        self._place = place(options.get("env"), options.get("envs"), options.get("cwd"))
        self._audit, self._audit_only = options.get("audit"), options.get("audit_only", False)
        check_audit(self._audit)
        if not isinstance(self._audit_only, bool):
            raise wrong_type("audit_only", "True or False", self._audit_only)
        self._given = {**self._place, **{key: value for key, value in options.items() if key in Telling.__annotations__ and value}}
        for key, value in options.items():
            if key in Place.__annotations__ or key in Telling.__annotations__:
                continue
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
        try:
            with open(path, encoding="utf-8") as file:
                given = json.load(file)
        except (OSError, ValueError):
            given = None  # the core says it better
        _refuse_telling(path, given)
        if isinstance(given, dict) and not Place.__annotations__.keys().isdisjoint(given):
            try:
                return cls(**given)
            except PolicyError as error:
                raise PolicyError(f"{os.fsdecode(path)}: {error}", "policy", errno.EINVAL) from None
        self = cls()
        self._core.load(path)
        self._given = given or {}
        self._json = self._core.json()
        return self

    def replace(self, **options: Unpack[AllOptions]) -> Policy:
        """A copy of the policy with these options set instead. Lists are not added to."""
        given: Any = dict(options)
        if "envs" in given and "env" not in given:
            given["env"] = given.pop("envs")
        merged: Any = {**self._given, **given}
        return Policy(**merged)

    def to_json(self) -> str:
        """The effective policy, every option with its value, as a JSON object. `from_file` reads it back."""
        return json.dumps({**json.loads(self._json), **self._place}) if self._place else self._json

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its effective value; `env` and `cwd` if they were given."""
        options: dict[str, Any] = {**json.loads(self._json), **self._place}
        return options

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return (self._json, self._place, self._audit, self._audit_only) == (
            other._json,
            other._place,
            other._audit,
            other._audit_only,
        )

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
        if key == "language":
            kind = "a mapping"
        many = ", or a list of them" if (repeats or commas) and not isinstance(fallback_here, dict) else ""
        lines += [f"    {key}: {kind}{many}; {fallback_here!r}",
                  *textwrap.wrap(text, 110, initial_indent=" " * 8, subsequent_indent=" " * 8)]  # fmt: skip
    return "\n".join(lines)


Policy.__doc__ = f"""{inspect.cleandoc(Policy.__doc__ or "")}

The options, each with its unit and what it is unless given:

{_option_lines()}
    envs is another name of env.
    audit: a function, or the path of a file; None
        Is told each operation that the supervisor performed or refused: a Decision, or a line of JSON.
    audit_only: true or false; False
        NOT CONFINED: belljar.run runs the program with all of your rights and tells in `violations` what the policy would refuse.
        For programs that you trust, to find their policy.
"""


def place_of(policy: Policy) -> dict[str, Any]:
    """What its programs find around them, as settings for a guest."""
    return policy._place


def without_place(policy: Policy, preloads: bool) -> Policy:
    """The policy as far as a template depends on it: of its variables, those that libraries look at as they are preloaded."""
    if not policy._place:
        return policy
    given: Any = {key: value for key, value in policy._given.items() if key not in Place.__annotations__}
    if preloads or policy.options["preload"]:
        env = policy._place.get("env", {})
        kept = {name: env[name] for name, _, _ in core.Policy().variables() if name in env}
        if kept:
            given["env"] = kept
    return Policy(**given)


def is_audit_only(policy: Policy) -> bool:
    """Whether it confines nothing."""
    return policy._audit_only


def refuse_audit_only(policy: Policy) -> None:
    """`PolicyError` for a policy that confines nothing, where guests would be made of it."""
    if policy._audit_only:
        raise PolicyError("audit_only=True confines nothing, so no sandbox, template, session or service takes it: it is for "
                          "belljar.run(code, policy) of a program that is trusted, and for belljar run --audit-only", "policy")  # fmt: skip


def audit_of(policy: Policy) -> Audit:
    """The function or file that is told what its guests do."""
    return policy._audit


def names_interpreter(policy: Policy) -> bool:
    """Whether it was given `python`."""
    return "python" in policy._given


def has_language(policy: Policy) -> bool:
    """Whether it denies by default: guests have a language without imports, files and introspection."""
    return any(policy.options[key] is not None for key in ("feature", "allow_module", "language"))


def for_template(policy: Policy, preload: Iterable[str], python: str | None) -> core.Policy:
    """A copy for the core with more modules to preload and another interpreter."""
    copy = core.Policy()
    for key, value in json.loads(policy._json).items():
        copy.set(key, json.dumps(value))
    if "env" in policy._place:
        copy.set("env", json.dumps(policy._place["env"]))
    copy.set("preload", json.dumps(list(preload)))
    if python is not None:
        copy.set("python", json.dumps(python))
    return copy


def _restored(kind: type[Policy], given: dict[str, Any]) -> Policy:
    """A policy that was pickled."""
    return kind(**given)
