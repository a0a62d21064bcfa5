"""Modules under their old, public names, for one version: `belljar.template` is `belljar._template`, with a warning."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Sequence

__all__ = ["attribute", "install"]

MOVED = {name: f"_{name}" for name in ("arrays", "copying", "execution", "executor", "files", "host_functions", "interpreter",
                                       "policy", "proxy", "session", "shipping", "streaming", "template")}  # fmt: skip


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no other finder has found: a module by its old name."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != self.package or module not in MOVED:
            return None
        warnings.warn(_words(package, module), DeprecationWarning, stacklevel=2)
        return importlib.machinery.ModuleSpec(name, self)

    def exec_module(self, module: types.ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(f"{self.package}.{MOVED[module.__name__.rpartition('.')[2]]}")


def _words(package: str, name: str) -> str:
    return f"{package}.{name} is private now, and its old name goes with the next version: what is public of it is in {package}"


def attribute(package: str, name: str) -> types.ModuleType:
    """The package's `__getattr__`: a module by its old name."""
    if name not in MOVED:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    warnings.warn(_words(package, name), DeprecationWarning, stacklevel=3)
    return importlib.import_module(f"{package}.{MOVED[name]}")


def install(package: str) -> None:
    """Has the import system ask here as well, last."""
    if not any(type(finder) is _Finder for finder in sys.meta_path):
        sys.meta_path.append(_Finder(package))
