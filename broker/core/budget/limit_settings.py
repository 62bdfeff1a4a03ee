"""An operator's settings for one limit; everything else about it is learned."""

from dataclasses import dataclass

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric


@dataclass(frozen=True, slots=True)
class LimitBeliefs:
    """An operator's figures for a limit, which hold until headers say otherwise, and the operator's own bounds.

    Attributes:
        name: The limit's name, `gpt-4o-mini`.
        tokens: Tokens per `period_ms`; None: the first answer tells.
        requests: Requests per `period_ms`; None: the first answer tells.
        period_ms: The period of both.
        cap_tokens: The operator's cap on any minute, never exceeded as far as bodies show, whatever headers say.
        inflight_max: The operator's cap on calls in flight.
        burst_ms: Never spend more at once than the server refills in this time.
        refusals_charged: The server charges a call that it refuses with 429.
        tokens_per_day: Tokens per day, paid in addition to those of the period; no header reports them.
        requests_per_day: Requests per day, likewise.
        named: The operator's settings name it: its state is not discarded to make room for limits that producers
            invent.
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
    named: bool = False

    def per_day(self, metric: LimitMetric) -> int | None:
        """Return the operator's figure per day for a metric."""
        return self.tokens_per_day if metric is LimitMetric.TOKENS else self.requests_per_day
