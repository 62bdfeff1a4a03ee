"""Faults in who waits: the order of a key, deadlines, the room of calls, tokens, and the level that is handed on."""

from typing import Any
from unittest.mock import patch

from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.calibration import Calibration
from headrace.broker.core.config import DispatchRules
from headrace.broker.core.lanes.ordering_keys import OrderingKeys
from headrace.broker.core.requests.due import DueTickets
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.service.intake.pricer import Pricer
from headrace.broker.service.payloads import PayloadStore
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import MEMORY, ORDER, REFUSALS, planted

UNANSWERED = "OpenAI does not answer"


@planted(ORDER)
def keys_are_not_kept() -> Patch:
    """Each request of an ordering key may start at once."""
    return patch.object(OrderingKeys, "add", lambda _self, _ticket: True)


@planted(ORDER)
def a_serial_lane_is_like_any_other() -> Patch:
    """In a serial lane the next of a key starts with the first call of the one in front."""
    return patch.object(OrderingKeys, "start", lambda self, ticket: self.remove(ticket))


@planted(ORDER)
def a_serial_lane_parks() -> Patch:
    """A request of a serial lane is parked, and overtaken meanwhile."""
    return patch.object(DispatchRules, "is_serial", lambda _self, _lane: False)


@planted(UNANSWERED)
def deadlines_pass_unheard() -> Patch:
    """A deadline that passes ends no call and no waiting."""
    return patch.object(DueTickets, "_expire", lambda _self, _ticket, _now_ms: None)


@planted(UNANSWERED)
def a_call_is_not_cut_off() -> Patch:
    """A deadline ends what waits, and leaves a call in flight alone."""
    whole = DueTickets._expire

    def expire(self: DueTickets, ticket: Ticket, now_ms: int) -> None:
        if ticket.state is not State.CALLING:
            whole(self, ticket, now_ms)

    return patch.object(DueTickets, "_expire", expire)


@planted("a process begins while the clock")
def deadlines_come_too_early() -> Patch:
    """Each deadline passes ten seconds before its time."""
    whole = Pricer._deadline

    def deadline(self: Pricer, *args: Any) -> Any:
        from datetime import timedelta  # noqa: PLC0415 — of this fault alone

        return whole(self, *args) - timedelta(seconds=10)

    return patch.object(Pricer, "_deadline", deadline)


@planted(2)
def what_sleeps_is_not_woken() -> Patch:
    """A request that waits for its next attempt is forgotten."""
    return patch.object(Timers, "sleep", lambda _self, _ticket, _until_ms: None)


@planted(MEMORY)
def the_room_of_a_call_is_not_given_back() -> Patch:
    """The bytes that a call holds stay held."""
    whole = CallsInFlight.hold

    def hold(self: CallsInFlight, ticket: Ticket, weight: int) -> None:
        if weight:
            whole(self, ticket, weight)

    return patch.object(CallsInFlight, "hold", hold)


@planted(MEMORY)
def cargo_is_not_forgotten() -> Patch:
    """A record stays in memory once it is settled."""
    return patch.object(PayloadStore, "drop", lambda self, number: self.get(number))


@planted(REFUSALS)
def refund_twice() -> Patch:
    """Every answer gives its charge back, as if nothing had been taken, and what it says of levels is not heard."""
    whole = Budget.record_answer

    def answered(self: Budget, attempt: int, *rest: Any) -> None:
        flight = self._calls[attempt]
        with patch.object(Calibration, "correct_levels", lambda *_: False):
            whole(self, attempt, *rest)
        self._give_back(flight, rest[0], untaken=True)
        self._give_back(flight, rest[0], untaken=True)

    return patch.object(Budget, "record_answer", answered)


@planted(REFUSALS)
def calls_leave_without_tokens() -> Patch:
    """A call pays without a look at what is there."""

    def payable_at(self: Budget, charge: int, now_ms: int, *, reserved_ppm: int = 0, stated: bool = False) -> int:
        self._granted = charge, now_ms, stated
        return now_ms + 0 * reserved_ppm

    return patch.object(Budget, "payable_at", payable_at)
