"""The retrier puts each parked request back on its lane, and none twice."""

from collections import Counter
from collections.abc import Iterator

from schemas import headers as names
from tests.simulation.service.history import FAILURES, RETRIER, History


def check(history: History) -> Iterator[str]:
    """A copy twice, one of nothing, or, once the world is quiet, none."""
    back: Counter[str] = Counter()
    for commit in history.commits:
        for records in commit.records.values() if commit.group == RETRIER else ():
            for record in records:
                back[dict(record.headers).get(names.FAILURE, b"").decode()] += 1
    yield from (f"{position} was put back {count} times" for position, count in sorted(back.items()) if count > 1)
    parked = {
        f"{FAILURES}/{number}/{fetched.offset}"
        for number, log in enumerate(history.kafka.logs(FAILURES))
        for fetched in log.committed()
    }
    yield from (f"{position} was put back and never parked" for position in sorted(back.keys() - parked))
    if history.quiet_s is not None:
        yield from (f"{position} was parked and never put back" for position in sorted(parked - back.keys()))
