"""Decisions of the core as metrics: it observes every command and every answer, changes nothing, and never raises."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import structlog

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.config import Role
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Committed, Event, Taken
from headrace.broker.core.identity.dedupe import Overdue
from headrace.broker.core.identity.pending_cancels import CancelRecord, PendingCancels
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.ticket import CONTROL, State, TicketNumber
from headrace.broker.service.containment import Containment, surviving
from headrace.broker.service.health import Health
from headrace.broker.service.metrics.breaker_causes import BreakerCauses
from headrace.broker.service.metrics.breaker_log import Trips
from headrace.broker.service.metrics.charge_metrics import Charges
from headrace.broker.service.metrics.limit_levels import LimitLevels, refusing_bucket
from headrace.broker.service.metrics.measured_rates import MeasuredRates
from headrace.broker.service.metrics.model_means import ModelMeans
from headrace.broker.service.metrics.parked_until import Parkings
from headrace.broker.service.metrics.payload_facts import exemplar_of, model_of, tier_asked, usage_kinds
from headrace.broker.service.metrics.span_log import SpanLog
from headrace.broker.service.metrics.upstream_log import UpstreamLog
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.publishing.short_forms import ENCODE_CRASHED, OVERDUE
from headrace.broker.service.status.backlog import backlog_ms
from headrace.broker.service.status.failures import Failures
from headrace.broker.service.status.lags import Lag
from headrace.broker.service.status.lately import Lately
from headrace.broker.service.status.recent_outcomes import RecentOutcomes
from headrace.broker.span_ports import SpanCounts
from headrace.schemas.ids import id_hash
from headrace.schemas.request_codec import DecodedRequest

PARKED_SAID_EVERY_MS = 5_000
MS_MAX = 10**15
"""Largest duration shown, some 30,000 years: an integer above 10^308 has no float, one of 4,300 digits no JSON."""

_log = structlog.get_logger("telemetry")


class Telemetry:
    """Feeds the meter."""

    def __init__(
        self,
        meter: Meter,
        hold: PayloadStore,
        clock: WallClock,
        *,
        objectives_s: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """`model_means` feeds `/status` as well; `objectives_s` are those of the lanes that have one."""
        self._objectives_s = objectives_s
        self.meter = meter
        self._hold = hold
        self._clock = clock
        self._pending: dict[int, commands.Batch] = {}
        self._seen_calling: set[str] = set()
        self._foreign: dict[str, int] = {}
        self._tiers_shown: set[tuple[str, str]] = set()
        self._cancels_evicted = 0
        self._chunks_dropped = 0
        self._parked: Counter[str] = Counter()
        self._parked_said_ms = 0
        self.trips = Trips(clock)
        self.parkings = Parkings()
        self.failures = Failures(clock)
        self.lately = Lately(clock)
        self.recent_outcomes = RecentOutcomes(clock)
        self._charges = Charges(meter)
        self._measured_rates = MeasuredRates(meter)
        self._breaker_causes = BreakerCauses(meter)
        self._levels = LimitLevels(meter)
        self._span_log = SpanLog(meter, clock)
        self.containment = Containment(meter, clock)
        self.model_means = ModelMeans()
        self._upstream_log = UpstreamLog(clock)

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """See `headrace.broker.service.containment.ContainmentReporter`: an exception at `step` ended one request."""
        self.containment.contained(step, error, **where)

    @surviving("metrics")
    def observe_event(self, event: Event) -> None:
        """Observe an event just before the core does."""
        match event:
            case Taken():
                self._taken(event)
            case Committed():
                self._committed(event)
            case _:
                return

    def _taken(self, event: Taken) -> None:
        if event.source.partition.lane != CONTROL:
            self.meter.requests_taken(event.source.partition.lane)
            self.lately.count_taken(event.source.partition.lane)
        elif isinstance(event.content, CancelRecord):
            self.meter.cancel_taken()

    @surviving("metrics")
    def observe_command(self, command: commands.Command, cargo: Payload | None) -> None:
        """Observe a command just before it is carried out."""
        match command:
            case commands.Call():
                if command.repeated:
                    self.meter.repeated_call()
                if cargo is not None and command.calls == 1:
                    waited_ms = self._clock.now_ms() - cargo.taken_ms
                    self.meter.queue_wait(cargo.source.partition.lane, waited_ms / 1_000, exemplar_of(cargo))
            case commands.Publish():
                self._pending = {command.batch.serial: command.batch}
            case commands.BreakerOpened():
                self.trips.record_opening(command, cargo)
            case commands.BreakerClosed():
                self.trips.record_closing(command)
            case _:
                return

    @surviving("metrics")
    def record_attempt(self, cargo: Payload, verdict: Verdict, upstream_s: float) -> None:
        """Count an attempt that has ended."""
        model = model_of(cargo)
        if verdict.meaning is Meaning.OK:
            self.meter.answered(model, cargo.limit, cargo.tier_served)
        self.meter.attempt(model, tier_asked(cargo), verdict.meaning.value)
        self.lately.count_call(cargo.limit, verdict, cargo.charge)
        if verdict.meaning is Meaning.RATE_LIMITED:
            self.meter.throttled(cargo.limit, refusing_bucket(verdict))
        elif verdict.meaning is Meaning.OK:
            self.meter.upstream_time(model, upstream_s, exemplar_of(cargo))
            self.meter.charged(model, cargo.source.partition.lane, cargo.charge)
            self._used(model, cargo)
        if verdict.retryable:
            self.meter.retry(verdict.meaning.value)
        self._upstream_log.observe(cargo, verdict)

    def _used(self, model: str, cargo: Payload) -> None:
        self.model_means.record(cargo)
        for kind, tokens in usage_kinds(cargo.usage).items():
            self.meter.usage(model, cargo.tier_served or tier_asked(cargo), kind, tokens)

    def _committed(self, event: Committed) -> None:
        """Count what a batch published, now that it is final."""
        batch = self._pending.pop(event.serial, None)
        for settlement in batch.settlements if batch else ():
            if settlement.number in event.crashed:
                self._settled(settlement.number, ENCODE_CRASHED)
                continue
            if isinstance(settlement.decision, commands.Park):
                self._is_parked(settlement.number, settlement.decision)
            self._settled(settlement.number, settlement.decision)
        if batch is not None and batch.overdue:
            self._overdue(batch.overdue)

    def _overdue(self, overdue: Sequence[Overdue]) -> None:
        """Count parked requests that were Failed, since no retrier has put them back."""
        for each in overdue:
            self.meter.outcome("", "", "failed", OVERDUE.reason)
            self.meter.dead_letter(OVERDUE.reason)
            self.failures.count_overdue(each, OVERDUE)
        _log.error("parked_did_not_come_back", requests=len(overdue))

    def _is_parked(self, number: TicketNumber, decision: commands.Park) -> None:
        self._parked[decision.kind] += 1
        cargo = self._hold.get(number)
        if cargo is not None and isinstance(cargo.content, DecodedRequest):
            known, back_at = cargo.content, self._clock.to_utc(decision.not_before_ms)
            self.parkings.record(id_hash(known.request.id), known.run, back_at)

    def _settled(self, number: TicketNumber, decision: commands.Decision) -> None:
        cargo = self._hold.get(number)
        if cargo is None:
            return
        lane, model = cargo.source.partition.lane, model_of(cargo)
        match decision:
            case commands.Complete():
                self._completed(lane, model, cargo)
            case commands.Fail():
                self.meter.outcome(lane, model, "failed", decision.reason)
                if decision.reason != "cancelled":
                    self.meter.dead_letter(decision.reason)
                self._ended(lane, cargo, "failed", decision.reason)
                self.failures.count_failed(cargo, decision)
            case commands.DeadLetterOnly():
                self.meter.dead_letter(decision.reason)
                self.failures.count_dead_letter(cargo, decision)
            case commands.Withdraw():
                self.meter.outcome("", "", "failed", "cancelled")  # a parked request is known by its id alone
            case commands.Discard():
                self._discarded(lane, decision)
            case commands.Park() | commands.Remember():
                return

    def _discarded(self, lane: str, discard: commands.Discard) -> None:
        if discard.overdue:
            self.meter.dead_letter(OVERDUE.reason)
            self.failures.count_late_letter(OVERDUE.reason)
        elif lane != CONTROL and not discard.returned:
            self.meter.duplicate(lane)

    def _completed(self, lane: str, model: str, cargo: Payload) -> None:
        self.meter.outcome(lane, model, "completed", "")
        self._ended(lane, cargo, "completed", None)
        self.failures.count_completed(cargo)
        if cargo.finish is not None:
            self.meter.finish(model, cargo.finish)

    @surviving("metrics")
    def gauges(self, core: Dispatch, health: Health, now_ms: int) -> None:
        """Set the metrics that are levels rather than counts; called once a second."""
        meter = self.meter
        meter.leader(health.role == "leader")
        meter.term(health.term)
        meter.ready(kafka=health.kafka_ready, redis=health.redis_ready)
        meter.dedupe_window(core.identities.window_reached_ms(core.wall_ms(now_ms)) / 1_000)
        self._cancels(core.identities.cancels)
        self._say_parked(core, now_ms)
        self.failures.log_omitted()
        self._lanes(core, now_ms)
        desks = core.limits.limit_queues()
        for name in self._foreign.keys() - desks.keys():
            del self._foreign[name]
            self._measured_rates.forget(name)
            self._levels.forget(name)
            meter.next_call(name, 0)
            meter.breaker(name, is_open=False)
            meter.limit_forgotten(name)
        for name, desk in desks.items():
            self._limit(name, desk, core.limits.account.breaker, now_ms)
        self._breaker_causes.observe(core)
        meter.parked(core.identities.parked_count if core.role is not Role.FOLLOWING else 0)
        self._tiers(core)

    @surviving("metrics")
    def _lanes(self, core: Dispatch, now_ms: int) -> None:
        waiting: dict[str, list[int]] = {rule.name: [] for rule in core.rules.lanes}
        calling: Counter[str] = Counter()
        for ticket in core.registry.tickets():
            if ticket.state is State.WAITING:
                waiting[ticket.source.partition.lane].append(ticket.taken_ms)
            elif ticket.state is State.CALLING:
                calling[ticket.candidate.model] += 1
        for model in self._seen_calling | calling.keys():
            self.meter.inflight(model, calling[model])
        self._seen_calling = set(calling)
        for lane, taken_ms in waiting.items():
            oldest_s = in_seconds(now_ms - min(taken_ms, default=now_ms))
            self.meter.backlog(lane, len(taken_ms), in_seconds(backlog_ms(core.limits, lane, now_ms)), oldest_s)

    @surviving("metrics")
    def lag(self, lane: str, lag: Lag | None) -> None:
        """Record the number of the lane's records that are still in Kafka, if it is known."""
        self.meter.lag(lane, None if lag is None else lag.requests, 0 if lag is None else lag.age_s)

    @surviving("metrics")
    def chunks_dropped(self, count: int) -> None:
        """Record the number of dropped chunks since the start."""
        self.meter.chunks_dropped(count - self._chunks_dropped)
        self._chunks_dropped = count

    @surviving("metrics")
    def spans(self, counts: SpanCounts) -> None:
        """Record what has become of the spans of traces; log now and then that some are lost."""
        self._span_log.observe(counts)

    @surviving("metrics")
    def _say_parked(self, core: Dispatch, now_ms: int) -> None:
        """Log now and then how many requests were parked: an outage may park thousands a second."""
        if self._parked and now_ms >= self._parked_said_ms:
            _log.info("parked", **self._parked, away=core.identities.parked_count)
            self._parked.clear()
            self._parked_said_ms = now_ms + PARKED_SAID_EVERY_MS

    @surviving("metrics")
    def _cancels(self, cancels: PendingCancels) -> None:
        self.meter.cancels_waiting(len(cancels))
        self.meter.cancels_evicted(cancels.evicted - self._cancels_evicted)
        self._cancels_evicted = cancels.evicted

    @surviving("metrics")
    def _limit(self, name: str, desk: LimitQueue, account: Breaker, now_ms: int) -> None:
        self._charges.observe(name, desk.budget.tariff.law_statuses())
        self._measured_rates.observe(name, desk.budget, now_ms)
        foreign, self._foreign[name] = self._foreign.get(name, 0), desk.budget.foreign_tokens
        self.meter.foreign(name, max(0, desk.budget.foreign_tokens - foreign))
        self.meter.breaker(name, is_open=not account.closed or not desk.budget.breaker.closed)
        found = desk.next(now_ms, probe=not account.closed)
        next_ms = max(desk.budget.pause_ms(now_ms), found[1] - now_ms if found is not None else 0)
        self.meter.next_call(name, in_seconds(next_ms))
        self._levels.observe(name, desk.budget, now_ms)

    @surviving("metrics")
    def _tiers(self, core: Dispatch) -> None:
        waiting: Counter[tuple[str, str]] = Counter()
        for desk in core.limits.limit_queues().values():
            for tier, lanes in desk.tier_lanes.items():
                waiting[tier] += lanes.waiting()
        for model, name in self._tiers_shown | waiting.keys():
            self.meter.tier_waiting(model, name, waiting[model, name])
        self._tiers_shown = set(waiting)

    def _ended(self, lane: str, cargo: Payload, status: str, reason: str | None) -> None:
        self.lately.count_ended(lane)
        self.recent_outcomes.record(cargo, status, reason)
        seconds = max(0.0, (self._clock.utc_now() - cargo.submitted_at).total_seconds())
        self.meter.outcome_time(lane, seconds, exemplar_of(cargo))
        objective_s = self._objectives_s.get(lane)
        if objective_s is not None and reason != "cancelled":
            self.meter.outcome_timed(lane, is_late=seconds > objective_s)


def in_seconds(milliseconds: int) -> float:
    """Convert a duration to a float; one longer than `MS_MAX` is shown as that."""
    return min(milliseconds, MS_MAX) / 1_000
