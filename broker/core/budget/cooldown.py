"""Back-off of a limit whose refusals do not say how empty it is, and the way back.

A bucket in debt states that all of it is used and how long the refused call would wait if that were all
(facts/openai.md §2.4: `Used` is capped); a bare 429 states nothing. A call at that instant would be refused again, and
again. So each consecutive refusal lengthens the wait, and the first wait is half of the time that the last recovery
took. This costs no quota: an unused bucket refills. After the wait one call is sent alone: the refill that the bucket
was believed to have gained meanwhile may have gone into its debt. If the server is silent about it, it was admitted,
and the next refusal begins a new series: its answer takes seconds, and a front that drops the calls of a burst refuses
one of those that follow at once. A refusal of that call itself, which is late, goes on with the old one.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import Snapshot
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.budget.burst_control import SILENCE_MS

FIRST_MS: Final = 500
FIRST_MAX_MS: Final = 4_000  # however long the last recovery took
GROWS_BY: Final = 3
LONGEST_MS: Final = 16_000


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
        self._former: tuple[int, int, int, int] | None = None  # the call of a silence, and the series that it ended

    def record_refusal(self, wait_ms: int, sent_ms: int, now_ms: int) -> int:
        """Record the refusal of a call sent at `sent_ms`; return the wait that replaces the server's `wait_ms`."""
        if sent_ms > self._since_ms:
            is_late = self._former is not None and sent_ms <= self._former[0]
            if self._former is not None and is_late:
                _, self._in_a_row, self._began_ms, self._took_ms = self._former
            self._former = None
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
            self._in_a_row, self._probe_ms = 0, None
            self._probing = self.active = False

    def may_call_at(self, now_ms: int) -> int:
        """Return now, or when the server has been silent for `SILENCE_MS` about the call sent alone."""
        if not self._probing or self._probe_ms is None:
            return now_ms
        if now_ms >= self._probe_ms + SILENCE_MS:
            self._former = self._probe_ms, self._in_a_row, self._began_ms, self._took_ms
            self.record_admission(self._probe_ms)
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
