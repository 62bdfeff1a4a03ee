"""Units shared across the core, and the division of in-flight slots."""

from typing import Final

PPM: Final = 1_000_000
"""Shares are whole parts per million."""

ROUNDING_TOKENS: Final = 2
"""Laws and recorded debits differ by at most this much a call (facts/openai.md §2)."""


def unreserved_slots(count: int, reserved_ppm: int) -> int:
    """Return how many slots may be used beside the reserve; at least one, or no call could ever start."""
    return max(1, count - count * reserved_ppm // PPM)
