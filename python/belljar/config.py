"""SandboxConfig, the deny-by-default policy: the guest knows it as well, see belljar/_shared/config.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belljar._shared.config import (
    DEFAULT_MEMORY, DEFAULT_RECURSION, DEFAULT_SIZE, DEFAULT_TIMEOUT, expand, feature_rows,
)  # fmt: skip
from belljar._shared.config import SandboxConfig as _SandboxConfig

if TYPE_CHECKING:
    from belljar.check import Violation

__all__ = ["DEFAULT_MEMORY", "DEFAULT_RECURSION", "DEFAULT_SIZE", "DEFAULT_TIMEOUT", "SandboxConfig", "expand", "feature_rows"]


class SandboxConfig(_SandboxConfig):
    __doc__ = _SandboxConfig.__doc__
    __module__ = "belljar"

    def check(self, code: str | bytes, filename: str = "<code>", *, python: str | None = None) -> list[Violation]:
        """Everything in a program's text that this policy would refuse, by line, without running it. Names that the program makes
        up while it runs are not seen: an empty list is no promise. The text is parsed in a sandbox, by the interpreter `python`."""
        from belljar.check import check_text

        return check_text(self.to_dict(), code, filename, python=python)
