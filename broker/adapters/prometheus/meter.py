"""Adapter to prometheus_client, with one typed method for each figure counted.

A producer chooses the model's name, so names are bounded before they become labels
(`headrace.broker.adapters.prometheus.labels`). No method raises, whatever its arguments: a figure that a scrape cannot
carry is cut or left out, and a text is made encodable, because one bad label would break every scrape from then on.
"""

import contextlib

from prometheus_client import CollectorRegistry

from headrace.broker.adapters.prometheus.families import Families
from headrace.broker.adapters.prometheus.labels import ACCOUNT, OTHER, BoundedNames, FoldedGauge, shortened, text_of
from headrace.broker.adapters.prometheus.process_meter import (
    ProcessMeter,
    add_to,
    observe_in,
    set_folded,
    set_to,
)
from headrace.schemas.tiers import KNOWN, MALFORMED

LABELS_MAX = 100
"""Number of models, and of limits, that get a label of their own; half of them for models without an answer so far."""

TIER_LABELS_MAX = 16
"""Number of service tiers beside the known ones that get a label of their own, once an answer names them."""


class Meter(ProcessMeter):
    """Metrics of one dispatcher or retrier, in a registry of their own."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._families = Families(registry)
        super().__init__(registry, self._families)
        self._models = BoundedNames(LABELS_MAX, unconfirmed_max=LABELS_MAX // 2, known=("", ACCOUNT))
        self._limits = BoundedNames(LABELS_MAX)
        self._kinds = BoundedNames(LABELS_MAX)
        self._tiers = BoundedNames(TIER_LABELS_MAX, unconfirmed_max=0, known=("", MALFORMED, *KNOWN))
        self._answered = BoundedNames(LABELS_MAX, unconfirmed_max=LABELS_MAX // 2, known=("",))
        self._tenants = BoundedNames(LABELS_MAX, known=("",))
        self._templates = BoundedNames(LABELS_MAX, known=("",))
        self._laws: dict[str, str] = {}
        self._limit_capacity = FoldedGauge(self._families.limit_capacity, sum)
        self._limit_level = FoldedGauge(self._families.limit_level, sum)
        self._utilisation = FoldedGauge(self._families.utilisation, max)
        self._measured_rate = FoldedGauge(self._families.measured_rate, sum)
        self._charge_law = FoldedGauge(self._families.charge_law, max)
        self._inflight = FoldedGauge(self._families.inflight, sum)
        self._breaker_open = FoldedGauge(self._families.breaker_open, max)
        self._breaker_cause = FoldedGauge(self._families.breaker_cause, max)
        self._next_call = FoldedGauge(self._families.next_call, max)
        self._tier_waiting = FoldedGauge(self._families.tier_waiting, sum)
        self._retries_waiting = FoldedGauge(self._families.retries_waiting, sum)

    def begin_lane(self, lane: str, objective_s: float | None) -> None:
        """Begin the lane's counters at 0, and show its objective; None: it has none."""
        add_to(self._families.requests_taken, lane, by=0)
        if objective_s is not None:
            set_to(self._families.lane_objective, objective_s, lane)
            add_to(self._families.outcomes_timed, lane, by=0)
            add_to(self._families.outcomes_late, lane, by=0)

    def begin_dead_letters(self, reason: str) -> None:
        """Begin this counter at 0: of one that is born with its first event, Prometheus never sees that event."""
        add_to(self._families.dead_letters, reason, by=0)

    def begin_transactions(self, result: str) -> None:
        """Begin this counter at 0, for the same reason."""
        add_to(self._families.transactions, result, by=0)

    def answered(self, model: str, limit_name: str, tier: str) -> None:
        """Give labels to the names of an answered call; `tier` is the service tier that the answer names."""
        self._models.confirm(model)
        self._models.confirm(limit_name)  # what is shown of a limit has its name as the label `model`
        self._tiers.confirm(tier)

    def requests_taken(self, lane: str) -> None:
        """Count a record taken from its lane."""
        add_to(self._families.requests_taken, lane)

    def outcome(self, lane: str, model: str, status: str, reason: str) -> None:
        """Count a published outcome; `reason` is empty for a completed one."""
        add_to(self._families.outcomes, lane, self._models.label(model), status, reason)

    def outcome_timed(self, lane: str, *, is_late: bool) -> None:
        """Count an outcome of a lane with an objective, and whether it came later than that."""
        add_to(self._families.outcomes_timed, lane)
        add_to(self._families.outcomes_late, lane, by=is_late)

    def finish(self, model: str, finish: str) -> None:
        """Count the finish of a completed outcome's answer."""
        add_to(self._families.finishes, self._models.label(model), finish)

    def attempt(self, model: str, tier: str, result: str) -> None:
        """Count a call that asked for a service tier (empty: for none) and ended with `result`, a verdict's meaning."""
        add_to(self._families.attempts, self._models.label(model), self._tiers.label(tier), result)

    def throttled(self, model: str, limit: str) -> None:
        """Count a call refused with 429."""
        add_to(self._families.throttles, self._models.label(model), self._limits.label(limit))

    def charged(self, model: str, lane: str, tokens: int) -> None:
        """Count `tokens` that OpenAI took from its bucket."""
        add_to(self._families.charge_tokens, self._models.label(model), lane, by=tokens)

    def usage(self, model: str, tier: str, kind: str, tokens: int) -> None:
        """Count billed `tokens` of `kind` (input, output, cached, reasoning) by the service tier that served them."""
        add_to(self._families.usage_tokens, self._models.label(model), self._tiers.label(tier), kind, by=tokens)

    def outcome_cost(self, lane: str, model: str, tier: str, usd: float) -> None:
        """Count what a published outcome cost; `model` is the one that answered."""
        self._answered.confirm(model)
        add_to(self._families.cost, lane, self._answered.label(model), self._tiers.label(tier), by=usd)

    def outcome_tokens(self, lane: str, model: str, tier: str, kind: str, tokens: int) -> None:
        """Count the billed `tokens` of a published outcome, of one kind (as `usage`)."""
        labels = lane, self._answered.label(model), self._tiers.label(tier), kind
        add_to(self._families.outcome_tokens, *labels, by=tokens)

    def unpriced(self, model: str) -> None:
        """Count a published outcome with usage and without a price."""
        add_to(self._families.unpriced, self._answered.label(model))

    def tenant_cost(self, tenant: str, usd: float) -> None:
        """Count what an outcome cost by its tenant."""
        add_to(self._families.tenant_cost, self._tenants.label(tenant), by=usd)

    def tenant_tokens(self, tenant: str, kind: str, tokens: int) -> None:
        """Count the billed tokens of an outcome by its tenant."""
        add_to(self._families.tenant_tokens, self._tenants.label(tenant), kind, by=tokens)

    def template_cost(self, template: str, usd: float) -> None:
        """Count what an outcome cost by its template."""
        add_to(self._families.template_cost, self._templates.label(template), by=usd)

    def template_tokens(self, template: str, kind: str, tokens: int) -> None:
        """Count the billed tokens of an outcome by its template."""
        add_to(self._families.template_tokens, self._templates.label(template), kind, by=tokens)

    def foreign(self, model: str, tokens: int) -> None:
        """Count `tokens` that others took from the same limit."""
        add_to(self._families.foreign_tokens, self._models.label(model), by=tokens)

    def limit(self, model: str, limit: str, capacity: float, level: float, utilisation: float | None) -> None:
        """Show one bucket of the mirror: capacity and level in its own unit, utilisation as a part of 1 if known."""
        names, labels = (model, limit), (self._models.label(model), self._limits.label(limit))
        set_folded(self._limit_capacity, capacity, names, labels)
        set_folded(self._limit_level, level, names, labels)
        if utilisation is not None:
            set_folded(self._utilisation, utilisation, names, labels)

    def bucket_forgotten(self, model: str, limit: str) -> None:
        """Show one bucket no more: its limit has none such."""
        names = shortened(model), shortened(limit)
        labels = text_of(self._models.label(model)), text_of(self._limits.label(limit))
        for gauge in (self._limit_capacity, self._limit_level, self._utilisation):
            gauge.withdraw(names, labels)

    def measured_rate(self, model: str, tokens_per_minute: int) -> None:
        """Show the rate at which a limit's calls are sent whatever its levels say; 0: its levels are followed."""
        set_folded(self._measured_rate, tokens_per_minute, (model,), (self._models.label(model),))

    def limit_forgotten(self, limit_name: str) -> None:
        """Leave a limit that is no longer known out of the levels that it shared with others."""
        first = shortened(limit_name)
        levels = self._limit_capacity, self._limit_level, self._utilisation, self._measured_rate
        for gauge in (*levels, self._charge_law, self._breaker_open, self._next_call):
            gauge.forget(first)
        if self._models.label(limit_name) == OTHER:
            self._laws.pop(first, None)

    def charge_law(self, model: str, law: str) -> None:
        """Show `law` as the one that the evidence supports for `model` now."""
        label, name = self._models.label(model), shortened(model)
        before = self._laws.get(name, law)
        if before != law:
            set_folded(self._charge_law, 0, (name, before), (label, before))
        self._laws[name] = law
        set_folded(self._charge_law, 1, (name, law), (label, law))

    def charge_error(self, model: str, tokens: int) -> None:
        """Observe the error of our charge in `tokens`, ours minus the server's."""
        observe_in(self._families.charge_error, tokens, self._models.label(model))

    def backlog(self, lane: str, requests: int, seconds: float, oldest_s: float) -> None:
        """Show a lane's backlog: requests, seconds until all could be called, and the age of the oldest."""
        set_to(self._families.backlog_requests, requests, lane)
        set_to(self._families.backlog_seconds, seconds, lane)
        set_to(self._families.backlog_oldest, oldest_s, lane)

    def lag(self, lane: str, requests: int | None, age_s: float) -> None:
        """Show a lane's records still in Kafka, as of `age_s` ago; None: unknown, and nothing is shown."""
        for family, value in ((self._families.lag_requests, requests), (self._families.lag_age, age_s)):
            if requests is None:
                with contextlib.suppress(KeyError):  # older releases raise where nothing is shown
                    family.remove(lane)
            else:
                set_to(family, value or 0, lane)

    def inflight(self, model: str, calls: int) -> None:
        """Show the number of calls in flight."""
        set_folded(self._inflight, calls, (model,), (self._models.label(model),))

    def queue_wait(self, lane: str, seconds: float, trace_id: str | None = None) -> None:
        """Observe a request's wait from taken to called."""
        observe_in(self._families.queue_wait, seconds, lane, trace_id=trace_id)

    def upstream_time(self, model: str, seconds: float, trace_id: str | None = None) -> None:
        """Observe the duration of a call."""
        observe_in(self._families.upstream, seconds, self._models.label(model), trace_id=trace_id)

    def outcome_time(self, lane: str, seconds: float, trace_id: str | None = None) -> None:
        """Observe the time from a request's submission to its outcome."""
        observe_in(self._families.outcome_seconds, seconds, lane, trace_id=trace_id)

    def leader(self, leads: bool) -> None:  # noqa: FBT001 - the value of the gauge
        """Show whether this process leads."""
        set_to(self._families.leader, leads)

    def term(self, number: int) -> None:
        """Show the term this process leads or follows."""
        set_to(self._families.term, number)

    def transaction(self, result: str, seconds: float) -> None:
        """Count a transaction with its result (`committed`, `unknown`) and observe its duration in `seconds`."""
        add_to(self._families.transactions, result)
        observe_in(self._families.transaction, seconds)

    def duplicate(self, lane: str) -> None:
        """Count a record that repeated a known request."""
        add_to(self._families.duplicates, lane)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        add_to(self._families.dead_letters, reason)

    def cancel_taken(self) -> None:
        """Count a cancel taken from the control topic."""
        add_to(self._families.cancels_taken)

    def cancels_waiting(self, count: int) -> None:
        """Show the number of cancels that wait for their request."""
        set_to(self._families.cancels_waiting, count)

    def cancels_evicted(self, count: int) -> None:
        """Count cancels evicted above `dedupe.ids_max`."""
        add_to(self._families.cancels_evicted, by=count)

    def chunks_dropped(self, count: int) -> None:
        """Count chunks that did not reach their topic."""
        add_to(self._families.chunks_dropped, by=count)

    def reply_copies(self, topic: str, result: str, count: int) -> None:
        """Count outcomes copied to a producer's own topic (`sent`), or not copied (`dropped`)."""
        add_to(self._families.reply_copies, topic, result, by=count)

    def repeated_call(self) -> None:
        """Count a call made again because its leader died."""
        add_to(self._families.repeated_calls)

    def dedupe_window(self, seconds: float) -> None:
        """Show how far back a repeat is recognised."""
        set_to(self._families.dedupe_window, seconds)

    def dedupe_window_set(self, seconds: float) -> None:
        """Show the window that the settings ask for."""
        set_to(self._families.dedupe_window_set, seconds)

    def ready(self, *, kafka: bool, redis: bool) -> None:
        """Show whether Kafka and Redis answer."""
        set_to(self._families.kafka_ready, kafka)
        set_to(self._families.redis_ready, redis)

    def breaker(self, model: str, *, is_open: bool) -> None:
        """Show whether the breaker of a model's limit is open."""
        set_folded(self._breaker_open, is_open, (model,), (self._models.label(model),))

    def breaker_opened_by(self, model: str, cause: str) -> None:
        """Show the meaning that opened a breaker: a limit's, or the account's under its own name."""
        set_folded(self._breaker_cause, 1, (model, cause), (self._models.label(model), cause))

    def breaker_cause_over(self, model: str, cause: str) -> None:
        """Show that cause no more."""
        labels = text_of(self._models.label(model)), text_of(cause)
        self._breaker_cause.withdraw((shortened(model), shortened(cause)), labels)

    def next_call(self, model: str, seconds: float) -> None:
        """Show the time until a limit can be called next; 0: now, or nothing waits for it."""
        set_folded(self._next_call, seconds, (model,), (self._models.label(model),))

    def tier_waiting(self, model: str, tier: str, requests: int) -> None:
        """Show the number of requests that wait for a service tier of a model."""
        labels = self._models.label(model), self._tiers.label(tier)
        set_folded(self._tier_waiting, requests, (model, tier), labels)

    def parked(self, requests: int) -> None:
        """Show the number of parked requests that have not come back to this leader."""
        set_to(self._families.parked, requests)

    def retry(self, kind: str) -> None:
        """Count an attempt to be made again, by its cause `kind`."""
        add_to(self._families.retries, kind)

    def put_back(self, lane: str) -> None:
        """Count a request that the retrier put back on its lane."""
        add_to(self._families.put_back, lane)

    def retries_waiting(self, kind: str, requests: int) -> None:
        """Show the number of requests that wait to be tried again."""
        set_folded(self._retries_waiting, requests, (kind,), (self._kinds.label(kind),))

    def retries_held_back(self, lane: str, requests: int) -> None:
        """Show the number of requests that are due but held back by their lane's retry budget."""
        set_to(self._families.retries_held_back, requests, lane)
