"""Limits that count neither tokens nor requests: input tokens, input tokens that no cache holds, images.

Such a limit is known once headers show it, or a refusal names it. It has buckets, calls and sizes of its own, and each
call pays what it carries. A server may count only part of that, such as what is not cached: the charges that its
refusals name scale ours.

Where an operator states tokens a minute, and the server limits input tokens at the same rate, that is the limit that
was meant: the stated bucket is dropped, until an answer shows or names one of tokens.

Every call of the limit must be recorded, in the order of sending: calls are told by their numbers. The mirrors of such
a limit are those of tokens, so `LevelBounds.kind` says what they count.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, TOKENS, Reading, Snapshot
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.refill_detection import BUCKET, Refill
from headrace.broker.core.answers.verdict import OK, Verdict
from headrace.broker.core.budget.achievement import Bound
from headrace.broker.core.budget.admission_delay import AdmissionDelay
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.charged_share import ChargedShare
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.mirror_list import ALIKE_PARTS, AnyMirror
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import RECENT, AdmissionOrder, SentCalls
from headrace.broker.core.budget.size_credence import SizeCredence
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

IMAGES: Final = "input-images"
KINDS: Final = ("input-tokens", "uncached-input-tokens", IMAGES)
SAMPLES_MAX: Final = 16
SCALE_STEPS: Final = 50  # a smaller change than by one part in this many would price thousands of calls for nothing
UNSHOWN_MAX: Final = 16  # answers in a row to calls that draw on it that show other buckets
SCALE_MAX: Final = 4  # no server counts more than four times our input, or images
IMAGE_UNITS: Final = 100_000  # of an image, which is exactly one: mirrors of tokens allow for two units of rounding


class _SideLimit:
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


class SideLimits:
    """All such limits of one limit."""

    __slots__ = ("_calls", "_gone", "_limits")

    def __init__(self, calls: SentCalls) -> None:
        """`calls`: every call of the limit."""
        self._calls = calls
        self._limits: dict[str, _SideLimit] = {}
        self._gone = 0  # changes of those that were dropped, and the dropping itself

    def __bool__(self) -> bool:
        return bool(self._limits)

    def inherit(self, levels: Iterable[LevelBounds], now_ms: int) -> None:
        """Adopt the levels that a predecessor left, each with the kind of its limit."""
        for level in levels:
            if level.kind in KINDS:
                limit = self._of(level.kind)
                low, capacity = limit.in_units(level.low), limit.in_units(level.capacity)
                limit.buckets.inherit(replace(level, low=low, high=low, capacity=capacity, kind=""), now_ms)
                limit.sizes.inherit(capacity, level.period_ms)

    def payable_at(self, prices: Prices | None, reserved_ppm: int, now_ms: int, *, longer_than_ms: int = 0) -> int:
        """Return when a call may be sent; `now_ms` if it is not known what it carries.

        With `longer_than_ms`, only buckets of at least that period count.
        """
        at_ms = now_ms
        if prices is not None:
            for limit in self._limits.values():
                at_ms = max(at_ms, limit.payable_at(limit.amount(prices), reserved_ppm, now_ms, longer_than_ms))
        return at_ms

    def payable_again_at(self, number: int, now_ms: int) -> int:
        """Return when a call like that one may be sent, whether or not it was charged."""
        return self.payable_at(self._calls.prices_of(number), 0, now_ms)

    def rest(self, named: StatedLimit | None, until_ms: int) -> bool:
        """Send no call before then that draws on the limit a refusal names; return whether that spares other calls.

        Every call carries input, but few carry images.
        """
        limit = None if named is None or named.metric != IMAGES else self._limits.get(IMAGES)
        if limit is not None:
            limit.rests_until_ms = max(limit.rests_until_ms, until_ms)
        return limit is not None

    def record_send(self, prices: Prices, number: int, oldest_open: int | None, now_ms: int) -> None:
        """Record a call that is sent now, the one of that number among all."""
        for limit in self._limits.values():
            limit.record_send(prices, number, oldest_open, now_ms)

    def give_back(self, number: int, now_ms: int, *, untaken: bool) -> None:
        """Give back a call that was not charged: see `BucketSet.refund`."""
        for limit in self._limits.values():
            limit.give_back(number, now_ms, untaken=untaken)

    def record_answer(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Correct what an answer shows or names, and begin with limits that were not known."""
        named = verdict.side_limit
        kinds = {side.kind for side in verdict.side_readings if side.kind in KINDS}
        if named is not None and not named.project:
            kinds.add(named.metric)
        for kind in kinds:
            self._of(kind)
        for limit in list(self._limits.values()):
            limit.record_answer(call, verdict, now_ms)
            if limit.is_gone:
                del self._limits[limit.kind]
                self._gone += limit.buckets.made + 1

    def _of(self, kind: str) -> _SideLimit:
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = _SideLimit(kind, self._calls)
        return limit

    def refills_like(self, capacity: int, period_ms: int) -> bool:
        """Return whether a bucket of input refills as fast as one of so many tokens, but for rounding."""
        rates = (
            (mirror.capacity * period_ms, capacity * mirror.period_ms)
            for limit in self._limits.values()
            if limit.kind != IMAGES
            for mirror in limit.buckets
        )
        return any(abs(mine - theirs) * ALIKE_PARTS <= theirs for mine, theirs in rates)

    @property
    def made(self) -> int:
        """The number of times that the set of their buckets has changed."""
        return self._gone + sum(limit.buckets.made for limit in self._limits.values())

    def any_window(self, least_ms: int) -> bool:
        """Return whether one begins anew, or counts each call, for so long or longer."""
        return any(_is_window(mirror, least_ms) for limit in self._limits.values() for mirror in limit.buckets)

    def windows(self, prices: Prices | None, least_ms: int) -> Iterator[tuple[AnyMirror, int, int]]:
        """Yield those windows that a call takes of: the window, what it takes, and what a mean one of the last took."""
        if prices is None:
            return
        for limit in self._limits.values():
            amount = limit.amount(prices)
            for mirror in limit.buckets if amount else ():
                if _is_window(mirror, least_ms):
                    yield mirror, amount, limit.mean

    def any_spent(self, prices: Prices | None, least_ms: int, now_ms: int, reserved_ppm: int = 0) -> bool:
        """Return whether one of at least that period cannot pay, beside the reserve, for a call that takes of it."""
        return prices is not None and any(
            mirror.period_ms >= least_ms
            and mirror.low(now_ms) < max(amount, min(mirror.capacity, amount + mirror.capacity * reserved_ppm // PPM))
            for limit in self._limits.values()
            if (amount := limit.amount(prices))
            for mirror in limit.buckets
        )

    def rests_ms(self, prices: Prices, now_ms: int) -> int:
        """Return for how long no such call is sent because a refusal has asked to wait."""
        rests = (limit.rests_until_ms for limit in self._limits.values() if limit.amount(prices))
        return max(0, max(rests, default=0) - now_ms)

    def capacities(self) -> dict[tuple[str, bool, Refill, int], int]:
        """Return the size of each bucket, by what it counts and how it refills."""
        return {
            (limit.kind, False, mirror.refill, mirror.period_ms): mirror.capacity
            for limit in self._limits.values()
            for mirror in limit.buckets
        }

    def bounds(
        self, prices: Prices | None, reserved_ppm: int, now_ms: int, kept_ppm: int = 0
    ) -> Iterator[tuple[int, Bound, bool]]:
        """Yield what each bucket bounds, in tokens of calls like the last ones.

        With each come the instant at which it can pay for the call, and whether headers state it. `kept_ppm`: the
        largest share that calls have lately had to leave, if that is more than this one must.
        """
        tokens = self._calls.recent_tokens()
        for limit in self._limits.values():
            amount = 0 if prices is None else limit.amount(prices)
            carried = limit.calls.recent_tokens()
            for mirror in limit.buckets if carried else ():
                bound = Bound.of(mirror, max(1, amount), now_ms, max(kept_ppm, reserved_ppm))
                reserved = mirror.capacity * reserved_ppm // PPM
                at_ms = mirror.payable_at(amount, reserved, now_ms) if amount else now_ms
                figures = bound.per_minute, bound.level, bound.reserved
                per_minute, level, kept = (figure * tokens // carried for figure in figures)
                bound = replace(bound, per_minute=per_minute, level=level, reserved=kept)
                yield at_ms, bound, limit.buckets.is_stated(mirror)

    def flow_ms(self, tokens: int) -> int:
        """Return how long what calls of so many tokens carry takes to flow in, if they are like the last ones."""
        return max((limit.buckets.flow_ms(self._share_of(limit, tokens)) for limit in self._limits.values()), default=0)

    def flows_in_ms(self, tokens: int, reserved_ppm: int, now_ms: int) -> int:
        """Return how long until each bucket holds what calls of `tokens` tokens carry, and the reserve besides."""
        longest_ms = 0
        for limit in self._limits.values():
            carried = self._share_of(limit, tokens)
            for mirror in limit.buckets:
                missing = carried + mirror.capacity * reserved_ppm // PPM - mirror.low(now_ms)
                longest_ms = max(longest_ms, -(-missing * mirror.period_ms // mirror.capacity))
        return longest_ms

    def _share_of(self, limit: _SideLimit, tokens: int) -> int:
        """Return what calls of so many tokens carry, if they are like the last ones."""
        of_last = self._calls.recent_tokens()
        return tokens * limit.calls.recent_tokens() // of_last if of_last else 0

    def levels(self, now_ms: int) -> tuple[LevelBounds, ...]:
        """Return the level bounds of each bucket, as servers count them."""
        return tuple(limit.level(level) for limit in self._limits.values() for level in limit.buckets.levels(now_ms))

    def amount(self, kind: str, prices: Prices) -> int:
        """Return what a call takes of the limit of a kind, as servers count it."""
        limit = self._limits[kind]
        return -(-limit.amount(prices) // limit.in_units(1))


def _is_window(mirror: AnyMirror, least_ms: int) -> bool:
    return mirror.refill is not BUCKET and mirror.period_ms >= least_ms and not mirror.is_spent_evenly
