"""What is learned of a limit at any measured rate, and what the next rate goes on with."""

from typing import NamedTuple

from headrace.broker.core.budget.recent_spending import RecentSpending
from headrace.broker.core.budget.span_caps import SpanCaps
from headrace.broker.core.budget.stated_waits import StatedWaits


class Learned(NamedTuple):
    """What holds at any rate: recent calls, caps of spans, the silence that means admission, trust in stated waits."""

    spending: RecentSpending
    caps: SpanCaps
    silence_ms: int
    waits: StatedWaits

    @classmethod
    def nothing(cls, silence_ms: int) -> "Learned":
        """Return what is known before the first call."""
        return cls(RecentSpending(), SpanCaps(), silence_ms, StatedWaits())
