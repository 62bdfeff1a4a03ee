"""Records of the failures topic that make transactions fail: transaction size, and the refusals of each culprit.

This knowledge outlives a stretch, because each failure ends one.
"""

from collections import Counter
from collections.abc import Sequence

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import ProducerDead
from headrace.consumers.narrowing import Narrowing

Place = tuple[int, int]
"""Partition and offset."""

_log = structlog.get_logger("retrier")


class Culprits:
    """Culprits of one retrier."""

    def __init__(self, count_max: int, clock: WallClock) -> None:
        """`count_max` is the most records that a transaction takes."""
        self._narrowing = Narrowing(count_max)
        self._clock = clock
        self._refusals: Counter[Place] = Counter()

    @property
    def count_max(self) -> int:
        """The most records that the next transaction may take."""
        return self._narrowing.count_max

    def refusals(self, place: Place) -> int:
        """Return how often a record was found to be the culprit."""
        return self._refusals[place]

    def passed(self, places: Sequence[Place]) -> None:
        """Note that a transaction of these was committed."""
        self._narrowing.passed(len(places))
        for place in places:
            self._refusals.pop(place, None)

    def failed(self, places: Sequence[Place], error: ProducerDead) -> None:
        """Note that a transaction of these failed. A missing right blames none of them."""
        if error.is_denial:
            return
        if self._narrowing.failed(places, self._clock.now_ms(), refused=error.is_refusal):
            (place,) = places
            self._refusals[place] += 1
            _log.error("not_put_back", partition=place[0], offset=place[1], reason=str(error))
