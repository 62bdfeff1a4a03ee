"""A request whose service tier has no capacity waits, and fails for that only at its deadline."""

from collections.abc import Iterator

from tests.simulation.service.history import History
from tests.simulation.service.openai import NO_CAPACITY

CODE = NO_CAPACITY.body["error"]["code"]


def check(history: History) -> Iterator[str]:
    """A request that failed early because its tier refused it.

    An outcome states the last answer whatever its reason is. One that is `deadline_unreachable` failed for the tokens
    that are left, which no tier changes.
    """
    for at_s, outcome in history.outcomes():
        reason, error = outcome.get("reason"), outcome.get("error") or {}
        if error.get("code") == CODE and reason not in {"deadline_exceeded", "deadline_unreachable", "cancelled"}:
            yield f"{outcome['id']} failed at {at_s:.3f} s ({reason}) for {CODE}"
