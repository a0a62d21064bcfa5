"""What a supervisor decides, told as it happens: to a function of the host's, or to a file as lines of JSON. The guests are confined
as ever."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from belljar._instead import wrong_type
from belljar.errors import PolicyError

__all__ = ["Audit", "Decision", "check", "listener"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One operation of a guest's that the supervisor performed or refused. `outcome` is "ok" or the name of an errno; `rule` says
    by which rule it was refused, or None. `guest` tells guests of a template apart."""

    time: float
    guest: int
    op: str
    target: str
    outcome: str
    rule: str | None


Audit = str | os.PathLike[str] | Callable[[Decision], object] | None


def check(audit: object) -> None:
    """`TypeError` for what can be told nothing."""
    if audit is not None and not callable(audit) and not isinstance(audit, str | os.PathLike):
        raise wrong_type("audit", "a function, or the path of a file", audit, "write audit=print, say")


def listener(audit: Audit) -> Callable[[int, str, str, str, str], object] | None:
    """What the core calls for each operation. `PolicyError` if the file cannot be written."""
    if audit is None:
        return None
    if callable(audit):
        tell: Callable[[Decision], object] = audit
    else:
        try:
            file = open(audit, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        except OSError as error:
            raise PolicyError(f"audit: {os.fspath(audit)}: {error.strerror}", "policy", error.errno or 0) from None

        def tell(decision: Decision) -> None:
            file.write(json.dumps(asdict(decision)) + "\n")

    def on_operation(guest: int, op: str, target: str, outcome: str, rule: str | None) -> None:
        tell(Decision(time.time(), guest, op, target, outcome, rule or None))

    return on_operation
