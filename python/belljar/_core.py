"""The extension module: in the package where it is installed, beside it in a checkout (build/ is on the path there)."""

from __future__ import annotations

try:
    from belljar import _belljar as core
except ImportError:
    try:
        import _belljar as core  # type: ignore
    except ImportError as error:
        raise ImportError(f"belljar's extension module cannot be loaded ({error}): in a checkout run make, and use "
                          ".venv/bin/python") from error  # fmt: skip

__all__ = ["core"]
