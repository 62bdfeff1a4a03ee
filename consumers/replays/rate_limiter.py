"""Rate limit that holds over any ten seconds, whatever happened before.

Records go in small batches, a fifth of a second apart. A batch that is late by no more than that does not delay the
next one; a longer pause is not caught up with. So ten seconds hold at most five percent too many, or one record.
"""

from typing import Final

BATCH_MAX: Final = 200
_BATCHES_PER_S: Final = 5
_CAUGHT_UP_MAX_S: Final = 0.2


class RateLimiter:
    """Time and size of the next batch. Instants are seconds of the event loop."""

    def __init__(self, per_s: float, now_s: float) -> None:
        """`per_s` is above 0."""
        self._per_s = per_s
        self._due_s = now_s
        self.batch_max = max(1, min(BATCH_MAX, int(per_s / _BATCHES_PER_S)))

    def wait_s(self, now_s: float) -> float:
        """Return the time to wait before the next batch."""
        return max(0.0, self._due_s - now_s)

    def spend(self, count: int, now_s: float) -> None:
        """Account for `count` records sent now."""
        self._due_s = max(self._due_s, now_s - _CAUGHT_UP_MAX_S) + count / self._per_s
