"""What a streamed run gives: `Output`, then `Result`s, at the end the `Execution`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from belljar._execution import Execution, Result

__all__ = ["INTERRUPT_SECONDS", "Event", "Output"]

INTERRUPT_SECONDS = 1.0
"""Seconds that a run to which nobody listens may take to end after its interrupt."""


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of a run's output, as it came: whole characters, not always whole lines."""

    stream: Literal["stdout", "stderr"]
    text: str


Event = Output | Result | Execution
"""What a streamed run gives: output as it comes, then results, at the end the execution."""
