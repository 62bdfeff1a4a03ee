"""The pause of a limit: no call is sent before its end, unless a measured rate is followed.

A refusal for images delays only calls with images (`SideLimits.rest`).

A refusal's wait is kept if the mirrors explain it, and tested by a single call after some seconds if they do not
(`AdmissionGuide.wait_ms`). What they know changes: so an answer that comes during the pause may shorten it.
"""

from typing import NamedTuple

from headrace.broker.core.answers.refill_detection import BUCKET, FIXED, SHORT_MS
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.admission_guide import AdmissionGuide
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.calibration import Calibration
from headrace.broker.core.budget.cooldown import leaves_level_open
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.refusals import is_explained, shown_by
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
        if verdict.snapshot is not None or verdict.side_limit is not None or is_explained(call, verdict):
            # it states what is left
            payable_ms = self.payable_ms(call, now_ms)
        is_open = self._leaves_level_open(call, verdict, now_ms)
        is_window = not is_open and self._is_spent_window(call, now_ms)
        wait_ms = self._guide.wait_ms(stated_ms, payable_ms, now_ms, is_window=is_window)
        if self._calibration.sides.rest(verdict.side_limit, now_ms + wait_ms):
            return
        if is_open:
            wait_ms = self._calibration.cooldown.record_refusal(wait_ms, call.sent_ms, now_ms)
        self.extend(now_ms + wait_ms)
        self._refused = _PausingRefusal(self.until_ms, call, now_ms)

    def _leaves_level_open(self, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Return whether a refusal leaves open how empty its limit is.

        It does not if its headers show what is left, or if a window is spent, by the mirror that it has just corrected:
        charges cease to count there, so that one owes nothing.
        """
        stated, side = verdict.snapshot, verdict.side_limit
        if side is not None or not leaves_level_open(stated):
            return leaves_level_open(side or stated)
        if stated is None:
            left = [each.remaining for each in shown_by(verdict) if each.remaining < call.amount(each.metric)]
            if not left or self._buckets.age_ms:
                return True
            if any(left):
                return False
        return not self._is_spent_window(call, now_ms)

    def _is_spent_window(self, call: Reservation, now_ms: int) -> bool:
        """Return whether the mirror of a window cannot pay for such a call; a short one must be known in time."""
        windows = (
            mirror
            for mirror in self._buckets
            if mirror.refill is FIXED or (mirror.refill is not BUCKET and self._is_known(mirror, now_ms))
        )
        return any(mirror.payable_at(call.amount(mirror.metric), 0, now_ms) > now_ms for mirror in windows)

    def _is_known(self, mirror: AnyMirror, now_ms: int) -> bool:
        """Return whether a window that never ends is known in time: it is not short, or others explain its refusals."""
        return mirror.period_ms > SHORT_MS or self._buckets.others.explain(mirror.metric, now_ms)

    def reconsider(self, now_ms: int) -> bool:
        """Shorten a refusal's pause, if an answer has shown since that the mirrors see no reason; return whether."""
        refused, before_ms = self._refused, self.until_ms
        if refused is not None and refused.until_ms >= before_ms > now_ms:
            payable_ms = self.payable_ms(refused.call, now_ms)
            wait_ms = self._guide.wait_ms(before_ms - refused.at_ms, payable_ms, refused.at_ms)
            self.until_ms = min(before_ms, refused.at_ms + wait_ms)
        return self.until_ms < before_ms
