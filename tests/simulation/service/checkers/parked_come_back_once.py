"""The retrier puts each parked request back on its lane, and none twice."""

from collections.abc import Iterator

from headrace.schemas import topics
from tests.simulation.service.history import RETRIER, History
from tests.simulation.service.scenario import PREFIX


def check(history: History) -> Iterator[str]:
    """A copy twice, one of nothing, one on another lane, or, once the world is quiet, none."""
    back, parked = history.put_back(), history.parked()
    yield from (f"{position} was put back {count} times" for position, count in sorted(back.items()) if count > 1)
    yield from (f"{position} was put back and never parked" for position in sorted(back.keys() - parked))
    yield from _astray(history)
    if history.quiet_s is not None:
        yield from (f"{position} was parked and never put back" for position in sorted(parked - back.keys()))


def _astray(history: History) -> Iterator[str]:
    """Copies on another lane than that of the request."""
    written = [each for commit in history.commits if commit.group == RETRIER for each in commit.records.items()]
    for topic, records in written:
        for found in filter(None, map(history.failure_of, records)):
            lane = found[1].lane
            if topic.startswith(topics.requests_topic(PREFIX, "")) and topic != topics.requests_topic(PREFIX, lane):
                yield f"{found[1].id} of the lane {lane} was put back on {topic}"
