"""What is installed for the guests of a policy."""

from __future__ import annotations

import os
from typing import Any

from belljar._policy import Policy
from belljar._template import as_policy
from belljar.config import SandboxConfig
from belljar.sandbox import run

__all__ = ["packages"]

_PACKAGES = """
from importlib import metadata
found = {}
for one in metadata.distributions():
    name = one.metadata["Name"]
    if name and name not in found:
        found[name] = one.version or ""
dict(sorted(found.items(), key=lambda row: row[0].lower()))
"""


def packages(policy: Policy | SandboxConfig | None = None, *, python: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """The packages that a guest would have, with their versions: what is installed for the policy's interpreter, or for `python`.

    It is asked in a guest. Under a language policy a program can import what that allows, and no more."""
    options = as_policy(policy).options
    own: Any = {"python": options["python"]} if policy is not None and options["python"] else {}
    return run(_PACKAGES, Policy(read=options["read"], **own), python=python, timeout=60).raise_for_error().value  # type: ignore[no-any-return]
