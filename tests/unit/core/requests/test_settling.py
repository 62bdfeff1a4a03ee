from collections.abc import Sequence
from dataclasses import replace

from headrace.broker.core.bounds import CALL_RESERVE_BYTES, LINGER_MS
from headrace.broker.core.commands import CancelCall, Complete, Discard, Fail, Forget
from headrace.broker.core.config import LaneRule
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.outbox import Outbox
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.ticket import State, Ticket
from tests.unit.core.specimens import LANES, budget, candidate, ticket

NOW = 1_000
NO = Fail("rejected", "No.")


class Bench:
    """Every part that may hold a ticket."""

    def __init__(self, lanes: Sequence[LaneRule] = LANES) -> None:
        self.registry = TicketRegistry(lanes)
        self.limits = Scheduler(lanes, budget)
        self.flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
        self.outbox = Outbox()
        self.settling = Settling(self.registry, self.limits, self.flights, self.outbox, first_lane="urgent")

    def waiting(self, *, lane: str = "standard", order: bytes = b"") -> Ticket:
        made = ticket(candidate(order=order), lane=lane, size=700)
        self.registry.add(made)
        self.limits.enqueue(made, NOW)
        return made

    def calling(self, *, order: bytes = b"") -> Ticket:
        made = self.waiting(order=order)
        self.limits.serve(made, 0)
        made.state = State.CALLING
        self.flights.start(made, self.limits.limit_queue("gpt", NOW).budget, NOW, account=self.limits.account.breaker)
        return made


def test_who_is_settled_leaves_the_line_and_waits_for_a_commit() -> None:
    bench = Bench()
    made = bench.waiting()
    bench.settling.settle(made, NO, NOW)
    assert bench.limits.waiting() == 0
    assert made.state is State.SETTLED
    (decided,) = bench.outbox.begin(NOW)
    assert (decided.ticket, decided.decision, decided.bytes) == (made, NO, 700)


def test_an_answer_weighs_what_it_holds_and_everything_else_what_its_record_does() -> None:
    bench = Bench()
    answered = bench.calling()
    bench.flights.hold(answered, 5_000)
    bench.settling.settle(answered, Complete(), NOW)
    bench.settling.settle(bench.waiting(), Discard(), NOW)
    assert [decided.bytes for decided in bench.outbox.begin(NOW)] == [5_000, 700]


def test_the_first_lane_is_published_at_once_and_the_others_linger() -> None:
    for lane, due_ms in (("urgent", NOW), ("bulk", NOW + LINGER_MS)):
        bench = Bench()
        bench.settling.settle(bench.waiting(lane=lane), NO, NOW)
        assert bench.outbox.due_at() == due_ms


def test_a_ticket_can_be_taken_out_of_its_line() -> None:
    bench = Bench()
    made = bench.waiting()
    bench.settling.withdraw(made, 0)
    assert (bench.limits.waiting(), made.state) == (0, State.SETTLED)
    assert bench.settling.commands == []


def test_a_call_that_nobody_waits_for_any_more_is_cancelled_and_holds_nothing() -> None:
    bench = Bench()
    made = bench.calling()
    assert bench.flights.held_bytes == CALL_RESERVE_BYTES
    (call,) = bench.flights._flights
    bench.settling.withdraw(made, 0)
    assert bench.settling.commands == [CancelCall(call)]
    assert bench.flights.held_bytes == 0
    assert len(bench.flights) == 1, "it is in flight until it lands"


def test_a_call_of_a_serial_lane_that_is_cancelled_lets_the_next_of_its_key_start() -> None:
    bench = Bench([replace(rule, serial=True) for rule in LANES])
    first, _ = bench.calling(order=b"k"), bench.waiting(order=b"k")
    assert not bench.limits.waiting()
    bench.settling.withdraw(first, NOW)
    assert bench.limits.waiting() == 1


def test_a_duplicate_leaves_its_like() -> None:
    bench = Bench()
    made = ticket()
    bench.registry.add(made)
    bench.registry.join(made)
    bench.settling.withdraw(made, 0)
    assert bench.registry.take_joined(made.candidate.identity.id_hash) == []


def test_what_is_decided_can_be_decided_otherwise() -> None:
    bench = Bench()
    made = bench.calling()
    bench.flights.hold(made, 5_000)
    bench.settling.settle(made, Complete(), NOW)
    bench.settling.withdraw(made, 0)
    assert not bench.outbox
    assert bench.flights.held_bytes == 0


def test_who_is_dropped_is_forgotten_by_everybody() -> None:
    bench = Bench()
    made = bench.calling()
    bench.settling.withdraw(made, 0)
    bench.flights.hold(made, 5_000)
    bench.settling.commands.clear()
    bench.settling.drop(made)
    assert bench.settling.commands == [Forget(made.number)]
    assert (len(bench.registry), bench.flights.held_bytes) == (0, 0)


def test_commands_are_handed_over_once() -> None:
    bench = Bench()
    bench.settling.drop(made := bench.waiting())
    assert bench.settling.take_commands() == [Forget(made.number)]
    assert bench.settling.take_commands() == []
