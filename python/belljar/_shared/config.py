"""SandboxConfig: the deny-by-default policy, enabled by features as pysandbox's was."""

from __future__ import annotations

import json
import os
import sysconfig
from typing import TYPE_CHECKING

from belljar._shared.features import BUILTINS, BY_NAME, ENCODINGS, FEATURES, HELPERS, INTERNAL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

DEFAULT_TIMEOUT = 5.0
DEFAULT_MEMORY = 200 * 1024 * 1024
DEFAULT_SIZE = 64 * 1024
DEFAULT_RECURSION = 50

_OPTIONS = (
    "timeout",
    "max_memory",
    "max_input_size",
    "max_output_size",
    "recursion_limit",
    "sys_path",
    "restricted",
    "cpython_restricted",
    "use_subprocess",
)


def _known(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


class SandboxConfig:
    """What untrusted code may do, beginning with nothing.

    SandboxConfig("stdout", "math", timeout=2.0) enables features by name; enable(), allow_module(),
    allow_safe_module() and allow_path() add to it. Everything else is blocked.
    """

    hints = True
    """Whether refusals end with what would permit them. pysandbox's texts had none."""

    def __init__(self, *features: str, **options: Any) -> None:
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise TypeError(f"unknown option: {', '.join(unknown)}; known: {_known(_OPTIONS)}")
        if options.get("use_subprocess", True) is not True:
            raise ValueError("use_subprocess=False: there is no in-process mode, it cannot hold; leave the option out")
        if options.get("cpython_restricted", False):
            raise ValueError("cpython_restricted=True: Python 3 has no restricted mode; write restricted=True for belljar's preset")
        self.restricted = bool(options.get("restricted", False))
        self.recursion_limit = options.get("recursion_limit", DEFAULT_RECURSION)
        self._has_default_recursion = "recursion_limit" not in options
        self.timeout = options.get("timeout", DEFAULT_TIMEOUT)
        self.max_memory = options.get("max_memory", DEFAULT_MEMORY)
        self.max_input_size = options.get("max_input_size", DEFAULT_SIZE)
        self.max_output_size = options.get("max_output_size", DEFAULT_SIZE)
        self.sys_path: tuple[str, ...] = tuple(options.get("sys_path", (sysconfig.get_path("stdlib"),)))
        self._features: set[str] = set()
        self._imports: dict[str, tuple[set[str], set[str]]] = {}
        self._by_caller: set[str] = set()
        self._internal = set(INTERNAL)
        self._encodings = set(ENCODINGS.split())
        self._streams: set[str] = set()
        self._open: set[str] = set()
        self._builtins = {name for row in BUILTINS if row.allowed is True for name in row.names.split()}
        if self.restricted:
            self._builtins.discard("open")
        for feature in features:
            self.enable(feature)

    # ---- Limits --------------------------------------------------------------------------------------------------

    @property
    def timeout(self) -> float | None:
        """Seconds of wall time; None is no limit."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        if seconds is not None and seconds < 0:
            raise ValueError("timeout is a number of seconds, or None")
        self._timeout = float(seconds) if seconds else None

    @property
    def recursion_limit(self) -> int | None:
        """Frames that calls of the program may be deep; None is the interpreter's own limit."""
        return self._recursion_limit

    @recursion_limit.setter
    def recursion_limit(self, frames: int | None) -> None:
        self._recursion_limit, self._has_default_recursion = frames, False

    # ---- Features ------------------------------------------------------------------------------------------------

    @property
    def features(self) -> set[str]:
        """The enabled ones. A copy."""
        return set(self._features)

    def has_feature(self, feature: str) -> bool:
        """Whether it is enabled, by name or because another needs it."""
        return feature in self._features

    def enable(self, feature: str) -> None:
        """Enables a feature and those that it needs."""
        row = BY_NAME.get(feature)
        if row is None:
            raise ValueError(f"unknown feature: {feature}; known: {_known(BY_NAME)}")
        if feature in self._features:
            return
        if self.restricted and feature == "traceback":
            raise ValueError("the traceback feature does not go with restricted=True")
        self._features.add(feature)
        if row.recursion and self._has_default_recursion:
            self._recursion_limit = row.recursion
        for needed in row.enables:
            self.enable(needed)
        for module in row.modules:
            self._allow(module.name, module.proxied.split(), module.safe.split())
        for builtin in BUILTINS:
            if builtin.allowed == feature:
                self._builtins |= set(builtin.names.split())
        self._internal |= set(row.internal.split())
        self._encodings |= set(row.encodings.split())
        self._streams |= set(row.streams.split())
        if feature == "site" and not self.restricted:
            path = os.path.join(sysconfig.get_path("stdlib"), "LICENSE.txt")
            if os.path.exists(path):
                self.allow_path(path)

    # ---- Modules and files -----------------------------------------------------------------------------------------

    def _allow(self, name: str, proxied: Iterable[str], safe: Iterable[str]) -> None:
        row = self._imports.setdefault(name, (set(), set()))
        row[0].update(proxied)
        row[1].update(safe)
        self._internal |= set(HELPERS.get(name, "").split())

    @staticmethod
    def _check(name: str, symbols: tuple[str, ...]) -> None:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"not a module's name: {name!r}")
        for symbol in symbols:
            if not symbol.isidentifier():
                raise ValueError(f"not a symbol's name: {symbol!r}")

    def allow_module(self, name: str, *symbols: str) -> None:
        """`import name` works and shows these symbols, as read-only views."""
        self._check(name, symbols)
        self._by_caller.add(name)
        self._allow(name, symbols, ())
        self.allow_module_source_code(name)

    def allow_safe_module(self, name: str, *symbols: str) -> None:
        """Allows a module as `allow_module` does, but gives its symbols as they are. Choose them with care: a function that takes names or
        text and looks things up by them undoes the policy (docs/pysandbox.md has the list)."""
        self._check(name, symbols)
        self._by_caller.add(name)
        self._allow(name, (), symbols)
        self.allow_module_source_code(name)

    def allow_path(self, path: str | os.PathLike[str]) -> None:
        """open() may read this file, or every file below this directory if it ends in a slash."""
        if self.restricted:
            raise ValueError("open_whitelist does not go with restricted=True, which opens no file at all")
        text = os.fspath(path)
        real = os.path.realpath(text)
        if text.endswith(os.sep) and not real.endswith(os.sep):
            real += os.sep
        self._open.add(real)

    def allow_module_source_code(self, name: str) -> None:
        """pysandbox opened the module's file for tracebacks here. Ours are made from what the guest already has, so
        there is nothing to open; kept so that programs that call it go on."""
        self._check(name, ())

    # ---- Whitelists --------------------------------------------------------------------------------------------------

    @property
    def import_whitelist(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """module -> (proxied symbols, safe symbols). A copy."""
        return {name: (tuple(sorted(row[0])), tuple(sorted(row[1]))) for name, row in self._imports.items()}

    @property
    def open_whitelist(self) -> set[str]:
        """Paths that `open` reads: files, and directories with all below them (`allow_path`)."""
        return set(self._open)

    @property
    def builtins_whitelist(self) -> set[str]:
        """Names of builtins. Assign to change it; the copy that reading gives changes nothing."""
        return set(self._builtins)

    @builtins_whitelist.setter
    def builtins_whitelist(self, names: Iterable[str]) -> None:
        names = set(names)
        unknown = names - {name for row in BUILTINS for name in row.names.split()}
        if unknown:
            raise ValueError(f"unknown builtin: {_known(unknown)}")
        refused = names & {"breakpoint", "__loader__", "__spec__", "_IncompleteInputError"}
        if refused:
            raise ValueError(f"never given: {_known(refused)}")
        self._builtins = names

    @property
    def cpython_restricted(self) -> bool:
        """False: Python 3 has no restricted mode. belljar's preset is `restricted`."""
        return False

    @property
    def use_subprocess(self) -> bool:
        """True: there is no in-process mode, it cannot hold."""
        return True

    # ---- What the guest gets -------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The policy as plain data, for settings.language (belljar_guest/_strict.py reads it)."""
        return {
            "features": sorted(self._features),
            "restricted": self.restricted,
            "hints": self.hints,
            "builtins": sorted(self._builtins),
            "imports": {
                name: {"proxied": sorted(row[0] - row[1]), "safe": sorted(row[1])} for name, row in sorted(self._imports.items())
            },
            "optional": sorted(set(self._imports) - self._by_caller),
            "internal": sorted(self._internal - set(self._imports)),
            "encodings": sorted(self._encodings),
            "streams": sorted(self._streams),
            "open": sorted(self._open),
            "recursion_limit": self.recursion_limit or 0,
        }

    def to_json(self) -> str:
        """The language policy as the text that a policy file has under `language`."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_policy(self) -> dict[str, Any]:
        """The limits and paths that the wall outside enforces, under Policy's names."""
        return {
            "timeout": self.timeout,
            "memory": self.max_memory,
            "output": self.max_output_size,
            "read": sorted(path.rstrip(os.sep) or os.sep for path in self._open if os.path.exists(path)),
            "language": self.to_dict(),
        }

    def __repr__(self) -> str:
        return f"SandboxConfig({', '.join(map(repr, sorted(self._features)))})"


def expand(wanted: dict[str, Any]) -> dict[str, Any]:
    """What --feature, --allow-module, --allow-safe-module, --recursion-limit and --read say, as to_dict() has it."""
    config = SandboxConfig(*wanted.get("enable", ()))
    for key, allow in (("allow", config.allow_module), ("allow_safe", config.allow_safe_module)):
        for row in wanted.get(key, ()):
            name, _, symbols = row.partition(":")
            allow(name, *[symbol for symbol in symbols.split(",") if symbol])
    if wanted.get("recursion_limit"):
        config.recursion_limit = wanted["recursion_limit"]
    for path in wanted.get("paths", ()):
        config.allow_path(path + "/" if os.path.isdir(path) else path)
    return config.to_dict()


def feature_rows() -> list[tuple[str, str, str]]:
    """(feature, module, symbols or reason): what `explain` shows."""
    rows = []
    for feature in FEATURES:
        rows.append((feature.name, "", feature.reason))
        for module in feature.modules:
            rows.append((feature.name, module.name, f"{module.proxied} {module.safe}".strip() or module.reason))
    return rows
