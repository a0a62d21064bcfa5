"""What an adapter needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["needed"]


@contextlib.contextmanager
def needed(package: str, module: str) -> Iterator[None]:
    """Around the import of a module: where there is none, the error says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it lacks something itself
        raise ModuleNotFoundError(
            f"this adapter of belljar needs {package}, which is not installed: pip install {package}", name=error.name
        ) from None
