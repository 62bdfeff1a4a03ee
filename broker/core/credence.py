"""Whether what an answer says of a limit's size is believed: not at once, if it is another size altogether.

Headers and refusals correct the mirror, and a limit that has become too small for a request fails it without a call, so
no later answer would correct that. One answer of a broken gateway could end a limit for good. So a size that differs
from the believed one by more than `JUMP_TIMES` is believed when a second answer in a row says the same: a limit that
was truly raised or cut says so in every answer. So is the first size of all, if it is smaller than the call that was
admitted under it.

What a disbelieved answer says of the level is left out too; it speaks of another bucket.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from broker.core.reading import DAY_MS, HOUR_MS, MONTH_MS, SECOND_MS, TOKENS, Metric
from broker.core.verdict import Meaning, Verdict

JUMP_TIMES: Final = 10
"""OpenAI's tiers lie up to five times apart, and a tier is not skipped."""

_APART_MS: Final = frozenset({SECOND_MS, HOUR_MS, DAY_MS, MONTH_MS})
"""A limit of one of these periods stands beside that of a minute, which is as large as it is."""

Bucket = tuple[Metric, int | None]
"""A metric, and its period unless that is a minute or unknown."""


class Credence:
    """One limit's sizes, as believed and as claimed by the last answer that was not."""

    def __init__(self) -> None:
        self._believed: dict[Bucket, int] = {}
        self._claimed: dict[Bucket, int] = {}

    def believable(self, verdict: Verdict, least: Callable[[], int]) -> Verdict:
        """The verdict without what is not believed; `least` tells what its call took at least, by any law."""
        stated = verdict.snapshot
        if stated is None and not verdict.readings:
            return verdict
        if verdict.meaning is Meaning.TOO_LARGE:
            least = _nothing
        kept = tuple(
            [each for each in verdict.readings if self._is_believed(each.metric, each.period_ms, each.capacity, least)]
        )
        if stated is not None and not self._is_believed(stated.metric, stated.period_ms, stated.capacity, least):
            return replace(verdict, readings=kept, snapshot=None)
        return verdict if len(kept) == len(verdict.readings) else replace(verdict, readings=kept)

    def _is_believed(self, metric: Metric, period_ms: int | None, capacity: int, least: Callable[[], int]) -> bool:
        bucket = metric, period_ms if period_ms in _APART_MS else None
        known = self._believed.get(bucket)
        if known is None:
            sound = metric is not TOKENS or capacity >= least()
        else:
            sound = known <= capacity * JUMP_TIMES and capacity <= known * JUMP_TIMES
        if not sound and self._claimed.get(bucket) != capacity:
            self._claimed[bucket] = capacity
            return False
        self._believed[bucket] = capacity
        self._claimed.pop(bucket, None)
        return True


def _nothing() -> int:
    return 0
