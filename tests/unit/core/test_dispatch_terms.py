"""What a commit of unknown end, another leader and standing by leave of what is under way."""

from broker.core.bounds import CALL_RESERVE_BYTES
from broker.core.buckets import Level
from broker.core.budget import Checkpoint
from broker.core.commands import Bury, Complete, Discard, Fail, SettledEntry, StartedEntry
from broker.core.events import Answered, Committed, Refused, Suspended
from broker.core.identity import Fate
from broker.core.progress import PartitionProgress
from broker.core.reading import MINUTE_MS, Metric
from broker.core.rules import Role
from broker.core.ticket import CallNumber, Garbage, Source
from broker.core.verdict import Meaning
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, place, verdict

P1 = place("standard", 1)
LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


def with_two_partitions() -> Shell:
    return Shell().lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})


def settled(name: str, fate: Fate, *, run: int = 0, attempt: int = 0, body: str = "body") -> SettledEntry:
    return SettledEntry(identity(name, run=run, body=body), attempt, fate)


# ---------------------------------------------------------------------------------------------------- unknown commits


def test_after_an_unknown_commit_that_was_stored_nothing_is_published_twice() -> None:
    shell = leading()
    number, duplicate = shell.take(), shell.take()
    shell.answer(number)
    batch = shell.store()
    shell.suspend()
    shell.read(*batch.settled, started=batch.started)
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.fates("x") == [Fate.COMPLETED]
    assert shell.is_empty()


def test_after_an_unknown_commit_that_was_not_stored_everything_is_published_again() -> None:
    shell = leading()
    number, duplicate = shell.take(), shell.take()
    shell.answer(number)
    shell.begun()
    shell.suspend()
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.is_empty()


def test_calls_and_answers_outlive_a_suspension() -> None:
    shell = leading()
    number, sleeper = shell.take("a"), shell.take("b")
    shell.answer(sleeper, LIMITED)
    shell.suspend()
    assert shell.core.wake_at() is None
    shell.answer(number)
    assert shell.core.role is Role.SUSPENDED
    assert shell.batch is None
    shell.now_ms += 5_000
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(sleeper) == [Complete()]
    assert shell.cancelled == []


def test_a_commit_that_returns_after_all_settles_nothing_and_confirms_nothing() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number)
    batch = shell.store()
    shell.suspend()
    shell.promote(shell.restored())
    shell.post(Committed(batch.serial, shell.now_ms))
    shell.take("y")
    assert shell.calls == {}


def test_a_second_suspension_is_no_news() -> None:
    shell = leading()
    number = shell.take()
    shell.suspend()
    shell.suspend()
    shell.lead(shell.restored())
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]


def test_a_follower_that_could_not_be_promoted_is_still_a_follower() -> None:
    shell = Shell()
    shell.post(Suspended())
    assert shell.core.role is Role.FOLLOWING


def test_what_another_leader_answered_in_between_is_dropped_from_line_call_and_outbox() -> None:
    for state in ("line", "call", "outbox"):
        shell = leading(inflight_max=1)
        number = shell.take("x")
        if state == "line":
            shell.calls.clear()
            shell.post(Refused(CallNumber(1)))
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
    assert [each.__class__ for each in shell.decisions(number)] == [Bury]
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


def test_old_lines_of_our_own_do_not_settle_what_is_open_now() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take("x"), LIMITED)
    shell.commit()
    copy = shell.take(candidate("x", attempt=2))
    shell.suspend()
    shell.read(settled("x", Fate.PARKED, attempt=1))
    shell.lead(shell.restored())
    shell.wait(500)
    shell.settle_all()
    assert shell.decisions(copy) == [Complete()]


# ---------------------------------------------------------------------------------------------------- standing by


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


def test_a_commit_under_way_when_a_leader_stands_by_is_left_to_the_map() -> None:
    shell = leading()
    shell.answer(shell.take())
    shell.begun()
    shell.stand_by()
    assert shell.is_empty()


def test_answers_of_a_former_term_never_speak_for_the_ticket_of_a_new_one() -> None:
    shell = leading()
    old = shell.take_at(Source(place(), 0), "x")
    old_call = shell.calls.pop(old).call
    shell.stand_by()
    shell.now_ms += 5_000
    shell.lead(shell.restored())
    new = shell.take_at(Source(place(), 0), "x")
    assert new in shell.calls
    shell.post(Answered(old_call, verdict(), 900))
    assert shell.core.flights.held_bytes == CALL_RESERVE_BYTES
    assert not shell.core.outbox
    shell.answer(new)
    shell.settle_all()
    assert (shell.decisions(old), shell.decisions(new)) == ([], [Complete()])
    assert shell.is_empty()


def test_what_a_follower_reads_is_known_when_it_leads() -> None:
    shell = Shell()
    level = Level(Metric.TOKENS, 20_000, 20_000, 60_000, MINUTE_MS)
    checkpoint = Checkpoint("gpt", WALL_MS + shell.now_ms, (level,), 0, 0, 1_000_000)
    shell.read(
        settled("a", Fate.COMPLETED),
        started=(StartedEntry(identity("a"), 1), StartedEntry(identity("b"), 1)),
        levels=(checkpoint,),
    )
    shell.lead()
    done = shell.take("a")
    repeated = shell.take(candidate("b", charge=4_000))
    assert shell.calls[repeated].repeated
    poor = shell.take(candidate("c", charge=4_000))
    assert poor not in shell.calls
    shell.commit()
    assert shell.decisions(done) == [Discard()]


def test_calls_of_our_own_that_outlive_a_suspension_repeat_nothing() -> None:
    shell = leading()
    number = shell.take()
    shell.suspend()
    shell.read(started=(StartedEntry(identity(), 1),))
    shell.lead(shell.restored())
    shell.answer(number, LIMITED)
    shell.wait(500)
    assert not shell.calls[number].repeated
