"""Limits that count neither tokens nor requests: input tokens, input tokens that no cache holds, images.

Such a limit is known once headers show it, or a refusal names it. It has buckets and calls of its own, of which each
pays what it carries. Nothing says how a server counts that exactly, so charges that refusals name scale it: one that
leaves out what is cached counts a part of the input.

Where an operator states so many tokens a minute, and refusals name as many input tokens, that is the limit that was
meant: the stated bucket is dropped, until an answer shows or names one of tokens.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import TOKENS, Reading, Snapshot
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.refill_detection import BUCKET
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.achievement import Bound
from headrace.broker.core.budget.bucket_set import BucketSet, LevelBounds
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import RECENT, AdmissionOrder, SentCalls
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

COUNTED: Final[Mapping[str, Callable[[Prices], int]]] = {
    "input-tokens": lambda prices: prices.input_tokens,
    "uncached-input-tokens": lambda prices: prices.input_tokens,
    "input-images": lambda prices: prices.images,
}
"""What a call carries of each."""
SAMPLES_MAX: Final = 16
SCALE_MAX: Final = 4  # no server counts more than four times our input, or images


class _Limit:
    """One such limit, and the calls that draw on it: those of the whole limit, in the same order."""

    def __init__(self, kind: str, calls: SentCalls) -> None:
        self.kind = kind
        self.calls = SentCalls()
        self.buckets = BucketSet(self.calls)
        self.scale_ppm = PPM
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)
        self._first = calls.forgotten
        for sent_ms, oldest_open, prices in calls.remembered():
            self.calls.append(sent_ms, 0 if prices is None else self.amount(prices), oldest_open - self._first)

    def amount(self, prices: Prices) -> int:
        """Return what a call takes."""
        return -(-COUNTED[self.kind](prices) * self.scale_ppm // PPM)

    def amount_of(self, number: int) -> int:
        """Return what that call of the whole limit took; 0 if it was refused or sent too long ago."""
        index = self.calls.index_of(number - self._first)
        return 0 if index is None else self.calls.amounts[TOKENS][index]

    def record_send(self, prices: Prices, number: int, oldest_open: int | None, now_ms: int) -> None:
        amount, number = self.amount(prices), number - self._first
        self.calls.append(now_ms, amount, None if oldest_open is None else max(0, oldest_open - self._first))
        self.buckets.pay(amount, number, now_ms)

    def give_back(self, number: int, now_ms: int, *, untaken: bool) -> None:
        amount = self.calls.strike(number - self._first)
        if amount:
            self.buckets.refund(amount, number - self._first, now_ms, untaken=untaken)

    def order(self, call: Reservation, now_ms: int, delay_ms: int) -> AdmissionOrder:
        return self.calls.admission_order(call.number - self._first, call.sent_ms, now_ms, delay_ms)

    def learn_scale(self, counted: int, requested: int) -> None:
        """Learn what the server counts of a call that carries so much."""
        if counted <= 0:
            return
        self._samples.append((counted, min(requested, SCALE_MAX * counted)))
        ours, theirs = (sum(column) for column in zip(*self._samples, strict=True))
        before, self.scale_ppm = self.scale_ppm, max(1, theirs * PPM // ours)
        if before != self.scale_ppm:
            amounts = self.calls.amounts[TOKENS]
            amounts[:] = [amount * self.scale_ppm // before for amount in amounts]
            self.buckets.reprice()


class BesideLimits:
    """All such limits of one limit."""

    __slots__ = ("_calls", "_limits")

    def __init__(self, calls: SentCalls) -> None:
        """`calls`: every call of the limit."""
        self._calls = calls
        self._limits: dict[str, _Limit] = {}

    def __bool__(self) -> bool:
        return bool(self._limits)

    def payable_at(self, prices: Prices | None, reserved_ppm: int, now_ms: int, *, longer_than_ms: int = 0) -> int:
        """Return when a call may be sent; `now_ms` if it is not known what it carries."""
        at_ms = now_ms
        for limit in self._limits.values():
            amount = 0 if prices is None else limit.amount(prices)
            if amount:
                payable_ms = limit.buckets.payable_at(amount, reserved_ppm, now_ms, longer_than_ms=longer_than_ms)
                at_ms = max(at_ms, payable_ms)
        return at_ms

    def payable_again_at(self, number: int, now_ms: int) -> int:
        """Return when a call like that one could be paid."""
        at_ms = now_ms
        for limit in self._limits.values():
            amount = limit.amount_of(number)
            if amount:
                at_ms = max(at_ms, limit.buckets.payable_at(amount, 0, now_ms))
        return at_ms

    def record_send(self, prices: Prices, number: int, oldest_open: int | None, now_ms: int) -> None:
        """Record a call that is sent now, the one of that number among all."""
        for limit in self._limits.values():
            limit.record_send(prices, number, oldest_open, now_ms)

    def give_back(self, number: int, now_ms: int, *, untaken: bool) -> None:
        """Give back a call that was not charged: see `BucketSet.refund`."""
        for limit in self._limits.values():
            limit.give_back(number, now_ms, untaken=untaken)

    def record_answer(self, call: Reservation, verdict: Verdict, now_ms: int, delay_ms: int) -> None:
        """Correct what an answer shows or names."""
        named = verdict.beside
        if named is not None:
            self._record_refusal(call, named, now_ms, delay_ms)
        for side in verdict.side_readings:
            if side.kind in COUNTED and (named is None or named.metric != side.kind):
                limit = self._of(side.kind)
                reading = Reading(TOKENS, side.capacity, side.remaining, side.period_ms, side.full_in_ms)
                limit.buckets.observe_headers(reading, limit.order(call, now_ms, delay_ms))

    def _record_refusal(self, call: Reservation, named: StatedLimit, now_ms: int, delay_ms: int) -> None:
        """Learn the limit that a refusal names, how it counts, and what is left in it."""
        if named.metric not in COUNTED or not named.capacity or not named.period_ms:
            return
        limit = self._of(named.metric)
        order = limit.order(call, now_ms, delay_ms)
        if named.requested is not None:
            prices = self._calls.prices_of(call.number)
            limit.learn_scale(0 if prices is None else COUNTED[named.metric](prices), named.requested)
        left = None if named.used is None else max(0, named.capacity - named.used)
        stated = Snapshot(TOKENS, named.period_ms, named.capacity, named.used, named.requested, named.name, None)
        limit.buckets.observe_refusal(stated, left, order)

    def _of(self, kind: str) -> _Limit:
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = _Limit(kind, self._calls)
        return limit

    def means(self, capacity: int, period_ms: int) -> bool:
        """Return whether one of them refills as fast as a bucket of tokens of that size and period."""
        return any(
            abs(mirror.capacity * period_ms - capacity * mirror.period_ms) * PPM
            <= capacity * mirror.period_ms * SAME_PPM
            for limit in self._limits.values()
            for mirror in limit.buckets
        )

    @property
    def made(self) -> int:
        """The number of times that the set of their buckets has changed."""
        return sum(limit.buckets.made for limit in self._limits.values())

    def windows(self, least_ms: int) -> Iterator[tuple[AnyMirror, int]]:
        """Yield those that begin anew, or count each call, for so long or longer, and what a mean call takes."""
        for limit in self._limits.values():
            mean = limit.calls.recent_tokens() // max(1, min(RECENT, limit.calls.count))
            for mirror in limit.buckets:
                if mirror.refill is not BUCKET and mirror.period_ms >= least_ms:
                    yield mirror, mean

    def bounds(self, prices: Prices | None, reserved_ppm: int, now_ms: int) -> Iterator[tuple[int, Bound, bool]]:
        """Yield what each bucket bounds, in tokens of calls like the last ones.

        With each come the instant at which it can pay for the call, and whether headers state it.
        """
        tokens = self._calls.recent_tokens()
        for limit in self._limits.values():
            amount = 0 if prices is None else limit.amount(prices)
            carried = limit.calls.recent_tokens()
            for mirror in limit.buckets if carried else ():
                bound = Bound.of(mirror, max(1, amount), now_ms)
                reserved = mirror.capacity * reserved_ppm // PPM
                at_ms = mirror.payable_at(amount, reserved, now_ms) if amount else now_ms
                in_tokens = replace(
                    bound, per_minute=bound.per_minute * tokens // carried, level=bound.level * tokens // carried
                )
                yield at_ms, in_tokens, limit.buckets.is_stated(mirror)

    def flow_ms(self, tokens: int) -> int:
        """Return how long the input of so many tokens of calls like the last ones takes to flow in."""
        return max((limit.buckets.flow_ms(self._carried(limit, tokens)) for limit in self._limits.values()), default=0)

    def flows_in_ms(self, tokens: int, reserved_ppm: int, now_ms: int) -> int:
        """Return how long until they hold as much beside the reserve."""
        longest_ms = 0
        for limit in self._limits.values():
            carried = self._carried(limit, tokens)
            for mirror in limit.buckets:
                missing = carried + mirror.capacity * reserved_ppm // PPM - mirror.low(now_ms)
                longest_ms = max(longest_ms, -(-missing * mirror.period_ms // mirror.capacity))
        return longest_ms

    def _carried(self, limit: _Limit, tokens: int) -> int:
        """Return what calls of so many tokens carry, if they are like the last ones."""
        of_last = self._calls.recent_tokens()
        return tokens * limit.calls.recent_tokens() // of_last if of_last else 0

    def levels(self, now_ms: int) -> tuple[LevelBounds, ...]:
        """Return the level bounds of each bucket."""
        return tuple(
            replace(level, kind=limit.kind) for limit in self._limits.values() for level in limit.buckets.levels(now_ms)
        )

    def amount(self, kind: str, prices: Prices) -> int:
        """Return what a call takes of the limit of a kind."""
        return self._limits[kind].amount(prices)


SAME_PPM: Final = 50_000
"""Rates that differ by no more are the same but for rounding."""
