"""OpenAI refuses few calls for want of tokens, whichever processes die.

The ledger tells the levels of the limits once a second. The successor of a leader that was killed does not know what it
has spent since: as many calls of its own may be refused.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History

SHARE_MAX = 0.02
ALLOWED = 2
ALLOWED_A_TERM = 2


def check(history: History) -> Iterator[str]:
    """A share above the bound.

    A project's daily limit, an empty account and a tier without capacity are not counted: nothing foretells them.
    """
    if history.scenario.faults.call_refused_for_long or history.scenario.faults.mistake:
        return
    refused = sum(call.status == 429 and not call.scarce for call in history.calls)
    terms = len(history.claims())
    untold = _untold(history)
    if refused > ALLOWED + ALLOWED_A_TERM * terms + untold + SHARE_MAX * len(history.calls):
        yield f"{refused} of {len(history.calls)} calls were refused; {untold} came after their process's last levels"


def _untold(history: History) -> int:
    """How many calls were made by a process that wrote no levels afterwards."""
    told_s: dict[str, float] = {}
    for commit in history.commits:
        for line in commit.lines:
            if line.levels:
                told_s[line.owner] = commit.at_s
    return sum(call.at_s > told_s.get(call.process, -1.0) for call in history.calls)
