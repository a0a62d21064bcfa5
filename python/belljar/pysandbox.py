"""pysandbox's own spellings: a program for it runs after changing `from sandbox import …` to
`from belljar.pysandbox import …`, and its Python 2 syntax. docs/pysandbox.md lists what differs."""

from __future__ import annotations

import argparse
import optparse
import sys
from collections.abc import Callable
from typing import Any, Unpack

from belljar import config as _config
from belljar._instead import Face, NoOther, refuse_others, verbs_of, wrong_type
from belljar.config import DEFAULT_TIMEOUT
from belljar.errors import SandboxError, Timeout

__all__ = [
    "DEFAULT_TIMEOUT",
    "HAVE_CPYTHON_RESTRICTED",
    "HAVE_CSANDBOX",
    "HAVE_PYPY",
    "Sandbox",
    "SandboxConfig",
    "SandboxError",
    "Timeout",
]

HAVE_CSANDBOX = True  # the C half is always there
HAVE_CPYTHON_RESTRICTED = False  # Python 3 has none
HAVE_PYPY = False

_UNSET = object()
_MEGABYTES = 1 << 20  # nobody gives a program a terabyte: what is above is bytes


class SandboxConfig(_config.SandboxConfig):
    """SandboxConfig with pysandbox's names, and with its texts of errors."""

    hints = False

    def allowModule(self, name: str, *attributes: str) -> None:
        self.allow_module(name, *attributes)

    def allowSafeModule(self, name: str, *safe_attributes: str) -> None:
        self.allow_safe_module(name, *safe_attributes)

    def allowPath(self, path: str) -> None:
        self.allow_path(path)

    def allowModuleSourceCode(self, name: str) -> None:
        self.allow_module_source_code(name)

    @property
    def max_memory(self) -> int:
        """Bytes; pysandbox's was set in megabytes."""
        return self._max_memory

    @max_memory.setter
    def max_memory(self, megabytes: int) -> None:
        self._max_memory = megabytes * 1024 * 1024 if megabytes < _MEGABYTES else megabytes

    @property
    def recusion_limit(self) -> int | None:
        return self.recursion_limit

    @recusion_limit.setter
    def recusion_limit(self, frames: int | None) -> None:
        self.recursion_limit = frames

    @property
    def _builtins_whitelist(self) -> _Names:
        """Programs for pysandbox add to it by this name."""
        return _Names(self)

    @_builtins_whitelist.setter
    def _builtins_whitelist(self, names: set[str]) -> None:
        self.builtins_whitelist = names

    @staticmethod
    def createOptparseOptions(parser: optparse.OptionParser, default_timeout: Any = _UNSET) -> None:
        timeout = DEFAULT_TIMEOUT if default_timeout is _UNSET else default_timeout
        parser.add_option("--features", help="List of enabled features separated by a comma", type="str")
        parser.add_option("--disable-subprocess", help="Refused: there is no in-process mode", action="store_true")
        parser.add_option("--allow-path", help="Allow reading files from PATH", action="append", type="str")
        text = f"default: {timeout:.1f} sec" if timeout else "default: no timeout"
        parser.add_option("--timeout", help=f"Timeout ({text})", metavar="SECONDS", action="store", type="float", default=timeout)

    @staticmethod
    def fromOptparseOptions(options: optparse.Values | argparse.Namespace) -> SandboxConfig:
        extra = {"use_subprocess": False} if options.disable_subprocess else {}
        config = SandboxConfig(**extra)
        for feature in (options.features or "").split(","):
            if feature.strip():
                config.enable(feature.strip())
        for path in options.allow_path or ():
            config.allowPath(path)
        config.timeout = options.timeout
        return config


class _Names(set[str]):
    """The builtins' whitelist: adding to it changes the config, as it did in pysandbox."""

    def __init__(self, config: _config.SandboxConfig) -> None:
        super().__init__(config.builtins_whitelist)
        self._config = config

    def _changed(self) -> None:
        self._config.builtins_whitelist = set(self)

    def add(self, name: str) -> None:
        super().add(name)
        self._changed()

    def discard(self, name: str) -> None:
        super().discard(name)
        self._changed()

    def remove(self, name: str) -> None:
        super().remove(name)
        self._changed()


class Sandbox(Face):
    """pysandbox's Sandbox: every call has a process of its own. What the program prints goes to this program's own streams."""

    _elsewhere = verbs_of("belljar.Sandbox(config)", "call", "execute", "create_callback")

    def __init__(self, config: _config.SandboxConfig | None = None, **others: Unpack[NoOther]) -> None:
        if others:
            refuse_others("belljar.pysandbox.Sandbox", others, Sandbox, "belljar.Sandbox(config)")
        if config is not None and not isinstance(config, _config.SandboxConfig):
            raise wrong_type("config", "a SandboxConfig", config, "belljar.Sandbox takes a belljar.Policy as well")
        self.config = config if config is not None else SandboxConfig()

    def call(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        from belljar._thread import alone, drive  # what has no need of the library is there without it

        with alone(self.config) as session:
            return drive(session.call(func, args, kw, *_streams()))

    def execute(self, code: str, globals: dict[str, Any] | None = None, locals: dict[str, Any] | None = None) -> None:
        from belljar._thread import alone, drive

        with alone(self.config) as session:
            drive(session.execute(code, globals, locals, *_streams(), sys.argv))  # pysandbox forked: they were the same there

    def create_callback(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Callable[[], Any]:
        return lambda: self.call(func, *args, **kw)

    createCallback = create_callback


def _streams() -> tuple[Callable[[str], object], Callable[[str], object]]:
    return sys.stdout.write, sys.stderr.write
