"""Facts that answers and refusals have taught about a limit, other than its levels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearnedLimits:
    """Learned tolerance of the server.

    Attributes:
        way_ms: The longest time that a call may take to the server's limiter.
        borne_tokens: The largest burst beyond the rate that was spent without a refusal.
        ceiling_tokens: The burst that the server does not tolerate, where a refusal has shown it.
        share_ppm: The share of the rate that is spent.
    """

    way_ms: int
    borne_tokens: int
    ceiling_tokens: int | None
    share_ppm: int
