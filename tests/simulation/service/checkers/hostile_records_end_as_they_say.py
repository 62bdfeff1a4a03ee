"""Each hostile record has one outcome or one dead letter, as its kind says.

It is answered, failed, or told of by a letter. One that is to be answered may fail as any request may. Other checkers
say that each id has one outcome, and each record without an id its letter; and `defects_cost_one_request` how many
calls may be blamed for deaths of their dispatchers.
"""

from collections.abc import Iterator

from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.schemas.outcome import FailureReason
from tests.hostile.records import ANSWERED, FAILED
from tests.simulation.service.history import History
from tests.simulation.service.strangers import drawn

OF_ITSELF = frozenset({FailureReason.INVALID_REQUEST, FailureReason.REJECTED, FailureReason.TOO_LARGE})
"""What a request fails for whatever the world is like."""
SMALL_LIMIT = frozenset({FailureReason.TOO_LARGE})
"""A limit of a run may be smaller than what three pictures cost."""
LATE = frozenset({FailureReason.DEADLINE_EXCEEDED, FailureReason.DEADLINE_UNREACHABLE})
NEVER = FailureReason.CRASHED


def check(history: History) -> Iterator[str]:
    """One that came to another end."""
    if not history.scenario.faults.hostile:
        return
    kinds = {each.id: each for each in drawn(history.scenario.seed) if each.id is not None}
    for at_s, outcome in history.outcomes():
        hostile = kinds.get(outcome["id"])
        if hostile is None:
            continue
        reason = outcome.get("reason")
        told = f"{hostile.id} ({hostile.kind}) is {reason or outcome['status']} at {at_s:.3f} s"
        if reason == NEVER and outcome.get("message") != CALLS_KILL.sentence:
            yield f"{told}: a record from outside is no defect of ours"
        elif hostile.fate == ANSWERED and reason in OF_ITSELF - SMALL_LIMIT:
            yield f"{told}, and should be answered"
        elif hostile.fate == FAILED and reason not in OF_ITSELF | LATE:
            yield f"{told}, and should fail"
