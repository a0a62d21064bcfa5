"""Functions on their way into a sandbox: cloudpickle packs them here, the guest unpacks them.

Only this direction is pickled: what a guest sends is never unpickled.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from belljar.errors import SandboxError

__all__ = ["ship"]

_lock = threading.Lock()


def ship(function: Callable[..., Any], python: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """(the function, pickled; cloudpickle's own text, for a guest whose interpreter lacks it).

    `SandboxError` if cloudpickle is not installed here, if the guest's Python (`python`, a version) is not this one's, or if the
    function holds what cannot be pickled."""
    try:
        import cloudpickle  # type: ignore[import]
        from cloudpickle import cloudpickle as implementation
    except ImportError:
        raise SandboxError("calling a function in a sandbox needs cloudpickle: pip install cloudpickle "
                           "(Debian: python3-cloudpickle), or pass code as text", "call") from None  # fmt: skip
    if python[:2] != sys.version_info[:2]:
        here = ".".join(map(str, sys.version_info[:2]))
        raise SandboxError(f"functions cross between equal versions of Python only: the sandbox has {python[0]}.{python[1]}, "
                           f"this program {here}; choose python=, or pass code as text", "call")  # fmt: skip
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    with _lock:
        by_value = module is not None and is_own(module) and module.__name__ not in cloudpickle.list_registry_pickle_by_value()
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        try:
            data: bytes = cloudpickle.dumps(function)
        except Exception as error:
            raise SandboxError(f"the function cannot be sent: {type(error).__name__}: {error}", "call") from error
        finally:
            if by_value:
                cloudpickle.unregister_pickle_by_value(module)
    with open(implementation.__file__, "rb") as file:
        return data, file.read()


def is_own(module: ModuleType) -> bool:
    """True for a module of the program's, which a sandbox does not have: its functions go along by value."""
    path = getattr(module, "__file__", None)
    if path is None or module.__name__ == "__main__":
        return False
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    path = os.path.realpath(path)
    return "/dist-packages/" not in path and not any(path.startswith(os.path.realpath(root) + os.sep) for root in installed)
