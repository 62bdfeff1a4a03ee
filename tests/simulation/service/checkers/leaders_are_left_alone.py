"""Redis decides nothing that lasts: where it forgets or is away, and nothing else happens, the leader goes on leading.

A leader that lives and can reach Redis sets its key again before a standby may take it, at whatever moment Redis is
back (seeds 561 and 9259, in which it was replaced).
"""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A second claim."""
    if history.scenario.faults.leave_leaders_alone:
        yield from (f"{owner} claims term {term} at {at_s:.3f} s" for at_s, term, owner in history.claims()[1:])
