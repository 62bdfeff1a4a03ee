"""Back-off of a limit whose refusals do not say how empty it is, and the way back.

A bucket in debt states that all of it is used and how long the refused call would wait if that were all
(facts/openai.md §2.4: `Used` is capped); a bare 429 states nothing. A call at that instant would be refused again, and
again. So each consecutive refusal lengthens the wait, and the first wait is half of the time that the last recovery
took. This costs no quota: an unused bucket refills. After the wait one call is sent alone: the refill that the bucket
was believed to have gained meanwhile may have gone into its debt. If the server is silent about that call, the series
ends: answers take seconds, and a front may refuse one of the next calls at once. If the call is refused after all, the
series goes on, unless a call was admitted meanwhile.
"""

from typing import Final, NamedTuple

from headrace.broker.core.answers.rate_limit_headers import Snapshot
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.budget.burst_control import SILENCE_MS

FIRST_MS: Final = 500
FIRST_MAX_MS: Final = 4_000  # however long the last recovery took
GROWS_BY: Final = 3
LONGEST_MS: Final = 16_000


class _EndedSeries(NamedTuple):
    """A series of refusals that silence about a call sent alone, at `probe_ms`, has ended."""

    probe_ms: int
    in_a_row: int
    began_ms: int
    took_ms: int


class Cooldown:
    """Back-off of one limit. Refusals of calls that were in flight together count once.

    Attributes:
        active: There was a refusal, and no call has been admitted since; while False, the back-off need not be
            consulted.
        probe_refused: The call that was sent alone after a refusal has been refused as well.
    """

    def __init__(self) -> None:
        self.active = self.probe_refused = False
        self._in_a_row = 0
        self._since_ms = -1
        self._began_ms = 0
        self._took_ms = 0  # from the first refusal of the last series to the sending of the next admitted call
        self._probing = False
        self._probe_ms: int | None = None
        self._ended: _EndedSeries | None = None  # until a call is admitted: the server may only be slow

    def record_refusal(self, wait_ms: int, sent_ms: int, now_ms: int) -> int:
        """Record the refusal of a call sent at `sent_ms`; return the wait that replaces the server's `wait_ms`."""
        ended = self._ended
        is_late = ended is not None and sent_ms == ended.probe_ms
        if ended is not None and is_late:
            _, self._in_a_row, self._began_ms, self._took_ms = ended
        if is_late or sent_ms > self._since_ms:
            if not self._in_a_row:
                self._began_ms = now_ms
            self._in_a_row += 1
            self.active, self.probe_refused = True, is_late or self._probe_ms is not None
            self._since_ms = now_ms
            self._probing, self._probe_ms = True, None
        first_ms = max(FIRST_MS, min(FIRST_MAX_MS, self._took_ms // 2))
        own_ms = min(LONGEST_MS, first_ms * GROWS_BY ** (self._in_a_row - 1)) if self._in_a_row else 0
        return max(wait_ms, own_ms)

    def record_admission(self, sent_ms: int) -> None:
        """Record the admission of a call sent at `sent_ms`."""
        if sent_ms > self._since_ms:
            if self._in_a_row:
                self._took_ms = sent_ms - self._began_ms
            self._in_a_row, self._probe_ms, self._ended = 0, None, None
            self._probing = self.active = False

    def may_call_at(self, now_ms: int) -> int:
        """Return now, or when the server has been silent for `SILENCE_MS` about the call sent alone."""
        if not self._probing or self._probe_ms is None:
            return now_ms
        if now_ms >= self._probe_ms + SILENCE_MS:
            self._ended = _EndedSeries(self._probe_ms, self._in_a_row, self._began_ms, self._took_ms)
            self._took_ms = self._probe_ms - self._began_ms
            self._in_a_row, self._probing, self._probe_ms = 0, False, None
            return now_ms
        return self._probe_ms + SILENCE_MS

    def record_send(self, now_ms: int) -> bool:
        """Record a call being sent; return whether it is the one that is sent alone."""
        if not self._probing:
            return False
        self._probe_ms = now_ms
        return True


def leaves_level_open(stated: Snapshot | StatedLimit | None) -> bool:
    """Return whether a refusal leaves open how empty the bucket is: it states nothing, or that all of it is used."""
    return stated is None or stated.used is None or stated.used >= (stated.capacity or 0)
