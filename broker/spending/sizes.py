"""Sizes of calls in tokens, counted in buckets that grow by a twelfth root of two: quantiles within three percent."""

import math
from collections.abc import Mapping
from typing import Final

STEPS_PER_DOUBLING: Final = 12


def bucket_of(tokens: int) -> int:
    """Return the bucket of a size; the bucket 0 holds sizes below 1."""
    return 0 if tokens < 1 else 1 + round(STEPS_PER_DOUBLING * math.log2(tokens))


def size_of(bucket: int) -> int:
    """Return the size in the middle of a bucket."""
    return 0 if bucket < 1 else round(2 ** ((bucket - 1) / STEPS_PER_DOUBLING))


def quantile(sizes: Mapping[int, int], share: float) -> int | None:
    """Return the size below which this share of the counted calls lies, within 3 %; None if none are counted."""
    count = sum(sizes.values())
    if not count:
        return None
    rank, seen = share * (count - 1), 0
    for bucket in sorted(sizes):
        seen += sizes[bucket]
        if seen > rank:
            return size_of(bucket)
    raise AssertionError("the counts add up to their sum")
