"""One process calls at a time: once a later term has been claimed, an earlier one begins no call any more.

There is one moment in which two may: a leader that does not hear from Redis trusts its last transaction for a second
and a half, and finds out with its next that it was replaced meanwhile. What it calls then is paid twice, and never
published.
"""

from collections.abc import Iterator

from broker.core.term import LeaseTimes
from tests.simulation.service.history import History

TRUST_S = LeaseTimes().proof_ms / 1_000


def check(history: History) -> Iterator[str]:
    """Two at a time, or a call of somebody who never claimed."""
    claims = history.claims()
    for call in history.calls:
        term = max((term for at_s, term, owner in claims if owner == call.process and at_s <= call.sent_s), default=0)
        if not term:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s and has claimed nothing"
            continue
        over = [at_s for at_s, later, _ in claims if later > term and at_s + TRUST_S < call.sent_s]
        if over:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and was replaced at {over[0]:.3f} s"
