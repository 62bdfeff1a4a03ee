"""Sliding sum of the charges of the last minute: an exact cap, and the numerator of utilisation.

A bucket admits up to twice its capacity in its first minute. An operator who writes "never more than 10,000 tokens a
minute" means any minute, so the operator's cap is a sliding sum. Payments within a slot share one entry, which bounds
the memory; an entry expires with the end of its slot, so the sum errs on the cautious side, by one slot.
"""

from collections import deque
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS

SLOT_MS: Final = 100


class SlidingSum:
    """The sum of payments within any `span_ms`. That may be changed; what has expired stays so."""

    def __init__(self, span_ms: int = MINUTE_MS, slot_ms: int = SLOT_MS) -> None:
        self.span_ms = span_ms
        self._slot_ms = slot_ms
        self._slots: deque[list[int]] = deque()  # [the slot's end, its sum], oldest first
        self._sum = 0

    def charged(self, now_ms: int) -> int:
        """Return the sum paid in the `span_ms` up to now."""
        while self._slots and self._slots[0][0] + self.span_ms <= now_ms:
            self._sum -= self._slots.popleft()[1]
        return self._sum

    def pay(self, amount: int, now_ms: int) -> None:
        """Add a payment."""
        self._sum += amount
        if self._slots and now_ms < self._slots[-1][0]:
            self._slots[-1][1] += amount
        else:
            self.charged(now_ms)
            self._slots.append([self._slot_end(now_ms), amount])

    def refund(self, amount: int, paid_ms: int) -> None:
        """Take back a payment made at `paid_ms`; one that has expired already leaves nothing to take back."""
        for slot in self._slots:
            if slot[0] == self._slot_end(paid_ms):
                given = min(amount, slot[1])
                slot[1] -= given
                self._sum -= given
                return

    def share(self, amount: int, paid_ms: int, now_ms: int) -> int:
        """Return what of a payment made at `paid_ms` counts at `now_ms`: all or nothing."""
        return amount if self._slot_end(paid_ms) + self.span_ms > now_ms else 0

    def payable_at(self, amount: int, cap: int, now_ms: int) -> int:
        """Return the first instant at which `amount` more stays within `cap`; a larger one waits for an empty sum."""
        over = self.charged(now_ms) + min(amount, cap) - cap
        for end_ms, paid in self._slots:
            if over <= 0:
                break
            over -= paid
            now_ms = max(now_ms, end_ms + self.span_ms)
        return now_ms

    def _slot_end(self, at_ms: int) -> int:
        return at_ms - at_ms % self._slot_ms + self._slot_ms
