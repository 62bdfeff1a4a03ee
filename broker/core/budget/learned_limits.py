"""What answers and refusals have taught of a limit beside its levels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearnedLimits:
    """What has been found out of the server's patience.

    Attributes:
        way_ms: How long a call may take to the server's limiter.
        borne_tokens: What has been spent at once beyond the rate without a refusal.
        ceiling_tokens: What must not be, where a refusal has shown it.
        share_ppm: The share of the rate that is spent.
    """

    way_ms: int
    borne_tokens: int
    ceiling_tokens: int | None
    share_ppm: int
