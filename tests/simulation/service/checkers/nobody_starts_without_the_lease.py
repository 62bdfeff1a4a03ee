"""Whoever starts a transactional producer, and so fences all others, has just heard that the lease is his.

There is one exception: the dispatcher whose claim is the last that can be read in the ledger, while Redis is silent.
Who stood still between hearing and starting could not know better.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History

JUST_S = 0.1
READABLE_S = 4.1
"""A claim can be read after so long."""


def check(history: History) -> Iterator[str]:
    """A start without the lease."""
    if history.scenario.faults.stall:
        return
    claims = history.claims()
    for start in history.starts:
        old = max((term for at_s, term, _ in claims if at_s + READABLE_S < start.at_s), default=0)
        last = {owner for at_s, term, owner in claims if term >= old and at_s <= start.at_s}
        if start.since_mine_s > JUST_S and not (start.process in last and start.group.endswith("dispatcher")):
            yield f"{start.process} starts a producer at {start.at_s:.3f} s, {start.since_mine_s:.1f} s after it led"
