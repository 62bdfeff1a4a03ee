"""Limits that count neither tokens nor requests: input tokens, input tokens that no cache holds, images.

Such a limit (`headrace.broker.core.budget.side_limit`) is known once headers show it, or a refusal names it.

Where an operator states tokens a minute, and the server limits input tokens at the same rate, that is the limit that
was meant: the stated bucket is dropped, until an answer shows or names one of tokens.

Every call of the limit must be recorded, in the order of sending: calls are told by their numbers. The mirrors of such
a limit are those of tokens, so `LevelBounds.kind` says what they count.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.refill_detection import BUCKET, Refill
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.achievement import Bound
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.mirror_list import ALIKE_PARTS, AnyMirror
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.side_limit import IMAGES, SideLimit
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM

KINDS: Final = ("input-tokens", "uncached-input-tokens", IMAGES)


class SideLimits:
    """All such limits of one limit."""

    __slots__ = ("_calls", "_gone", "_limits")

    def __init__(self, calls: SentCalls) -> None:
        """`calls`: every call of the limit."""
        self._calls = calls
        self._limits: dict[str, SideLimit] = {}
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

    def record_answer(self, call: Reservation, verdict: Verdict, now_ms: int, tokens: BucketSet | None = None) -> None:
        """Correct what an answer shows or names, and begin with limits that were not known.

        `tokens` are the buckets of tokens: the sizes that headers do not state there are not stated here either.
        """
        named = verdict.side_limit
        kinds = {side.kind for side in verdict.side_readings if side.kind in KINDS}
        if named is not None and not named.project:
            kinds.add(named.metric)
        for kind in kinds:
            self._of(kind)
        for limit in list(self._limits.values()):
            if tokens is not None:
                limit.buckets.coarse, limit.buckets.guessed = tokens.coarse, tokens.guessed
            limit.record_answer(call, verdict, now_ms)
            if limit.is_gone:
                del self._limits[limit.kind]
                self._gone += limit.buckets.made + 1

    def _of(self, kind: str) -> SideLimit:
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = SideLimit(kind, self._calls)
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

    def _share_of(self, limit: SideLimit, tokens: int) -> int:
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
