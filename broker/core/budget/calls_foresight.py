"""Whether the limits of calls that headers show foresee refusals, while the measured rate of tokens is followed.

A rate is measured where the mirrors have left much of the quota unused, or collected refusals. That is seldom the fault
of all of them. A limit of calls is known exactly where headers show it, since each call counts as one. If calls reach
that limit too, the measured rate collects refusals that the limit's mirror would have prevented. So where calls that it
would have held back are refused at least `TIMES_REFUSED` times as often as others, and are at most one in `HELD_PARTS`,
it holds calls back again.
"""

from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import REQUESTS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.bucket_set import BucketSet

FORESEEN_MIN: Final = 2  # refusals
HELD_PARTS: Final = 4  # of all calls, at most one part in so many would have been held back
TIMES_REFUSED: Final = 5  # as often are those refused, at least, as the others
REMEMBERED: Final = 1_000  # calls; then each counts half


class CallsForesight:
    """What the shown limits of calls of one limit's mirrors foresee of a measured rate."""

    __slots__ = ("_admitted", "_buckets", "_refused", "_sent")

    def __init__(self, buckets: BucketSet) -> None:
        self._buckets = buckets
        self._sent: dict[int, bool] = {}  # calls in flight, and whether they would have been held back
        self._admitted, self._refused = [0, 0], [0, 0]  # of those that would not have been, and of those that would

    def payable_at(self, now_ms: int) -> int:
        """Return when a call may be sent: at once, unless what is foreseen has come true."""
        return self._paid_at(now_ms) if self.comes_true else now_ms

    @property
    def comes_true(self) -> bool:
        """Whether calls that would have been held back are refused far more often than others are."""
        free, held = (self._admitted[each] + self._refused[each] for each in (False, True))
        if self._refused[True] < FORESEEN_MIN or held * HELD_PARTS > held + free:
            return False
        return self._refused[True] * (free + 1) >= TIMES_REFUSED * (self._refused[False] + 1) * held

    def record_send(self, attempt: int, now_ms: int) -> None:
        """Record a call that is sent now at the measured rate, before the mirrors pay for it."""
        if any(self._buckets.is_stated(mirror) for mirror in self._buckets.of(REQUESTS)):
            self._sent[attempt] = self._paid_at(now_ms) > now_ms

    def record_end(self, attempt: int, meaning: Meaning | None) -> None:
        """Record what has become of a call; None: nothing is known of it."""
        held = self._sent.pop(attempt, None)
        if held is None or self.comes_true:  # for good: what is held back is not sent, so nothing tells otherwise
            return
        if meaning is Meaning.RATE_LIMITED:
            self._refused[held] += 1
        elif meaning in ADMITTED:
            self._admitted[held] += 1
        if sum(self._admitted) >= REMEMBERED:
            self._admitted = [count // 2 for count in self._admitted]
            self._refused = [count // 2 for count in self._refused]

    def _paid_at(self, now_ms: int) -> int:
        mirrors = self._buckets.of(REQUESTS)
        return max((each.payable_at(1, 0, now_ms) for each in mirrors if self._buckets.is_stated(each)), default=now_ms)
