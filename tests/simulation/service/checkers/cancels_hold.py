"""Whoever was answered `cancelled` had a cancel, and a cancelled body is never published as completed afterwards."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A cancel that nobody wished."""
    wished = {each.id: each.at_s for each in reversed(history.sent) if each.is_cancel}
    for at_s, outcome in history.outcomes():
        if outcome.get("reason") == "cancelled" and wished.get(outcome["id"], at_s + 1) > at_s:
            yield f"{outcome['id']} was cancelled at {at_s:.3f} s, and nobody had wished it"
