"""Status of one request: where it is, what is ahead of it, what it waits for, and when it will be called.

It decides nothing: where a query updates something inside the core, it is one that the driver makes at every turn too.
Only the leader knows anything of a request; and one that it has not taken yet is known to Kafka alone. Nothing of a
prompt, an answer or metadata is shown: ids, names, numbers, instants.

| `state`             | the request                                                                             |
|---------------------|-----------------------------------------------------------------------------------------|
| `waiting`           | is in its queue                                                                         |
| `waiting_for_order` | waits until those of its ordering key before it have started, or ended                  |
| `waiting_for_retry` | was called, and waits for another attempt                                               |
| `calling`           | is being called                                                                         |
| `joined`            | is a duplicate, or another run, and waits for the fate of the first (`behind`)          |
| `settled`           | is decided (`decided`), and not committed yet                                           |
| `parked`            | waits in the failures topic; the retrier puts it back                                   |
| `answered`          | has its outcome (`outcome`)                                                             |
| `unknown`           | is not taken yet, does not exist, or was answered longer ago than the dedupe window     |
| `elsewhere`         | is not known to this process, which does not lead                                       |
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from headrace.broker.clock import WallClock
from headrace.broker.core.commands import Complete, DeadLetterOnly, Decision, Discard, Fail, Park, Remember, Withdraw
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.ticket import Candidate, State, Ticket
from headrace.broker.service.health import Health
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.status.queue_position import Place, QueueTotals, called_by_then, place_of
from headrace.broker.service.status.start_estimate import cap_lets_through_ms, flows_in_ms, lets_through_ms
from headrace.broker.service.status.wait_reasons import Hindrance, WaitReasons
from headrace.schemas.ids import id_hash
from headrace.schemas.instants import to_wire
from headrace.schemas.request_codec import DecodedRequest

Told = dict[str, Any]
_UNFORESEEABLE: Final = frozenset({"leader", "breaker"})
_OUTCOMES: Final[dict[Fate, Told]] = {
    Fate.COMPLETED: {"status": "completed", "reason": None},
    Fate.FAILED: {"status": "failed", "reason": None},
    Fate.WITHDRAWN: {"status": "failed", "reason": "cancelled"},
}

_DECIDED: Final[dict[type[Decision], str]] = {
    Complete: "completed",
    Fail: "failed",
    Withdraw: "failed",
    Park: "parked",
    DeadLetterOnly: "dead_letter",
    Discard: "duplicate",
}


@dataclass(eq=False)
class RequestStatus:
    """Status queries of one dispatcher.

    The collaborators are read; nothing is changed.
    """

    core: Dispatch
    hold: PayloadStore
    health: Health
    telemetry: Telemetry
    clock: WallClock
    topic_prefix: str
    _hindrances: WaitReasons = field(init=False)

    def __post_init__(self) -> None:
        self._hindrances = WaitReasons(self.core, self.telemetry.trips.of)

    def of(self, request_id: str, run: int | None, now_ms: int) -> Told:
        """Return the state of a request; without `run`, of the run that is under way, or else of the last one."""
        about: Told = {"id": request_id, "run": run, "topic_prefix": self.topic_prefix, "role": self.health.role}
        if not self.health.holds_the_lease:
            return about | _elsewhere(self.health)
        return about | self._here(id_hash(request_id), run, now_ms)

    def _here(self, hashed: bytes, run: int | None, now_ms: int) -> Told:
        tickets = self._tickets(hashed, run)
        open_now = [each for each in tickets if self.core.registry.is_answering(each) or each.state is State.JOINED]
        if open_now:
            return self._report(open_now[0], now_ms)
        settled = self._settled_long_ago(hashed, run)
        if settled is not None:
            return settled
        return self._report(tickets[0], now_ms) if tickets else self._unknown(now_ms)

    def _tickets(self, hashed: bytes, run: int | None) -> list[Ticket]:
        """Return the tickets of the request; the one that will answer for it comes first."""
        found = [
            ticket
            for ticket in self.core.registry.tickets()
            if isinstance(ticket.content, Candidate)
            and ticket.content.identity.id_hash == hashed
            and run in {None, ticket.content.identity.run}
        ]
        return sorted(found, key=lambda ticket: not self.core.registry.is_answering(ticket))

    # ------------------------------------------------------------------ not in memory

    def _settled_long_ago(self, hashed: bytes, run: int | None) -> Told | None:
        """Return what the ledger says of the request."""
        known = self.core.identities.fate(hashed)
        if known is None or (run is not None and run > known[1]):
            return None
        fate, last_run, attempts = known
        if run is not None and run < last_run:  # a later run exists only because this one was answered
            return {"state": "answered", "outcome": {"status": None, "reason": None}, "last_run": last_run}
        if fate is Fate.PARKED:
            back_at = self.telemetry.parkings.back_at(hashed, last_run)
            return {
                "state": "parked",
                "run": last_run,
                "attempts": attempts,
                "retry_at": None if back_at is None else to_wire(back_at),
            }
        outcome = _OUTCOMES[fate] | self.telemetry.recent_outcomes.of(hashed, last_run)
        return {"state": "answered", "run": last_run, "outcome": outcome}

    def _unknown(self, now_ms: int) -> Told:
        """Return the state of an unknown request: it may still be in Kafka, behind a lane without room."""
        registry, wall_ms = self.core.registry, self.core.wall_ms(now_ms)
        full = {partition.lane for partition in registry.progress if not registry.room(partition)}
        since = self.health.leading_since
        return {
            "state": "unknown",
            "lanes_without_room": [rule.name for rule in self.core.rules.lanes if rule.name in full],
            "dedupe_window_s": self.core.identities.window_reached_ms(wall_ms) // 1_000,
            "leads_for_s": None if since is None else round((self.clock.utc_now() - since).total_seconds(), 1),
        }

    # ------------------------------------------------------------------ in memory

    def _report(self, ticket: Ticket, now_ms: int) -> Told:
        candidate, cargo = ticket.candidate, self.hold.get(ticket.number)
        told: Told = {
            "run": candidate.identity.run,
            "lane": ticket.source.partition.lane,
            "tenant": candidate.tenant or None,
            "model": candidate.model or None,
            "template": _template(cargo),
            "limit": candidate.limit or None,
            "charge_tokens": ticket.charge,
            "calls": ticket.calls,
            "taken_at": None if cargo is None else to_wire(cargo.taken_at),
            "deadline": to_wire(self.clock.to_utc(candidate.deadline_ms)),
        }
        if cargo is not None and cargo.trace is not None:
            told["trace_id"] = cargo.trace.process.trace_name
        match ticket.state:
            case State.WAITING:
                return told | self._waiting(ticket, now_ms)
            case State.CALLING:
                called_ms = None if cargo is None else cargo.called_ms
                return told | {"state": "calling", "for_s": _seconds(called_ms, now_ms)}
            case State.JOINED:
                first = self.core.registry.answering(candidate.identity.id_hash)
                behind = None if first is None else self._report(first, now_ms)
                return told | {"state": "joined", "behind": behind}
            case State.SETTLED:
                decision = self.core.outbox.decision(ticket)
                return told | {"state": "settled", "decided": _decided(decision), "trouble": self.health.trouble}
            case _:
                assert_never(ticket.state)

    def _waiting(self, ticket: Ticket, now_ms: int) -> Told:
        until_ms, before = self.core.sleeps_until(ticket), self.core.limits.predecessors(ticket)
        hindrances = self._hindrances.of_all(ticket.candidate.limit, now_ms)
        state = "waiting"
        if ticket.queued:
            hindrances = hindrances or self._hindrances.in_line(ticket, now_ms)
        elif until_ms is not None:
            state = "waiting_for_retry"
            hindrances = [self._retry(until_ms, now_ms), *hindrances, *self._hindrances.of_tier(ticket, now_ms)]
        elif before:
            state = "waiting_for_order"
            hindrances = [self._order(ticket, before), *hindrances]
        place = self._place(ticket, front=until_ms is not None)
        start_ms = None
        if place is not None and not any(each["kind"] in _UNFORESEEABLE for each in hindrances):
            start_ms = self._start_ms(ticket, place, now_ms)
        return {
            "state": state,
            "before": None if place is None else _before(place),
            "waits_for": hindrances,
            "estimated_start": None if start_ms is None else self._estimate(start_ms, now_ms),
        }

    def _retry(self, until_ms: int, now_ms: int) -> Hindrance:
        return {
            "kind": "retry",
            "until": to_wire(self.clock.to_utc(until_ms)),
            "payable_in_s": _seconds(now_ms, until_ms),
        }

    def _order(self, ticket: Ticket, before: Sequence[Ticket]) -> Hindrance:
        first, cargo = before[0], self.hold.get(before[0].number)
        known = None if cargo is None else cargo.content
        return {
            "kind": "order",
            "before": len(before),
            "first": known.request.id if isinstance(known, DecodedRequest) else None,
            "first_state": first.state.value,
            "serial": self.core.rules.is_serial(ticket.source.partition.lane),
        }

    def _place(self, ticket: Ticket, *, front: bool) -> Place | None:
        """Return its position, or the future one; None while its limit was never used, so that it has no queues."""
        desk, limits = self.core.limits.limit_queues().get(ticket.candidate.limit), self.core.limits
        if desk is None:
            return None
        rules = self.core.rules.lanes
        queue_of = desk.lanes_of(ticket).queue
        return place_of(ticket, rules, queue_of, lambda tenant: limits.tenants.rule(tenant).weight, front=front)

    # ------------------------------------------------------------------ the estimate

    def _start_ms(self, ticket: Ticket, place: Place, now_ms: int) -> int | None:
        """Return when it will be called if no other request comes first; None: that cannot be foreseen."""
        limits, flights = self.core.limits, self.core.flights
        desk = limits.limit_queues()[ticket.candidate.limit]
        pick, found = desk.lanes.pick(now_ms), desk.next(now_ms, probe=False)
        reserved_ppm = 0 if pick is None else pick.reserved_ppm
        crowd = QueueTotals(1, ticket.charge)
        if pick is None or pick.ticket is not ticket:  # otherwise nothing goes before it
            crowd = called_by_then(place, ticket.charge, self.core.rules.lanes)
        waits_ms = [
            flows_in_ms(desk.budget, crowd, reserved_ppm, now_ms),
            lets_through_ms(flights, desk.budget, crowd, reserved_ppm),
            cap_lets_through_ms(limits.tenants, ticket, place.tenant, flights, now_ms),
        ]
        if pick is not None and found is None:  # a call must end first
            waits_ms.append(flights.usual_ms())
        known = [wait_ms for wait_ms in waits_ms if wait_ms is not None]
        if len(known) < len(waits_ms):
            return None
        earliest_ms = [now_ms + max(known), self.core.sleeps_until(ticket) or now_ms]
        if found is not None:
            earliest_ms.append(found[1])
        return self._after_its_key(ticket, max(earliest_ms), now_ms)

    def _after_its_key(self, ticket: Ticket, start_ms: int, now_ms: int) -> int | None:
        """Return a start after those of its ordering key, which start, or in a serial lane end, one by one."""
        before = self.core.limits.predecessors(ticket)
        if not before:
            return start_ms
        first = before[0]
        place = self._place(first, front=False) if first.state is State.WAITING else None
        first_ms = now_ms if place is None else self._start_ms(first, place, now_ms)
        each_ms = self.core.flights.usual_ms() if self.core.rules.is_serial(first.source.partition.lane) else 0
        if first_ms is None or each_ms is None:
            return None
        return max(start_ms, first_ms + len(before) * each_ms)

    def _estimate(self, start_ms: int, now_ms: int) -> Told:
        return {"in_s": _seconds(now_ms, start_ms), "at": to_wire(self.clock.to_utc(start_ms))}


def _template(cargo: Payload | None) -> str | None:
    """Return the template that the request names; the core does not know it."""
    content = None if cargo is None else cargo.content
    return content.request.template if isinstance(content, DecodedRequest) else None


def _elsewhere(health: Health) -> Told:
    """Say in one sentence which process knows instead."""
    others = health.holder not in {None, "released"}
    if others:
        sentence = f"This dispatcher does not lead and knows of no request; {health.holder} leads. Ask that one"
    else:
        sentence = (
            "This dispatcher does not lead and knows of no request, and no process leads at present. Ask the leader"
        )
    way = "`headrace status --id ID` without --url finds it, and --url names it."
    return {"state": "elsewhere", "leader": health.holder if others else None, "sentence": f"{sentence}: {way}"}


def _before(place: Place) -> Told:
    return {
        "tenant": _crowd(place.tenant),
        "lane": _crowd(place.lane),
        "lanes_above": {name: _crowd(crowd) for name, crowd in place.above.items() if crowd.requests},
    }


def _crowd(crowd: QueueTotals) -> Told:
    return {"requests": crowd.requests, "tokens": crowd.tokens}


def _seconds(since_ms: int | None, until_ms: int) -> float | None:
    return None if since_ms is None else max(0, until_ms - since_ms) / 1_000


def _decided(decision: Decision | None) -> Told | None:
    """Return what the next commit will say of it."""
    reason: str | None = None
    match decision:
        case None | Remember():
            return None
        case Fail() | DeadLetterOnly():
            reason = decision.reason
        case Withdraw():
            reason = "cancelled"
        case Park():
            reason = decision.kind
        case Complete() | Discard():
            pass
        case _:
            assert_never(decision)
    return {"status": _DECIDED[type(decision)], "reason": reason}
