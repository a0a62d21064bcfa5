"""What one guest knows about itself. Its other modules read and write this by name: `_state.displays`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from belljar_guest._policy import Policy

    Forms = list[tuple[bytes, bytes]]  # one thing that is displayed: (mime type, bytes)

WORK = "/work"

policy: Policy
original_path: list[str] = []  # sys.path as the interpreter made it
generators: list[Any] = []  # generators of random numbers that were made before the fork
reseeded: list[Any] = []  # those of them that have no other among them as their front
warm_text = ""
is_warm_ours = False  # it is the default one
thread_limit = 0
start: dict[str, Any] = {}  # what the policy has it start with: env, cwd, seed
start_time: float | None = None  # what the clock says as the first run begins; below 0: the true time
clock_stands = False  # and goes on saying
has_files = False  # the policy grants files: there is a scratch
has_loopback = False  # the policy grants one
has_preloaded = False  # the zygote has imported for its guests
is_running = False  # the host runs code here and answers questions
runner: Any = None  # of asyncio, the session's: its tasks go on when the next cell awaits something
can_ask = False  # there may be questions: _host.py
shows_at_once = False  # the host wants to see what is displayed as it comes
displays: list[Forms] = []
