"""Redis decides nothing that lasts: where it forgets, and nothing else happens, whoever leads goes on leading."""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A second claim."""
    if history.scenario.faults.leave_leaders_alone:
        yield from (f"{owner} claims term {term} at {at_s:.3f} s" for at_s, term, owner in history.claims()[1:])
