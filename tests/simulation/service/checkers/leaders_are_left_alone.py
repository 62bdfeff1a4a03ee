"""Redis decides nothing that lasts: where it forgets, and nothing else happens, the leader goes on leading.

Where it was away it may hand over as it comes back: a question to it that began before takes the leader 0.9 s, and a
standby waits half a second (seeds 561 and 9259). What is promised then is in `redis_stops_no_call`.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A second claim."""
    if history.scenario.faults.leave_leaders_alone and not history.scenario.faults.redis_away:
        yield from (f"{owner} claims term {term} at {at_s:.3f} s" for at_s, term, owner in history.claims()[1:])
