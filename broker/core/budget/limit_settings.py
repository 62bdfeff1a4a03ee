"""What an operator says of one limit; everything else about it is found out."""

from dataclasses import dataclass

from broker.core.answers.rate_limit_headers import MINUTE_MS, Metric


@dataclass(frozen=True, slots=True)
class LimitBeliefs:
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
        named: The operator's settings name it: what is known of it is not forgotten for limits that producers invent.
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

    def per_day(self, metric: Metric) -> int | None:
        """What the operator says of a day."""
        return self.tokens_per_day if metric is Metric.TOKENS else self.requests_per_day
