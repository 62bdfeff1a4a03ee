"""Position of a request in its queue: requests ahead of it, of its tenant, in its lane, and in the lanes served first.

For its own tenant that is exact. A late request follows all those of its lane that are in time; of late ones, the one
with most time left comes first. Tenants share a lane by weight, so of every other tenant those requests are counted
whose tokens, over its weight, are used up first. For the requests that wait now, that is within about one request per
tenant of what will happen; later arrivals that go first are not foreseen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.lane_queue import LaneQueue
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM


@dataclass(frozen=True, slots=True)
class QueueTotals:
    """Totals of some waiting requests: their number, and the sum of their calls' charges."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "QueueTotals") -> "QueueTotals":
        return QueueTotals(self.requests + other.requests, self.tokens + other.tokens)


NO_REQUESTS: Final = QueueTotals()


@dataclass(frozen=True, slots=True)
class Place:
    """Requests ahead of one request.

    Attributes:
        tenant: Those of its tenant in its lane.
        lane: Those in its lane, of all tenants.
        above: Those in each lane that is served first, by its name.
        below: Those in each other lane.
    """

    tenant: QueueTotals
    lane: QueueTotals
    above: dict[str, QueueTotals]
    below: dict[str, QueueTotals]


def place_of(
    ticket: Ticket,
    rules: Iterable[LaneRule],
    queue_of: Callable[[str], LaneQueue],
    weight_of: Callable[[str], int],
    *,
    front: bool = False,
) -> Place:
    """Return its position; for a ticket not queued yet, the one it would have: `front`, before those of its tenant."""
    in_order = sorted(rules, key=lambda rule: rule.order)
    names = [rule.name for rule in in_order]
    at = names.index(ticket.source.partition.lane)
    queue = queue_of(names[at])
    tenant, lane = _in_lane(ticket, queue, weight_of, front=front)
    crowds = {name: QueueTotals(len(queue_of(name)), queue_of(name).waiting_tokens) for name in names}
    return Place(tenant, lane, {name: crowds[name] for name in names[:at]}, {n: crowds[n] for n in names[at + 1 :]})


def _in_lane(
    ticket: Ticket, queue: LaneQueue, weight_of: Callable[[str], int], *, front: bool
) -> tuple[QueueTotals, QueueTotals]:
    lines: dict[str, list[Ticket]] = {}
    for each in queue.first(len(queue) - len(queue.late)):
        lines.setdefault(each.candidate.tenant, []).append(each)
    tenant = ticket.candidate.tenant
    if ticket.late:
        before = list(takewhile(lambda each: each is not ticket, reversed(queue.late)))
        own = _crowd([*lines.get(tenant, []), *(each for each in before if each.candidate.tenant == tenant)])
        return own, sum((_crowd(line) for line in lines.values()), _crowd(before))
    own = _crowd([] if front else _before(ticket, lines.pop(tenant, [])))
    lines.pop(tenant, None)
    if queue.head is ticket:
        return own, own
    reached = own.tokens + ticket.charge
    others = (_crowd(_within(line, reached * weight_of(name) // weight_of(tenant))) for name, line in lines.items())
    return own, sum(others, own)


def _before(ticket: Ticket, line: Sequence[Ticket]) -> list[Ticket]:
    """Return those ahead in its tenant's queue; if it is not queued, those whose deadline is no later."""
    if ticket.queued:
        return list(takewhile(lambda each: each is not ticket, line))
    until_ms = ticket.candidate.deadline_ms
    return [each for each in line if each.rank is not None and each.rank[0] <= until_ms]


def _within(line: Sequence[Ticket], tokens: int) -> list[Ticket]:
    """Return those from the front that this number of tokens pays for."""
    found = []
    for each in line:
        tokens -= each.charge
        if tokens < 0:
            break
        found.append(each)
    return found


def _crowd(tickets: Sequence[Ticket]) -> QueueTotals:
    return QueueTotals(len(tickets), sum(each.charge for each in tickets))


def called_by_then(place: Place, charge: int, rules: Iterable[LaneRule]) -> QueueTotals:
    """Return the requests called by the time it is, itself included, if no others arrive.

    Lanes above go first, but not beyond what the floor of its own lane gives it; lanes below get their floors, and what
    the ceiling of its own lane leaves them.
    """
    by_name = {rule.name: rule for rule in rules}
    own = place.lane + QueueTotals(1, charge)
    rule = by_name[_own_lane(place, by_name)]
    above, below = sum(place.above.values(), NO_REQUESTS), sum(place.below.values(), NO_REQUESTS)
    passing = above.tokens
    if rule.floor_ppm:
        passing = min(passing, own.tokens * PPM // rule.floor_ppm - own.tokens)
    owed = [(by_name[name].floor_ppm, crowd.tokens) for name, crowd in place.below.items() if crowd.requests]
    share = min(PPM - 1, sum(floor_ppm for floor_ppm, _ in owed))
    floored = sum(tokens for floor_ppm, tokens in owed if floor_ppm)
    given = min(floored, (own.tokens + passing) * share // (PPM - share))
    if rule.ceiling_ppm < PPM:
        given = max(given, min(below.tokens, own.tokens * PPM // max(1, rule.ceiling_ppm) - own.tokens))
    return own + _part(above, passing) + _part(below, given)


def _own_lane(place: Place, by_name: Iterable[str]) -> str:
    return next(name for name in by_name if name not in place.above and name not in place.below)


def _part(crowd: QueueTotals, tokens: int) -> QueueTotals:
    """Return the number of requests that these tokens pay for, on average."""
    return QueueTotals(crowd.requests * tokens // crowd.tokens, tokens) if crowd.tokens else crowd
