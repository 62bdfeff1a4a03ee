"""One process calls at a time: once a later term has been claimed, an earlier one begins no call any more.

There are two moments in which it may; what it calls then is paid twice, and never published. A leader that does not
hear from Redis trusts its last transaction for a second and a half, and finds out with its next that it was replaced
meanwhile. And a Redis that goes back to what it knew before gives the lease back to who had it then: that one goes by
Redis' word until its next transaction, which it begins within a second, has failed or has taken four.
"""

from collections.abc import Iterator

from headrace.broker.core.bounds import COMMIT_PATIENCE_MS, PROBE_EVERY_MS
from headrace.broker.core.config import LeaseTimes
from tests.simulation.service.history import History

TRUST_S = LeaseTimes().proof_ms / 1_000
BY_REDIS_WORD_S = TRUST_S + (PROBE_EVERY_MS + COMMIT_PATIENCE_MS) / 1_000


def check(history: History) -> Iterator[str]:
    """Two at a time, or a call of somebody who never claimed."""
    claims, goes_back = history.claims(), history.scenario.faults.redis_restored > 0
    for call in history.calls:
        term = max((term for at_s, term, owner in claims if owner == call.process and at_s <= call.sent_s), default=0)
        if not term:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s and has claimed nothing"
            continue
        later = [at_s for at_s, number, _ in claims if number > term and at_s <= call.sent_s]
        given_back = goes_back and call.held_s > max(later, default=0)
        over = [at_s for at_s in later if call.sent_s > at_s + (BY_REDIS_WORD_S if given_back else TRUST_S)]
        if over:
            yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and was replaced at {over[0]:.3f} s"
