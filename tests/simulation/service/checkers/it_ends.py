"""Everything ends by itself once trouble is over, and nothing breaks on the way."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """What broke, or what has not ended."""
    yield from history.defects
    if history.quiet_s is None and not history.defects:
        yield f"it does not end: {sorted(history.waiting())} have no outcome, {history.undone} are not done"
