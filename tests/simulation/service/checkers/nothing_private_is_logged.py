"""No line of the log holds a part of a prompt or of an answer."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A line that does."""
    yield from (f"logged: {line[:120]}" for line in history.logged[:1])
