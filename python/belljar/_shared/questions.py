"""What one question of a guest's to its host may cost. The host reads no larger one; a guest that is told so leaves out what
is larger."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

BYTES_MAX: Final = 32 << 20
ELEMENTS_MAX: Final = 1 << 20
