"""Whether a window is what it is taken for, judged by several of its windows: one of them proves little.

Two weighted counters seem to begin anew after a window in which nothing, or little, was taken. And others may have
taken much of one, or calls have been priced wrongly. But one level is enough soon after a mark, while little was sent
in the new window: others cannot have taken as much by then, and two counters explain it. Whatever was sent, so are
levels of which two counters explain just what is missing, now and some time before: what they count of the former
window falls meanwhile, while others' charges rise. That holds until a window has begun anew after one that was used,
which two counters never do.

Of a second or two, a burst of others' takes as much as counts of the former window. There the levels of many windows
tell: those that two counters cannot leave, and those that one explains only by others (`RenewalBalance`).
"""

from functools import partial
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import Reading
from headrace.broker.core.answers.window_phase import Phase
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls

SHORT_MIN: Final = 2  # windows in a row
FAR_PARTS: Final = 4  # a window short by more than one part in this many of its capacity is another one
SOON_PARTS: Final = 4  # of a window, the first of so many parts is soon after its mark
NEAR_PARTS: Final = 8  # of a capacity, one part in so many may be mispriced, or taken by others
SMALL_PARTS: Final = 16  # of a capacity, one part in so many may be missing by chance
EXACT_PARTS: Final = 128  # of a capacity: more may, but not what two counters explain to one part in so many
APART_PARTS: Final = 16  # of a window, one part in so many lies between two levels at least of which they do
OLD_MS: Final = 2_000  # levels may be so old, or one part in so many of the window if that is less
OLD_PARTS: Final = 8
BALANCE_MAX: Final = 16  # beyond which levels count no more: a law may have been wrong meanwhile
BALANCE_SURE: Final = 8  # from which on what was disproved before is believed again
ANEW_WEIGHT: Final = 2  # others never make two counters look like one; bursts of theirs make one look like two


class RenewalDoubt:
    """The doubt in one mirror of a window, as long as calls are charged by one law."""

    __slots__ = ("_begun_ms", "_exact_ms", "_is_one", "_short", "_short_ms")

    def __init__(self) -> None:
        self._begun_ms: int | None = None  # the last window of which an answer was heard
        self._short_ms: int | None = None  # the last one that was far short
        self._short = 0  # windows in a row that were
        self._is_one = False  # a level has shown that charges of the former window count no more
        self._exact_ms: int | None = None  # since when two counters explain just what is missing at each level

    def observe(self, begun_ms: int, period_ms: int, capacity: int, error: int | None, *, all_count: bool) -> bool:
        """Process the error of an answer to a call of the window that began then; return whether it is disproved.

        `all_count`: any answer may show it, otherwise the first of each window.
        """
        if error is None:
            return False
        is_first = self._begun_ms is None or begun_ms - self._begun_ms > period_ms // 2
        if is_first:
            self._begun_ms = begun_ms
        if (is_first or all_count) and error * FAR_PARTS < -capacity:
            apart_ms = None if self._short_ms is None else begun_ms - self._short_ms
            if apart_ms is None or apart_ms > period_ms // 2:
                in_a_row = apart_ms is not None and apart_ms < period_ms + period_ms // 2
                self._short, self._short_ms = self._short + 1 if in_a_row else 1, begun_ms
        return self._short >= SHORT_MIN

    def counts_former(self, reading: Reading, period_ms: int, order: AdmissionOrder, sends: SentCalls) -> bool:
        """Return whether a level soon after a mark shows that charges of the window before it count still.

        Once a level has shown that they do not, none ever shows it: two counters count what was used of a window on.
        """
        capacity, left_ms = reading.capacity, min(reading.full_in_ms or 0, period_ms)
        if self._is_one or left_ms * SOON_PARTS < period_ms * (SOON_PARTS - 1) or order.index < 0:
            return False
        used, begun_ms = capacity - reading.remaining, order.sent_ms + left_ms - period_ms
        old_ms = begun_ms - min(OLD_MS, period_ms // OLD_PARTS)
        if sends.sent_between(reading.metric, old_ms, begun_ms) * NEAR_PARTS > capacity:
            return False  # it may be an old level of this window, whose begin would be earlier by its age
        last = sends.sent_between(reading.metric, begun_ms - period_ms, begun_ms) * left_ms // period_ms
        this = sends.sent_between(reading.metric, begun_ms, order.sent_ms + 1)
        missing = used - this
        self._is_one = (last - used) * NEAR_PARTS > capacity
        if missing * SMALL_PARTS > capacity and self._is_exact(missing - last, capacity, period_ms, order.sent_ms):
            return True
        if used * FAR_PARTS <= capacity or this * NEAR_PARTS > capacity or missing * FAR_PARTS <= capacity:
            return False
        return abs(missing - last) * NEAR_PARTS <= capacity

    def _is_exact(self, beyond: int, capacity: int, period_ms: int, sent_ms: int) -> bool:
        """Return whether two counters explain just what is missing, now and some time before.

        What counts of the former window falls meanwhile, and others' charges would have risen.
        """
        if abs(beyond) * EXACT_PARTS > capacity:
            self._exact_ms = None
            return False
        self._exact_ms = sent_ms if self._exact_ms is None else self._exact_ms
        return (sent_ms - self._exact_ms) * APART_PARTS >= period_ms


class RenewalBalance:
    """What levels of a short window tell whose marks lie at one phase: that it begins anew there, or counts on.

    Attributes:
        balance: Positive: they fit one counter, and two would have left less; negative: they fit two.
    """

    __slots__ = ("balance",)

    def __init__(self) -> None:
        self.balance = 0

    def observe(self, reading: Reading, phase: Phase, period_ms: int, order: AdmissionOrder, sends: SentCalls) -> None:
        """Compare what an answer states with what either kind of window counts of our calls."""
        spread_ms, left_ms = phase.spread_ms, reading.full_in_ms
        if left_ms is None or order.index < 0:
            return
        begun_ms = order.sent_ms + left_ms - period_ms
        if (phase.mark_ms - begun_ms) % period_ms > spread_ms:
            return  # an old level
        former_ms = begun_ms - period_ms
        if sends.forgotten and sends.sent_ms[0] > former_ms - spread_ms:
            return
        sent = partial(sends.sent_between, reading.metric)
        this = max(sent(begun_ms + spread_ms, order.sent_ms - spread_ms), sends.amounts[reading.metric][order.index])
        this_most = sent(begun_ms - spread_ms, order.sent_ms + spread_ms)
        both = this + sent(former_ms + spread_ms, begun_ms - spread_ms) * left_ms // period_ms
        both_most = this_most + sent(former_ms - spread_ms, begun_ms + spread_ms) * left_ms // period_ms
        used, capacity = reading.capacity - reading.remaining, reading.capacity
        near, far = capacity // NEAR_PARTS, capacity // FAR_PARTS
        if this - near <= used <= this_most + near and both > used + far:
            self.balance = min(BALANCE_MAX, self.balance + ANEW_WEIGHT)
        elif used > this_most + far and both - near <= used <= both_most + near:
            self.balance = max(-BALANCE_MAX, self.balance - 1)
