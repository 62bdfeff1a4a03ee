"""All buckets of one limit, and the payment of all of them together.

A metric may have several: a minute's and a day's, one that the operator configured and one that headers show
(shown_buckets.py), the account's and a project's (facts/openai.md §3, §4.2). Every call pays all of them.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import (
    HOUR_MS,
    REQUESTS,
    SECOND_MS,
    TOKENS,
    LimitMetric,
    Reading,
    Snapshot,
)
from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.bucket_mirror import Corrections, Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.inflow import Rates
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.level_reach import NO_SIZES
from headrace.broker.core.budget.mirror_list import AnyMirror, MirrorList
from headrace.broker.core.budget.missing_tokens import MissingTokens
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.room_for_others import RoomForOthers, is_unforeseen
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.shown_buckets import ShownBuckets
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.units import PPM

BOUNDLESS = 1 << 62
RECOUNT_EVERY_MS: Final = 2_000  # after mispriced calls, one answer sets what a window has left, and tells nothing else


class BucketSet:
    """Mirrors of one limit's metrics.

    Attributes:
        missing: The tokens that answers showed to be missing and no call of ours explains.
        guessed: Sizes that levels have shown, and headers do not state (`headrace.broker.core.budget.level_reach`).
        coarse: Those of them that levels have shown too coarsely to rely on them.
        others: Whether others must have taken some of a window.
    """

    def __init__(self, sends: SentCalls, *, estimates: bool = True) -> None:
        """`sends`: every call of the limit, which the mirrors look back at; `estimates`: see `ShownBuckets`."""
        self._sends = sends
        self.missing = MissingTokens()
        self.guessed = self.coarse = NO_SIZES
        self._room: RoomForOthers | None = None  # until others seem to spend too
        self._mirrors = MirrorList()
        self._shown = ShownBuckets(self._mirrors, sends, estimates=estimates)
        self.others = self._shown.others
        self._recounts, self._recount_at_ms = False, 0  # fixed windows, whose calls have proved mispriced

    def __iter__(self) -> Iterator[AnyMirror]:
        return iter(self._mirrors)

    @property
    def made(self) -> int:
        """The number of times the set of mirrors has changed."""
        return self._mirrors.made

    def believe(self, metric: LimitMetric, capacity: int, period_ms: int, now_ms: int, *, follow: bool = False) -> None:
        """Add a bucket that the operator configured, unless it is known already.

        A level that a predecessor left is better knowledge than the configuration. So is its size, except with
        `follow`: where no header reports the size, the predecessor's figure comes from older settings.
        """
        known = self._mirrors.find((metric, False), None, period_ms)
        if known is None:
            self._mirrors.add(Mirror(metric, capacity, period_ms, now_ms))
        elif follow:
            known.adopt_capacity(capacity, -1, now_ms)

    def slide(self, period_ms: int, now_ms: int, *, slides: bool) -> bool:
        """Model tokens that no header shows as a sliding window, or as a bucket again; return whether there are any."""
        unshown = (each for each in self.of(TOKENS) if not (each.project or self._shown.shows(each)))
        former = next((each for each in unshown if each.period_ms == period_ms), None)
        if former is None:
            return False
        low, capacity = max(0, former.low(now_ms)), former.capacity
        self._mirrors.keep(lambda other: other is not former)
        if slides:
            self._mirrors.add(SlidingWindowMirror(TOKENS, capacity, period_ms, now_ms, self._sends))
        else:
            self.inherit(LevelBounds(TOKENS, low, capacity, capacity, period_ms), now_ms)
        return True

    def inherit(self, level: LevelBounds, now_ms: int) -> None:
        """Add a bucket with the lower bound that a predecessor left."""
        mirror = Mirror(level.metric, level.capacity, level.period_ms, now_ms, project=level.project)
        mirror.inherit(level.low, now_ms)
        if level.project:
            self._shown.record_project(shown=True)
        self._mirrors.add(mirror)

    def record_missing(self, tokens: int, now_ms: int) -> None:
        """Record tokens that an answer showed to be missing and no call of ours explains."""
        self.missing.add(tokens, now_ms, shown=self.shows_tokens)
        self._room = self._room or RoomForOthers()
        self._room.record_missing(tokens, now_ms)

    def make_room(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Set, after an answer, the tokens that buckets keep back for other clients."""
        if self._room is not None or is_unforeseen(call, verdict):
            buckets = [(each, self._shown.states(each)) for each in self.of(TOKENS) if isinstance(each, Mirror)]
            self._room = self._room or (RoomForOthers() if any(stated for _, stated in buckets) else None)
            if self._room is not None:
                self._room.update(call, verdict, buckets, now_ms)

    def of(self, metric: LimitMetric) -> list[AnyMirror]:
        """Return the mirrors of one metric."""
        return self._mirrors.of(metric)

    def shortest(self) -> AnyMirror | None:
        """Return the bucket of tokens that refills soonest, the smallest of these; None while none is known."""
        return self._mirrors.shortest

    def is_stated(self, mirror: AnyMirror) -> bool:
        """Return whether headers state a bucket's size, and not coarsely, and its period."""
        return mirror.capacity not in self.coarse and self._shown.states(mirror)

    @property
    def shows_tokens(self) -> bool:
        """Whether headers show a bucket of tokens; otherwise only refusals tell of levels."""
        return any(map(self._shown.shows, self.of(TOKENS)))

    @property
    def payable_max(self) -> int | None:
        """The most that one call pays: a full smallest bucket of tokens, and as much debt; None while none is known.

        A server whose bucket never holds that many tokens has charged less, or refuses the call; and if it has charged
        more, the next answer shows it. Where no answer shows levels, a mistaken price would otherwise cause an
        unbounded wait.
        """
        smallest = 0
        for mirror in self._mirrors.of(TOKENS):  # runs for each call: a generator takes twice as long
            if not smallest or mirror.capacity < smallest:
                smallest = mirror.capacity
        return 2 * smallest if smallest else None

    def can_hold(self, tokens: int, unproven: Collection[int] = ()) -> bool:
        """Return whether each full bucket of tokens can hold the call; an `unproven` size does not count."""
        for mirror in self._mirrors.of(TOKENS):
            if tokens > mirror.capacity and mirror.capacity not in unproven:
                return False
        return True

    def drop_unshown(self, capacity: int, period_ms: int) -> None:
        """Drop a bucket of tokens of that size and period, unless headers show it."""
        self._mirrors.keep(
            lambda mirror: (
                mirror.metric is not TOKENS
                or (mirror.capacity, mirror.period_ms) != (capacity, period_ms)
                or self._shown.shows(mirror)
            )
        )

    def disown(self, capacity: int, former: int | None, number: int, now_ms: int) -> None:
        """Undo a size of tokens that the answer to call `number` disproved: restore `former`, or drop the bucket."""
        for mirror in self._mirrors.of(TOKENS):
            if mirror.capacity == capacity and former is not None:
                mirror.adopt_capacity(former, number, now_ms)
        if self._mirrors.keep(lambda mirror: mirror.metric is not TOKENS or mirror.capacity != capacity):
            self._shown.forget(self._mirrors)

    def refill_rates(self, now_ms: int, unproven: Collection[int] = ()) -> tuple[Rates, tuple[int, ...]]:
        """Return the refill rates of tokens and the bars at the highest possible levels: see `budget.inflow.Inflow`.

        Buckets whose size is only `unproven` are left out.
        """
        mirrors = [mirror for mirror in self._mirrors.of(TOKENS) if mirror.capacity not in unproven]
        rates = tuple((mirror.period_ms, mirror.capacity) for mirror in mirrors)
        bars = tuple(_lent(mirror, now_ms) * mirror.period_ms - now_ms * mirror.capacity for mirror in mirrors)
        return rates, bars

    def are_ample(self, now_ms: int) -> bool:
        """Return whether each bucket of tokens refills all the time and is at least half full.

        One of an hour or longer is there to be spent: as long as it can pay, it is ample.
        """
        return all(
            mirror.period_ms >= HOUR_MS or (isinstance(mirror, Mirror) and mirror.is_half_full(now_ms))
            for mirror in self._mirrors.of(TOKENS)
        )

    def flow_ms(self, tokens: int) -> int:
        """Return how long `tokens` take to flow into the slowest bucket."""
        flow_ms = 0
        for mirror in self._mirrors.of(TOKENS):
            flow_ms = max(flow_ms, tokens * mirror.period_ms // mirror.capacity)
        return flow_ms

    def pace_ms(self, paid: int) -> int:
        """Return how long the slowest bucket takes to refill such a call."""
        amounts = ((paid if mirror.metric is TOKENS else 1, mirror) for mirror in self._mirrors)
        return max((amount * mirror.period_ms // mirror.capacity for amount, mirror in amounts), default=0)

    def refill_beside_reserve(self, tokens: int, reserved_ppm: int) -> int:
        """Return the longest period of buckets without room for `tokens` beside the reserve; 0 if all have room."""
        crowded = (
            mirror.period_ms
            for mirror in self._mirrors.of(TOKENS)
            if tokens + mirror.capacity * reserved_ppm // PPM > mirror.capacity
        )
        return max(crowded, default=0)

    def payable_at(
        self, paid: int, reserved_ppm: int, now_ms: int, unproven: Collection[int] = (), *, longer_than_ms: int = 0
    ) -> int:
        """Return the first instant at which every bucket can pay the call and still hold the reserve.

        A bucket of an `unproven` size does not delay a call that can never fit it: the answer will tell, and other
        buckets do not wait for it. With `longer_than_ms`, only buckets of at least that period count.
        """
        at_ms = now_ms
        for mirror in self._mirrors:
            if mirror.period_ms < longer_than_ms:
                continue
            amount = paid if mirror.metric is TOKENS else 1
            if amount > mirror.capacity and mirror.capacity in unproven:
                continue
            reserved = mirror.capacity * reserved_ppm // PPM if reserved_ppm else 0
            payable_ms = mirror.payable_at(amount, reserved, now_ms)
            if payable_ms > at_ms:
                at_ms = payable_ms
        return at_ms

    def binding(self, paid: int, now_ms: int, reserved_ppm: int = 0) -> AnyMirror | None:
        """Return the bucket that delays such a call longest, with its reserve; None: no bucket does."""
        latest_ms, binding = now_ms, None
        for mirror in self._mirrors:
            reserved = mirror.capacity * reserved_ppm // PPM
            payable_ms = mirror.payable_at(paid if mirror.metric is TOKENS else 1, reserved, now_ms)
            if payable_ms > latest_ms:
                latest_ms, binding = payable_ms, mirror
        return binding

    def spare(self, reserved_ppm: int, now_ms: int) -> tuple[int, int] | None:
        """Return the tokens and calls beyond the reserve; None with any window, whose count may drop our own calls."""
        spare = {TOKENS: BOUNDLESS, REQUESTS: BOUNDLESS}
        for mirror in self._mirrors:
            if not isinstance(mirror, Mirror):
                return None
            beyond = mirror.spare(mirror.capacity * reserved_ppm // PPM, now_ms)
            if beyond < spare[mirror.metric]:
                spare[mirror.metric] = beyond
        return spare[TOKENS], spare[REQUESTS]

    def trust_no_more_than(self, paid: int, now_ms: int, *, again: bool = True) -> None:
        """Lower the estimates to the `paid` tokens of a probe call; anything believed beyond them is uncertain.

        Half full buckets that no header shows, only if it is refused `again`: a shorter window may have refused before.
        Half full ones of an hour or longer, never: a shorter window has refused it.
        """
        for mirror in self._mirrors.of(TOKENS):
            is_doubted = mirror.period_ms < HOUR_MS and (again or self._shown.shows(mirror))
            if isinstance(mirror, Mirror) and (is_doubted or not mirror.is_half_full(now_ms)):
                mirror.trust_no_more_than(paid, now_ms)

    def pay(self, paid: int, number: int, now_ms: int) -> None:
        """Record the sending of call `number`."""
        for mirror in self._mirrors:
            mirror.pay(paid if mirror.metric is TOKENS else 1, number, now_ms)

    def refund(self, paid: int, number: int, now_ms: int, *, untaken: bool = False) -> None:
        """Give back call `number`, which was not charged; `untaken`: the server did not even consult its limits."""
        for mirror in self._mirrors:
            amount = paid if mirror.metric is TOKENS else 1
            if untaken and isinstance(mirror, Mirror):
                mirror.refund_unprocessed(amount, number, now_ms)
            else:
                mirror.refund(amount, number, now_ms)

    def correct(self, corrections: Corrections, now_ms: int) -> None:
        """Give back the tokens that each call paid beyond its charge, or take those it paid too little."""
        for mirror in self._mirrors.of(TOKENS):
            if isinstance(mirror, FixedWindowMirror):
                self._recounts = True
            else:
                mirror.correct(corrections, now_ms, self._sends)

    def _recount(self, now_ms: int) -> None:
        """Let this answer set what is left in fixed windows, if calls have proved mispriced.

        Not while it must show whether a window has begun anew; what was paid in the former one does not matter then.
        """
        windows = [mirror for mirror in self._mirrors.of(TOKENS) if isinstance(mirror, FixedWindowMirror)]
        if now_ms >= self._recount_at_ms and not any(mirror.on_trial for mirror in windows):
            self._recounts, self._recount_at_ms = False, now_ms + RECOUNT_EVERY_MS
            for mirror in windows:
                mirror.reprice(self._sends)

    def reprice(self, *, owes: bool = False) -> None:
        """Discard the levels of tokens, because the calls sent were charged differently from what they paid.

        `owes`: calls are charged when they end as well, so that a bucket may be in debt.
        """
        for mirror in self._mirrors.of(TOKENS):
            if isinstance(mirror, Mirror):
                mirror.reprice(self._sends, owes=owes)
            else:
                mirror.reprice(self._sends)

    def judge_anew(self, now_ms: int) -> None:
        """See `ShownBuckets.judge_anew`."""
        self._shown.judge_anew(now_ms)

    def levels(self, now_ms: int) -> tuple[LevelBounds, ...]:
        """Return the level bounds of each bucket."""
        return tuple(
            LevelBounds(
                mirror.metric,
                max(-mirror.capacity, min(mirror.capacity, mirror.low(now_ms))),  # two counters may seem to hold more
                max(-mirror.capacity, mirror.high(now_ms)),
                mirror.capacity,
                mirror.period_ms,
                mirror.refill,
                mirror.project,
            )
            for mirror in self._mirrors
        )

    def observe_refusal(self, stated: Snapshot, remaining: int | None, order: AdmissionOrder) -> int | None:
        """Process a refusal that names its bucket with its period, and perhaps the level left in it.

        A project's bucket that no header has shown is left alone: no answer would correct what was believed of it, and
        a refusal's wait is kept anyway.

        Returns:
            The result of Mirror.observe; -1 if it agrees although it should not: the believed level could have paid.
        """
        if self._recounts:
            self._recount(order.now_ms)
        metric, capacity, period_ms = stated.metric, stated.capacity, stated.period_ms
        mirror = self._mirrors.of_period((metric, stated.project), period_ms)
        if mirror is None:
            if stated.project:
                return None
            mirror = Mirror(metric, capacity, period_ms, order.now_ms)
            self._mirrors.add(mirror)
            self._shown.name(mirror)
        error = self._shown.correct(mirror, capacity, remaining, order)
        if isinstance(mirror, Mirror) and error == 0 and remaining is not None:
            mirror.doubt(remaining, order, self._sends)
            return -1
        return error

    @property
    def token_capacity(self) -> int | None:
        """The capacity of the bucket of tokens that laws are judged by, where several are shown by turns; None: any."""
        return self._shown.token_capacity

    @property
    def token_pattern(self) -> RefillPattern | None:
        """How the account's bucket of tokens refills that headers show; None: not known."""
        return self._shown.token_pattern

    def observe_headers(
        self,
        reading: Reading,
        order: AdmissionOrder,
        later: int = 0,
        *,
        project: bool = False,
        told: Reading | None = None,
    ) -> int | None:
        """Process a bucket of a metric that headers show: see `ShownBuckets.observe`."""
        if self._recounts:
            self._recount(order.now_ms)
        return self._shown.observe(reading, order, later, project=project, told=told)

    def hear_times(self, readings: Sequence[Reading]) -> None:
        """Learn from all that an answer states, a refusal too, whether times are stated in parts of a second."""
        if not self._shown.has_fine_times:
            self._shown.has_fine_times = any((reading.full_in_ms or 0) % SECOND_MS for reading in readings)

    @property
    def age_ms(self) -> int:
        """By how much what headers state may be older than the calls whose answers have them."""
        return self._shown.age_ms

    def record_project(self, *, shown: bool) -> None:
        """Record whether an answer that shows any bucket shows a project's: see `ShownBuckets.record_project`."""
        self._shown.record_project(shown=shown)


def _lent(mirror: AnyMirror, now_ms: int) -> int:
    """Return the highest possible level; for a window it is the capacity, as all of it returns at an unknown end."""
    return mirror.high(now_ms) if mirror.refill is Refill.BUCKET else mirror.capacity
