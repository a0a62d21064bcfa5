"""The numbers of wire/frame.h, made from it by scripts/make-frames: change them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

FRAME_RUN: Final = 1
FRAME_BRANCH: Final = 2
FRAME_REPLY: Final = 3
FRAME_LEND: Final = 4
FRAME_SETTLE: Final = 5
FRAME_RESULT: Final = 64
FRAME_CALL: Final = 65
FRAME_SETTLED: Final = 66
CALL_FUNCTION: Final = 1
CALL_OPERATION: Final = 2
CALL_BESIDE: Final = 4
CALL_DISPLAY: Final = 3
REPLY_VALUE: Final = 0
REPLY_EXCEPTION: Final = 1
RUN_LAST_VALUE: Final = 1
RUN_MODULE: Final = 2
RUN_SESSION: Final = 4
RUN_SCRIPT: Final = 8
RUN_COMMAND: Final = 16
RUN_BYTES: Final = 32
RUN_SHOWS: Final = 64
RUN_PREPARED: Final = 128
RUN_OK: Final = 0
RUN_EXCEPTION: Final = 1
RUN_EXIT: Final = 2
RESULT_MEMORY: Final = 1
RESULT_REFUSED: Final = 2
RESULT_INTERRUPT: Final = 4
RESULT_SHOWN: Final = 8
RESULT_SETUP: Final = 16
