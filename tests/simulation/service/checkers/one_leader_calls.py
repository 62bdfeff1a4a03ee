"""One process calls at a time: once a later term has been claimed, an earlier one begins no call any more.

There is one moment in which two may: a leader that does not hear from Redis trusts its last transaction for a second
and a half, and finds out with its next that it was replaced meanwhile. What it calls then is paid twice, and never
published.
"""

from collections.abc import Iterator

from broker.core.term import LeaseTimes
from schemas.ledger import LedgerKind
from tests.simulation.service.history import History

TRUST_S = LeaseTimes().proof_ms / 1_000


def check(history: History) -> Iterator[str]:
    """Two at a time, or a call of somebody who never claimed."""
    claims: dict[str, list[tuple[float, int]]] = {}
    for commit in history.commits:
        for line in commit.lines:
            if line.kind is LedgerKind.CLAIM:
                claims.setdefault(line.owner, []).append((commit.at_s, line.term))
    begun = sorted((at_s, term) for held in claims.values() for at_s, term in held)
    for call in history.calls:
        held = [term for at_s, term in claims.get(call.process, []) if at_s <= call.sent_s]
        if not held:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s and has claimed nothing"
            continue
        over = [at_s for at_s, term in begun if term > max(held) and at_s + TRUST_S < call.sent_s]
        if over:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and was replaced at {over[0]:.3f} s"
