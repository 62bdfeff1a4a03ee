"""An exception in the core fails the request that was being handled, wherever it came from; or ends the process."""

from collections.abc import Callable
from typing import Protocol, cast

import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, CallNotSent, Crashed
from headrace.broker.core.identity.dedupe import Awaited, Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.requests.eviction import CORE_CRASHED, UnsoundError
from headrace.broker.core.ticket import Garbage, State
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import budget, candidate, identity, place, rules, verdict

pytestmark = pytest.mark.interpreted  # parts of the core are replaced by such as raise

CRASHED = Fail("crashed", CORE_CRASHED)


class Rotting(Protocol):
    """A budget that raises at a place that it is told, each time or `once`."""

    at: str
    once: bool


def rotten_budget(  # noqa: C901 — one class
    settings: LimitBeliefs, now_ms: int, checkpoint: Checkpoint | None
) -> Budget:
    """A class of its own is made here, and not in the module: of a compiled Budget none can be."""

    class RottenBudget(Budget):
        """Raises where it is told to."""

        at = ""
        once = False

        def reserve(
            self,
            attempt: int,
            charge: int,
            now_ms: int,
            *,
            stated: bool = False,
            prices: Prices | None = None,
            lane_order: int = 0,
        ) -> None:
            if self.at == "before it is paid":
                raise RuntimeError
            super().reserve(attempt, charge, now_ms, stated=stated, prices=prices, lane_order=lane_order)
            if self.at == "after it is paid":
                raise RuntimeError

        def paid(self, attempt: int) -> int:
            if self.at == "when the call is said":
                self.at = "" if self.once else self.at
                raise RuntimeError
            return super().paid(attempt)

        def record_answer(self, attempt: int, now_ms: int, verdict: Verdict, usage: TokenUsage | None = None) -> int:
            if self.at == "before the answer is heard":
                raise RuntimeError
            untaken = super().record_answer(attempt, now_ms, verdict, usage)
            if self.at == "after the answer is heard":
                raise RuntimeError
            return untaken

        def abandon(self, attempt: int, now_ms: int, *, sent: bool = True) -> int:
            if self.at == "when it is given up":
                self.at = ""
                raise RuntimeError
            return super().abandon(attempt, now_ms, sent=sent)

    return RottenBudget(settings, now_ms, checkpoint)


class Rig(Shell):
    """A leader of which the budget of limit `rotten` raises, and the dice if told so."""

    def __init__(self) -> None:
        super().__init__()
        self.containing = True
        self.dice_rotten = False
        self.core = Dispatch(rules(), make_budget=self.make, dice=self.dice)
        self.lead()

    def make(self, limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        if limit == "no budget":
            raise RuntimeError
        made = budget(limit, now_ms, checkpoint)
        return rotten_budget(made.settings, now_ms, made.checkpoint(now_ms)) if limit == "rotten" else made

    def dice(self) -> float:
        if self.dice_rotten:
            raise RuntimeError
        return 0.5

    def rot(self, at: str, *, once: bool = False) -> None:
        rotten = cast("Rotting", self.core.limits.limit_queue("rotten", self.now_ms).budget)
        rotten.at, rotten.once = at, once

    def all_others_are_answered(self, count: int = 20) -> None:
        names = [f"good-{number}" for number in range(count)]
        numbers = [self.take(name) for name in names]
        self.settle_all()
        assert all(self.decisions(number) == [Complete()] for number in numbers)
        assert self.is_empty()
        assert not any(desk.budget.inflight for desk in self.core.limits.limit_queues().values())


def test_a_request_whose_reception_raises_fails_alone() -> None:
    rig = Rig()
    number = rig.take(candidate(limit="no budget"))
    duplicate = rig.take("x")
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert rig.decisions(duplicate) == [Discard()]
    assert rig.fates("x") == [Fate.FAILED]
    ((told, step, error),) = [(each.number, each.step, type(each.error)) for each in rig.contained]
    assert (told, step, error) == (number, "take", RuntimeError)


@pytest.mark.parametrize("at", ["before it is paid", "when the call is said"])
def test_a_request_whose_admission_raises_fails_alone(at: str) -> None:
    rig = Rig()
    rig.rot(at)
    number = rig.take(candidate(limit="rotten"))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert [each.step for each in rig.contained] == ["call"]
    assert number not in rig.calls


def test_a_reservation_that_nobody_knows_of_ends_the_process() -> None:
    rig = Rig()
    rig.rot("after it is paid")
    with pytest.raises(UnsoundError, match="reservations without a call"):
        rig.take(candidate(limit="rotten"))


@pytest.mark.slow
@pytest.mark.parametrize("at", ["before the answer is heard", "after the answer is heard"])
def test_an_answer_that_cannot_be_heard_fails_its_request_alone(at: str) -> None:
    rig = Rig()
    number = rig.take(candidate(limit="rotten"))
    rig.rot(at)
    rig.answer(number)
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert [each.step for each in rig.contained] == ["answer"]


def test_a_sequel_that_cannot_be_decided_fails_its_request_alone() -> None:
    rig = Rig()
    number = rig.take()
    rig.dice_rotten = True
    rig.answer(number, verdict(Meaning.OVERLOADED))
    rig.dice_rotten = False
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]


@pytest.mark.parametrize("event", [CallNotSent, Crashed])
def test_the_end_of_a_call_that_cannot_be_noted_fails_its_request_alone(
    event: Callable[[object], CallNotSent | Crashed],
) -> None:
    rig = Rig()
    number = rig.take(candidate(limit="rotten"))
    rig.rot("when it is given up")
    rig.post(event(rig.calls.pop(number).call))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]


def test_an_answer_for_nobody_that_cannot_be_heard_changes_nothing() -> None:
    rig = Rig()
    number = rig.take(candidate(limit="rotten", deadline_ms=rig.now_ms + 100))
    rig.wait(100)
    rig.rot("before the answer is heard")
    rig.post(Answered(rig.calls.pop(number).call, verdict(), 10))
    rig.all_others_are_answered()
    assert [each.__class__ for each in rig.decisions(number)] == [Fail]
    assert rig.contained == []


def test_what_was_decided_before_the_exception_stays_decided() -> None:
    rig = Rig()
    number = rig.take()
    ticket = rig.core.registry.tickets()[0]
    rig.answer(number)
    rig.core._eviction.evict(ticket, RuntimeError(), rig.now_ms)
    rig.settle_all()
    assert rig.decisions(number) == [Complete()]


def test_a_ticket_in_a_call_that_was_sent_has_its_call_cut_off() -> None:
    rig = Rig()
    number = rig.take()
    (ticket,) = rig.core.registry.tickets()
    rig.core._eviction.evict(ticket, RuntimeError(), rig.now_ms)
    rig.carry_out()
    assert rig.cancelled == [rig.calls[number].call]
    rig.post(Answered(rig.calls.pop(number).call, verdict(Meaning.CONNECTION, counts=False), 0))
    rig.settle_all()
    assert rig.decisions(number) == [CRASHED]
    assert rig.is_empty()


def test_a_duplicate_a_cancel_and_rubbish_are_taken_out_as_well() -> None:
    rig = Rig()
    first, duplicate = rig.take("x"), rig.take("x")
    rubbish = rig.take(Garbage(None, "No JSON."))
    cancel = rig.take(CancelRecord(identity("y").id_hash, WALL_MS), partition=place("control"))
    parked = rig.take(Garbage(identity("z"), "No.", "invalid_request"))
    tickets = {ticket.number: ticket for ticket in rig.core.registry.tickets()}
    for number in (rubbish, cancel, parked):
        rig.core.outbox._waiting.pop(tickets[number])
    for number in (duplicate, rubbish, cancel, parked):
        rig.core._eviction.evict(tickets[number], RuntimeError(), rig.now_ms)
    rig.settle_all()
    assert rig.decisions(first) == [Complete()]
    assert rig.decisions(duplicate) == [Discard()]
    assert rig.decisions(rubbish) == rig.decisions(cancel) == [DeadLetterOnly("crashed", CORE_CRASHED)]
    assert rig.decisions(parked) == [CRASHED]
    assert rig.is_empty()


def test_a_waiter_that_is_being_judged_and_one_that_was_never_noted_can_be_taken_out() -> None:
    rig = Rig()
    rig.take("x")
    duplicate = rig.take("x")
    tickets = {ticket.number: ticket for ticket in rig.core.registry.tickets()}
    waited = rig.core.registry.take_joined(identity("x").id_hash)
    assert waited == [tickets[duplicate]]
    rig.core.registry.remove(tickets[duplicate])
    rig.core._eviction.evict(tickets[duplicate], RuntimeError(), rig.now_ms)
    rig.settle_all()
    assert rig.decisions(duplicate) == [Discard()]
    assert rig.is_empty()


def test_books_that_do_not_agree_end_the_process() -> None:
    def disturbed(disturb: Callable[[Rig], None]) -> None:
        rig = Rig()
        rig.take("called")
        rig.take(candidate("waits", charge=60_000))
        rig.core._eviction.inspect(RuntimeError())
        disturb(rig)
        with pytest.raises(UnsoundError) as caught:
            rig.core._eviction.inspect(RuntimeError())
        assert isinstance(caught.value.__cause__, RuntimeError)

    disturbed(lambda rig: rig.core.registry._held.update(standard=7))
    disturbed(lambda rig: setattr(rig.core.limits, "_waiting", 7))
    disturbed(lambda rig: setattr(rig.core.flights, "held_bytes", 7))
    disturbed(lambda rig: setattr(rig.core.registry.tickets()[0], "state", State.WAITING))
    disturbed(lambda rig: rig.core.flights._flights.clear())
    disturbed(lambda rig: rig.core.identities.open(identity("nobody"), 0))
    disturbed(lambda rig: setattr(rig.core.limits.limit_queues()["gpt"].lanes.queue("standard"), "waiting_tokens", 7))


def test_a_ticket_that_cannot_be_taken_out_ends_the_process() -> None:
    rig = Rig()
    rig.take("called")
    number = rig.take(candidate("waits", charge=60_000))
    (ticket,) = [each for each in rig.core.registry.tickets() if each.number == number]
    rig.core.limits.limit_queues()["gpt"].lanes.queue("standard").remove(ticket)
    ticket.queued = True
    with pytest.raises(UnsoundError, match="cannot be taken out"):
        rig.core._eviction.evict(ticket, RuntimeError(), rig.now_ms)


def test_a_probe_whose_admission_raises_may_be_repeated() -> None:
    rig = Rig()
    rig.answer(rig.take(candidate("warm", limit="rotten")))
    breaker = rig.core.limits.limit_queue("rotten", rig.now_ms).budget.breaker
    breaker.trip(Meaning.OVERLOADED, rig.now_ms, 10)
    rig.rot("when the call is said")
    number = rig.take(candidate(limit="rotten"))
    rig.wait(10)
    assert breaker.may_call_at(rig.now_ms) == rig.now_ms
    rig.settle_all()
    assert rig.decisions(number) == [CRASHED]


def overdue_under_way() -> Rig:
    """A leader whose transaction under way fails a parked request, which is open without a ticket."""
    rig = Rig()
    rig.core.identities.settle(identity("x"), 1, Fate.PARKED, WALL_MS)
    rig.core.identities.record_awaited(Awaited(identity("x"), 1, "x"))
    rig.answer(rig.take("company"))
    rig.begun()
    assert rig.batch is not None
    assert [each.name for each in rig.batch.overdue] == ["x"]
    return rig


def test_a_parked_request_that_is_being_failed_for_its_deadline_is_open_without_a_ticket() -> None:
    rig = overdue_under_way()
    number = rig.take(candidate("bad", limit="no budget"))
    rig.all_others_are_answered()
    assert rig.decisions(number) == [CRASHED]
    assert rig.fates("x") == [Fate.WITHDRAWN]


def test_its_copy_that_is_taken_out_leaves_it_open_until_it_has_failed() -> None:
    rig = overdue_under_way()
    copy = rig.take(candidate("x", attempt=2))
    ticket = next(each for each in rig.core.registry.tickets() if each.number == copy)
    rig.core._eviction.evict(ticket, RuntimeError(), rig.now_ms)
    rig.all_others_are_answered()
    assert rig.decisions(copy) == [Discard(returned=True, overdue=True)], "its outcome is in the transaction under way"
    assert rig.fates("x") == [Fate.WITHDRAWN, Fate.FAILED]
