"""What the reception makes of a ticket, seen at once: before anything is called or committed."""

from headrace.broker.core.commands import DeadLetterOnly, Decision, Discard, Fail, Withdraw
from headrace.broker.core.identity.dedupe import Awaited, DedupeTable, Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.outbox import Outbox
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.requests.triage import TOO_LATE, WITHDRAWN, Triage
from headrace.broker.core.ticket import CONTROL, Candidate, Garbage, Source, State, Ticket, TicketNumber
from tests.unit.core.specimens import HOUR_MS, LANES, budget, candidate, identity, place

NOW = 10_000
WALL_MS = 1_700_000_000_000
CRASHED = ("crashed", "It ended two.")


class Bench:
    """A reception and all that it places tickets in."""

    def __init__(self) -> None:
        self.identities = DedupeTable(window_ms=HOUR_MS, ids_max=1_000)
        self.registry = TicketRegistry(LANES)
        self.limits = Scheduler(LANES, budget)
        self.outbox = Outbox()
        flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
        settling = Settling(self.registry, self.limits, flights, self.outbox, first_lane="urgent")
        self.reception = Triage(self.registry, self.identities, self.limits, Timers(), settling)
        self._number = 0

    def triage(self, content: Candidate | Garbage | CancelRecord) -> Ticket:
        """The next record."""
        self._number += 1
        lane = CONTROL if isinstance(content, CancelRecord) else "standard"
        source = Source(place(lane), self._number)
        ticket = Ticket(TicketNumber(self._number), source, 10, NOW, content, timestamp_ms=WALL_MS)
        self.reception.triage(ticket, NOW)
        return ticket

    def knows(self, fate: Fate, attempt: int, *, run: int = 0) -> None:
        """The ledger says what became of `x`."""
        self.identities.settle(identity(run=run), attempt, fate, WALL_MS)

    def decision(self, ticket: Ticket) -> Decision | None:
        """What is decided on it and waits for its commit."""
        return next((each.decision for each in self.outbox._waiting.values() if each.ticket is ticket), None)


def garbage(name: str = "x", *, attempt: int = 0) -> Garbage:
    return Garbage(identity(name), CRASHED[1], CRASHED[0], attempt=attempt)


def test_a_request_whose_deadline_is_now_never_lines_up() -> None:
    bench = Bench()
    late, timely = bench.triage(candidate("a", deadline_ms=NOW)), bench.triage(candidate("b", deadline_ms=NOW + 1))
    assert (bench.decision(late), late.queued) == (TOO_LATE, False)
    assert (bench.decision(timely), timely.queued) == (None, True)


def test_another_content_under_a_known_id_is_buried_by_a_reason_of_its_own() -> None:
    bench = Bench()
    bench.triage(candidate())
    other = bench.triage(candidate(body="else"))
    sentence = "The id is known with another tenant, endpoint or body; use a new id."
    assert bench.decision(other) == DeadLetterOnly("id_conflict", sentence)


def test_of_what_failed_as_overdue_only_the_copy_is_to_be_a_dead_letter_with_its_content() -> None:
    bench = Bench()
    bench.knows(Fate.WITHDRAWN, 1)
    bench.identities.record_awaited(Awaited(identity(), WALL_MS // 1_000, "x", overdue=True))
    duplicate, copy = bench.triage(candidate()), bench.triage(candidate(attempt=2))
    assert bench.decision(duplicate) == Discard()
    assert bench.decision(copy) == Discard(returned=True, overdue=True)


def test_the_copy_of_a_cancelled_request_is_no_dead_letter() -> None:
    bench = Bench()
    bench.knows(Fate.WITHDRAWN, 1)
    copy = bench.triage(candidate(attempt=2))
    assert bench.decision(copy) == Discard(returned=True, overdue=False)


def test_a_request_that_claims_attempts_in_vain_is_open_like_a_first_submission() -> None:
    bench = Bench()
    first, duplicate = bench.triage(candidate(attempt=9)), bench.triage(candidate())
    assert (first.state, duplicate.state) == (State.WAITING, State.JOINED)
    bench.knows(Fate.PARKED, 0)  # it was parked before it was ever called
    assert bench.identities.open_ids() == []


def test_garbage_that_claims_attempts_fails_under_an_id_of_which_nothing_is_parked() -> None:
    bench = Bench()
    unknown = bench.triage(garbage("y", attempt=2))
    bench.knows(Fate.COMPLETED, 1)
    answered = bench.triage(garbage(attempt=2))
    assert bench.decision(unknown) == Fail(*CRASHED)
    assert bench.decision(answered) == DeadLetterOnly(*CRASHED)


def test_garbage_that_fails_is_a_request_without_model_limit_price_and_deadline() -> None:
    bench = Bench()
    ticket = bench.triage(garbage())
    assert ticket.candidate == Candidate(identity(), 0, "", "", Prices.flat(0), 0, CRASHED)


def test_a_cancel_stands_in_for_the_next_attempt_of_what_is_parked() -> None:
    bench = Bench()
    bench.knows(Fate.PARKED, 2, run=1)
    cancel = bench.triage(CancelRecord(identity().id_hash, WALL_MS))
    assert bench.decision(cancel) == Withdraw(1, 2, WITHDRAWN)
    assert cancel.candidate == Candidate(identity(run=1), 3, "", "", Prices.flat(0), 0)
    assert bench.identities.open_ids() == [identity().id_hash]
    bench.knows(Fate.PARKED, 2, run=1)  # that line is read again
    assert bench.identities.open_ids() == [identity().id_hash]
    bench.knows(Fate.PARKED, 3, run=1)  # its copy has come back and was parked anew
    assert bench.identities.open_ids() == []
