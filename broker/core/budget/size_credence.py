"""Plausibility check of the limit sizes that answers state: a very different size is not believed at once.

Headers and refusals correct the mirror, and a limit that has become too small for a request fails it without a call, so
no later answer would correct that. A broken gateway could thus end a limit for good. So

- a size that differs from the believed one by more than `JUMP_TIMES` is believed when a second consecutive answer
  states the same: a limit that was truly raised or cut says so in every answer. A smaller size that a refusal names
  counts apart from what headers state: it may be another limit's;
- a new size of tokens that the call did not fit is not believed, however often it comes: an admitted call shows that it
  is false, and a refused one would have been called too large;
- a size of tokens that only refusals, or a predecessor, have *said* slows calls down, and fails no request: neither as
  too large nor as unreachable. It is proven by an admitted call that fits it and states it, and disproved by one that
  does not fit it: the former size holds again. A limit that is said to hold one token still makes such a call as soon
  as it is full, after its period at most.

The level in a disbelieved answer is ignored too; it belongs to another bucket.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MONTH_MS,
    PROJECT_METRICS,
    SECOND_MS,
    TOKENS,
    LimitMetric,
    SideReading,
)
from headrace.broker.core.answers.verdict import Meaning, Verdict

JUMP_TIMES: Final = 10
"""OpenAI's tiers lie up to five times apart, and a tier is not skipped."""

_APART_MS: Final = frozenset({SECOND_MS, HOUR_MS, DAY_MS, MONTH_MS})
"""A limit of one of these periods exists beside that of a minute; the two sizes are independent."""

Bucket = tuple[LimitMetric, int | None, bool]
"""A metric, its period unless that is a minute or unknown, and whether it is a project's."""
_Said = tuple[Bucket, bool]
"""A bucket, and whether the size is one that a refusal has named, smaller than what is believed otherwise."""


class SizeCredence:
    """Sizes of one limit, as believed and as claimed by the last answer that was not believed.

    Attributes:
        unproven_sizes: Sizes of tokens that are believed but not proven.
        disproved: Sizes that the last answer has shown to be false, each with the size believed before, if any.
    """

    def __init__(self, proven: Collection[int | None] = ()) -> None:
        """`proven`: sizes of tokens that the operator has stated, which need no proof."""
        self._proven = proven
        self._believed: dict[_Said, int] = {}
        self._claimed: dict[_Said, int] = {}
        self._unproven: dict[_Said, int | None] = {}  # the size believed before; None: none
        self.unproven_sizes: frozenset[int] = frozenset()
        self.disproved: dict[int, int | None] = {}

    def inherit(self, capacity: int, period_ms: int, *, project: bool = False) -> None:
        """Adopt the size of a bucket of tokens that a predecessor has left."""
        if capacity in self._proven:
            return
        bucket = TOKENS, period_ms if period_ms in _APART_MS else None, project
        for known in (self._believed, self._unproven):
            known.pop((bucket, True), None)
        self._believed[bucket, False], self._unproven[bucket, False] = capacity, None
        self._list_unproven()

    def believable(self, verdict: Verdict, least: Callable[[], int]) -> Verdict:
        """Return the verdict without what is not believed; `least` returns the least charge of its call by any law."""
        if self._unproven or self.disproved:
            self.disprove(least, admitted=verdict.meaning is Meaning.OK)
        stated = verdict.snapshot
        if stated is None and not verdict.readings and not verdict.side_readings:
            return verdict
        if verdict.meaning is Meaning.TOO_LARGE:
            least = _nothing
        admitted = verdict.meaning is Meaning.OK
        kept = tuple(
            [
                reading
                for reading in verdict.readings
                if self.believes((reading.metric, reading.period_ms, False), reading.capacity, least, admitted=admitted)
            ]
        )
        if verdict.side_readings:
            verdict = replace(verdict, side_readings=self._believable_beside(verdict, least))
        if stated is not None and not self.believes(
            (stated.metric, stated.period_ms, stated.project), stated.capacity, least, admitted=admitted, named=True
        ):
            return replace(verdict, readings=kept, snapshot=None)
        return verdict if len(kept) == len(verdict.readings) else replace(verdict, readings=kept)

    def _believable_beside(self, verdict: Verdict, least: Callable[[], int]) -> tuple[SideReading, ...]:
        """Return the buckets beside the account's own two without a project's whose size is not believed."""
        admitted = verdict.meaning is Meaning.OK
        return tuple(
            [
                side
                for side in verdict.side_readings
                if (metric := PROJECT_METRICS.get(side.kind)) is None
                or self.believes((metric, side.period_ms, True), side.capacity, least, admitted=admitted)
            ]
        )

    def believes(
        self, bucket: Bucket, capacity: int, least: Callable[[], int], *, admitted: bool, named: bool = False
    ) -> bool:
        """Return whether a size is believed that the answer to a call states.

        `least` returns the least charge of the call, `admitted`: it was admitted, `named`: a message names the size.
        """
        metric, period_ms, project = bucket
        bucket = metric, period_ms if period_ms in _APART_MS else None, project
        named = named and capacity < self._believed.get((bucket, False), 0)
        said, other = (bucket, named), (bucket, not named)
        known = self._believed.get(said, self._believed.get(other))
        if capacity == known and said not in self._unproven and other not in self._unproven:
            self._claimed.pop(said, None)
            return True
        if metric is TOKENS and capacity < least():
            return capacity == known  # a size that is believed anyway: the answer's level counts
        near = known is None or (known <= capacity * JUMP_TIMES and capacity <= known * JUMP_TIMES)
        if not near and not (admitted and said in self._unproven) and self._claimed.get(said) != capacity:
            self._claimed[said] = capacity
            return False
        self._believed[said] = capacity
        self._claimed.pop(said, None)
        if admitted or capacity in self._proven:
            self._unproven.pop(said, None)
            if self._believed.get(other) == capacity:
                self._unproven.pop(other, None)
        elif capacity != known:
            self._unproven.setdefault(said, known)
        self._list_unproven()
        return True

    def disprove(self, least: Callable[[], int], *, admitted: bool) -> None:
        """Remove unproven sizes smaller than an admitted call: no bucket that it was taken from is smaller than it."""
        self.disproved = {}
        if admitted:
            false = [said for said in self._unproven if said[0][0] is TOKENS and self._believed[said] < least()]
            for said in false:
                former, (_, named) = self._unproven.pop(said), said
                self.disproved[self._believed.pop(said)] = former
                if former is not None and not named:  # what is named is believed beside what holds without it
                    self._believed[said] = former
            self._list_unproven()

    def _list_unproven(self) -> None:
        self.unproven_sizes = frozenset([self._believed[said] for said in self._unproven if said[0][0] is TOKENS])


def _nothing() -> int:
    return 0
