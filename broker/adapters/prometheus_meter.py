"""The door to prometheus_client: one typed method for each thing that is worth counting.

A producer chooses the model's name, so names are bounded before they become labels: the first hundred are told
apart, the rest is `other`.
"""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from broker.adapters.prometheus_families import Families

LABELS_MAX = 100
"""How many models, and how many limits, are told apart."""

_NAME_MAX = 100
_OTHER = "other"


class Meter:
    """All metrics of one process, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families = Families(self._registry)
        self._models = _BoundedNames()
        self._limits = _BoundedNames()
        self._laws: dict[str, str] = {}

    def render(self) -> bytes:
        """The text that a scrape gets, of `content_type`."""
        return generate_latest(self._registry)

    def requests_taken(self, lane: str) -> None:
        """A record was taken from its lane."""
        self._families.requests_taken.labels(lane).inc()

    def outcome(self, lane: str, model: str, status: str, reason: str) -> None:
        """An outcome was published; `reason` is empty for a completed one."""
        self._families.outcomes.labels(lane, self._models.label(model), status, reason).inc()

    def finish(self, model: str, finish: str) -> None:
        """The answer of a completed outcome ended so."""
        self._families.finishes.labels(self._models.label(model), finish).inc()

    def attempt(self, model: str, result: str) -> None:
        """A call ended with `result`, a verdict's meaning."""
        self._families.attempts.labels(self._models.label(model), result).inc()

    def throttled(self, model: str, limit: str) -> None:
        """A call was refused with 429."""
        self._families.throttles.labels(self._models.label(model), self._limits.label(limit)).inc()

    def charged(self, model: str, lane: str, tokens: int) -> None:
        """OpenAI took `tokens` from its bucket."""
        self._families.charge_tokens.labels(self._models.label(model), lane).inc(tokens)

    def usage(self, model: str, kind: str, tokens: int) -> None:
        """`tokens` of `kind` (input, output, cached, reasoning) were billed."""
        self._families.usage_tokens.labels(self._models.label(model), kind).inc(tokens)

    def foreign(self, model: str, tokens: int) -> None:
        """Others took `tokens` from the same limit."""
        self._families.foreign_tokens.labels(self._models.label(model)).inc(tokens)

    def limit(self, model: str, limit: str, capacity: float, level: float, utilisation: float | None) -> None:
        """One bucket as the mirror sees it: capacity and level in its own unit, utilisation as a part of 1 if known."""
        labels = self._models.label(model), self._limits.label(limit)
        self._families.limit_capacity.labels(*labels).set(capacity)
        self._families.limit_level.labels(*labels).set(level)
        if utilisation is not None:
            self._families.utilisation.labels(*labels).set(utilisation)

    def charge_law(self, model: str, law: str) -> None:
        """`law` is what the evidence supports for `model` now."""
        label = self._models.label(model)
        before = self._laws.get(label, law)
        if before != law:
            self._families.charge_law.labels(label, before).set(0)
        self._laws[label] = law
        self._families.charge_law.labels(label, law).set(1)

    def charge_error(self, model: str, tokens: int) -> None:
        """Our charge was off by `tokens`, ours minus the server's."""
        self._families.charge_error.labels(self._models.label(model)).observe(tokens)

    def backlog(self, lane: str, requests: int, seconds: float, oldest_s: float) -> None:
        """What waits in a lane: requests, seconds of budget, and the age of the oldest."""
        self._families.backlog_requests.labels(lane).set(requests)
        self._families.backlog_seconds.labels(lane).set(seconds)
        self._families.backlog_oldest.labels(lane).set(oldest_s)

    def inflight(self, model: str, calls: int) -> None:
        """So many calls are under way."""
        self._families.inflight.labels(self._models.label(model)).set(calls)

    def queue_wait(self, lane: str, seconds: float) -> None:
        """A request waited so long from taken to called."""
        self._families.queue_wait.labels(lane).observe(seconds)

    def upstream_time(self, model: str, seconds: float) -> None:
        """A call took so long."""
        self._families.upstream.labels(self._models.label(model)).observe(seconds)

    def outcome_time(self, lane: str, seconds: float) -> None:
        """A request had its outcome so long after it was submitted."""
        self._families.outcome_seconds.labels(lane).observe(seconds)

    def leader(self, leads: bool) -> None:  # noqa: FBT001 - the value of the gauge
        """Whether this process leads."""
        self._families.leader.set(leads)

    def term(self, number: int) -> None:
        """The term this process leads or follows."""
        self._families.term.set(number)

    def transaction(self, result: str, seconds: float) -> None:
        """A transaction ended so (`committed`, `unknown`) after `seconds`."""
        self._families.transactions.labels(result).inc()
        self._families.transaction.observe(seconds)

    def duplicate(self, lane: str) -> None:
        """A record repeated a known request."""
        self._families.duplicates.labels(lane).inc()

    def dead_letter(self, reason: str) -> None:
        """A dead letter was written."""
        self._families.dead_letters.labels(reason).inc()

    def cancel_taken(self) -> None:
        """A cancel was taken from the control topic."""
        self._families.cancels_taken.inc()

    def cancels_waiting(self, count: int) -> None:
        """So many cancels wait for their request."""
        self._families.cancels_waiting.set(count)

    def cancels_evicted(self, count: int) -> None:
        """So many of them gave way, above `dedupe.ids_max`."""
        self._families.cancels_evicted.inc(count)

    def contained(self, step: str) -> None:
        """An exception in our own code ended one request, or one observation, at that step."""
        self._families.contained.labels(step).inc()

    def chunks_dropped(self, count: int) -> None:
        """So many chunks did not reach their topic."""
        self._families.chunks_dropped.inc(count)

    def reply_copies(self, topic: str, result: str, count: int) -> None:
        """So many outcomes were copied to a topic of a producer's own (`sent`), or could not be (`dropped`)."""
        self._families.reply_copies.labels(topic, result).inc(count)

    def repeated_call(self) -> None:
        """A call was made again because its leader died."""
        self._families.repeated_calls.inc()

    def dedupe_window(self, seconds: float) -> None:
        """A repeat is recognised so far back."""
        self._families.dedupe_window.set(seconds)

    def ready(self, *, kafka: bool, redis: bool) -> None:
        """Which of the two answer."""
        self._families.kafka_ready.set(kafka)
        self._families.redis_ready.set(redis)

    def breaker(self, model: str, *, is_open: bool) -> None:
        """Whether the breaker of a model's limit is open."""
        self._families.breaker_open.labels(self._models.label(model)).set(is_open)

    def retry(self, kind: str) -> None:
        """An attempt will be made again, because of `kind`."""
        self._families.retries.labels(kind).inc()

    def put_back(self, lane: str) -> None:
        """The retrier put a request back on its lane."""
        self._families.put_back.labels(lane).inc()

    def retries_waiting(self, kind: str, requests: int) -> None:
        """So many requests wait to be tried again."""
        self._families.retries_waiting.labels(kind).set(requests)

    def retries_held_back(self, lane: str, requests: int) -> None:
        """So many requests are due and wait for what their lane may take back."""
        self._families.retries_held_back.labels(lane).set(requests)


class _BoundedNames:
    """Names that somebody else chose, as labels: few, short, and always encodable."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def label(self, name: str) -> str:
        short = name[:_NAME_MAX]
        known = self._labels.get(short)
        if known is not None:
            return known
        if len(self._labels) >= LABELS_MAX:
            return _OTHER
        # A lone surrogate from a producer's JSON would break every scrape from then on.
        self._labels[short] = short.encode("utf-8", "replace").decode()
        return self._labels[short]
