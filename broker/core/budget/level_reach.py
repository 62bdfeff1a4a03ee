"""Detection of headers that state one limit with the levels of another, smaller one.

Some gateways state the limit of an hour or a day and beside it the level and the reset of the minute, or of a second.
Taken literally, most of that limit is gone for ever: lanes' reserves are shares of it, so that what is left never
covers them, and its rate is many times what is let through.

Levels that stay below a quarter of a limit, though few of the tokens gone are ours, mean that others have spent most of
it, or that they are another limit's. Tokens that others have spent return: in a minute or less, if no reset is longer
than that. So once that time is over, or if no more returns than ours before, the limit is taken to hold its *reach*:
the highest level that answers have shown, with their call's charge. Likewise, if all levels and resets fit one smaller
bucket, it is taken for that bucket. A higher level raises the reach. One above a quarter of the limit, or a reset of
more than a minute, proves the levels its own: then the limit is believed as it is stated.
A counter of a minute that is nearly used up looks the same until its mark. So such a size slows calls down, and fails
no request. Where levels are rounded so *coarsely* that there are only one or two different ones, the limit may hold
twice the highest. Such a size does not count as stated: no rate begins at it, and a trial looks for more.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, TOKENS, Reading, SideReading, reading_of
from headrace.broker.core.answers.refill_detection import SHORT_MS, WINDOWS_MS
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.sent_calls import SentCalls

REACH_PARTS: Final = 4  # levels that exceed one part in so many of the limit are its own
ANSWERS_MIN: Final = 8  # with a low level, before anything is concluded
RESETS_MIN: Final = 4  # different ones, before they show the size of a bucket
FIT_PARTS: Final = 50  # a size is known if its bounds are within one part in so many
RISEN_PARTS: Final = 20  # a level has risen if more than one part in so many of it has returned
COARSE_MAX: Final = 2  # different levels, of `ANSWERS_MIN` or more
SIZES_MAX: Final = 16  # that are remembered
NO_SIZES: Final[frozenset[int]] = frozenset()  # one for all limits, of which most have none


class LevelReach:
    """The reach of the levels of one bucket that headers show.

    Attributes:
        is_own: The levels have proved to be those of the limit stated.
    """

    __slots__ = (
        "_answers",
        "_capacity",
        "_first_ms",
        "_fits",
        "_least",
        "_levels",
        "_longest_ms",
        "_period_ms",
        "_resets",
        "_size",
        "_top",
        "is_own",
    )

    def __init__(self) -> None:
        self._begin(0)

    def _begin(self, capacity: int) -> None:
        self._capacity = capacity
        self._size: int | None = None  # what is believed in place of the capacity
        self._period_ms: int | None = None  # of the bucket that has shown that size
        self.is_own = False
        self._levels: tuple[int, ...] = ()  # different ones, one more than `COARSE_MAX` at most
        self._answers = 0
        self._first_ms = self._longest_ms = 0  # the first sending time, and the longest reset
        self._top = 0  # the highest level, before the call that showed it was charged
        self._least = capacity  # the lowest level, as if we had spent nothing
        self._resets: tuple[int, ...] = ()
        # the sizes of a bucket of each period that all answers fit
        self._fits = dict.fromkeys(WINDOWS_MS, (0, capacity))

    @property
    def watches(self) -> bool:
        """Whether it is open still whose levels these are: `observe` needs the tokens sent."""
        return not self.is_own and self._size is None

    def observe(self, shown: Reading | SideReading, taken: int, ours: int, sent_ms: int) -> int:
        """Process an answer that shows the limit; return what the limit is taken to hold.

        `taken` is the least charge of its call, which was sent at `sent_ms`; `ours` are the tokens sent in the minute
        before.
        """
        capacity, remaining, full_in_ms = shown.capacity, shown.remaining, shown.full_in_ms
        if capacity != self._capacity:
            self._begin(capacity)
        if self.is_own:
            return capacity
        if remaining * REACH_PARTS > capacity or (full_in_ms or 0) > MINUTE_MS:
            self.is_own = True
            return capacity
        if full_in_ms is None or remaining <= 0:
            return self._size or capacity
        if self._size is None:
            if (remaining + ours) * REACH_PARTS <= capacity:
                self._gather(remaining, full_in_ms, taken, ours, sent_ms)
        else:
            self._size = max(self._size, remaining)
            self._note_level(remaining)
            if self._period_ms is not None:
                self._fit(remaining, full_in_ms)
                self._refine(self._period_ms)
        return self._size or capacity

    def _gather(self, remaining: int, full_in_ms: int, taken: int, ours: int, sent_ms: int) -> None:
        """Gather one more low level, and conclude what is limited as soon as there is enough of them."""
        self._first_ms = self._first_ms if self._answers else sent_ms
        self._answers += 1
        self._longest_ms = max(self._longest_ms, full_in_ms)
        self._top = max(self._top, remaining + taken)
        self._least = min(self._least, remaining + ours)
        if len(self._resets) < RESETS_MIN and full_in_ms not in self._resets:
            self._resets += (full_in_ms,)
        self._note_level(remaining)
        self._fit(remaining, full_in_ms)
        if self._answers < ANSWERS_MIN:
            return
        fitted = self._fitted()
        passed_ms = sent_ms - self._first_ms
        has_risen = (remaining + ours - self._least) * RISEN_PARTS > self._least
        if fitted is not None:
            self._period_ms, self._size = fitted
            if self._size * REACH_PARTS > self._capacity:  # that of the limit stated, nearly used up
                self.is_own, self._size = True, None
        elif passed_ms >= SHORT_MS and (passed_ms >= self._longest_ms or not has_risen):
            self._size = self._top

    @property
    def size(self) -> int | None:
        """What is believed in place of the limit stated; None: the limit."""
        return self._size

    @property
    def is_coarse(self) -> bool:
        """Whether what is believed in place of the limit is the highest of one or two levels, of all so far."""
        return self._size is not None and self._period_ms is None and len(self._levels) <= COARSE_MAX

    def _note_level(self, remaining: int) -> None:
        if len(self._levels) <= COARSE_MAX and remaining not in self._levels:
            self._levels += (remaining,)

    def _fit(self, remaining: int, full_in_ms: int) -> None:
        """Narrow the sizes that buckets may have whose levels and resets are whole numbers, rounded down."""
        fits = {}
        for period_ms, (least, most) in self._fits.items():
            if period_ms > full_in_ms + 1:
                low = max(least, -(-remaining * period_ms // (period_ms - full_in_ms)))
                high = min(most, (remaining + 1) * period_ms // (period_ms - full_in_ms - 1))
                if low <= high:
                    fits[period_ms] = low, high
        self._fits = fits

    def _fitted(self) -> tuple[int, int] | None:
        """Return period and size of the bucket that all levels and resets fit; None: they fit none, or several."""
        if len(self._resets) < RESETS_MIN:
            return None
        fitted = [
            (period_ms, (low + high) // 2)
            for period_ms, (low, high) in self._fits.items()
            if (high - low) * FIT_PARTS <= high
        ]
        return fitted[0] if len(fitted) == 1 else None

    def _refine(self, period_ms: int) -> None:
        """Follow the sizes that the bucket of that period may have by now."""
        fits = self._fits.get(period_ms)
        if fits is not None and self._size is not None and not fits[0] <= self._size <= fits[1]:
            self._size = sum(fits) // 2


class LevelReaches:
    """The reach of each bucket of tokens that headers show.

    Attributes:
        sizes: The last sizes that limits were taken to have instead of those stated.
        guessed: Those that they are taken to have now.
        coarse: Those of these that are the highest of one or two levels.
    """

    __slots__ = ("_own", "_reaches", "coarse", "guessed", "sizes")

    def __init__(self) -> None:
        self.sizes: tuple[int, ...] = ()
        self.guessed = self.coarse = NO_SIZES
        self._reaches: dict[str, LevelReach] = {}  # by the kind of the header
        self._own: dict[str, int] = {}  # the limits whose levels have proved to be their own: no more is asked of them

    def corrected(self, verdict: Verdict, least: Callable[[], int], sent_ms: int, sends: SentCalls) -> Verdict:
        """Return a verdict with limits that hold no more than their levels reach.

        Its call was sent at `sent_ms`; `least` returns its least charge by any law; `sends` are all calls.
        """
        is_refusal = verdict.meaning is Meaning.RATE_LIMITED
        for index, reading in enumerate(verdict.readings):
            if reading.metric is TOKENS and not reading.named:
                size = self._size(TOKENS.value, reading, _nothing if is_refusal else least, sent_ms, sends)
                if size != reading.capacity:
                    shown = list(verdict.readings)
                    shown[index] = replace(reading, capacity=size, period_ms=_period_ms(size, reading))
                    verdict = replace(verdict, readings=tuple(shown))
        for index, side in enumerate(verdict.side_readings):
            size = self._size(side.kind, side, _nothing, sent_ms, sends)
            if size != side.capacity:
                sides = list(verdict.side_readings)
                sides[index] = replace(side, capacity=size, period_ms=_period_ms(size, side))
                verdict = replace(verdict, side_readings=tuple(sides))
        return verdict

    def _size(
        self, kind: str, shown: Reading | SideReading, least: Callable[[], int], sent_ms: int, sends: SentCalls
    ) -> int:
        if self._own.get(kind) == shown.capacity:
            return shown.capacity
        reach = self._reaches.get(kind)
        if reach is None:
            self._own.pop(kind, None)
            reach = self._reaches[kind] = LevelReach()
        is_low = reach.watches and shown.remaining * REACH_PARTS <= shown.capacity
        spent = _sent_before(sent_ms, sends, shown.capacity) if is_low else 0
        size = reach.observe(shown, least(), spent, sent_ms)
        if reach.is_own:
            self._own[kind] = shown.capacity
            del self._reaches[kind]
        elif size != shown.capacity and size not in self.sizes:
            self.sizes = (*self.sizes[1 - SIZES_MAX :], size)
        if self.guessed or size != shown.capacity:
            self.guessed = frozenset(each.size for each in self._reaches.values() if each.size is not None)
            self.coarse = frozenset(each.size for each in self._reaches.values() if each.size and each.is_coarse)
        return size


def _period_ms(size: int, shown: Reading | SideReading) -> int | None:
    return None if shown.full_in_ms is None else reading_of(TOKENS, size, shown.remaining, shown.full_in_ms).period_ms


def _sent_before(sent_ms: int, sends: SentCalls, capacity: int) -> int:
    """Return the tokens sent in the minute before, or all that a limit holds if calls of that minute are forgotten."""
    if sends.forgotten and sends.sent_ms[0] > sent_ms - MINUTE_MS:
        return capacity
    return sends.sent_between(TOKENS, sent_ms - MINUTE_MS, sent_ms + 1)


def _nothing() -> int:
    return 0
