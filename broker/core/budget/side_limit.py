"""One limit that counts neither tokens nor requests: input tokens, those that no cache holds, or images.

It has buckets, calls and sizes of its own, and each call pays what it carries. A server may count only part of that,
such as what is not cached: the charges that its refusals name, and the levels of windows, scale ours.
"""

from collections import deque
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, TOKENS, Reading, Snapshot
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.refill_detection import BUCKET
from headrace.broker.core.answers.verdict import OK, Verdict
from headrace.broker.core.budget.admission_delay import AdmissionDelay
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.charged_share import ChargedShare
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import RECENT, AdmissionOrder, SentCalls
from headrace.broker.core.budget.size_credence import SizeCredence
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

IMAGES: Final = "input-images"
SAMPLES_MAX: Final = 16  # refusals that name a charge
SCALE_STEPS: Final = 50  # a smaller change than by one part in this many would price thousands of calls for nothing
UNSHOWN_MAX: Final = 16  # answers in a row to calls that draw on it that show other buckets
SCALE_MAX: Final = 4  # no server counts more than four times our input, or images
IMAGE_UNITS: Final = 100_000  # of an image, which is exactly one: mirrors of tokens allow for two units of rounding


class SideLimit:
    """One such limit, and the calls that draw on it: those of the whole limit, in the same order.

    Attributes:
        kind: What it counts.
        calls: Its calls, by what each takes.
        buckets: Its buckets.
        sizes: The sizes of these that are believed.
        rests_until_ms: No call that draws on it is sent earlier.
    """

    def __init__(self, kind: str, calls: SentCalls) -> None:
        """`calls` that were sent before it was known count from the start, if their prices are known."""
        self.kind = kind
        self.calls = SentCalls()
        self.buckets = BucketSet(self.calls, estimates=False)
        self.sizes = SizeCredence()
        self._units = IMAGE_UNITS if kind == IMAGES else 1
        self._scale_ppm = PPM
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)
        self._shares: dict[int, ChargedShare] = {}  # by the size of the window
        self._delay = AdmissionDelay()
        self.rests_until_ms = 0
        self._mean: int | None = None  # of the calls so far, once it is asked for
        self._unshown = -1  # answers since headers last showed it; -1: they never have
        self._first = calls.forgotten
        for sent_ms, oldest_open, prices in calls.remembered():
            self.calls.append(sent_ms, 0 if prices is None else self.amount(prices), oldest_open - self._first, prices)

    @property
    def is_gone(self) -> bool:
        """Whether headers have shown it, and do so no more: no answer would ever correct it."""
        return self._unshown > UNSHOWN_MAX

    def amount(self, prices: Prices) -> int:
        """Return what a call takes, in units of this limit."""
        return -(-self._carried(prices) * self._scale_ppm // PPM)

    def _carried(self, prices: Prices) -> int:
        return self._units * (prices.images if self.kind == IMAGES else prices.input_tokens)

    @property
    def mean(self) -> int:
        """What a mean one of the last calls has taken."""
        if self._mean is None:
            self._mean = self.calls.recent_tokens() // max(1, min(RECENT, self.calls.count))
        return self._mean

    def in_units(self, count: int) -> int:
        """Return a figure of the server in units of this limit."""
        return count * self._units

    def _left(self, count: int) -> int:
        """Return what the server says is left, in units; images are whole, so half a one more is for rounding."""
        return count * self._units + self._units // 2

    def level(self, level: LevelBounds) -> LevelBounds:
        """Return a level as the server counts it."""
        low, high, capacity = (figure // self._units for figure in (level.low, level.high, level.capacity))
        return replace(level, low=low, high=high, capacity=capacity, kind=self.kind)

    def payable_at(self, amount: int, reserved_ppm: int, now_ms: int, longer_than_ms: int = 0) -> int:
        """Return when a call that takes so much may be sent."""
        if not amount:
            return now_ms
        unproven = self.sizes.unproven_sizes
        at_ms = self.buckets.payable_at(amount, reserved_ppm, now_ms, unproven, longer_than_ms=longer_than_ms)
        return at_ms if longer_than_ms else max(at_ms, self.rests_until_ms)

    def record_send(self, prices: Prices, number: int, oldest_open: int | None, now_ms: int) -> None:
        """Record a call that is sent now."""
        amount, number = self.amount(prices), number - self._first
        oldest = None if oldest_open is None else max(0, oldest_open - self._first)
        self.calls.append(now_ms, amount, oldest, prices)
        self._mean = None
        if amount:
            self.buckets.pay(amount, number, now_ms)

    def give_back(self, number: int, now_ms: int, *, untaken: bool) -> None:
        """Give back a call that was not charged."""
        amount, self._mean = self.calls.strike(number - self._first), None
        if amount:
            self.buckets.refund(amount, number - self._first, now_ms, untaken=untaken)

    def record_answer(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Correct what an answer shows or names of it."""
        number = call.number - self._first
        order = self.calls.admission_order(number, call.sent_ms, now_ms, self._delay.ms)
        taken = self._taken(number)
        self.sizes.disprove(lambda: taken, admitted=verdict.meaning is OK)
        for size, former in self.sizes.disproved.items():
            self.buckets.disown(size, former, number, now_ms)
        named = verdict.side_limit
        if any(side.kind == self.kind for side in verdict.side_readings):
            self._unshown = 0
        elif self._unshown >= 0 and taken and (verdict.readings or verdict.side_readings):
            self._unshown += named is None or named.metric != self.kind
        if named is not None and named.metric == self.kind:
            self._correct_by_refusal(named, order, taken)
            return
        for side in verdict.side_readings:
            size = self.in_units(side.capacity)
            if side.kind == self.kind and self._believes(size, side.period_ms, taken, admitted=verdict.meaning is OK):
                told = Reading(TOKENS, side.capacity, side.remaining, side.period_ms, side.full_in_ms)
                reading = replace(told, capacity=size, remaining=min(size, self._left(side.remaining)))
                self._learn(self.buckets.observe_headers(reading, order, told=told), size)
                if verdict.meaning is OK:
                    self._learn_share(reading, order)

    def _believes(self, size: int, period_ms: int | None, taken: int, *, admitted: bool) -> bool:
        return self.sizes.believes((TOKENS, period_ms, False), size, lambda: taken, admitted=admitted)

    def _taken(self, number: int) -> int:
        """Return what that call takes by its prices, whether or not it was charged; 0 if that is not known."""
        prices = self.calls.prices_of(number) if number >= 0 else None
        return 0 if prices is None else self.amount(prices)

    def _correct_by_refusal(self, named: StatedLimit, order: AdmissionOrder, taken: int) -> None:
        """Learn how the limit that a refusal names counts, and what is left in it."""
        assert named.capacity is not None, "a refusal that states no size names no limit"
        assert named.period_ms is not None, "nor does one that states no period"
        size = self.in_units(named.capacity)
        prices = self.calls.prices_of(order.number)
        if named.requested is not None and prices is not None:
            self._learn_scale(self._carried(prices), self.in_units(named.requested))
        if self._believes(size, named.period_ms, taken, admitted=False):
            left = None if named.used is None else self._left(max(0, named.capacity - named.used))
            stated = Snapshot(TOKENS, named.period_ms, size, None, None, named.name, None)
            self._learn(self.buckets.observe_refusal(stated, left, order), size)
            if left is None:  # it was too little for this call, and what it was is not said
                self.buckets.trust_no_more_than(0, order.now_ms)

    def _learn(self, error: int | None, size: int) -> None:
        """Learn from the error of the bucket of that size how long calls take to the limiter."""
        period_ms = next((mirror.period_ms for mirror in self.buckets if mirror.capacity == size), MINUTE_MS)
        self._delay.learn(error, size, period_ms)

    def _learn_scale(self, carried: int, requested: int) -> None:
        """Learn what the server counts of a call that carries so much."""
        if carried <= 0 or requested <= 0:
            return
        self._samples.append((carried, min(requested, SCALE_MAX * carried)))
        self._rescale()

    def _learn_share(self, reading: Reading, order: AdmissionOrder) -> None:
        """Learn from the level of a window what share of its calls the server counts; an image is one whole."""
        telling = (each for each in self.buckets if each.refill is not BUCKET or not self.buckets.age_ms)
        mirror = next((each for each in telling if each.capacity == reading.capacity), None)
        if reading.capacity in self.buckets.guessed:
            return  # what is used of it is not known
        prices = self.calls.prices_of(order.number) if order.number >= 0 else None
        if mirror is not None and prices is not None and self.kind != IMAGES:
            oldest_ms = self.calls.oldest_open_ms(order.sent_ms)
            if mirror.capacity not in self._shares:  # of a size that is new, perhaps in place of another
                sizes = {known.capacity for known in self.buckets}
                self._shares = {size: share for size, share in self._shares.items() if size in sizes}
            share = self._shares.setdefault(mirror.capacity, ChargedShare())
            if share.observe(mirror, self._carried(prices), reading.remaining, order, oldest_ms):
                self._rescale()

    def _rescale(self) -> None:
        """Price calls by what refusals have named, and no higher than the levels of each of its windows show."""
        ours, theirs = (sum(column) for column in zip(*self._samples, strict=True)) if self._samples else (1, 1)
        scale_ppm = max(1, theirs * PPM // ours)
        named = bool(self._samples)  # which is exact; what a short bucket shows is not
        shares = [None if named and each.refill is BUCKET else self._shares.get(each.capacity) for each in self.buckets]
        shown = [share.ppm for share in shares if share is not None and share.ppm is not None]
        if shown and len(shown) == len(shares):
            scale_ppm = min(scale_ppm, max(shown))
        if abs(scale_ppm - self._scale_ppm) * SCALE_STEPS > self._scale_ppm:
            self._scale_ppm = scale_ppm
            self.calls.reprice_by(self.amount)
            self._mean = None
            self.buckets.reprice()
