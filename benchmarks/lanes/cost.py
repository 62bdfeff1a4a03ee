"""Processor time of one decision, among few and among many: pick the next request, call it, enqueue another one.

Few and many take turns of a few milliseconds in one process, in its own processor time. So any other work of the
machine affects both, and the ratio of neighbours remains. Garbage is collected at Python's usual thresholds, not at the
service's.
"""

import time
from itertools import cycle, islice
from random import Random
from statistics import median
from typing import Final

from benchmarks.lanes.crowd import RULE, rules, size, ticket, tickets, weights
from benchmarks.lanes.findings import Check, Finding
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.units import PPM

WITHIN: Final = 0.20
ROUNDS: Final = 200
DECISIONS: Final = 300  # a turn
WARM: Final = 30_000  # decisions before the first turn: every tenant is served a few times
_RICH: Final = 1 << 50


class Desk:
    """A limit that can always pay, and its queue, which has as many requests at any time as at the start."""

    def __init__(self, waiting: int, tenants: int) -> None:
        weighed = weights(tenants)
        self.limits = Scheduler([RULE], _rich, Tenants(rules(weighed)))
        chance, numbers = Random("desk"), tickets()
        for tenant in islice(cycle(weighed), waiting):
            self.limits.enqueue(ticket(next(numbers), tenant, size(chance)), 0)

    def decide(self, times: int) -> float:
        """Return seconds of processor time for one decision."""
        limits = self.limits
        begun_s = time.process_time()
        for _ in range(times):
            found = next(limits.payable(0))
            limits.serve(found, 0)
            limits.enqueue(found, 0)
        return (time.process_time() - begun_s) / times


def waiting() -> Finding:
    """Measure among 100 and among 100,000 that wait."""
    return _compared("cost-waiting", "100,000 waiting against 100, of 10 tenants", Desk(100, 10), Desk(100_000, 10))


def tenants() -> Finding:
    """Measure among 10 and among 10,000 tenants."""
    title = "10,000 tenants against 10, of 20,000 waiting"
    return _compared("cost-tenants", title, Desk(20_000, 10), Desk(20_000, 10_000))


def both() -> Finding:
    """Measure from the fewest of both to the most of both: reported, not promised.

    There are as many steps as among few, and each in memory that no cache of a processor holds: a decision touches some
    thirty objects of a tenant that was last used ten thousand decisions ago.
    """
    title = "100,000 waiting of 10,000 tenants against 100 of 10: memory that no cache holds"
    return _compared("cost-both", title, Desk(100, 10), Desk(100_000, 10_000), promised=False)


def _compared(name: str, title: str, few: Desk, many: Desk, *, promised: bool = True) -> Finding:
    for desk in (few, many):
        desk.decide(WARM)
    rounds = [(few.decide(DECISIONS), many.decide(DECISIONS)) for _ in range(ROUNDS)]
    ratio = median(much / little for little, much in rounds)
    least, most = (1 - WITHIN, 1 + WITHIN) if promised else (None, None)
    checks = [
        Check("cost of a decision", ratio, "times", least=least, most=most),
        Check("among few", 1e6 * median(little for little, _ in rounds), "µs"),
        Check("among many", 1e6 * median(much for _, much in rounds), "µs"),
    ]
    return Finding(name, title, "core", checks)


def _rich(name: str, now_ms: int) -> Budget:
    return Budget(LimitBeliefs(name, _RICH, _RICH), now_ms, Checkpoint(name, now_ms, (), 0, 0, PPM))
