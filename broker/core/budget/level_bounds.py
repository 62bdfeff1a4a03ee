"""Bounds of the level of one bucket, as they are shown, and left to a successor."""

from dataclasses import dataclass, replace

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET, Refill


@dataclass(frozen=True, slots=True)
class LevelBounds:
    """Lower and upper bound of one bucket's level.

    `kind` is what it counts if that is neither tokens nor requests (`headrace.broker.core.budget.side_limits`).
    """

    metric: LimitMetric
    low: int
    high: int
    capacity: int
    period_ms: int
    refill: Refill = BUCKET
    project: bool = False
    kind: str = ""

    @property
    def counts(self) -> str:
        """What it counts, in one word."""
        return self.kind or self.metric.value

    def refilled(self, elapsed_ms: int) -> "LevelBounds":
        """Return the bounds after `elapsed_ms` without spending."""
        gain = self.capacity * elapsed_ms // self.period_ms
        return replace(self, low=min(self.capacity, self.low + gain), high=min(self.capacity, self.high + gain))
