"""A record that ends its reader does so five times at most, each further one of its partition twice; a call four times.

A call that ends its process at once does so twice more: before two deaths nothing waits for the ledger to know of it.
Leaders that die of something else meanwhile take part of the evidence with them: each may cost one more death. One that
leaves between the first two deaths and those that follow begins their count anew. Retention that removes the ledger's
lines within seconds does so each time. A leader that another one has superseded, and that does not know it yet, may
read the record too: its ledger is closed, so its death is no evidence and is not counted.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.broker.core.bounds import DEATHS_BEFORE_CAUTION
from headrace.schemas.ledger import LedgerKind
from tests.simulation.service.history import Deadly, History

BY_DECODING, BY_CALLING, BY_CALLING_AT_ONCE = 5, 4, 6
STARTED_STANDS_WITHIN_S = 1.5
"""A call that takes so long stands in the ledger before it ends its process."""


def check(history: History) -> Iterator[str]:
    """One that ended too many dispatchers."""
    caused = Counter(history.killed)
    ends = sum(each.role == "dispatcher" and each.ending != "lives" for each in history.lived)
    ends -= len(history.killed_superseded)
    terms = max(
        0, max(ends, len(history.claims()) - 1) - sum(caused.values())
    )  # the last claim is that of one that lives
    unknown = DEATHS_BEFORE_CAUTION * _left_between_deaths(history)
    at_once = history.scenario.a_call_kills_within_s[0] < STARTED_STANDS_WITHIN_S
    by_calling = BY_CALLING_AT_ONCE if at_once else BY_CALLING
    for (deadly, name), count in sorted(caused.items(), key=str):
        most = BY_DECODING if deadly is Deadly.DECODED else by_calling
        if count > most * (1 + _forgotten_between_deaths(history)) + terms + unknown:
            yield f"{name} ended {count} dispatchers by being {deadly.value}"


def _killed_s(history: History) -> list[float]:
    return [each.ended_s for each in history.lived if each.role == "dispatcher" and each.ending == "killed"]


def _forgotten_between_deaths(history: History) -> int:
    """How often the ledger has forgotten deaths before more of them came."""
    killed_s = _killed_s(history)
    return sum(min(killed_s, default=0.0) < at_s < max(killed_s, default=0.0) for at_s in history.forgotten_s)


def _left_between_deaths(history: History) -> bool:
    """Whether a dispatcher has left in peace after one was killed, and before another one was."""
    killed_s = _killed_s(history)
    left_s = [commit.at_s for commit in history.commits for line in commit.lines if line.kind is LedgerKind.LEFT]
    return any(min(killed_s, default=0.0) < at_s < max(killed_s, default=0.0) for at_s in left_s)
