"""Once everything has ended, the leader holds nothing: no request, no answer, no task."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """What is left."""
    if history.quiet_s is not None:
        yield from (f"{count} {what} are left" for what, count in history.remains.items() if count)
