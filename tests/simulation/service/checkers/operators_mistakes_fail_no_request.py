"""A wrong key or URL, an empty account or a spend limit make requests wait; none fails for them before its deadline."""

from collections.abc import Iterator

from tests.simulation.service.history import History
from tests.simulation.service.openai import MISTAKES, STRANGER

CODES = frozenset(each.body["error"]["code"] for each in MISTAKES)


def check(history: History) -> Iterator[str]:
    """A request that failed for an operator's mistake."""
    for at_s, outcome in history.outcomes():
        reason, error = outcome.get("reason"), outcome.get("error") or {}
        blamed = error.get("code") in CODES or STRANGER in str(error.get("message"))
        if blamed and reason in {"rejected", "exhausted", "too_large", "invalid_request"}:
            yield f"{outcome['id']} failed at {at_s:.3f} s ({reason}) for {error['code'] or error['status']}"
