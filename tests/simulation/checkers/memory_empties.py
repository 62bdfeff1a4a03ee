"""When all is done, nothing is left in memory: no ticket, call, reservation, byte or id, in any process alive."""

from collections.abc import Iterator

from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Everything that is still held."""
    for remains in history.remains:
        yield from (f"{remains.process} still holds {count} {what}" for what, count in remains.held.items() if count)
