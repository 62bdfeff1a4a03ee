"""Whoever starts a transactional producer, and so fences all others, has just heard that the lease is his.

There is one exception: the dispatcher whose claim is the last in the ledger, while Redis is silent. Who stood still
between hearing and starting could not know better.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History

JUST_S = 0.1


def check(history: History) -> Iterator[str]:
    """A start without the lease."""
    if history.scenario.faults.stall:
        return
    claims = history.claims()
    for start in history.starts:
        last = max(((term, owner) for at_s, term, owner in claims if at_s <= start.at_s), default=(0, ""))[1]
        if start.since_mine_s > JUST_S and not (start.process == last and start.group.endswith("dispatcher")):
            yield f"{start.process} starts a producer at {start.at_s:.3f} s, {start.since_mine_s:.1f} s after it led"
