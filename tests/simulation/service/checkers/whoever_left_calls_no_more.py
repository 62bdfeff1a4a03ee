"""Whoever has said in the ledger that it leaves calls nobody in that term any more: the next leader would repeat it."""

from collections.abc import Iterator

from headrace.schemas.ledger import LedgerKind
from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A call that is bound to be paid for in vain."""
    farewells = [
        (commit.at_s, line.owner) for commit in history.commits for line in commit.lines if line.kind is LedgerKind.LEFT
    ]
    for left_s, owner in farewells:
        returns_s = min((at_s for at_s, _, who in history.claims() if who == owner and at_s > left_s), default=None)
        for call in history.calls:
            if call.process == owner and left_s < call.sent_s and (returns_s is None or call.sent_s < returns_s):
                yield f"{owner} calls {call.id} at {call.sent_s:.3f} s, and had left at {left_s:.3f} s"
