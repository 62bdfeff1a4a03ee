"""Evidence that hears what headers say of one limit."""

from collections.abc import Sequence

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import ANSWERS_MIN, APART_MS, RefillEvidence, RefillPattern

CAPACITY = 60_000  # a bucket of a minute refills one token a millisecond

Call = tuple[int, int, int | None]  # what is used, how long until nothing is, when it was sent


def reading(used: int, full_in_ms: int | None, capacity: int = CAPACITY) -> Reading:
    return Reading(LimitMetric.TOKENS, capacity, capacity - used, None, full_in_ms)


class Listener:
    """Evidence that hears every answer `took_ms` after its call was sent."""

    def __init__(self, took_ms: int = 0) -> None:
        self.evidence = RefillEvidence()
        self.took_ms = took_ms

    def hear(
        self, used: int, full_in_ms: int | None, sent_ms: int = 0, *, capacity: int = CAPACITY
    ) -> RefillPattern | None:
        return self.evidence.observe(reading(used, full_in_ms, capacity), sent_ms, sent_ms + self.took_ms)

    def hear_all(self, calls: Sequence[Call]) -> list[RefillPattern | None]:
        return [self.hear(used, full_in_ms, sent_ms or 0) for used, full_in_ms, sent_ms in calls]


def sliding(*, calls: int = ANSWERS_MIN, period_ms: int = MINUTE_MS, apart_ms: int = APART_MS) -> list[Call]:
    """What a sliding window says of calls of 1,000 tokens each: always that it will be full in a period."""
    return [(1_000 * (call + 1), period_ms, call * apart_ms) for call in range(calls)]
