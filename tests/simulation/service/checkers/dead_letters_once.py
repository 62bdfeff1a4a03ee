"""A record has one dead letter at most, and what has neither id nor outcome has exactly one."""

from collections import Counter
from collections.abc import Iterator

from schemas.headers import ORIGIN
from tests.simulation.service.history import DEAD_LETTERS, History


def check(history: History) -> Iterator[str]:
    """A dead letter twice, or none where there must be one."""
    origins = Counter(
        dict(record.headers).get(ORIGIN, b"").decode()
        for commit in history.commits
        for record in commit.records.get(DEAD_LETTERS, ())
    )
    yield from (f"{origin} has {count} dead letters" for origin, count in sorted(origins.items()) if count > 1)
    if history.trimmed:
        return  # what was removed before it was taken has one letter for all of it
    for each in history.sent:
        if each.id is None and not origins[f"{each.topic}/{each.partition}/{each.offset}"]:
            yield f"garbage at {each.topic}/{each.partition}/{each.offset} has no dead letter"
