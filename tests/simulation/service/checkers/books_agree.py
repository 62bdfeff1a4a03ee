"""The books of the core agree after each event: counts, bytes and reservations are those of the tickets that there are.

It is what the core itself asks after an exception, and only then (`headrace.broker.core.requests.eviction`). Asked
after every event in one run of twenty, and in others now and then: it looks at every ticket.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """What did not add up, and after which event."""
    yield from history.unsound
