"""A request whose service tier has no capacity waits, and fails for that only at its deadline."""

from collections.abc import Iterator

from tests.simulation.service.history import History
from tests.simulation.service.openai import NO_CAPACITY

CODE = NO_CAPACITY.body["error"]["code"]


def check(history: History) -> Iterator[str]:
    """A request that failed early because its tier refused it."""
    for at_s, outcome in history.outcomes():
        reason, error = outcome.get("reason"), outcome.get("error") or {}
        if error.get("code") == CODE and reason not in {"deadline_exceeded", "cancelled"}:
            yield f"{outcome['id']} failed at {at_s:.3f} s ({reason}) for {CODE}"
