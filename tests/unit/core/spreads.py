"""Own buckets that tests of what may be spent at once are made of."""

from headrace.broker.core.budget.burst_control import BurstControl

MINUTE = 60_000
CAPACITY = 60_000  # of a minute: one token a millisecond
FIRST = 300  # what is refilled within SILENCE_MS: so deep one may always go


def spread(capacity: int = CAPACITY, *, burst_ms: int | None = None) -> BurstControl:
    return BurstControl(capacity, MINUTE, 0, burst_ms)


def refused_deep() -> BurstControl:
    """A server that bore 5,000 and refused a call of 1,000 on top of 4,700, 400 ms after the start."""
    known = spread()
    known.pay(5_000, 0)
    assert known.pay(1_000, 300) == 5_700
    known.refund(1_000, 400)
    known.record_refusal(5_700, 1_000, 300, 400)
    return known


def refused_shallow(times: int = 1) -> BurstControl:
    known = spread()
    for at_ms in range(times):
        known.record_refusal(1_000, 1_000, at_ms, at_ms)
    return known
