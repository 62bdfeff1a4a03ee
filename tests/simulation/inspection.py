"""What must hold inside the machine after every turn, looked at from its parts: nobody waits for nothing.

The checkers see only what comes out. A machine that forgets somebody, or sleeps past an instant it has named to itself,
may still end well because some other event wakes it; so these are asked of the machine itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

from headrace.broker.core.config import Role
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.ticket import CallNumber, Candidate, State, Ticket, TicketNumber, id_hash_of
from tests.simulation.history import CallMade, Turn


def inspect(core: Dispatch, calls: Iterable[CallNumber], now_ms: int) -> Iterator[str]:
    """Everything wrong with a machine that has just been asked for its commands; `calls` are those its shell makes."""
    asleep = {entry[2]: entry[0] for entry in core._timers._asleep}
    behind = {ticket for row in core.limits._order._rows.values() for ticket in list(row)[1:]}  # others of their key
    for ticket in core.registry.tickets():
        yield from _waits_for_something(core, ticket, asleep.keys() | behind)
    wanted = set(core.flights._wanted.values())
    yield from (f"nobody waits for call {call}, and nobody ends it" for call in calls if call not in wanted)
    for desk in core.limits.limit_queues().values():
        yield from _are_where_they_belong(desk)
    if not core.limits.is_sound(sum(ticket.queued for ticket in core.registry.tickets())):
        yield "the sums of some lane do not agree with its tickets"
    if core.role is Role.LEADING:
        yield from _sleeps_no_longer_than_told(core, asleep, now_ms)


def _waits_for_something(core: Dispatch, ticket: Ticket, elsewhere: AbstractSet[Ticket]) -> Iterator[str]:
    match ticket.state:
        case State.WAITING if not ticket.queued and ticket not in elsewhere:
            yield f"ticket {ticket.number} waits, neither in line nor asleep nor behind another of its key"
        case State.CALLING if ticket not in core.flights._wanted:
            yield f"ticket {ticket.number} waits for a call that nobody makes"
        case State.JOINED:
            id_hash = id_hash_of(ticket)
            fate = core.identities.fate(id_hash)
            if id_hash not in core.registry._open and (fate is None or fate[0] is not Fate.PARKED):
                yield f"ticket {ticket.number} waits for an id that is neither open nor parked"
        case State.SETTLED if core.outbox.decision(ticket) is None and not core.outbox.busy:
            yield f"ticket {ticket.number} is settled and will never be published"
        case _:
            pass


def _are_where_they_belong(desk: LimitQueue) -> Iterator[str]:
    """Waiting requests of a tier that rests wait apart, but for its next probe in each lane."""
    if not desk.is_sorted:
        return  # `sort` goes on with it
    for lanes in (desk.lanes, *desk.tier_lanes.values()):
        for ticket in lanes.tickets():
            tier = ticket.candidate.model_tier
            rests, probe = desk.budget.tiers.rests(tier), desk._probes.get((tier, ticket.source.partition.lane))
            if ticket.in_tier_lanes and not rests:
                yield f"ticket {ticket.number} waits apart, and its tier does not rest"
            if rests and not ticket.in_tier_lanes and probe is not ticket:
                yield f"ticket {ticket.number} waits for its turn, and its tier rests"


def _sleeps_no_longer_than_told(core: Dispatch, asleep: dict[Ticket, int], now_ms: int) -> Iterator[str]:
    instants = {at_ms for ticket, at_ms in asleep.items() if ticket.state is State.WAITING}
    instants |= {ticket.candidate.deadline_ms for ticket in core.registry.tickets() if ticket.state is State.WAITING}
    if core.flights.has_room() and core.pauses_for(now_ms) is None:
        account = core.limits.account.breaker
        probe_ms = account.may_call_at(now_ms)
        found = (desk.next(now_ms, probe=not account.closed) for desk in core.limits.limit_queues().values())
        if probe_ms is not None:
            free = [each for each in found if each is not None and core.flights.has_room(each[0].reserved_ppm)]
            instants |= {max(probe_ms, at_ms) for _, at_ms in free}
    wake_ms = core.wake_at()
    if instants and (wake_ms is None or wake_ms > min(instants)):
        yield f"it sleeps until {wake_ms}, and something is due at {min(instants)}"


def held(core: Dispatch) -> dict[str, int]:
    """What a machine has in memory; all zero when nothing is to be done."""
    return {
        "tickets": len(core.registry),
        "answering": len(core.registry._open),
        "joined": len(core.registry._joined),
        "lane counts": sum(core.registry._held.values()),
        "lane bytes": sum(core.registry._held_bytes.values()),
        "flights": len(core.flights),
        "wanted": len(core.flights._wanted),
        "held bytes": core.flights.held_bytes,
        "outbox": len(core.outbox),
        "waiting": core.limits.waiting(),
        "waiting tokens": sum(
            lanes.queue(rule.name).waiting_tokens
            for desk in core.limits.limit_queues().values()
            for lanes in (desk.lanes, *desk.tier_lanes.values())
            for rule in core.rules.lanes
        ),
        "reservations": sum(desk.budget.inflight for desk in core.limits.limit_queues().values()),
    }


def turns(writer: str, core: Dispatch, calls: Sequence[CallMade]) -> Iterator[Turn]:
    """What has just been called, limit by limit, and who waits behind it."""
    tenants, account = core.limits.tenants, core.limits.account.breaker
    for limit in dict.fromkeys(call.limit for call in calls):
        desk = core.limits.limit_queues()[limit]
        called = [call for call in calls if call.limit == limit]
        lines = {rule.name: _in_line(desk, rule.name) for rule in core.rules.lanes}
        yield Turn(
            writer,
            core.term,
            limit,
            calm=desk.budget.breaker.closed and account.closed,
            calls=called,
            waiting={
                lane: {each.number for each in line if not tenants.rule(each.candidate.tenant).capped}
                for lane, line in lines.items()
            },
            largest=max(chain((call.charge for call in called), (each.charge for each in chain(*lines.values())))),
        )


def _in_line(desk: LimitQueue, lane: str) -> list[Ticket]:
    queue = desk.lanes.queue(lane)
    return list(queue.first(len(queue)))


def charge(core: Dispatch, number: TicketNumber) -> int:
    """What a ticket that is being called is charged."""
    return core.registry._tickets[number].charge


def unfinished_beside(core: Dispatch, number: TicketNumber) -> int:
    """In a serial lane: how many others of a ticket's ordering key have begun and have no outcome yet."""
    ticket = core.registry._tickets[number]
    lane, order = ticket.source.partition.lane, ticket.candidate.order
    if not (core.rules.is_serial(lane) and order):
        return 0
    return sum(
        other is not ticket
        and other.calls > 0
        and other.state is not State.SETTLED
        and other.source.partition.lane == lane
        and other.candidate.order == order
        for other in core.registry.tickets()
        if isinstance(other.content, Candidate)
    )
