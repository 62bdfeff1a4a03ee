"""How long a call may take from its sending to the server's limiter: the margin by which the mirror is cautious.

Nobody tells it, and it is no constant: a proxy, a queue before the limiter or a busy loop of our own lengthen it. So
it starts long, shrinks a little with every answer that agrees with what was believed, and doubles at every one that
contradicts it. What has once been too short is not tried again soon: the shortest way that is tried is twice what was
too short, and comes down slowly. What a long way costs is its refill once (a second of a minute's bucket: 1.7 %); what
a short one costs is refusals. Where others spend from the same bucket they surprise us too, whatever the way; then
nothing is learned of it but for the moment.
"""

from typing import Final

WAY_MAX_MS: Final = 1_000
WAY_MIN_MS: Final = 120
SHRINKS_BY: Final = 128  # one part in so many for each answer that agrees
FORGETS_AFTER: Final = 1_024  # answers that agree, until a little less is tried than what has been too short
FORGETS_PARTS: Final = 16
OTHERS_STAY: Final = 16_384  # answers


class AdmissionDelay:
    """The longest way that the answers so far leave possible, in whole milliseconds."""

    def __init__(self) -> None:
        self.ms = WAY_MAX_MS
        self._shortest_ms = WAY_MIN_MS
        self._agreed = 0
        self._among_others = 0  # answers for which surprises are put down to others

    def agreed(self) -> None:
        """An answer was as believed."""
        if self.ms > self._shortest_ms:
            self.ms = max(self._shortest_ms, self.ms - max(1, self.ms // SHRINKS_BY))
        self._agreed += 1
        if self._among_others:
            self._among_others -= 1
        if self._agreed >= FORGETS_AFTER:
            self._agreed = 0
            self._shortest_ms = max(WAY_MIN_MS, self._shortest_ms - self._shortest_ms // FORGETS_PARTS)

    def surprised(self, *, by_others: bool = False) -> None:
        """The server had less than believed, or refused what should have been payable.

        `by_others`: by more than any way explains.
        """
        self.ms = min(WAY_MAX_MS, 2 * self.ms)
        if by_others:
            self._among_others = OTHERS_STAY
            self._shortest_ms = WAY_MIN_MS
        elif not self._among_others:
            self._shortest_ms = max(self._shortest_ms, self.ms)
        self._agreed = 0
