"""A request is given up for failed attempts only after as many as it may have; none is rejected that OpenAI took.

Attempts that never reached OpenAI count as well, so more than one must have arrived, not all of them.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.schemas.outcome import FailureReason
from tests.simulation.service.history import History
from tests.simulation.service.strangers import is_strange

AT_LEAST = 2


def check(history: History) -> Iterator[str]:
    """A request that was given up too soon, or for an answer that it never had."""
    arrived = Counter(call.id for call in history.calls)
    refused = {call.id for call in history.calls if call.status is not None and 400 <= call.status < 500}
    for at_s, outcome in history.outcomes():
        name, reason = outcome["id"], outcome.get("reason")
        if is_strange(name):
            continue
        if reason == FailureReason.REJECTED and name not in refused:
            yield f"{name} is rejected at {at_s:.3f} s, and OpenAI refused no call of it"
        if reason == FailureReason.EXHAUSTED and arrived[name] < AT_LEAST:
            yield f"{name} is given up at {at_s:.3f} s after {arrived[name]} calls"
