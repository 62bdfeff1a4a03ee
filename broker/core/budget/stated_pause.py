"""The pause of a limit: no call is sent before its end, unless a measured rate is followed.

A refusal for images delays only calls with images (`SideLimits.rest`).

A refusal's wait is kept if the mirrors explain it, and tested by a single call after some seconds if they do not
(`AdmissionGuide.wait_ms`). What they know changes: so an answer that comes during the pause may shorten it.
"""

from typing import NamedTuple

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.admission_guide import AdmissionGuide
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.calibration import Calibration
from headrace.broker.core.budget.cooldown import leaves_level_open
from headrace.broker.core.budget.reservation import Reservation


class _PausingRefusal(NamedTuple):
    """The refusal that asked for the pause: its end, the refused call, and when it came."""

    until_ms: int
    call: Reservation
    at_ms: int


class StatedPause:
    """The pause of one limit.

    Attributes:
        until_ms: Its end.
    """

    __slots__ = ("_buckets", "_calibration", "_guide", "_refused", "until_ms")

    def __init__(self, guide: AdmissionGuide, buckets: BucketSet, calibration: Calibration, now_ms: int) -> None:
        """Begin without a pause; the others are those of the same limit."""
        self.until_ms = now_ms
        self._guide = guide
        self._buckets = buckets
        self._calibration = calibration
        self._refused: _PausingRefusal | None = None

    def extend(self, until_ms: int) -> None:
        """Pause until that instant, or until the end of a longer pause."""
        self.until_ms = max(self.until_ms, until_ms)

    def payable_ms(self, call: Reservation, now_ms: int) -> int:
        """Return when the mirrors can pay for such a call."""
        at_ms = self._buckets.payable_at(call.paid, 0, now_ms, self._calibration.sizes.unproven_sizes)
        return max(at_ms, self._calibration.sides.payable_again_at(call.number, now_ms))

    def record_wait(self, call: Reservation, verdict: Verdict, stated_ms: int, payable_ms: int, now_ms: int) -> None:
        """Pause after an answer that asks to wait; before it the mirrors could pay for its call at `payable_ms`."""
        if verdict.meaning is not Meaning.RATE_LIMITED:
            self.extend(now_ms + stated_ms)
            self._refused = None
            return
        if verdict.snapshot is not None or verdict.side_limit is not None:  # it states what is left
            payable_ms = self.payable_ms(call, now_ms)
        wait_ms = self._guide.wait_ms(stated_ms, payable_ms, now_ms)
        if self._calibration.sides.rest(verdict.side_limit, now_ms + wait_ms):
            return
        if leaves_level_open(verdict.side_limit or verdict.snapshot):
            wait_ms = self._calibration.cooldown.record_refusal(wait_ms, call.sent_ms, now_ms)
        self.extend(now_ms + wait_ms)
        self._refused = _PausingRefusal(self.until_ms, call, now_ms)

    def reconsider(self, now_ms: int) -> bool:
        """Shorten a refusal's pause, if an answer has shown since that the mirrors see no reason; return whether."""
        refused, before_ms = self._refused, self.until_ms
        if refused is not None and refused.until_ms >= before_ms > now_ms:
            payable_ms = self.payable_ms(refused.call, now_ms)
            wait_ms = self._guide.wait_ms(before_ms - refused.at_ms, payable_ms, refused.at_ms)
            self.until_ms = min(before_ms, refused.at_ms + wait_ms)
        return self.until_ms < before_ms
