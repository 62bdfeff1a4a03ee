"""The metric families of CONTRACT: names, labels, units and buckets, in one registry of ours.

Dashboards depend on them; changing one is a breaking change. Base units only. No id is a label, and a tenant or a
template only in families that stay empty unless the settings ask for them.
A process shows its own families alone: a gauge that it never sets would read 0, and look like a service that is away.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # untyped there; a second series for every counter, of no use to us

_WAIT_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400, 432_000)
"""Bucket bounds of a lane's waits, from a free budget to bulk's longest deadline."""

_CALL_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
"""Bucket bounds up to the default time-out of a call."""

_TRANSACTION_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
"""Bucket bounds up to the transaction time-out."""

_ERROR_TOKENS = (-10_000, -1_000, -100, -10, -2, -1, 0, 1, 2, 10, 100, 1_000, 10_000)
"""Bucket bounds of our charge minus the server's: laws that fit are within 2 (`facts/openai.md` §2.1)."""


_ANSWER_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)
"""Bucket bounds of the gateway's answers, up to the longest wait that a key may allow."""


class ProcessFamilies:
    """Metric families that every process has, one attribute each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        ProcessCollector(registry=registry)
        self.info = self._gauge("info", "1; its labels name the process.", "prefix", "version", "process")
        self.contained = self._counter(
            "contained",
            "Contained exceptions in Headrace's code: each failed one request or left out a figure.",
            "step",
        )
        self.spans = self._counter("trace_spans", "Spans of traces: exported, or lost.", "result")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="headrace", registry=self._registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace="headrace", registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, what, labels, namespace="headrace", registry=self._registry, buckets=buckets)


class Families(ProcessFamilies):
    """Metric families of dispatchers and retriers."""

    def __init__(self, registry: CollectorRegistry) -> None:  # noqa: PLR0915 — a line for each family
        super().__init__(registry)
        self.requests_taken = self._counter("requests_taken", "Records taken from the lane.", "lane")
        self.outcomes = self._counter("outcomes", "Outcomes published.", "lane", "model", "status", "reason")
        self.outcomes_timed = self._counter(
            "outcomes_timed", "Outcomes of a lane with an objective, cancelled ones not counted.", "lane"
        )
        self.outcomes_late = self._counter(
            "outcomes_late", "Those that came later after their submission than the lane's objective.", "lane"
        )
        self.lane_objective = self._gauge(
            "lane_objective_seconds", "Time from submission to outcome that is promised for the lane.", "lane"
        )
        self.finishes = self._counter(
            "finishes", "Completed outcomes by the way their answer ended.", "model", "finish"
        )
        self.attempts = self._counter("attempts", "HTTP calls by result.", "model", "tier", "result")
        self.throttles = self._counter("throttles", "Answers with status 429.", "model", "limit")
        self.charge_tokens = self._counter(
            "charge_tokens", "Tokens that OpenAI took from its bucket for our calls.", "model", "lane"
        )
        self.usage_tokens = self._counter(
            "usage_tokens", "Tokens billed, as answers report them.", "model", "tier", "kind"
        )
        self.outcome_tokens = self._counter(
            "outcome_tokens", "Tokens billed for published outcomes.", "lane", "model", "tier", "kind"
        )
        self.cost = self._counter(
            "cost_usd", "Cost of published outcomes by the price list, in US dollars.", "lane", "model", "tier"
        )
        self.unpriced = self._counter(
            "unpriced", "Published outcomes with usage for which the price list has no price.", "model"
        )
        self.tenant_tokens = self._counter(
            "tenant_tokens", "Tokens billed for published outcomes, with metrics.by_tenant.", "tenant", "kind"
        )
        self.tenant_cost = self._counter(
            "tenant_cost_usd", "Cost of published outcomes, with metrics.by_tenant.", "tenant"
        )
        self.template_tokens = self._counter(
            "template_tokens", "Tokens billed for published outcomes, with metrics.by_template.", "template", "kind"
        )
        self.template_cost = self._counter(
            "template_cost_usd", "Cost of published outcomes, with metrics.by_template.", "template"
        )
        self.foreign_tokens = self._counter(
            "foreign_tokens", "Tokens that other clients of the account took from the same limit.", "model"
        )
        self.transactions = self._counter("transactions", "Transactions of the leader by result.", "result")
        self.retries = self._counter("retries", "Attempts to be repeated, by the kind of their failure.", "kind")
        self.put_back = self._counter("put_back", "Requests that the retrier put back on their lane.", "lane")
        self.dead_letters = self._counter("dead_letters", "Dead letters written.", "reason")
        self.duplicates = self._counter("duplicates", "Records that repeat a known request.", "lane")
        self.repeated_calls = self._counter("repeated_calls", "Calls repeated because their leader had died.")
        self.chunks_dropped = self._counter(
            "chunks_dropped", "Chunks of streams dropped because Kafka did not accept them in time."
        )
        self.reply_copies = self._counter("reply_copies", "Outcomes copied to a reply topic.", "topic", "result")
        self.cancels_taken = self._counter("cancels_taken", "Cancels taken from the control topic.")
        self.cancels_evicted = self._counter("cancels_evicted", "Pending cancels dropped in favour of younger ones.")
        self.cancels_waiting = self._gauge("cancels_waiting", "Pending cancels: their requests have not arrived.")
        self.limit_capacity = self._gauge("limit_capacity", "Capacity of the limit's bucket.", "model", "limit")
        self.limit_level = self._gauge("limit_level", "Estimated level of the limit's bucket.", "model", "limit")
        self.utilisation = self._gauge(
            "utilisation_ratio", "Amount charged in the last 60 s divided by what the limit allows.", "model", "limit"
        )
        self.measured_rate = self._gauge(
            "measured_tokens_per_minute",
            "Measured rate of the limit where it is followed; 0: the server's own numbers are.",
            "model",
        )
        self.backlog_requests = self._gauge("backlog_requests", "Requests taken and waiting for a call.", "lane")
        self.backlog_seconds = self._gauge(
            "backlog_seconds", "Estimated time until all waiting requests are called.", "lane"
        )
        self.lag_requests = self._gauge("lag_requests", "Records of the lane in Kafka that are not taken yet.", "lane")
        self.lag_age = self._gauge("lag_age_seconds", "Age of the lag: time since Kafka reported it.", "lane")
        self.backlog_oldest = self._gauge("backlog_oldest_seconds", "Age of the oldest waiting request.", "lane")
        self.inflight = self._gauge("inflight", "Calls under way.", "model")
        self.leader = self._gauge("leader", "1 while this process leads.")
        self.term = self._gauge("term", "The term this process leads or follows.")
        self.charge_law = self._gauge("charge_law", "1 for the charge law in use.", "model", "law")
        self.breaker_open = self._gauge("breaker_open", "1 while the breaker is open.", "model")
        self.breaker_cause = self._gauge(
            "breaker_cause",
            "1 while the breaker is open, by the meaning of the answer that opened it.",
            "model",
            "cause",
        )
        self.next_call = self._gauge(
            "next_call_seconds", "Time until the limit can be called next, by its levels and stated pauses.", "model"
        )
        self.tier_waiting = self._gauge(
            "tier_waiting", "Requests that wait for a service tier without capacity.", "model", "tier"
        )
        self.parked = self._gauge("parked_requests", "Parked requests that have not come back to the leader.")
        self.retries_waiting = self._gauge("retries_waiting", "Parked requests that wait for their retry.", "kind")
        self.retries_held_back = self._gauge(
            "retries_held_back", "Parked requests that are due but held back by the retry budget of their lane.", "lane"
        )
        self.dedupe_window = self._gauge("dedupe_window_seconds", "Time for which an answered id is recognised.")
        self.dedupe_window_set = self._gauge(
            "dedupe_window_configured_seconds", "The window that the settings ask for."
        )
        self.kafka_ready = self._gauge("kafka_ready", "1 while Kafka answers.")
        self.redis_ready = self._gauge("redis_ready", "1 while Redis answers.")
        self.queue_wait = self._histogram(
            "queue_wait_seconds", "Time from taking a request to its call.", _WAIT_S, "lane"
        )
        self.upstream = self._histogram("upstream_seconds", "Time from a call to its answer.", _CALL_S, "model")
        self.outcome_seconds = self._histogram(
            "outcome_seconds", "Time from a request's submission to its outcome.", _WAIT_S, "lane"
        )
        self.transaction = self._histogram(
            "transaction_seconds", "Time from a transaction's begin to its commit.", _TRANSACTION_S
        )
        self.charge_error = self._histogram(
            "charge_error_tokens", "Predicted charge minus the server's charge.", _ERROR_TOKENS, "model"
        )


class GatewayFamilies(ProcessFamilies):
    """Metric families of gateways."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.answers = self._counter(
            "gateway_answers", "Answers to clients, hang-ups (status 499) among them.", "endpoint", "lane", "status"
        )
        self.answer_seconds = self._histogram(
            "gateway_answer_seconds", "Time from a request's head to the end of its answer.", _ANSWER_S, "endpoint"
        )
        self.waiting = self._gauge("gateway_waiting", "Clients that wait for an outcome.")
        self.streaming = self._gauge("gateway_streaming", "Those of them whose answer is a stream.")
        self.connections = self._gauge("gateway_connections", "Open connections.")
        self.inflight = self._gauge("gateway_inflight", "Calls and uploads under way.")
        self.inflight_max = self._gauge("gateway_inflight_max", "The most of them that this process takes.")
        self.joins = self._counter("gateway_joins", "Repeated attempts that were led to their earlier call.")
        self.hang_ups = self._counter("gateway_hang_ups", "Clients that left before their answer.")
        self.ready = self._gauge("gateway_ready", "1 while this gateway accepts calls.")
        self.keys = self._gauge("gateway_keys", "Keys in force.")
        self.key_file_ready = self._gauge(
            "gateway_key_file_ready", "1 while the key file, as it is now, is in force; 0: it cannot be read."
        )


FAMILIES: Final = (Families, GatewayFamilies)
"""All tables; the families of one may be those of another."""
