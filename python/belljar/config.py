"""SandboxConfig, the deny-by-default policy: both sides know it, see belljar/_shared/config.py."""

from belljar._shared.config import (
    DEFAULT_MEMORY, DEFAULT_RECURSION, DEFAULT_SIZE, DEFAULT_TIMEOUT, SandboxConfig, feature_rows,
)  # fmt: skip

__all__ = ["DEFAULT_MEMORY", "DEFAULT_RECURSION", "DEFAULT_SIZE", "DEFAULT_TIMEOUT", "SandboxConfig", "feature_rows"]
