"""The retrier puts each parked request back on its lane, and none twice."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A copy twice, one of nothing, or, once the world is quiet, none."""
    back, parked = history.put_back(), history.parked()
    yield from (f"{position} was put back {count} times" for position, count in sorted(back.items()) if count > 1)
    yield from (f"{position} was put back and never parked" for position in sorted(back.keys() - parked))
    if history.quiet_s is not None:
        yield from (f"{position} was parked and never put back" for position in sorted(parked - back.keys()))
