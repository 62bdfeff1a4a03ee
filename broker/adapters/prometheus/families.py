"""The metric families of CONTRACT: names, labels, units and buckets, in one registry of ours.

Dashboards depend on them; changing one is a breaking change. Base units only. Neither tenant nor id is a label.
"""

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


class Families:
    """Metric families, one attribute each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        ProcessCollector(registry=registry)
        self.requests_taken = self._counter("requests_taken", "Records taken from a lane.", "lane")
        self.outcomes = self._counter("outcomes", "Outcomes published.", "lane", "model", "status", "reason")
        self.finishes = self._counter("finishes", "Completed outcomes, by how the answer ended.", "model", "finish")
        self.attempts = self._counter("attempts", "HTTP calls, by how they ended.", "model", "result")
        self.throttles = self._counter("throttles", "429s.", "model", "limit")
        self.charge_tokens = self._counter("charge_tokens", "Tokens OpenAI took from its bucket.", "model", "lane")
        self.usage_tokens = self._counter("usage_tokens", "Tokens billed.", "model", "kind")
        self.foreign_tokens = self._counter("foreign_tokens", "Tokens that others took from the same limit.", "model")
        self.transactions = self._counter("transactions", "Transactions of the leader.", "result")
        self.retries = self._counter("retries", "Attempts to be made again, by why.", "kind")
        self.put_back = self._counter("put_back", "Requests that the retrier put back on their lane.", "lane")
        self.dead_letters = self._counter("dead_letters", "Dead letters written.", "reason")
        self.duplicates = self._counter("duplicates", "Records that repeated a known request.", "lane")
        self.repeated_calls = self._counter("repeated_calls", "Calls made again because their leader died.")
        self.contained = self._counter(
            "contained",
            "Exceptions in Headrace's own code that were contained: a single request failed, or a figure was left out.",
            "step",
        )
        self.chunks_dropped = self._counter("chunks_dropped", "Chunks of streams that Kafka did not take in time.")
        self.reply_copies = self._counter("reply_copies", "Outcomes copied to a reply topic.", "topic", "result")
        self.cancels_taken = self._counter("cancels_taken", "Cancels taken from the control topic.")
        self.cancels_evicted = self._counter("cancels_evicted", "Cancels that waited and gave way to younger ones.")
        self.cancels_waiting = self._gauge("cancels_waiting", "Cancels whose request has not come yet.")
        self.limit_capacity = self._gauge("limit_capacity", "What a limit holds when full.", "model", "limit")
        self.limit_level = self._gauge("limit_level", "What the mirror says is left.", "model", "limit")
        self.utilisation = self._gauge(
            "utilisation_ratio", "Charged in the last 60 s, as a part of what the limit allows.", "model", "limit"
        )
        self.backlog_requests = self._gauge("backlog_requests", "Requests taken and waiting.", "lane")
        self.backlog_seconds = self._gauge("backlog_seconds", "Seconds until all that wait could be called.", "lane")
        self.lag_requests = self._gauge("lag_requests", "Records of a lane in Kafka, not taken yet.", "lane")
        self.lag_age = self._gauge("lag_age_seconds", "How long ago Kafka was asked for the lag.", "lane")
        self.backlog_oldest = self._gauge("backlog_oldest_seconds", "Age of the oldest that waits.", "lane")
        self.inflight = self._gauge("inflight", "Calls under way.", "model")
        self.leader = self._gauge("leader", "1 while this process leads.")
        self.term = self._gauge("term", "The term this process leads or follows.")
        self.charge_law = self._gauge("charge_law", "1 for the law that is believed.", "model", "law")
        self.breaker_open = self._gauge("breaker_open", "1 while the breaker is open.", "model")
        self.retries_waiting = self._gauge("retries_waiting", "Requests that wait to be tried again.", "kind")
        self.retries_held_back = self._gauge(
            "retries_held_back", "Requests that are due and wait for what their lane may take back.", "lane"
        )
        self.dedupe_window = self._gauge("dedupe_window_seconds", "How far back a repeat is recognised.")
        self.kafka_ready = self._gauge("kafka_ready", "1 while Kafka answers.")
        self.redis_ready = self._gauge("redis_ready", "1 while Redis answers.")
        self.queue_wait = self._histogram("queue_wait_seconds", "From taken to called.", _WAIT_S, "lane")
        self.upstream = self._histogram("upstream_seconds", "From called to answered.", _CALL_S, "model")
        self.outcome_seconds = self._histogram("outcome_seconds", "From submitted to outcome.", _WAIT_S, "lane")
        self.transaction = self._histogram("transaction_seconds", "From begin to committed.", _TRANSACTION_S)
        self.charge_error = self._histogram(
            "charge_error_tokens", "Our charge minus the server's.", _ERROR_TOKENS, "model"
        )

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="headrace", registry=self._registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace="headrace", registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, what, labels, namespace="headrace", registry=self._registry, buckets=buckets)
