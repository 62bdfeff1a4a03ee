"""Lengths of recent outputs, from which the output of a call in flight is reserved.

By the law `usage` a server charges the output when a call ends. Until then its length is not known; what is reserved is
what four of five recent outputs were at most as long as.
"""

from collections import deque
from typing import Final

LENGTHS_MAX: Final = 64
EVALUATED_EVERY: Final = 16  # once there are `LENGTHS_MAX`, they are evaluated after every this many
STEP_PARTS: Final = 8  # the reservation changes only by more than one part in this many


class OutputLengths:
    """The output lengths of one endpoint's calls, in tokens.

    Attributes:
        reserved: What to reserve for the output of a call in flight; 0 before the first.
    """

    def __init__(self) -> None:
        self.reserved = 0
        self._lengths: deque[int] = deque(maxlen=LENGTHS_MAX)
        self._seen = 0

    def record(self, output: int) -> None:
        """Learn from the output of a call that has ended."""
        self._lengths.append(output)
        self._seen += 1
        if self._seen < LENGTHS_MAX or self._seen % EVALUATED_EVERY == 0:
            reserved = sorted(self._lengths)[(len(self._lengths) - 1) * 4 // 5]
            if abs(reserved - self.reserved) * STEP_PARTS > self.reserved:
                self.reserved = reserved
