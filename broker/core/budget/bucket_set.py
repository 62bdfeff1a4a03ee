"""All buckets of one limit: which of them an answer describes, and the payment of all of them together.

A metric may have several: a minute's and a day's, one that the operator configured and one that headers show. Headers
show one bucket of a metric and do not say which; the way it refills tells (refill_detection.py). Until that is known,
the bucket shown is taken for another one beside those believed, with a period of a minute. A believed bucket that turns
out to be the shown one expressed in another window (the same rate) is dropped: no answer would ever correct it.

A project may have limits of its own, with headers and refusals of their own (facts/openai.md §3, §4.2). They are
further buckets of the same metrics, which every call pays as well.

Some servers name the period in the header, and show several buckets of a metric. Each of them has evidence of its own.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from headrace.broker.core.answers.rate_limit_headers import (
    MINUTE_MS,
    REQUESTS,
    TOKENS,
    LimitMetric,
    Reading,
    Snapshot,
)
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.inflow import Rates
from headrace.broker.core.budget.refill_detection import BUCKET, FIXED, Refill, RefillEvidence, RefillPattern
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.window_mirrors import FixedWindowMirror, SlidingWindowMirror
from headrace.broker.core.units import PPM

PROJECT_UNSHOWN_MAX = 3  # answers in a row that show the account's buckets and none of a project
ALIKE_PARTS = 20  # computed periods that differ by at most one part in this many are the same period
BOUNDLESS = 1 << 62
FAR_PARTS = 4  # a counter short by more than one part in this many of its capacity did not begin anew

AnyMirror = Mirror | FixedWindowMirror | SlidingWindowMirror
_Owner = tuple[LimitMetric, bool]
"""A metric, and whether it is a project's."""
_Shown = tuple[LimitMetric, bool, int | None]
"""The same with the period that a header's name states; None: it states none."""


@dataclass(frozen=True, slots=True)
class LevelBounds:
    """Lower and upper bound of one bucket's level."""

    metric: LimitMetric
    low: int
    high: int
    capacity: int
    period_ms: int
    refill: Refill = BUCKET
    project: bool = False

    def refilled(self, elapsed_ms: int) -> "LevelBounds":
        """Return the bounds after `elapsed_ms` without spending."""
        gain = self.capacity * elapsed_ms // self.period_ms
        return replace(self, low=min(self.capacity, self.low + gain), high=min(self.capacity, self.high + gain))


class _HeaderBucket:
    """A bucket that headers show, the account's or a project's: the only one of its metric, or one of a named period.

    Attributes:
        mirror: The mirror of that bucket.
        evidence: The evidence on how that bucket refills.
        known: Its refill pattern, where it is the only bucket of its metric and owner.
    """

    __slots__ = ("evidence", "known", "mirror")

    def __init__(self) -> None:
        self.mirror: AnyMirror | None = None
        self.evidence = RefillEvidence()
        self.known: RefillPattern | None = None


class BucketSet:
    """Mirrors of one limit's metrics.

    Attributes:
        made: The number of times the set of mirrors has changed.
    """

    def __init__(self, sends: SentCalls) -> None:
        """`sends`: every call of the limit, which the mirrors look back at."""
        self._sends = sends
        self._mirrors: list[AnyMirror] = []
        self._of: dict[LimitMetric, list[AnyMirror]] = {metric: [] for metric in LimitMetric}
        self._shortest: AnyMirror | None = None
        self._headers: dict[_Shown, _HeaderBucket] = {}  # only those that headers have shown
        self._project_unshown = -1  # answers since headers last showed a project's bucket; -1: none is to be shown
        self.made = 0

    def __iter__(self) -> Iterator[AnyMirror]:
        return iter(self._mirrors)

    def believe(self, metric: LimitMetric, capacity: int, period_ms: int, now_ms: int, *, follow: bool = False) -> None:
        """Add a bucket that the operator configured, unless it is known already.

        A level that a predecessor left is better knowledge than the configuration. So is its size, except with
        `follow`: where no header reports the size, the predecessor's figure comes from older settings.
        """
        known = self._find((metric, False), None, period_ms)
        if known is None:
            self._add(Mirror(metric, capacity, period_ms, now_ms))
        elif follow:
            known.adopt_capacity(capacity, -1, now_ms)

    def inherit(self, level: LevelBounds, now_ms: int) -> None:
        """Add a bucket with the lower bound that a predecessor left."""
        mirror = Mirror(level.metric, level.capacity, level.period_ms, now_ms, project=level.project)
        mirror.inherit(level.low, now_ms)
        if level.project:
            self._project_unshown = 0
        self._add(mirror)

    def of(self, metric: LimitMetric) -> list[AnyMirror]:
        """Return the mirrors of one metric."""
        return self._of[metric]

    def shortest(self) -> AnyMirror | None:
        """Return the bucket of tokens that refills soonest, the smallest of these; None while none is known."""
        return self._shortest

    @property
    def payable_max(self) -> int | None:
        """The most that one call pays: a full smallest bucket of tokens, and as much debt; None while none is known.

        A server whose bucket never holds that many tokens has charged less, or refuses the call; and if it has charged
        more, the next answer shows it. Where no answer shows levels, a mistaken price would otherwise cause an
        unbounded wait.
        """
        smallest = 0
        for mirror in self._of[TOKENS]:  # runs for each call: a generator takes twice as long
            if not smallest or mirror.capacity < smallest:
                smallest = mirror.capacity
        return 2 * smallest if smallest else None

    def can_hold(self, tokens: int, unproven: Collection[int] = ()) -> bool:
        """Return whether each full bucket of tokens can hold the call; an `unproven` size does not count."""
        for mirror in self._of[TOKENS]:  # noqa: SIM110 — asked for each request
            if tokens > mirror.capacity and mirror.capacity not in unproven:
                return False
        return True

    def disown(self, capacity: int, former: int | None, number: int, now_ms: int) -> None:
        """Undo a size of tokens that the answer to call `number` disproved: restore `former`, or drop the bucket."""
        for mirror in self._of[TOKENS]:
            if mirror.capacity == capacity and former is not None:
                mirror.adopt_capacity(former, number, now_ms)
        kept = [mirror for mirror in self._mirrors if mirror.metric is not TOKENS or mirror.capacity != capacity]
        if len(kept) < len(self._mirrors):
            self._mirrors = kept
            for header in self._headers.values():
                header.mirror = next((mirror for mirror in kept if mirror is header.mirror), None)
            self._sort()

    def refill_rates(self, now_ms: int, unproven: Collection[int] = ()) -> tuple[Rates, tuple[int, ...]]:
        """Return the refill rates of tokens and the bars at the highest possible levels: see `budget.inflow.Inflow`.

        Buckets whose size is only `unproven` are left out.
        """
        mirrors = [mirror for mirror in self._of[TOKENS] if mirror.capacity not in unproven]
        rates = tuple((mirror.period_ms, mirror.capacity) for mirror in mirrors)
        bars = tuple(_lent(mirror, now_ms) * mirror.period_ms - now_ms * mirror.capacity for mirror in mirrors)
        return rates, bars

    def flow_ms(self, tokens: int) -> int:
        """Return how long `tokens` take to flow into the slowest bucket."""
        flow_ms = 0
        for mirror in self._of[TOKENS]:
            needed_ms = tokens * mirror.period_ms // mirror.capacity
            if needed_ms > flow_ms:
                flow_ms = needed_ms
        return flow_ms

    def refill_beside_reserve(self, tokens: int, reserved_ppm: int) -> int:
        """Return the longest period of buckets without room for `tokens` beside the reserve; 0 if all have room."""
        crowded = (
            mirror.period_ms
            for mirror in self._of[TOKENS]
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

    def trust_no_more_than(self, paid: int, now_ms: int) -> None:
        """Lower the estimates to the `paid` tokens of a probe call; anything believed beyond them is uncertain."""
        for mirror in self._of[TOKENS]:
            if isinstance(mirror, Mirror):
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

    def reprice(self) -> None:
        """Discard the levels of tokens, because the calls sent were charged differently from what they paid."""
        for mirror in self._of[TOKENS]:
            mirror.reprice(self._sends)

    def levels(self, now_ms: int) -> tuple[LevelBounds, ...]:
        """Return the level bounds of each bucket."""
        return tuple(
            LevelBounds(
                mirror.metric,
                max(-mirror.capacity, mirror.low(now_ms)),
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

        Returns:
            The result of Mirror.observe; -1 if it agrees although it should not: the believed level could have paid.
        """
        metric, capacity, period_ms = stated.metric, stated.capacity, stated.period_ms
        mirror = next(
            (
                known
                for known in self.of(metric)
                if known.project is stated.project and _alike(period_ms, known.period_ms)
            ),
            None,
        )
        if mirror is None:
            mirror = Mirror(metric, capacity, period_ms, order.now_ms, project=stated.project)
            self._add(mirror)
        error = self._correct(mirror, capacity, remaining, order)
        if isinstance(mirror, Mirror) and error == 0 and remaining is not None:
            mirror.doubt(remaining, order, self._sends)
            return -1
        return error

    def observe_headers(
        self, reading: Reading, order: AdmissionOrder, later: int = 0, *, project: bool = False
    ) -> int | None:
        """Process a bucket of a metric that headers show; return the result of Mirror.observe.

        `later` is the amount still to be charged for calls that were admitted already; `project`: the bucket is a
        project's.
        """
        key = reading.metric, project, reading.period_ms if reading.named else None
        header = self._headers.get(key)
        if header is None:
            header = self._headers[key] = _HeaderBucket()
        pattern, mirror = header.evidence.observe(reading, order.sent_ms, order.now_ms), header.mirror
        if mirror is None or (pattern is not None and pattern is not header.known):
            mirror = self._mirror_of(reading, pattern, header, order.now_ms, project=project)
            if pattern is not None and pattern.refill is FIXED and isinstance(mirror, FixedWindowMirror):
                mirror.set_end(pattern.mark_ms, order.now_ms)
            if pattern is not None and self._is_alone(mirror):
                header.known = pattern
        return self._correct(mirror, reading.capacity, reading.remaining - later, order)

    def record_project(self, *, shown: bool) -> None:
        """Record whether an answer that shows any bucket shows a project's.

        A server that shows them does so each time. After a few answers without, the project's are dropped: no answer
        would ever correct them.
        """
        if shown:
            self._project_unshown = 0
        elif self._project_unshown >= 0:
            self._project_unshown += 1
            if self._project_unshown >= PROJECT_UNSHOWN_MAX:
                self._project_unshown = -1
                self._mirrors = [mirror for mirror in self._mirrors if not mirror.project]
                self._headers = {shown: header for shown, header in self._headers.items() if not shown[1]}
                self._sort()

    def _correct(self, mirror: AnyMirror, capacity: int, remaining: int | None, order: AdmissionOrder) -> int | None:
        if not mirror.adopt_capacity(capacity, order.number, order.now_ms) or remaining is None:
            return None
        on_trial = isinstance(mirror, FixedWindowMirror) and mirror.on_trial
        error = mirror.observe(remaining, order, self._sends)
        if on_trial and error is not None and error * FAR_PARTS < -capacity:
            # It did not begin anew at its mark: a weighted sum of two counters, which refills as a bucket does.
            header = next(shown for shown in self._headers.values() if shown.mirror is mirror)
            header.evidence.rule_out(FIXED)
            again = Mirror(mirror.metric, capacity, mirror.period_ms, order.now_ms, project=mirror.project)
            bucket = self._exchange(header, again)
            error = bucket.observe(remaining, order, self._sends)
        return error

    def _mirror_of(
        self,
        reading: Reading,
        pattern: RefillPattern | None,
        header: _HeaderBucket,
        now_ms: int,
        *,
        project: bool,
    ) -> AnyMirror:
        """Return the mirror of the bucket that headers show.

        It is created, found or replaced as its refill pattern becomes known.
        """
        metric, owner, shown = reading.metric, (reading.metric, project), header.mirror
        if pattern is None:
            period_ms = reading.period_ms or MINUTE_MS
            capacity = None if reading.named else reading.capacity
            bucket = self._find(owner, capacity, period_ms if reading.period_ms else None)
            if bucket is None:
                bucket = Mirror(metric, reading.capacity, period_ms, now_ms, project=project)
                self._add(bucket)
            header.mirror = bucket
            return bucket
        if shown is not None and _matches(shown, pattern):
            return shown if self._is_alone(shown) or not self._has_twin(shown) else self._exchange(header, shown)
        mirror: AnyMirror
        if pattern.refill is BUCKET:
            mirror = self._find(owner, None, pattern.period_ms) or Mirror(
                metric, reading.capacity, pattern.period_ms, now_ms, project=project
            )
        elif pattern.refill is FIXED:
            remaining = min(reading.remaining, reading.capacity)
            mirror = FixedWindowMirror(
                metric, reading.capacity, pattern.period_ms, pattern.mark_ms, remaining, project=project
            )
        else:
            mirror = SlidingWindowMirror(
                metric, reading.capacity, pattern.period_ms, now_ms, self._sends, project=project
            )
        return self._exchange(header, mirror)

    def _exchange(self, header: _HeaderBucket, mirror: AnyMirror) -> AnyMirror:
        """Make `mirror` the one that a header shows.

        A believed bucket of the same rate was meant to be it, and is dropped, unless another header shows it.
        """
        twins, former = self._twins(mirror), header.mirror
        self._mirrors = [
            other
            for other in self._mirrors
            if other is not former and other is not mirror and all(other is not twin for twin in twins)
        ]
        self._add(mirror)
        for shown in self._headers.values():
            if shown is header or (former is not None and shown.mirror is former):  # it has two names
                shown.mirror = mirror
        return mirror

    def _is_alone(self, mirror: AnyMirror) -> bool:
        """Return whether it is the only bucket of its metric and owner."""
        return not any(other is not mirror and other.project is mirror.project for other in self._of[mirror.metric])

    def _has_twin(self, mirror: AnyMirror) -> bool:
        """Return whether another believed bucket has its rate.

        Such a one was made before the refill pattern of this one was known.
        """
        return bool(self._twins(mirror))

    def _twins(self, mirror: AnyMirror) -> list[AnyMirror]:
        """Return the other buckets of the same metric, owner and rate that no header shows."""
        shown = [header.mirror for header in self._headers.values()]
        return [
            other
            for other in self._of[mirror.metric]
            if other is not mirror
            and other.project is mirror.project
            and _same_rate(other, mirror)
            and all(other is not one for one in shown)
        ]

    def _add(self, mirror: AnyMirror) -> None:
        self._mirrors.append(mirror)
        self._sort()

    def _sort(self) -> None:
        """Rebuild the look-ups after the set of mirrors has changed."""
        for header in self._headers.values():
            header.known = None
        self.made += 1
        self._of = {metric: [mirror for mirror in self._mirrors if mirror.metric is metric] for metric in LimitMetric}
        self._shortest = min(self._of[TOKENS], key=lambda mirror: (mirror.period_ms, mirror.capacity), default=None)

    def _find(self, owner: _Owner, capacity: int | None, period_ms: int | None) -> Mirror | None:
        metric, project = owner
        for mirror in self.of(metric):
            if (
                isinstance(mirror, Mirror)
                and mirror.project is project
                and (capacity is None or mirror.capacity == capacity)
                and (period_ms is None or _alike(period_ms, mirror.period_ms))
            ):
                return mirror
        return None


def _matches(mirror: AnyMirror, pattern: RefillPattern) -> bool:
    if mirror.refill is not pattern.refill:
        return False
    return mirror.period_ms == pattern.period_ms or _alike(pattern.period_ms, mirror.period_ms)


def _same_rate(one: AnyMirror, other: AnyMirror) -> bool:
    mine, theirs = one.capacity * other.period_ms, other.capacity * one.period_ms
    return abs(mine - theirs) * ALIKE_PARTS <= theirs


def _alike(computed_ms: int, known_ms: int) -> bool:
    """Return whether two periods are equal but for the rounding of the numbers that one was computed from."""
    return abs(computed_ms - known_ms) * ALIKE_PARTS <= known_ms


def _lent(mirror: AnyMirror, now_ms: int) -> int:
    """Return the highest possible level; for a window it is the capacity, as all of it returns at an unknown end."""
    return mirror.high(now_ms) if mirror.refill is Refill.BUCKET else mirror.capacity
