"""How long a call may take from its sending to the server's limiter: the margin by which the mirror is cautious.

Nobody tells it, and it is no constant: a proxy, a queue before the limiter or a busy loop of our own lengthen it. So
it starts long, shrinks a little with every answer that agrees with what was believed, and doubles at every one that
contradicts it. What a long way costs is its refill once (a second of a minute's bucket: 1.7 %); what a short one costs
is refusals.
"""

from typing import Final

WAY_MAX_MS: Final = 1_000
WAY_MIN_MS: Final = 120
SHRINKS_BY: Final = 128  # one part in so many for each answer that agrees


class Way:
    """The longest way that the answers so far leave possible, in whole milliseconds."""

    def __init__(self) -> None:
        self.ms = WAY_MAX_MS

    def agreed(self) -> None:
        """An answer was as believed."""
        self.ms = max(WAY_MIN_MS, self.ms - max(1, self.ms // SHRINKS_BY))

    def surprised(self) -> None:
        """The server had less than believed, or refused what should have been payable."""
        self.ms = min(WAY_MAX_MS, 2 * self.ms)
