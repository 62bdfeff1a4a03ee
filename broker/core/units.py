"""Places for calls in flight: how many may be taken by who must leave a share of them to others."""

from typing import Final


def places(count: int, keep_ppm: int) -> int:
    """Of so many places, those beside the share kept; one always, else who keeps a share would never be called."""
    return max(1, count - count * keep_ppm // PPM)


PPM: Final = 1_000_000


ROUNDING_TOKENS: Final = 2  # laws and recorded debits differ by at most so much a call (facts/openai.md §2)
