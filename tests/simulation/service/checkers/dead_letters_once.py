"""A record has one dead letter at most, and what has neither id nor outcome has exactly one."""

from collections import Counter
from collections.abc import Iterator

from headrace.schemas.headers import CE_SUBJECT, ORIGIN, RUN
from headrace.schemas.record import Record
from tests.simulation.service.history import DEAD_LETTERS, History


def check(history: History) -> Iterator[str]:
    """A dead letter twice, or none where there must be one."""
    origins = Counter(_origin(record) for commit in history.commits for record in commit.records.get(DEAD_LETTERS, ()))
    yield from (f"{origin} has {count} dead letters" for origin, count in sorted(origins.items()) if count > 1)
    if history.trimmed:
        return  # what was removed before it was taken has one letter for all of it
    for each in history.sent:
        if each.id is None and not origins[f"{each.topic}/{each.partition}/{each.offset}"]:
            yield f"garbage at {each.topic}/{each.partition}/{each.offset} has no dead letter"


def _origin(record: Record) -> str:
    """Where it came from; what did not come back from the failures topic is told apart by its identity."""
    told = dict(record.headers)
    origin = told.get(ORIGIN, b"").decode()
    return origin if not origin.endswith("/-1") else f"{origin} {told[CE_SUBJECT]!r} {told[RUN]!r}"
