"""A record whose id is known already, garbage that names one, and cancels."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import Garbage, TicketNumber
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import HOUR_MS, candidate, identity, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


# ---------------------------------------------------------------------------------------------------- garbage


def test_bytes_without_an_id_are_buried() -> None:
    shell = leading()
    number = shell.take(Garbage(None, "No JSON."))
    shell.commit()
    assert shell.decisions(number) == [DeadLetterOnly("undecodable", "No JSON.")]
    assert shell.is_empty()


def test_bytes_with_an_unknown_id_fail_for_that_id_and_once() -> None:
    shell = leading()
    garbage = Garbage(identity("g", body="bytes"), "No body.", "invalid_request")
    first, second = shell.take(garbage), shell.take(garbage)
    shell.settle_all()
    assert shell.decisions(first) == [Fail("invalid_request", "No body.")]
    assert shell.decisions(second) == [DeadLetterOnly("invalid_request", "No body.")]
    assert shell.fates("g", body="bytes") == [Fate.FAILED]
    assert shell.is_empty()


def test_garbage_never_answers_for_an_id_that_is_open_parked_or_answered() -> None:
    shell = leading(in_place_max_ms=100)
    parked = shell.take("parked")
    shell.answer(parked, LIMITED)
    shell.wait(500)
    answered = shell.take("answered")
    shell.settle_all()
    shell.take("open")
    numbers = [
        shell.take(Garbage(identity(name, body="bytes"), "No body.", "invalid_request"))
        for name in ("parked", "answered", "open")
    ]
    shell.settle_all()
    assert [shell.decisions(number) for number in numbers] == [[DeadLetterOnly("invalid_request", "No body.")]] * 3
    assert shell.decisions(answered) == [Complete()]


# ---------------------------------------------------------------------------------------------------- its like


def test_a_duplicate_joins_and_publishes_nothing() -> None:
    shell = leading()
    first, duplicate = shell.take(), shell.take()
    assert list(shell.calls) == [first]
    shell.answer(first)
    shell.commit()
    assert shell.decisions(duplicate) == []
    shell.commit()
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.fates("x") == [Fate.COMPLETED]
    assert shell.is_empty()


def test_a_duplicate_of_something_answered_is_done_at_once() -> None:
    shell = leading()
    shell.take()
    shell.settle_all()
    late = shell.take()
    shell.commit()
    assert shell.decisions(late) == [Discard()]


def test_another_body_under_a_known_id_is_buried_whether_the_id_is_open_or_answered() -> None:
    shell = leading()
    first = shell.take()
    other = shell.take(candidate("x", body="else"))
    shell.settle_all()
    another = shell.take(candidate("x", body="else"))
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(other) + shell.decisions(another)] == [
        DeadLetterOnly,
        DeadLetterOnly,
    ]
    assert shell.decisions(first) == [Complete()]


def test_a_replay_waits_for_the_run_under_way_and_is_taken_if_that_fails() -> None:
    shell = leading()
    first, replay = shell.take("x"), shell.take(candidate("x", run=1))
    shell.answer(first, verdict(Meaning.REJECTED))
    shell.commit()
    assert replay in shell.calls
    shell.settle_all()
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.fates("x", run=1) == [Fate.COMPLETED]
    assert shell.is_empty()


def test_a_replay_waits_for_a_parked_run_although_nothing_is_open() -> None:
    shell = leading(in_place_max_ms=100)
    shell.take(candidate("x"))
    shell.answer(TicketNumber(1), LIMITED)
    shell.commit()
    replay = shell.take(candidate("x", run=1))
    assert shell.calls == {}
    copy = shell.take(candidate("x", attempt=2))
    shell.wait(500)
    assert list(shell.calls) == [copy]
    shell.answer(copy, verdict(Meaning.REJECTED))
    shell.commit()
    shell.wait(13_000)  # the refusal has not said how empty the bucket is: nothing is sure but what flows in
    assert list(shell.calls) == [replay]
    shell.settle_all()
    assert shell.fates("x", run=1) == [Fate.COMPLETED]
    assert shell.is_empty()


def test_the_copy_of_a_parked_request_is_taken_and_its_late_duplicate_is_not() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take("x"), LIMITED)
    shell.commit()
    duplicate = shell.take("x")
    copy = shell.take(candidate("x", attempt=2))
    shell.wait(500)
    shell.settle_all()
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.decisions(copy) == [Complete()]
    assert shell.is_empty()


# ---------------------------------------------------------------------------------------------------- cancels


def test_a_cancel_is_known_once_its_commit_has_returned_and_said_again_before_it_ages_out_of_the_ledger() -> None:
    shell = leading()
    shell.cancel("x")
    shell.commit()
    assert len(shell.core.identities.cancels) == 1
    at_ms = shell.core.wake_at()
    assert at_ms is not None
    assert at_ms < shell.now_ms + HOUR_MS, "what waits is not forgotten by an idle leader"
    shell.wait(HOUR_MS // 2)
    for _ in range(5):
        shell.commit()
        shell.wait(HOUR_MS // 64)
    assert len(shell.waiting_cancels()) >= 2


def test_a_follower_reads_which_cancels_wait() -> None:
    shell = Shell()
    shell.read(cancels=(CancelRecord(identity("x").id_hash, WALL_MS),))
    shell.lead()
    number = shell.take("x", timestamp_ms=WALL_MS)
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_a_promotion_looks_whether_a_cancel_waits_for_who_is_under_way() -> None:
    shell = leading()
    number = shell.take("x")
    shell.suspend()
    shell.read(cancels=(CancelRecord(identity("x").id_hash, WALL_MS),))
    shell.lead(shell.restored())
    assert len(shell.cancelled) == 1
    shell.answer(number, verdict(Meaning.CONNECTION, counts=False))
    shell.settle_all()
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.is_empty()


def test_what_joined_an_overdue_request_is_judged_once_that_has_failed() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(replace(candidate("x", deadline_ms=20_000), name="x")), LIMITED)
    shell.commit()
    shell.now_ms = 20_000 + OVERDUE_AFTER_MS + 1_000
    shell.renew()
    shell.carry_out()
    copy = shell.take(candidate("x", attempt=2))
    assert [each.name for each in shell.commit().overdue] == ["x"]
    shell.settle_all()
    assert shell.decisions(copy) == [Discard(returned=True, overdue=True)]
    assert shell.is_empty()
