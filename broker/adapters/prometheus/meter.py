"""Adapter to prometheus_client, with one typed method for each figure counted.

A producer chooses the model's name, so names are bounded before they become labels
(`headrace.broker.adapters.prometheus.labels`). No method raises, whatever its arguments: a figure that a scrape cannot
carry is cut or left out, and a text is made encodable, because one bad label would break every scrape from then on.
"""

import contextlib
import math
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from headrace.broker.adapters.prometheus.families import Families
from headrace.broker.adapters.prometheus.labels import ACCOUNT, OTHER, BoundedNames, FoldedGauge, shortened, text_of
from headrace.schemas.tiers import KNOWN, MALFORMED

LABELS_MAX = 100
"""Number of models, and of limits, that get a label of their own; half of them for models without an answer so far."""

FIGURE_MAX: Final = 1e15
"""The largest figure that is shown or added: a counter still counts single tokens above it, and cannot overflow."""

TIER_LABELS_MAX = 16
"""Number of service tiers beside the known ones that get a label of their own, once an answer names them."""


class Meter:
    """All metrics of one process, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families = Families(self._registry)
        self._models = BoundedNames(LABELS_MAX, unconfirmed_max=LABELS_MAX // 2, known=("", ACCOUNT))
        self._limits = BoundedNames(LABELS_MAX)
        self._kinds = BoundedNames(LABELS_MAX)
        self._tiers = BoundedNames(TIER_LABELS_MAX, unconfirmed_max=0, known=("", MALFORMED, *KNOWN))
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

    def render(self) -> bytes:
        """Render the text of a scrape, of `content_type`."""
        return generate_latest(self._registry)

    def info(self, prefix: str, version: str, process: str) -> None:
        """Name the process: its topic prefix, its release, and what it is (`dispatcher`, `retrier`)."""
        _set(self._families.info, 1, prefix, version, process)

    def begin_lane(self, lane: str, objective_s: float | None) -> None:
        """Begin the lane's counters at 0, and show its objective; None: it has none."""
        _count(self._families.requests_taken, lane, by=0)
        if objective_s is not None:
            _set(self._families.lane_objective, objective_s, lane)
            _count(self._families.outcomes_timed, lane, by=0)
            _count(self._families.outcomes_late, lane, by=0)

    def begin_dead_letters(self, reason: str) -> None:
        """Begin this counter at 0: of one that is born with its first event, Prometheus never sees that event."""
        _count(self._families.dead_letters, reason, by=0)

    def begin_contained(self, step: str) -> None:
        """Begin this counter at 0, for the same reason."""
        _count(self._families.contained, step, by=0)

    def begin_transactions(self, result: str) -> None:
        """Begin this counter at 0, for the same reason."""
        _count(self._families.transactions, result, by=0)

    def answered(self, model: str, limit_name: str, tier: str) -> None:
        """Give labels to the names of an answered call; `tier` is the service tier that the answer names."""
        self._models.confirm(model)
        self._models.confirm(limit_name)  # what is shown of a limit has its name as the label `model`
        self._tiers.confirm(tier)

    def requests_taken(self, lane: str) -> None:
        """Count a record taken from its lane."""
        _count(self._families.requests_taken, lane)

    def outcome(self, lane: str, model: str, status: str, reason: str) -> None:
        """Count a published outcome; `reason` is empty for a completed one."""
        _count(self._families.outcomes, lane, self._models.label(model), status, reason)

    def outcome_timed(self, lane: str, *, is_late: bool) -> None:
        """Count an outcome of a lane with an objective, and whether it came later than that."""
        _count(self._families.outcomes_timed, lane)
        _count(self._families.outcomes_late, lane, by=is_late)

    def finish(self, model: str, finish: str) -> None:
        """Count the finish of a completed outcome's answer."""
        _count(self._families.finishes, self._models.label(model), finish)

    def attempt(self, model: str, tier: str, result: str) -> None:
        """Count a call that asked for a service tier (empty: for none) and ended with `result`, a verdict's meaning."""
        _count(self._families.attempts, self._models.label(model), self._tiers.label(tier), result)

    def throttled(self, model: str, limit: str) -> None:
        """Count a call refused with 429."""
        _count(self._families.throttles, self._models.label(model), self._limits.label(limit))

    def charged(self, model: str, lane: str, tokens: int) -> None:
        """Count `tokens` that OpenAI took from its bucket."""
        _count(self._families.charge_tokens, self._models.label(model), lane, by=tokens)

    def usage(self, model: str, tier: str, kind: str, tokens: int) -> None:
        """Count billed `tokens` of `kind` (input, output, cached, reasoning) by the service tier that served them."""
        _count(self._families.usage_tokens, self._models.label(model), self._tiers.label(tier), kind, by=tokens)

    def foreign(self, model: str, tokens: int) -> None:
        """Count `tokens` that others took from the same limit."""
        _count(self._families.foreign_tokens, self._models.label(model), by=tokens)

    def limit(self, model: str, limit: str, capacity: float, level: float, utilisation: float | None) -> None:
        """Show one bucket of the mirror: capacity and level in its own unit, utilisation as a part of 1 if known."""
        names, labels = (model, limit), (self._models.label(model), self._limits.label(limit))
        _set_folded(self._limit_capacity, capacity, names, labels)
        _set_folded(self._limit_level, level, names, labels)
        if utilisation is not None:
            _set_folded(self._utilisation, utilisation, names, labels)

    def bucket_forgotten(self, model: str, limit: str) -> None:
        """Show one bucket no more: its limit has none such."""
        names = shortened(model), shortened(limit)
        labels = text_of(self._models.label(model)), text_of(self._limits.label(limit))
        for gauge in (self._limit_capacity, self._limit_level, self._utilisation):
            gauge.withdraw(names, labels)

    def measured_rate(self, model: str, tokens_per_minute: int) -> None:
        """Show the rate at which a limit's calls are sent whatever its levels say; 0: its levels are followed."""
        _set_folded(self._measured_rate, tokens_per_minute, (model,), (self._models.label(model),))

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
            _set_folded(self._charge_law, 0, (name, before), (label, before))
        self._laws[name] = law
        _set_folded(self._charge_law, 1, (name, law), (label, law))

    def charge_error(self, model: str, tokens: int) -> None:
        """Observe the error of our charge in `tokens`, ours minus the server's."""
        _observe(self._families.charge_error, tokens, self._models.label(model))

    def backlog(self, lane: str, requests: int, seconds: float, oldest_s: float) -> None:
        """Show a lane's backlog: requests, seconds until all could be called, and the age of the oldest."""
        _set(self._families.backlog_requests, requests, lane)
        _set(self._families.backlog_seconds, seconds, lane)
        _set(self._families.backlog_oldest, oldest_s, lane)

    def lag(self, lane: str, requests: int | None, age_s: float) -> None:
        """Show a lane's records still in Kafka, as of `age_s` ago; None: unknown, and nothing is shown."""
        for family, value in ((self._families.lag_requests, requests), (self._families.lag_age, age_s)):
            if requests is None:
                with contextlib.suppress(KeyError):  # older releases raise where nothing is shown
                    family.remove(lane)
            else:
                _set(family, value or 0, lane)

    def inflight(self, model: str, calls: int) -> None:
        """Show the number of calls in flight."""
        _set_folded(self._inflight, calls, (model,), (self._models.label(model),))

    def queue_wait(self, lane: str, seconds: float) -> None:
        """Observe a request's wait from taken to called."""
        _observe(self._families.queue_wait, seconds, lane)

    def upstream_time(self, model: str, seconds: float) -> None:
        """Observe the duration of a call."""
        _observe(self._families.upstream, seconds, self._models.label(model))

    def outcome_time(self, lane: str, seconds: float) -> None:
        """Observe the time from a request's submission to its outcome."""
        _observe(self._families.outcome_seconds, seconds, lane)

    def leader(self, leads: bool) -> None:  # noqa: FBT001 - the value of the gauge
        """Show whether this process leads."""
        _set(self._families.leader, leads)

    def term(self, number: int) -> None:
        """Show the term this process leads or follows."""
        _set(self._families.term, number)

    def transaction(self, result: str, seconds: float) -> None:
        """Count a transaction with its result (`committed`, `unknown`) and observe its duration in `seconds`."""
        _count(self._families.transactions, result)
        _observe(self._families.transaction, seconds)

    def duplicate(self, lane: str) -> None:
        """Count a record that repeated a known request."""
        _count(self._families.duplicates, lane)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        _count(self._families.dead_letters, reason)

    def cancel_taken(self) -> None:
        """Count a cancel taken from the control topic."""
        _count(self._families.cancels_taken)

    def cancels_waiting(self, count: int) -> None:
        """Show the number of cancels that wait for their request."""
        _set(self._families.cancels_waiting, count)

    def cancels_evicted(self, count: int) -> None:
        """Count cancels evicted above `dedupe.ids_max`."""
        _count(self._families.cancels_evicted, by=count)

    def contained(self, step: str) -> None:
        """Count an exception in our own code that ended one request, or one observation, at that step."""
        _count(self._families.contained, step)

    def chunks_dropped(self, count: int) -> None:
        """Count chunks that did not reach their topic."""
        _count(self._families.chunks_dropped, by=count)

    def reply_copies(self, topic: str, result: str, count: int) -> None:
        """Count outcomes copied to a producer's own topic (`sent`), or not copied (`dropped`)."""
        _count(self._families.reply_copies, topic, result, by=count)

    def repeated_call(self) -> None:
        """Count a call made again because its leader died."""
        _count(self._families.repeated_calls)

    def dedupe_window(self, seconds: float) -> None:
        """Show how far back a repeat is recognised."""
        _set(self._families.dedupe_window, seconds)

    def dedupe_window_set(self, seconds: float) -> None:
        """Show the window that the settings ask for."""
        _set(self._families.dedupe_window_set, seconds)

    def ready(self, *, kafka: bool, redis: bool) -> None:
        """Show whether Kafka and Redis answer."""
        _set(self._families.kafka_ready, kafka)
        _set(self._families.redis_ready, redis)

    def breaker(self, model: str, *, is_open: bool) -> None:
        """Show whether the breaker of a model's limit is open."""
        _set_folded(self._breaker_open, is_open, (model,), (self._models.label(model),))

    def breaker_opened_by(self, model: str, cause: str) -> None:
        """Show the meaning that opened a breaker: a limit's, or the account's under its own name."""
        _set_folded(self._breaker_cause, 1, (model, cause), (self._models.label(model), cause))

    def breaker_cause_over(self, model: str, cause: str) -> None:
        """Show that cause no more."""
        labels = text_of(self._models.label(model)), text_of(cause)
        self._breaker_cause.withdraw((shortened(model), shortened(cause)), labels)

    def next_call(self, model: str, seconds: float) -> None:
        """Show the time until a limit can be called next; 0: now, or nothing waits for it."""
        _set_folded(self._next_call, seconds, (model,), (self._models.label(model),))

    def tier_waiting(self, model: str, tier: str, requests: int) -> None:
        """Show the number of requests that wait for a service tier of a model."""
        labels = self._models.label(model), self._tiers.label(tier)
        _set_folded(self._tier_waiting, requests, (model, tier), labels)

    def parked(self, requests: int) -> None:
        """Show the number of parked requests that have not come back to this leader."""
        _set(self._families.parked, requests)

    def retry(self, kind: str) -> None:
        """Count an attempt to be made again, by its cause `kind`."""
        _count(self._families.retries, kind)

    def put_back(self, lane: str) -> None:
        """Count a request that the retrier put back on its lane."""
        _count(self._families.put_back, lane)

    def retries_waiting(self, kind: str, requests: int) -> None:
        """Show the number of requests that wait to be tried again."""
        _set_folded(self._retries_waiting, requests, (kind,), (self._kinds.label(kind),))

    def retries_held_back(self, lane: str, requests: int) -> None:
        """Show the number of requests that are due but held back by their lane's retry budget."""
        _set(self._families.retries_held_back, requests, lane)


def _count(family: Counter, *labels: str, by: float = 1) -> None:
    """Add to a counter; a negative amount adds nothing."""
    figure = _figure(by)
    if figure is not None and figure >= 0:
        (family.labels(*map(text_of, labels)) if labels else family).inc(figure)


def _set(family: Gauge, value: float, *labels: str) -> None:
    figure = _figure(value)
    if figure is not None:
        (family.labels(*map(text_of, labels)) if labels else family).set(figure)


def _set_folded(gauge: FoldedGauge, value: float, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    figure = _figure(value)
    if figure is not None:
        gauge.set(figure, tuple(map(shortened, names)), tuple(map(text_of, labels)))


def _observe(family: Histogram, value: float, *labels: str) -> None:
    figure = _figure(value)
    if figure is not None:
        (family.labels(*map(text_of, labels)) if labels else family).observe(figure)


def _figure(value: float) -> float | None:
    """Cut a figure to what a scrape can carry; None for a non-figure, or nan, which would spoil every later sum."""
    try:
        number = float(value)
    except OverflowError:
        return FIGURE_MAX if value > 0 else -FIGURE_MAX
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else max(-FIGURE_MAX, min(number, FIGURE_MAX))
