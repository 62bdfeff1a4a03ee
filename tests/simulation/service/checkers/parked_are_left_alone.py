"""A parked request is not called before its copy is back on its lane: a duplicate of it costs no call."""

from collections.abc import Iterator
from math import inf

from headrace.schemas import headers as names
from tests.simulation.service.history import FAILURES, RETRIER, History
from tests.simulation.service.troubles import id_in

ON_THE_WAY_S = 0.01
"""A call that was sent before a commit stood may be heard of a little later."""


def check(history: History) -> Iterator[str]:
    """A call of a request that is parked."""
    claims = history.claims()
    away = _away(history)
    for call in history.calls:
        leader = max(((term, owner) for at_s, term, owner in claims if at_s <= call.sent_s), default=(0, ""))[1]
        for since_s, until_s in away.get(call.id, ()):
            if since_s + ON_THE_WAY_S < call.sent_s < until_s and call.process == leader:
                yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, which is parked since {since_s:.3f} s"


def _away(history: History) -> dict[str, list[tuple[float, float]]]:
    """From when to when each id was parked."""
    back: dict[tuple[str, int], float] = {}
    for commit in history.commits:
        if commit.group == RETRIER:
            for records in commit.records.values():
                for record in records:
                    told = dict(record.headers)
                    name, attempt = id_in(record), told.get(names.ATTEMPT)
                    if name is not None and attempt is not None and names.FAILURE in told:
                        back.setdefault((name, int(attempt)), commit.at_s)
    found: dict[str, list[tuple[float, float]]] = {}
    for commit in history.commits:
        for each in commit.parked if commit.records.get(FAILURES) else ():
            until_s = back.get((each["id"], each["attempt"] + 1), inf)
            found.setdefault(each["id"], []).append((commit.at_s, until_s))
    return found
