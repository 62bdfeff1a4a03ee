"""Cancels of requests that are open, parked, unknown or answered."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import CANCEL_SLACK_MS, OVERDUE_AFTER_MS
from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail, Remember, SettledEntry, Withdraw
from headrace.broker.core.events import Answered
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import CONTROL, Garbage, TicketNumber
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, place, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)
CANCELLED = Fail("cancelled", "The request was cancelled before it was answered.")
WITHDRAWN = "The request was cancelled while it waited to be tried again."
ID = identity("x").id_hash


def land(shell: Shell, number: TicketNumber) -> None:
    """A call that was cancelled ends, as the driver tells it."""
    call = shell.calls.pop(number).call
    assert shell.cancelled.pop() == call
    shell.post(Answered(call, verdict(Meaning.CONNECTION, counts=False), 0))


def parked(shell: Shell, name: str = "x", *, attempt: int = 0) -> TicketNumber:
    """A request that waits for the retrier, which counts one call more than before."""
    if attempt:
        shell.read(SettledEntry(identity(name), attempt - 1, Fate.PARKED))
    number = shell.take(candidate(name, attempt=attempt))
    shell.answer(number, LIMITED)
    shell.commit()
    assert shell.fates(name)[-1] is Fate.PARKED
    return number


# ---------------------------------------------------------------------------------------------------- open


def test_a_request_in_line_is_cancelled_and_its_cancel_done_in_one_transaction() -> None:
    shell = leading(inflight_max=1)
    called, waiting = shell.take("a"), shell.take("x")
    cancel = shell.cancel("x")
    batch = shell.commit()
    assert [(each.number, each.decision) for each in batch.settlements] == [(waiting, CANCELLED), (cancel, Discard())]
    assert batch.offsets[place(CONTROL)].offset == 1
    assert shell.fates("x") == [Fate.FAILED]
    shell.settle_all()
    assert shell.decisions(called) == [Complete()]
    assert shell.is_empty()


def test_the_outcome_of_a_cancelled_request_always_stands_before_its_cancel_is_done() -> None:
    shell = leading()
    shell.take("x", size=4_000_000)
    shell.cancel("x")
    shell.take(Garbage(None, "No JSON."), size=4_000_000)
    shell.settle_all()
    order = [each.decision.__class__ for batch in shell.committed for each in batch.settlements]
    assert order == [Fail, Discard, DeadLetterOnly]


def test_a_call_in_flight_is_given_up_and_its_charge_is_kept() -> None:
    shell = leading()
    number = shell.take(candidate("x", charge=50_000))
    shell.cancel("x")
    land(shell, number)
    poor = shell.take(candidate("y", charge=20_000))
    assert poor not in shell.calls
    shell.commit()
    assert shell.decisions(number) == [CANCELLED]
    shell.wait(30_000)
    assert poor in shell.calls


def test_an_answer_that_was_on_its_way_when_its_request_was_cancelled_is_of_no_use() -> None:
    shell = leading()
    number = shell.take()
    shell.cancel()
    shell.answer(number)
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]
    assert shell.is_empty()


def test_a_request_that_sleeps_until_its_next_attempt_is_cancelled_and_never_wakes() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number, LIMITED)
    shell.cancel()
    shell.wait(600)
    shell.settle_all()
    assert shell.calls == {}
    assert shell.decisions(number) == [CANCELLED]
    assert shell.is_empty()


def test_the_duplicates_of_a_cancelled_request_are_done() -> None:
    shell = leading()
    number, duplicate = shell.take(), shell.take()
    shell.cancel()
    land(shell, number)
    shell.settle_all()
    late = shell.take()
    shell.settle_all()
    assert shell.decisions(duplicate) == shell.decisions(late) == [Discard()]
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.is_empty()


def test_a_replay_that_waits_for_a_cancelled_run_goes_on() -> None:
    shell = leading()
    number, replay = shell.take(), shell.take(candidate("x", run=1))
    shell.cancel()
    land(shell, number)
    shell.commit()
    assert replay in shell.calls
    shell.settle_all()
    assert shell.fates("x", run=1) == [Fate.COMPLETED]


def test_what_is_decided_stands_and_its_cancel_waits_for_the_commit() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number)
    cancel = shell.cancel()
    assert shell.commit().offsets.keys() == {place()}
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(cancel) == [Discard()]
    assert shell.waiting_cancels() == []
    assert shell.is_empty()


def test_a_cancel_that_waited_for_a_parking_answers_for_the_parked_before_a_replay_is_judged() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(), LIMITED)
    replay = shell.take(candidate("x", run=1))
    cancel = shell.cancel()
    shell.commit()
    shell.commit()
    assert shell.decisions(cancel) == [Withdraw(0, 1, WITHDRAWN)]
    shell.wait(1_000)
    shell.settle_all()
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN]
    assert shell.decisions(replay) == [Complete()]


def test_a_cancel_that_waited_for_a_failure_is_judged_before_a_replay_that_is_younger_than_it() -> None:
    shell = leading()
    shell.answer(shell.take(), verdict(Meaning.REJECTED))
    replay = shell.take(candidate("x", run=1), timestamp_ms=WALL_MS + 1)
    cancel = shell.cancel()
    shell.commit()
    assert replay in shell.calls
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(cancel)] == [Remember]
    assert shell.decisions(replay) == [Complete()]


def test_a_request_parked_anew_under_another_leader_is_withdrawn_as_it_is_parked_now() -> None:
    shell = leading(in_place_max_ms=100)
    parked(shell)
    cancel = shell.cancel()
    shell.begun()
    shell.suspend()
    shell.core.identities.settle(identity("x"), 2, Fate.PARKED, WALL_MS)  # its copy came back there, and waits again
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(cancel) == [Withdraw(0, 2, WITHDRAWN)]
    assert shell.is_empty()


def test_two_cancels_of_one_request_make_one_outcome() -> None:
    shell = leading()
    number = shell.take()
    cancels = [shell.cancel(), shell.cancel()]
    land(shell, number)
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]
    assert shell.decisions(cancels[0]) == [Discard()]
    assert [each.__class__ for each in shell.decisions(cancels[1])] == [Remember]
    assert shell.is_empty()


# ---------------------------------------------------------------------------------------------------- parked


def test_a_parked_request_is_answered_at_once_and_its_copy_is_done_when_it_comes_back() -> None:
    shell = leading(in_place_max_ms=100)
    parked(shell, attempt=3)
    cancel = shell.cancel()
    shell.settle_all()
    assert shell.decisions(cancel) == [Withdraw(0, 3, WITHDRAWN)]
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN]
    assert shell.core.identities.kept == 1
    copy = shell.take(candidate("x", attempt=4))
    late = shell.take(candidate("x", attempt=4))
    assert shell.calls == {}
    shell.settle_all()
    assert shell.decisions(copy) == [Discard(returned=True)]
    assert shell.fates("x")[:3] == [Fate.PARKED, Fate.WITHDRAWN, Fate.FAILED]
    assert shell.core.identities.kept == 0
    assert isinstance(shell.decisions(late)[0], Discard)
    assert shell.is_empty()


def test_a_copy_that_comes_back_before_its_cancel_is_committed_is_never_called() -> None:
    shell = leading(in_place_max_ms=100)
    parked(shell)
    shell.cancel()
    copy = shell.take(candidate("x", attempt=2))
    shell.wait(600)
    assert shell.calls == {}
    shell.settle_all()
    assert shell.decisions(copy) == [Discard(returned=True)]
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN, Fate.FAILED]
    assert shell.is_empty()


def test_a_copy_that_is_open_when_it_is_cancelled_is_the_one_that_fails() -> None:
    shell = leading(in_place_max_ms=100)
    parked(shell)
    copy = shell.take(candidate("x", attempt=2))
    shell.cancel()
    shell.settle_all()
    assert shell.decisions(copy) == [CANCELLED]
    assert shell.fates("x") == [Fate.PARKED, Fate.FAILED]
    assert shell.core.identities.kept == 0


def test_a_parked_replay_is_withdrawn_as_the_run_it_is() -> None:
    shell = leading()
    shell.read()
    shell.core.identities.settle(identity("x", run=2), 5, Fate.PARKED, WALL_MS)
    cancel = shell.cancel()
    shell.settle_all()
    assert shell.decisions(cancel) == [Withdraw(2, 5, WITHDRAWN)]
    assert shell.fates("x", run=2) == [Fate.WITHDRAWN]


def test_after_a_promotion_a_cancel_answers_for_the_parked_again_unless_somebody_has() -> None:
    for heard in (False, True):
        shell = leading(in_place_max_ms=100)
        parked(shell)
        cancel = shell.cancel()
        batch = shell.begun()
        shell.suspend()
        if heard:
            shell.read(*batch.settled)
        shell.lead(shell.restored())
        shell.settle_all()
        assert shell.decisions(cancel) == (
            [Remember(CancelRecord(ID, WALL_MS - CANCEL_SLACK_MS))] if heard else [Withdraw(0, 1, WITHDRAWN)]
        )
        assert shell.fates("x").count(Fate.WITHDRAWN) == (not heard)
        assert shell.is_empty()


# ---------------------------------------------------------------------------------------------------- unknown


def test_a_cancel_of_nobody_waits_in_the_ledger_and_is_done() -> None:
    shell = leading()
    cancel = shell.cancel()
    batch = shell.commit()
    assert batch.cancels == (CancelRecord(ID, WALL_MS),)
    assert batch.settled == ()
    assert batch.offsets[place(CONTROL)].offset == 1
    assert shell.decisions(cancel) == [Remember(CancelRecord(ID, WALL_MS))]
    assert shell.is_empty()


@pytest.mark.parametrize("committed", [True, False])
def test_a_request_that_comes_after_its_cancel_is_answered_unpaid(*, committed: bool) -> None:
    shell = leading()
    shell.cancel()
    if committed:
        shell.commit()
    number = shell.take("x", timestamp_ms=WALL_MS + CANCEL_SLACK_MS)
    duplicate = shell.take("x")
    assert shell.calls == {}
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.is_empty()


def test_a_request_submitted_more_than_a_minute_after_the_cancel_of_its_id_is_another_matter() -> None:
    shell = leading()
    shell.cancel()
    shell.commit()
    number = shell.take("x", timestamp_ms=WALL_MS + CANCEL_SLACK_MS + 1)
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]


def test_garbage_of_a_cancelled_id_is_cancelled_as_well() -> None:
    shell = leading()
    shell.cancel("g")
    number = shell.take(Garbage(identity("g", body="bytes"), "No body.", "invalid_request"))
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]


# ---------------------------------------------------------------------------------------------------- answered


def test_a_cancel_of_a_completed_request_is_done() -> None:
    shell = leading()
    shell.take()
    shell.settle_all()
    cancel = shell.cancel()
    shell.settle_all()
    assert shell.decisions(cancel) == [Discard()]
    assert shell.waiting_cancels() == []


@pytest.mark.parametrize(("submitted_ms", "called"), [(WALL_MS, False), (WALL_MS + 1, True)])
def test_a_cancel_of_a_failed_request_answers_replays_that_were_submitted_before_it(
    submitted_ms: int, *, called: bool
) -> None:
    shell = leading()
    shell.answer(shell.take(), verdict(Meaning.REJECTED))
    shell.settle_all()
    cancel = shell.cancel()
    shell.settle_all()
    assert shell.decisions(cancel) == [Remember(CancelRecord(ID, WALL_MS - CANCEL_SLACK_MS))]
    replay = shell.take(candidate("x", run=1), timestamp_ms=submitted_ms)
    assert (replay in shell.calls) == called
    shell.settle_all()
    assert shell.decisions(replay) == [Complete() if called else CANCELLED]


def test_a_cancel_waits_for_the_failure_of_what_did_not_come_back() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(replace(candidate("x", deadline_ms=20_000), name="x")), LIMITED)
    shell.commit()
    shell.now_ms = 20_000 + OVERDUE_AFTER_MS + 1_000
    shell.renew()
    shell.carry_out()
    assert shell.batch is not None
    assert [each.name for each in shell.batch.overdue] == ["x"]
    cancel = shell.cancel("x", at_ms=WALL_MS + shell.now_ms)
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(cancel)] == [Remember]
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN]
    assert shell.is_empty()
