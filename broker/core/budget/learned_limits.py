"""Facts that answers and refusals have taught about a limit, other than its levels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearnedLimits:
    """Learned tolerance of the server.

    Attributes:
        admission_delay_ms: The longest time that a call may take to the server's limiter.
        tolerated_burst_tokens: The largest burst beyond the rate that was spent without a refusal.
        burst_ceiling_tokens: The burst that the server does not tolerate, where a refusal has shown it.
        share_ppm: The share of the rate that is spent.
    """

    admission_delay_ms: int
    tolerated_burst_tokens: int
    burst_ceiling_tokens: int | None
    share_ppm: int
