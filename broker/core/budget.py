"""The mirror of one limit: every metric of it, paid all together or not at all.

A budget knows the server's buckets as intervals (mirror.py), spends from their lower ends and is corrected by every
answer. Where nobody left it a checkpoint it knows nothing: one call goes first, and its answer sets the levels.

A header speaks of one bucket of a metric, and which one it is (per minute, per day) only its period tells. So a metric
may have several mirrors, and all of them are paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from broker.core.breaker import Breaker
from broker.core.bucket import Bucket
from broker.core.charge import Law, Prices
from broker.core.markup import PPM, Markup
from broker.core.mirror import Mirror
from broker.core.reading import DAY_MS, HOUR_MS, MINUTE_MS, Metric, Snapshot
from broker.core.sends import Sends
from broker.core.tariff import Tariff
from broker.core.verdict import Meaning, Verdict
from broker.core.window import Window
from broker.core.witness import Usage

BURST_MS: Final = 5_000
"""Half a bucket may be spent at once, as much again in so long: a refusal comes back before the rest is sent."""
SAME_PERIOD_PARTS: Final = 20  # computed periods that differ by less than one part in so many are one period


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What an operator believes of a limit, until headers say otherwise, and what they want beyond it.

    Attributes:
        name: The limit's name, `gpt-4o-mini`.
        tokens: Tokens per `period_ms`; None: the first answer tells.
        requests: Requests per `period_ms`; None: the first answer tells.
        period_ms: The period of both.
        cap_tokens: An own cap on any minute, never exceeded, whatever headers say.
        inflight_max: An own cap on calls in flight.
        burst_ms: Never spend more at once than the server refills in so long.
        refusals_charged: The server charges a call that it refuses with 429.
        tokens_per_day: Tokens per day, paid beside those of the period; no header tells them.
        requests_per_day: Requests per day, likewise.
    """

    name: str
    tokens: int | None
    requests: int | None
    period_ms: int = MINUTE_MS
    cap_tokens: int | None = None
    inflight_max: int | None = None
    burst_ms: int | None = None
    refusals_charged: bool = False
    tokens_per_day: int | None = None
    requests_per_day: int | None = None

    def per_day(self, metric: Metric) -> int | None:
        """What the operator says of a day."""
        return self.tokens_per_day if metric is Metric.TOKENS else self.requests_per_day


@dataclass(frozen=True, slots=True)
class Level:
    """What is there of one metric: surely, and at most."""

    metric: Metric
    low: int
    high: int
    capacity: int
    period_ms: int

    def refilled(self, elapsed_ms: int) -> "Level":
        """The same after so long without spending."""
        gain = self.capacity * elapsed_ms // self.period_ms
        return replace(self, low=min(self.capacity, self.low + gain), high=min(self.capacity, self.high + gain))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a successor may believe of a limit: the lower ends, with everything in flight paid.

    Attributes:
        limit: The limit's name.
        at_ms: The writer's clock.
        levels: Each metric's level.
        charged_last_minute: What an own cap must still count.
        pause_ms: How long nobody may pay, from `at_ms`.
        markup_ppm: The server's charges over ours.
        laws: The charge law that was believed, by endpoint.
    """

    limit: str
    at_ms: int
    levels: tuple[Level, ...]
    charged_last_minute: int
    pause_ms: int
    markup_ppm: int
    laws: Mapping[str, Law] = field(default_factory=dict)

    def aged(self, now_ms: int) -> "Checkpoint":
        """The same, on the writer's clock, for a reader at `now_ms`.

        Of the time since, one period is not credited, or a minute of a longer one: nobody knows how much of it another
        term has spent. A bucket that nobody led for longer has refilled.
        """
        age_ms = max(0, now_ms - self.at_ms)
        levels = tuple(level.refilled(max(0, age_ms - min(level.period_ms, MINUTE_MS))) for level in self.levels)
        charged = self.charged_last_minute if age_ms < MINUTE_MS else 0
        pause_ms = max(0, self.pause_ms - age_ms)
        return replace(self, at_ms=now_ms, levels=levels, charged_last_minute=charged, pause_ms=pause_ms)


@dataclass(frozen=True, slots=True)
class _Flight:
    """A reservation that waits for its end."""

    number: int
    charge: int
    paid: int
    stated: bool
    sent_ms: int

    def amount(self, metric: Metric) -> int:
        """What was paid of that metric."""
        return self.paid if metric is Metric.TOKENS else 1


class Budget:
    """One limit's money. Every reservation ends exactly once, in `answered` or `abandoned`."""

    def __init__(self, settings: LimitSettings, now_ms: int, checkpoint: Checkpoint | None) -> None:
        self.settings = settings
        self.believed = checkpoint is not None
        self._mirrors: list[Mirror] = []
        self._sends = Sends()
        self._flights: dict[int, _Flight] = {}
        self._charged = Window()
        self._burst: Bucket | None = None
        self._paused_until_ms = now_ms
        self._markup = Markup()
        laws = checkpoint.laws if checkpoint is not None else {}
        self.tariff = Tariff(laws, period_ms=settings.period_ms, refusals_charged=settings.refusals_charged)
        self.breaker = Breaker()
        if checkpoint is not None:
            self._inherit(checkpoint, now_ms)
        for metric, capacity in ((Metric.TOKENS, settings.tokens), (Metric.REQUESTS, settings.requests)):
            if capacity is not None and self._mirror_of(metric, capacity, settings.period_ms) is None:
                self._mirrors.append(Mirror(metric, capacity, settings.period_ms, now_ms))
        for metric in Metric:
            self._add_day(metric, settings.per_day(metric), now_ms)
        self._spread(now_ms)

    @property
    def inflight(self) -> int:
        """Reservations that have not ended."""
        return len(self._flights)

    @property
    def corrections(self) -> int:
        """How often an answer contradicted what was believed of the tokens."""
        return sum(mirror.corrections for mirror in self._mirrors if mirror.metric is Metric.TOKENS)

    @property
    def last_error_tokens(self) -> int:
        """By how much the last one did; negative: the server had less than believed."""
        return next((mirror.last_error for mirror in self._mirrors if mirror.metric is Metric.TOKENS), 0)

    def fits(self, charge: int) -> bool:
        """Whether a full bucket of every known metric, and the own cap, could ever pay this charge."""
        cap = self.settings.cap_tokens
        return (cap is None or charge <= cap) and all(
            charge <= mirror.capacity for mirror in self._mirrors if mirror.metric is Metric.TOKENS
        )

    def payable_at(self, charge: int, now_ms: int, *, keep_ppm: int = 0, stated: bool = False) -> int | None:
        """The first instant at which every metric can pay and nobody must wait; None: not before a call ends.

        Args:
            charge: Tokens, by our law; with `stated`, the server's own figure, which no markup applies to.
            now_ms: The caller's clock.
            keep_ppm: The share of every bucket that must be left for others.
            stated: The server itself has named this charge.
        """
        probe_ms = self.breaker.may_call_at(now_ms)
        if self._full() or probe_ms is None:
            return None
        at_ms = max(now_ms, self._paused_until_ms, probe_ms)
        paid = charge if stated else self._markup.applied(charge)
        if self.settings.cap_tokens is not None:
            cap = self.settings.cap_tokens
            at_ms = max(at_ms, self._charged.payable_at(paid, cap - cap * keep_ppm // PPM, now_ms))
        if not self.believed:
            return at_ms  # the first call is how the levels are learned
        if self._burst is not None:
            at_ms = max(at_ms, self._burst.payable_at(paid, 0, now_ms))
        for mirror in self._mirrors:
            amount = paid if mirror.metric is Metric.TOKENS else 1
            at_ms = max(at_ms, mirror.payable_at(amount, mirror.capacity * keep_ppm // PPM, now_ms))
        return at_ms

    def shut_until(self, charge: int, now_ms: int, *, stated: bool = False) -> int:
        """Until when nobody pays so much for want of more than a minute's tokens: a pause, or a limit per day."""
        paid = charge if stated else self._markup.applied(charge)
        days = (mirror for mirror in self._mirrors if mirror.period_ms >= HOUR_MS)
        waits = (mirror.payable_at(paid if mirror.metric is Metric.TOKENS else 1, 0, now_ms) for mirror in days)
        return max(now_ms, self._paused_until_ms, *waits)

    def pace_ms(self, charge: int) -> int:
        """How long the slowest bucket takes to refill such a call."""
        paid = self._markup.applied(charge)
        amounts = ((paid if mirror.metric is Metric.TOKENS else 1, mirror) for mirror in self._mirrors)
        return max((amount * mirror.period_ms // mirror.capacity for amount, mirror in amounts), default=0)

    def reserve(
        self, attempt: int, charge: int, now_ms: int, *, stated: bool = False, prices: Prices | None = None
    ) -> None:
        """Pay every metric for an attempt that is sent now; only what `payable_at` allows now may be reserved."""
        assert attempt not in self._flights, "an attempt is reserved once"
        payable_at = self.payable_at(charge, now_ms, stated=stated)
        assert payable_at is not None, "no attempt is reserved while another must end first"
        assert payable_at <= now_ms, "no attempt is reserved before every metric can pay"
        paid = charge if stated else self._markup.applied(charge)
        oldest = next(iter(self._flights.values()), None)
        prices = Prices.flat(charge) if prices is None else prices
        number = self._sends.append(now_ms, paid, oldest.number if oldest else None, None if stated else prices)
        self.tariff.sent(attempt, prices, now_ms)
        flight = _Flight(number, charge, paid, stated, now_ms)
        self._flights[attempt] = flight
        self._charged.pay(paid, now_ms)
        if self._burst is not None:
            self._burst.pay(paid, now_ms)
        for mirror in self._mirrors:
            mirror.pay(flight.amount(mirror.metric), now_ms)

    def paid(self, attempt: int) -> int:
        """What was paid for an attempt in flight: its charge, marked up."""
        return self._flights[attempt].paid

    def answered(self, attempt: int, now_ms: int, verdict: Verdict, usage: Usage | None = None) -> None:
        """An attempt's answer has come: correct every metric it speaks of, both ways, and rest if it says so."""
        flight = self._flights.pop(attempt)
        stated = verdict.snapshot
        self._testify(attempt, flight, verdict, usage, now_ms)
        if verdict.meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE} and not self.settings.refusals_charged:
            self._give_back(flight, now_ms)
        if stated is not None and not stated.project:
            self._hear(flight, stated.metric, (stated.capacity, stated.period_ms), self._left(flight, stated), now_ms)
        for reading in verdict.readings:
            if stated is None or stated.metric is not reading.metric:
                later = self.tariff.outstanding() if reading.metric is Metric.TOKENS else 0
                limit = reading.capacity, reading.period_ms
                self._hear(flight, reading.metric, limit, reading.remaining - later, now_ms)
        self._spread(now_ms)
        self.believed = self.believed or bool(verdict.readings) or stated is not None or verdict.meaning is Meaning.OK
        if verdict.wait_ms is not None and verdict.meaning in {Meaning.RATE_LIMITED, Meaning.OVERLOADED}:
            self.pause_until(now_ms + verdict.wait_ms)

    def abandoned(self, attempt: int, now_ms: int) -> None:
        """An attempt ended without an answer: it may have been admitted, so its charge is kept."""
        del self._flights[attempt]
        self.tariff.lost(attempt)

    def pause_until(self, at_ms: int) -> None:
        """Nobody pays before that instant. A pause is never shortened."""
        self._paused_until_ms = max(self._paused_until_ms, at_ms)

    def levels(self, now_ms: int) -> tuple[Level, ...]:
        """What is there of each metric; a metric that has several periods comes several times."""
        return tuple(
            Level(mirror.metric, mirror.low(now_ms), mirror.high(now_ms), mirror.capacity, mirror.period_ms)
            for mirror in self._mirrors
        )

    def charged_last_minute(self, now_ms: int) -> int:
        """Tokens paid within the last minute, refusals left out."""
        return self._charged.charged(now_ms)

    def checkpoint(self, now_ms: int) -> Checkpoint:
        """What a successor may believe, whatever becomes of the calls in flight."""
        return Checkpoint(
            limit=self.settings.name,
            at_ms=now_ms,
            levels=self.levels(now_ms),
            charged_last_minute=self._charged.charged(now_ms),
            pause_ms=max(0, self._paused_until_ms - now_ms),
            markup_ppm=self._markup.ppm,
            laws=self.tariff.laws(),
        )

    def _inherit(self, checkpoint: Checkpoint, now_ms: int) -> None:
        """Take over at `now_ms`, without credit for the time since: nobody knows how much of it was another term's."""
        for level in checkpoint.levels:
            mirror = Mirror(level.metric, level.capacity, level.period_ms, now_ms)
            mirror.inherit(level.low, now_ms)
            self._mirrors.append(mirror)
        self._charged.pay(checkpoint.charged_last_minute, now_ms)
        self._markup = Markup(checkpoint.markup_ppm)
        self.pause_until(now_ms + checkpoint.pause_ms)

    def _add_day(self, metric: Metric, capacity: int | None, now_ms: int) -> None:
        """An operator's limit per day; it beats what a predecessor thought, who had older settings."""
        if capacity is None:
            return
        mirror = self._mirror_of(metric, capacity, DAY_MS)
        if mirror is None:
            self._mirrors.append(Mirror(metric, capacity, DAY_MS, now_ms))
        else:
            mirror.follow(capacity, DAY_MS, -1, now_ms)

    def _full(self) -> bool:
        """Whether a call must end before another may start."""
        inflight_max = self.settings.inflight_max if self.believed else 1
        return inflight_max is not None and len(self._flights) >= inflight_max

    def _give_back(self, flight: _Flight, now_ms: int) -> None:
        self._sends.strike(flight.number)
        self._charged.give_back(flight.paid, flight.sent_ms)
        if self._burst is not None:
            self._burst.pay(-flight.paid, now_ms)
        for mirror in self._mirrors:
            mirror.refused(flight.amount(mirror.metric), flight.number, now_ms)

    def _testify(self, attempt: int, flight: _Flight, verdict: Verdict, usage: Usage | None, now_ms: int) -> None:
        """Tell the tariff what the answer says of charges; what is still on its way costs what is believed now."""
        version, before_ppm = self.tariff.version, self._markup.ppm
        requested, explained = self.tariff.heard(attempt, verdict, usage, now_ms)
        if requested and not flight.stated:
            self._markup.heed(flight.charge, requested, explained=explained)
        if self.tariff.version != version:
            self._markup = Markup()
            self._sends.reprice_by(self.tariff.price)
            before_ppm = PPM
            self._repriced()
        if self._markup.ppm != before_ppm:
            self._sends.reprice(self._markup.ppm, before_ppm)
            self._repriced()

    def _repriced(self) -> None:
        for mirror in self._mirrors:
            if mirror.metric is Metric.TOKENS:
                mirror.repriced()

    def _left(self, flight: _Flight, stated: Snapshot) -> int | None:
        """What a refusal says is left in the bucket it speaks of: `Used` is as it was before the refused call."""
        if stated.used is None:
            return None
        taken = flight.amount(stated.metric) if self.settings.refusals_charged else 0
        return max(0, stated.capacity - stated.used) - taken

    def _hear(
        self, flight: _Flight, metric: Metric, limit: tuple[int, int | None], remaining: int | None, now_ms: int
    ) -> None:
        """An answer names a limit, and perhaps what remained of it when it was admitted."""
        capacity, period_ms = limit
        mirror = self._mirror_of(metric, capacity, period_ms)
        if mirror is None:
            mirror = Mirror(metric, capacity, period_ms or self.settings.period_ms, now_ms)
            mirror.period_assumed = period_ms is None
            self._mirrors.append(mirror)
        if period_ms is None or (not mirror.period_assumed and _alike(period_ms, mirror.period_ms)):
            period_ms = mirror.period_ms
        else:
            mirror.period_assumed = False
        if mirror.follow(capacity, period_ms, flight.number, now_ms) and remaining is not None:
            mirror.observe(remaining, flight.number, self._sends, now_ms)

    def _mirror_of(self, metric: Metric, capacity: int, period_ms: int | None) -> Mirror | None:
        """The mirror an answer speaks of: that of its period, else of its capacity, else of a period nobody knew."""
        mirrors = [mirror for mirror in self._mirrors if mirror.metric is metric]
        if period_ms is None:
            others = (each for each in mirrors if each.period_ms != DAY_MS or self.settings.per_day(metric) is None)
            return next((mirror for mirror in mirrors if mirror.capacity == capacity), next(others, None))
        same = (mirror for mirror in mirrors if _alike(period_ms, mirror.period_ms))
        return next(same, next((mirror for mirror in mirrors if mirror.period_assumed), None))

    def _spread(self, now_ms: int) -> None:
        """Keep the own bucket that spreads the load in step with the shortest tokens limit."""
        tokens = [mirror for mirror in self._mirrors if mirror.metric is Metric.TOKENS]
        if not tokens:
            return
        shortest = min(tokens, key=lambda mirror: mirror.period_ms)
        capacity, period_ms = max(1, shortest.capacity // 2), BURST_MS
        if self.settings.burst_ms is not None:
            period_ms = self.settings.burst_ms
            capacity = max(1, shortest.capacity * period_ms // shortest.period_ms)
        if self._burst is None:
            self._burst = Bucket(capacity, period_ms, capacity, now_ms)
        elif self._burst.capacity != capacity:
            self._burst.resize(capacity, period_ms, now_ms)


def _alike(computed_ms: int, known_ms: int) -> bool:
    """Periods are computed from rounded numbers; a small difference is none."""
    return abs(computed_ms - known_ms) * SAME_PERIOD_PARTS <= known_ms
