"""Tickets in memory when leadership begins again or ends: kept, judged anew, or given up."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail, SettledEntry
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import CallNumber, Garbage, Source
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import HOUR_MS, candidate, identity, place, verdict

P1 = place("standard", 1)


def with_two_partitions() -> Shell:
    return Shell().lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})


def settled(name: str, fate: Fate, *, run: int = 0, attempt: int = 0, body: str = "body") -> SettledEntry:
    return SettledEntry(identity(name, run=run, body=body), attempt, fate)


def test_what_another_leader_answered_in_between_is_dropped_from_line_call_and_outbox() -> None:
    for state in ("line", "call", "outbox"):
        shell = leading(inflight_max=1)
        number = shell.take("x")
        if state == "line":
            shell.calls.clear()
            shell.post(CallNotSent(CallNumber(1)))
            number = shell.take("y")
        if state == "outbox":
            shell.answer(number)
        shell.suspend()
        name = "y" if state == "line" else "x"
        shell.read(settled(name, Fate.COMPLETED))
        shell.lead(shell.restored())
        assert bool(shell.cancelled) == (state == "call")
        for cancelled in shell.cancelled:
            shell.calls.clear()
            shell.post(Answered(cancelled, verdict(Meaning.CONNECTION, counts=False), 0))
        shell.settle_all()
        assert shell.decisions(number) == [Discard()]
        assert shell.fates(name) == []
        assert shell.is_empty()


def test_what_another_leader_answered_under_another_body_is_a_conflict_and_never_a_second_outcome() -> None:
    shell = with_two_partitions()
    number = shell.take("x")
    shell.answer(number)
    shell.suspend()
    shell.read(settled("x", Fate.COMPLETED, body="else"))
    shell.lead(shell.restored())
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [DeadLetterOnly]
    assert shell.fates("x") == []
    assert shell.is_empty()


def test_a_conflict_with_an_id_that_is_gone_is_none() -> None:
    """Found by the simulation: a leader in between buried the first as a conflict with this one, and died."""
    shell = with_two_partitions()
    first = shell.take("x")
    other = shell.take_at(Source(P1, 0), candidate("x", body="else"))
    shell.begun()
    shell.suspend()
    done = PartitionProgress(1)  # the first is settled: a leader in between has buried it
    shell.lead({place(): done, P1: shell.restored()[P1]})
    shell.post(Answered(shell.cancelled[0], verdict(Meaning.CONNECTION, counts=False), 0))
    shell.calls.pop(first)
    shell.settle_all()
    assert shell.decisions(other) == [Complete()]
    assert shell.is_empty()


def test_rubbish_under_an_id_that_is_gone_answers_for_it() -> None:
    shell = with_two_partitions()
    first = shell.take("x")
    rubbish = shell.take_at(Source(P1, 0), Garbage(identity("x", body="bytes"), "No body.", "invalid_request"))
    shell.begun()
    shell.suspend()
    shell.lead({place(): PartitionProgress(1), P1: shell.restored()[P1]})
    shell.post(Answered(shell.cancelled[0], verdict(Meaning.CONNECTION, counts=False), 0))
    shell.calls.pop(first)
    shell.settle_all()
    assert shell.decisions(rubbish) == [Fail("invalid_request", "No body.")]
    assert shell.is_empty()


def test_a_replay_that_another_leader_has_overtaken_waits_for_the_run_that_it_parked() -> None:
    shell = leading()
    shell.answer(shell.take("x"), verdict(Meaning.REJECTED))
    shell.settle_all()
    replay = shell.take(candidate("x", run=1))
    assert replay in shell.calls
    shell.suspend()
    shell.read(settled("x", Fate.FAILED, run=1), settled("x", Fate.PARKED, run=2, attempt=1))
    shell.lead(shell.restored())
    (call,) = shell.cancelled
    shell.calls.clear()
    shell.post(Answered(call, verdict(), 500))
    assert shell.core.flights.held_bytes == 0
    copy = shell.take(candidate("x", run=2, attempt=2))
    shell.settle_all()
    assert shell.decisions(copy) == [Complete()]
    assert shell.decisions(replay) == [Discard()]
    assert shell.is_empty()


def test_a_duplicate_whose_first_is_given_up_answers_itself() -> None:
    shell = with_two_partitions()
    first, duplicate = shell.take("x"), shell.take_at(Source(P1, 0), "x")
    shell.suspend()
    stored = shell.restored()
    del stored[place()]  # its partition is gone
    shell.lead(stored)
    assert first in shell.forgotten
    assert len(shell.cancelled) == 1
    assert duplicate in shell.calls
    shell.post(Answered(shell.cancelled[0], verdict(), 700))  # too late, of no use
    shell.calls.pop(first)
    shell.settle_all()
    assert shell.decisions(duplicate) == [Complete()]
    assert shell.decisions(first) == []
    assert shell.is_empty()


def test_a_joined_duplicate_that_is_given_up_alone_is_not_waited_for() -> None:
    shell = with_two_partitions()
    first, duplicate = shell.take("x"), shell.take_at(Source(P1, 0), "x")
    shell.suspend()
    stored = shell.restored()
    del stored[P1]
    shell.lead(stored)
    assert duplicate in shell.forgotten
    shell.settle_all()
    assert shell.decisions(first) == [Complete()]
    assert shell.is_empty()


def test_a_leader_that_stands_by_publishes_nothing_and_forgets_everything() -> None:
    shell = leading()
    called, answered, waiting, joined = (
        shell.take("a"),
        shell.take("b"),
        shell.take(candidate("c", charge=60_000)),
        shell.take("a"),
    )
    garbage = shell.take(Garbage(None, "No JSON."))
    shell.answer(answered)
    call = shell.calls.pop(called).call
    shell.stand_by()
    assert set(shell.forgotten) == {called, answered, waiting, joined, garbage}
    assert shell.cancelled == [call]
    assert shell.core.wake_at() is None
    assert not shell.core.trust.holds(shell.now_ms)
    shell.post(Answered(call, verdict(), 5_000))
    assert shell.is_empty()
    assert shell.carry_out() == []


def test_where_the_ledger_is_gone_what_it_told_stands_in_the_next_lines() -> None:
    shell = leading()
    shell.settle_all()
    shell.read(settled("answered", Fate.COMPLETED), settled("parked", Fate.PARKED, attempt=2))
    shell.suspend()
    shell.now_ms += 1_000
    shell.promote(shell.restored(), ledger_is_new=True)
    assert shell.core.identities.rewrites
    assert shell.batch is not None
    assert shell.batch.settled == (settled("parked", Fate.PARKED, attempt=2), settled("answered", Fate.COMPLETED))
    shell.commit()
    shell.wait(1_000)
    assert shell.store().settled == ()
    assert not shell.core.identities.rewrites


def test_a_request_that_goes_on_is_still_the_only_one_of_its_id() -> None:
    shell = leading()
    first = shell.take("x")
    shell.suspend()
    shell.lead(shell.restored())
    duplicate = shell.take("x")
    assert list(shell.calls) == [first]
    shell.settle_all()
    assert shell.decisions(duplicate) == [Discard()]


def test_a_request_that_was_cancelled_under_a_leader_in_between_goes_on_no_more() -> None:
    shell = leading()
    number = shell.take("x")
    shell.suspend()
    shell.read(cancels=(CancelRecord(identity("x").id_hash, WALL_MS),))
    shell.lead(shell.restored())
    assert len(shell.cancelled) == 1
    shell.answer(number, verdict(Meaning.CONNECTION, counts=False))
    shell.settle_all()
    assert shell.fates("x") == [Fate.FAILED]


def test_of_two_bodies_under_one_id_the_one_that_another_leader_answered_is_no_conflict() -> None:
    shell = with_two_partitions()
    first = shell.take("x")
    other = shell.take_at(Source(P1, 0), candidate("x", body="else"))
    shell.suspend()
    shell.read(settled("x", Fate.COMPLETED, body="else"))
    shell.lead(shell.restored())
    shell.post(Answered(shell.cancelled[0], verdict(Meaning.CONNECTION, counts=False), 0))
    shell.calls.pop(first)
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(first)] == [DeadLetterOnly]
    assert shell.decisions(other) == [Discard()]


def test_a_conflict_that_waits_for_its_commit_is_judged_anew_under_the_id_that_it_was_sent_with() -> None:
    shell = Shell(apart=lambda number, _nth: identity(f"own of {number}").id_hash)
    shell.lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})
    first = shell.take("x")
    other = shell.take_at(Source(P1, 0), candidate("x", body="else"))
    shell.suspend()
    shell.read(settled("x", Fate.COMPLETED, body="else"))
    shell.lead(shell.restored())
    shell.calls.pop(first)
    shell.settle_all()
    assert shell.decisions(other) == [Discard()]
    assert [each.apart for each in shell.decisions(first) if isinstance(each, Fail)] == [1]
    assert shell.fates(f"own of {other}", body="else") == []


def test_what_was_answered_too_long_ago_is_not_known_to_the_next_term() -> None:
    shell = leading()
    shell.read(settled("x", Fate.COMPLETED))
    shell.suspend()
    shell.now_ms += HOUR_MS // 2
    shell.promote(shell.restored())
    assert shell.core.identities.knows(identity("x").id_hash)
    shell.suspend()
    shell.now_ms += HOUR_MS
    shell.promote(shell.restored())
    assert not shell.core.identities.knows(identity("x").id_hash)


def failing_what_is_overdue() -> Shell:
    shell = leading(in_place_max_ms=100)
    parked = replace(candidate("x", deadline_ms=20_000), name="x")
    shell.answer(shell.take(parked), verdict(Meaning.RATE_LIMITED, wait_ms=500))
    shell.commit()
    shell.now_ms = 20_000 + OVERDUE_AFTER_MS + 1_000
    shell.renew()
    shell.carry_out()
    assert [each.name for each in shell.begun().overdue] == ["x"]
    return shell


def test_what_is_overdue_is_failed_by_the_next_term_if_that_commit_is_unknown() -> None:
    shell = failing_what_is_overdue()
    shell.suspend()
    shell.lead(shell.restored())
    shell.wait(1_000)
    assert [each.name for batch in shell.committed for each in batch.overdue] == ["x"]


def test_who_stands_by_fails_nothing_and_knows_no_partition_any_more() -> None:
    shell = failing_what_is_overdue()
    shell.stand_by()
    assert shell.is_empty()
    assert shell.core.registry.progress == {}
