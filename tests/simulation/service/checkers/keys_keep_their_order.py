"""Requests of one ordering key and lane start in the order of their records.

In a serial lane none starts before the one in front is decided, so no call of that one follows. Looked at is each
term for itself: a successor makes calls again that its predecessor had made, and so does a process that leads again.
A request that was parked before its first call in that term has left its place: its copy may stand in another
partition, which is read beside the first. Ids that were cancelled, replayed or sent with other content have no place.
Nor has one of which a record was lost before it was done: the former leader has read it, and its successor only a later
one. A serial lane parks nothing.
"""

from collections.abc import Iterator
from itertools import pairwise

from tests.simulation.service.history import History
from tests.simulation.service.producers import Sent


def check(history: History) -> Iterator[str]:
    """A later request that started too early."""
    parked, lanes = _first_parked(history), history.scenario.settings.lanes
    yield from _parked_in_spite(history)
    for process, calls in _terms(history):
        for lane, row in _rows(history):
            for earlier, later in pairwise(name for name in row if name in calls):
                if any(parked.get(each, calls[each][0]) < calls[each][0] for each in (earlier, later)):
                    continue
                serial = lanes[lane].serial
                if calls[later][0] < calls[earlier][-1 if serial else 0]:
                    yield f"{process} calls {later} at {calls[later][0]:.3f} s, and {earlier} in front of it later"


def _terms(history: History) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Each process and the calls that it made in one term, which it may claim again: when it called each id."""
    claims = history.claims()
    terms: dict[tuple[str, int], dict[str, list[float]]] = {}
    for call in history.calls:
        claimed = (term for at_s, term, owner in claims if owner == call.process and at_s <= call.sent_s)
        terms.setdefault((call.process, max(claimed, default=0)), {}).setdefault(call.id, []).append(call.sent_s)
    for (process, _), calls in terms.items():
        yield process, calls


def _parked_in_spite(history: History) -> Iterator[str]:
    """What was parked although its lane is serial."""
    lanes = history.scenario.settings.lanes
    for commit in history.commits:
        for each in commit.parked:
            if lanes[each["lane"]].serial:
                yield f"{each['id']} was parked at {commit.at_s:.3f} s, and its lane is serial"


def _rows(history: History) -> Iterator[tuple[str, list[str]]]:
    """The ids of each key in the order of their first records, and their lane."""
    bodies: dict[str | None, set[str | None]] = {}
    for each in history.sent:
        bodies.setdefault(each.id, set()).add(None if each.is_cancel or each.run else each.body)
    keyed: dict[tuple[str, str], list[Sent]] = {}
    for each in sorted(history.sent, key=lambda sent: sent.offset):
        if each.id in history.excused:
            continue
        if each.key is not None and len(bodies[each.id]) == 1 and None not in bodies[each.id]:
            keyed.setdefault((each.topic, each.key), []).append(each)
    for (topic, _), records in keyed.items():
        yield topic.rpartition(".")[2], list(dict.fromkeys(each.id for each in records if each.id is not None))


def _first_parked(history: History) -> dict[str, float]:
    """When each id was parked first."""
    found: dict[str, float] = {}
    for commit in history.commits:
        for each in commit.parked:
            found.setdefault(each["id"], commit.at_s)
    return found
