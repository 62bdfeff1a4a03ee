"""Calls in flight: their number, the bytes of their answers, and their usual duration.

Tokens are the budget's business; the bounds here protect this process: calls at once, and bytes of answers that wait in
memory for a commit. A call reserves a fixed weight until its answer is there, then the actual one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median_low

from headrace.broker.core.bounds import CALL_RESERVE_BYTES, CALLS_REMEMBERED
from headrace.broker.core.budget.breaker import ACCOUNT, Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.commands import AttemptEntry
from headrace.broker.core.lanes.tier_table import TierTable
from headrace.broker.core.ticket import CallNumber, ModelTier, Ticket
from headrace.broker.core.units import unreserved_slots


@dataclass(slots=True)
class CallInFlight:
    """One HTTP call under way, and the budget that has paid for it.

    `probes` are the open breakers that it probes; it is `wanted` while its ticket waits for the answer. It leaves once
    the ledger line `line` is committed; 0: at once. After a stand-by it is `of_former_term`. It is `silent` once the
    server has said nothing about it for so long that others may probe the account besides.
    """

    ticket: Ticket
    budget: Budget
    sent_ms: int
    probes: tuple[Breaker, ...] = ()
    wanted: bool = True
    line: int = 0
    of_former_term: bool = False
    silent: bool = False

    def probes_still(self, breaker: Breaker) -> bool:
        """Whether its answer is that of a probe: the breaker has not closed since it was sent."""
        return breaker in self.probes and not breaker.closed and self.sent_ms >= breaker.opened_ms

    def release_probes(self, now_ms: int) -> None:
        """Release the breakers that it probes: it has ended without a result, and another probe may start."""
        for breaker in self.probes:
            if not (self.silent and breaker.tripped_by in ACCOUNT):
                breaker.release_probe(now_ms)
        self.forget_silence()

    def forget_silence(self) -> None:
        """Withdraw what the server's silence about it has shown: it was not served."""
        for breaker in self.probes if self.silent else ():
            if breaker.tripped_by in ACCOUNT and self.probes_still(breaker):
                breaker.forget_silence()


class CallsInFlight:
    """All calls in flight, including those whose answer is no longer wanted."""

    def __init__(
        self, *, inflight_max: int, held_bytes_max: int, on_call_ended: Callable[[str], None] | None = None
    ) -> None:
        """`on_call_ended` is called with the tenant of each call that has ended."""
        self._on_call_ended = on_call_ended
        self._inflight_max = inflight_max
        self._held_bytes_max = held_bytes_max
        self._flights: dict[CallNumber, CallInFlight] = {}
        self._wanted: dict[Ticket, CallNumber] = {}
        self._serial = 0
        self._durations_ms = _remembered()
        self._answered_ms = TierTable(_remembered)
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._flights)

    def has_room(self, reserved_ppm: int = 0) -> bool:
        """Whether one more call fits both bounds and leaves the share `reserved_ppm` of the slots to others."""
        slots = unreserved_slots(self._inflight_max, reserved_ppm) if reserved_ppm else self._inflight_max
        return len(self._flights) < slots and self.held_bytes + CALL_RESERVE_BYTES <= self._held_bytes_max

    def expected_ms(self, tier: str) -> int:
        """Return how long a call of a service tier should take at most: the longest of its recent answered ones.

        Where none is known, that of all calls.
        """
        return max(self._answered_ms.get(tier) or self._durations_ms, default=0)

    def fastest_ms(self) -> int:
        """Return the same of the fastest tier."""
        return min(map(max, self._answered_ms), default=max(self._durations_ms, default=0))

    def record_answered(self, tier: str, took_ms: int) -> None:
        """Record how long an answered call of a tier took; tiers beyond a few share theirs."""
        self._answered_ms.of_answer(tier).append(took_ms)

    def start(self, ticket: Ticket, budget: Budget, now_ms: int, *, account: Breaker) -> CallNumber:
        """Start a call: reserve its charge and its weight; it probes each open breaker without a probe under way."""
        self._serial += 1
        call = CallNumber(self._serial)
        budget.reserve(
            call,
            ticket.charge,
            now_ms,
            stated=ticket.stated,
            prices=ticket.candidate.prices,
            lane_order=ticket.lane_order,
        )
        limit_breaker = budget.breaker
        probes: tuple[Breaker, ...] = ()
        if not (limit_breaker.closed and account.closed):
            probes = tuple([breaker for breaker in (limit_breaker, account) if breaker.probe()])
        if budget.tiers.any_open:
            of_tier = budget.tiers.find(ticket.candidate.model_tier)
            if of_tier is not None and of_tier.probe():
                probes += (of_tier,)
        ticket.held_bytes = CALL_RESERVE_BYTES
        self.held_bytes += CALL_RESERVE_BYTES
        self._flights[call] = CallInFlight(ticket, budget, now_ms, probes)
        self._wanted[ticket] = call
        return call

    def land(self, call: CallNumber, now_ms: int) -> CallInFlight:
        """Remove a call that ended; a ticket that waited for it holds no bytes until the answer's weight is stated."""
        flight = self._flights.pop(call)
        ticket = flight.ticket
        if not flight.of_former_term:
            self._durations_ms.append(now_ms - flight.sent_ms)
        if self._on_call_ended is not None:
            self._on_call_ended(ticket.candidate.tenant)
        if flight.wanted:
            del self._wanted[ticket]
            self.held_bytes -= ticket.held_bytes
            ticket.held_bytes = 0
        return flight

    def abandon(self, ticket: Ticket) -> CallNumber:
        """Mark the call of a ticket as no longer wanted, and return it; it is in flight until it lands."""
        call = self._wanted.pop(ticket)
        self._flights[call].wanted = False
        self.hold(ticket, 0)
        return call

    def end_term(self) -> None:
        """Mark all calls as of a former term: they are paid for and keep their slots, and have no other consequence."""
        for flight in self._flights.values():
            flight.of_former_term = True

    def hold(self, ticket: Ticket, weight: int) -> None:
        """Set the weight of a ticket's answer, in bytes."""
        self.held_bytes += weight - ticket.held_bytes
        ticket.held_bytes = weight

    def has_sent(
        self, since_ms: int, until_ms: int, *, limit: str | None = None, tier: ModelTier | None = None
    ) -> bool:
        """Whether a call of this term is under way that was sent after `since_ms`, and at `until_ms` at the latest.

        One that waits for a ledger line, or has waited, does not count: it left later. `limit`, `tier`: a call of that
        limit and tier; None: of any.
        """
        return any(
            since_ms < flight.sent_ms <= until_ms
            and not flight.of_former_term
            and not flight.line
            and limit in {None, flight.budget.settings.name}
            and tier in {None, flight.ticket.candidate.model_tier}
            for flight in self._flights.values()
        )

    @property
    def wanted(self) -> int:
        """Number of calls whose ticket waits for the answer."""
        return len(self._wanted)

    def find(self, call: CallNumber) -> CallInFlight:
        """Return one call in flight."""
        return self._flights[call]

    def holds(self, call: CallNumber) -> bool:
        """Whether a call is in flight."""
        return call in self._flights

    def call_of(self, ticket: Ticket) -> CallNumber | None:
        """Return the call that a ticket waits for; None if it waits for none."""
        return self._wanted.get(ticket)

    def have_left(self, tickets: Iterable[Ticket], has_written: Callable[[int], bool]) -> Iterator[AttemptEntry]:
        """Yield the last call that has left, of each ticket that has one.

        `has_written`: whether the ledger holds a line; a call that waits for its line leaves only then.
        """
        for ticket in tickets:
            call = self._wanted.get(ticket)
            waits = call is not None and not has_written(self._flights[call].line)
            sent = ticket.calls - 1 if waits else ticket.calls
            if sent:
                yield AttemptEntry(ticket.candidate.identity, ticket.candidate.calls_before + sent)

    def paid_by(self, budget: Budget) -> int:
        """Count the calls in flight that a limit has paid for."""
        return sum(flight.budget is budget for flight in self._flights.values())

    def usual_ms(self) -> int | None:
        """Return the usual duration of a call: the median of the recent ones; None before the first has ended."""
        return median_low(self._durations_ms) if self._durations_ms else None

    def slots(self, reserved_ppm: int = 0) -> int:
        """Return how many calls may be in flight if the share `reserved_ppm` of the slots is left to others."""
        return unreserved_slots(self._inflight_max, reserved_ppm)


def _remembered() -> deque[int]:
    return deque(maxlen=CALLS_REMEMBERED)
