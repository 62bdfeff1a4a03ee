"""Places for calls in flight: how many may be taken by who must leave a share of them to others."""

from broker.core.pricing.markup import PPM


def places(count: int, keep_ppm: int) -> int:
    """Of so many places, those beside the share kept; one always, else who keeps a share would never be called."""
    return max(1, count - count * keep_ppm // PPM)
