"""Who a record is, and which records and cancels outlive a leader."""

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import CONTROL, Candidate, Garbage, Source, TicketNumber
from tests.progress_seen import incomplete
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, place, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)
CANCELLED = Fail("cancelled", "The request was cancelled before it was answered.")
ID = identity("x").id_hash


def land(shell: Shell, number: TicketNumber) -> None:
    """A call that was cancelled ends, as the driver tells it."""
    call = shell.calls.pop(number).call
    assert shell.cancelled.pop() == call
    shell.post(Answered(call, verdict(Meaning.CONNECTION, counts=False), 0))


# ---------------------------------------------------------------------------------------------------- who is it


def test_a_request_goes_to_its_line_and_is_called() -> None:
    shell = leading()
    number = shell.take()
    assert list(shell.calls) == [number]


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (candidate(refusal=("rejected", "No.")), "rejected"),
        (candidate(deadline_ms=10_000), "deadline_exceeded"),
        (candidate(charge=60_001), "too_large"),
    ],
)
def test_what_must_not_or_cannot_be_called_fails_at_once(refused: object, reason: str) -> None:
    shell = leading()
    number = shell.take(refused)  # type: ignore[arg-type]  # a candidate
    shell.commit()
    (decision,) = shell.decisions(number)
    assert isinstance(decision, Fail)
    assert decision.reason == reason


def test_who_comes_back_to_the_front_is_not_watched_for_its_deadline_a_second_time() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number, LIMITED)
    watched = len(shell.core._timers._deadlines)
    shell.wait(500)
    assert number in shell.calls
    assert len(shell.core._timers._deadlines) == watched


def test_a_call_that_was_not_sent_puts_its_request_back_before_those_of_its_key() -> None:
    shell = leading(inflight_max=1)
    first, second = (shell.take(candidate(name, order=b"k")) for name in ("a", "b"))
    shell.post(CallNotSent(shell.calls.pop(first).call))
    assert list(shell.calls) == [first]
    shell.answer(first)
    assert list(shell.calls) == [second]


def test_its_like_joins_another_body_is_buried_and_what_is_answered_is_done() -> None:
    shell = leading()
    first, duplicate, other = shell.take(), shell.take(), shell.take(candidate("x", body="else"))
    shell.settle_all()
    late = shell.take()
    shell.settle_all()
    assert shell.decisions(first) == [Complete()]
    assert shell.decisions(duplicate) == shell.decisions(late) == [Discard()]
    assert [each.__class__ for each in shell.decisions(other)] == [DeadLetterOnly]


def test_garbage_fails_for_an_unknown_id_and_is_buried_otherwise() -> None:
    shell = leading()
    numbers = [shell.take(Garbage(None, "No JSON."))]
    numbers += [shell.take(Garbage(identity("g", body="bytes"), "No body.", "invalid_request")) for _ in range(2)]
    shell.settle_all()
    assert [shell.decisions(number) for number in numbers] == [
        [DeadLetterOnly("undecodable", "No JSON.")],
        [Fail("invalid_request", "No body.")],
        [DeadLetterOnly("invalid_request", "No body.")],
    ]


# ---------------------------------------------------------------------------------------------------- leaders


def test_a_successor_knows_the_cancels_that_wait() -> None:
    shell = Shell()
    shell.read(cancels=(CancelRecord(ID, WALL_MS),))
    shell.lead()
    number = shell.take()
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]


def test_what_a_leader_in_between_was_told_to_cancel_is_cancelled_although_it_is_paid_for() -> None:
    for state in ("line", "call", "answered"):
        shell = leading(inflight_max=1)
        number = shell.take("first" if state == "line" else "x")
        if state == "line":
            number = shell.take("x")
        if state == "answered":
            shell.answer(number)
        shell.suspend()
        shell.read(cancels=(CancelRecord(ID, WALL_MS),))
        shell.lead(shell.restored())
        if state == "call":
            land(shell, number)
        shell.settle_all()
        assert shell.decisions(number) == [CANCELLED]
        assert shell.is_empty()


def test_after_an_unknown_commit_a_waiting_cancel_is_judged_anew() -> None:
    shell = leading()
    cancel = shell.cancel()
    shell.begun()
    shell.suspend()
    shell.read(*[])
    shell.core.identities.settle(identity("x"), 0, Fate.COMPLETED, WALL_MS)  # a leader in between has answered
    shell.lead(shell.restored())
    assert not shell.core.identities.cancels.covers(ID, WALL_MS)
    shell.settle_all()
    assert shell.decisions(cancel) == [Discard()]
    assert shell.waiting_cancels() == []


def test_a_leader_that_stands_by_expects_nothing_of_its_cancels_any_more() -> None:
    shell = leading()
    cancel = shell.cancel()
    shell.stand_by()
    assert cancel in shell.forgotten
    assert not shell.core.identities.cancels.covers(ID, WALL_MS)
    assert shell.is_empty()


def test_a_request_and_its_cancel_outlive_an_unknown_commit_together() -> None:
    for heard in (False, True):
        shell = leading()
        number = shell.take()
        cancel = shell.cancel()
        land(shell, number)
        batch = shell.store() if heard else shell.begun()
        shell.suspend()
        if heard:
            shell.read(*batch.settled)
        shell.lead(shell.restored())
        shell.settle_all()
        assert shell.decisions(number) == [CANCELLED]
        assert len(shell.decisions(cancel)) == 1
        assert shell.fates("x") == [Fate.FAILED]
        assert shell.is_empty()


def test_a_cancel_that_is_read_twice_is_taken_once() -> None:
    shell = leading()
    content = CancelRecord(ID, WALL_MS)
    shell.take_at(Source(place(CONTROL), 0), content)
    again = shell.take_at(Source(place(CONTROL), 0), content)
    assert shell.forgotten == [again]


def answer_some(shell: Shell, number: int) -> None:
    """Those that were cancelled, and of the others as many as the number says."""
    for waiting in list(shell.calls):
        if shell.calls[waiting].call in shell.cancelled:
            shell.answer(waiting, verdict(Meaning.CONNECTION, counts=False))
        elif number % 3 == 0:
            shell.answer(waiting, LIMITED if number % 5 == 0 else None)


@pytest.mark.slow
def test_a_thousand_requests_and_cancels_in_any_order_leave_nothing_behind() -> None:
    shell = leading(inflight_max=20, in_place_max_ms=100)
    for number in range(1_000):
        shell.take(candidate(f"id{number * 7 % 300}", charge=1 + number % 40))
        if number % 2:
            shell.cancel(f"id{number * 11 % 300}", at_ms=WALL_MS - CANCEL_SLACK_MS)
        answer_some(shell, number)
        if shell.batch is not None:
            shell.commit()
        shell.wait(10)
    for _ in range(20):
        shell.settle_all()
        shell.wait(500)
        if shell.batch is not None:
            shell.commit()
    assert shell.is_empty()
    outcomes = {Fate.COMPLETED, Fate.FAILED, Fate.WITHDRAWN}
    assert all(sum(fate in outcomes for fate in shell.fates(f"id{number}")) <= 1 for number in range(300))
    assert [incomplete(progress) for progress in shell.restored().values()] == [0, 0, 0, 0]


# ---------------------------------------------------------------------------------------------------- crashed


def crashed(name: str, *, attempt: int = 0, run: int = 0, body: str = "body") -> Garbage:
    """A record that nobody decodes any more, though its headers say who it is."""
    return Garbage(identity(name, body=body, run=run), "It ended two.", "crashed", attempt=attempt)


def test_who_ended_its_readers_fails_by_the_id_in_its_headers() -> None:
    shell = leading()
    first, second = shell.take(crashed("g")), shell.take(crashed("g"))
    shell.settle_all()
    assert shell.decisions(first) == [Fail("crashed", "It ended two.")]
    assert shell.decisions(second) == [DeadLetterOnly("crashed", "It ended two.")]


@pytest.mark.parametrize(
    ("copy", "decision"),
    [
        (crashed("x", attempt=2), Fail("crashed", "It ended two.")),
        (crashed("x", attempt=2, body="bytes"), DeadLetterOnly("crashed", "It ended two.")),
        (crashed("x"), DeadLetterOnly("crashed", "It ended two.")),
        (crashed("x", attempt=2, run=1), DeadLetterOnly("crashed", "It ended two.")),
        (crashed("x", attempt=1), Discard()),
    ],
)
def test_the_copy_of_a_parked_request_that_ends_its_readers_answers_for_it(copy: Garbage, decision: object) -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(), LIMITED)
    shell.settle_all()
    number = shell.take(copy)
    shell.settle_all()
    assert shell.decisions(number) == [decision]
    assert shell.is_empty()


@pytest.mark.parametrize(
    ("body", "run", "decision"),
    [
        ("body", 0, Fail("invalid_request", "Too deep.")),
        ("bytes", 0, DeadLetterOnly("invalid_request", "Too deep.")),
        ("body", 1, DeadLetterOnly("invalid_request", "Too deep.")),
    ],
    ids=["the copy", "another content", "another run"],
)
def test_an_unreadable_copy_fails_what_is_parked_only_with_the_fingerprint_of_its_content(
    body: str, run: int, decision: object
) -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(), LIMITED)
    shell.settle_all()
    copy = Garbage(identity("x", body=body, run=run), "Too deep.", "invalid_request", attempt=2)
    number = shell.take(copy)
    shell.settle_all()
    assert shell.decisions(number) == [decision]
    assert shell.is_empty()


# ---------------------------------------------------------------------------------------------------- forged attempts


def tried(*, attempt: int, failures: int, body: str = "body") -> Candidate:
    return candidate("x", attempt=attempt, body=body).with_attempts(attempt, failures)


@pytest.mark.parametrize(
    ("attempt", "failures", "is_parked", "taken"),
    [
        (2, 1, True, (2, 1)),
        (200, 60_000, True, (200, 1)),
        (2, 1, False, (0, 0)),
    ],
    ids=["the copy", "more failures than calls", "nothing is parked"],
)
def test_attempts_are_believed_where_the_ledger_says_that_the_request_is_parked(
    attempt: int, failures: int, taken: tuple[int, int], *, is_parked: bool
) -> None:
    shell = leading(in_place_max_ms=100)
    if is_parked:
        shell.answer(shell.take(), LIMITED)
        shell.commit()
    number = shell.take(tried(attempt=attempt, failures=failures))
    ticket = shell.core.registry.answering(ID)
    assert ticket is not None
    assert (ticket.number, ticket.candidate.attempt, ticket.failures) == (number, *taken)
    shell.wait(1_000)
    shell.settle_all()
    assert shell.fates("x")[-1] is Fate.COMPLETED
    assert shell.is_empty()


def test_the_attempts_of_a_replay_are_not_believed_where_the_run_before_it_has_failed() -> None:
    shell = leading(in_place_max_ms=100)
    shell.settle_all()
    shell.answer(shell.take(), verdict(Meaning.REJECTED))
    shell.commit()
    shell.take(candidate("x", run=1, attempt=9))
    ticket = shell.core.registry.answering(ID)
    assert ticket is not None
    assert ticket.candidate.attempt == 0
