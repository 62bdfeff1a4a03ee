"""From a record taken to the one outcome it ends in; then everything that can come in between."""

from dataclasses import replace

import pytest

from broker.core.bounds import CALL_RESERVE_BYTES, LINGER_MS, PROBE_EVERY_MS
from broker.core.buckets import Level
from broker.core.budget import Checkpoint
from broker.core.cancels import Cancel
from broker.core.commands import Bury, Complete, Discard, Fail, Park, SettledEntry, StartedEntry
from broker.core.events import Answered, Committed, Draining, Lost, PartitionFound, Refused, Suspended, Taken
from broker.core.identity import Fate
from broker.core.progress import PartitionProgress
from broker.core.reading import MINUTE_MS, Metric
from broker.core.register import Want
from broker.core.rules import Role
from broker.core.ticket import CallNumber, Garbage, Source, TicketNumber
from broker.core.verdict import Meaning
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import HOUR_MS, LANES, candidate, identity, place, verdict

P1 = place("standard", 1)
LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


def leading(**settings: int) -> Shell:
    """A leader of three lanes with one partition each, confirmed by its first commit."""
    return Shell(**settings).lead()  # type: ignore[arg-type]  # whole numbers, all of them


def with_two_partitions() -> Shell:
    return Shell().lead({place(): PartitionProgress(0), P1: PartitionProgress(0)})


def settled(name: str, fate: Fate, *, run: int = 0, attempt: int = 0, body: str = "body") -> SettledEntry:
    return SettledEntry(identity(name, run=run, body=body), attempt, fate)


# ---------------------------------------------------------------------------------------------------- one request


def test_a_request_is_called_answered_and_committed_and_leaves_nothing_behind() -> None:
    shell = leading()
    number = shell.take()
    call = shell.calls[number]
    assert (call.charge, call.calls, call.repeated) == (100, 1, False)
    assert shell.core.flights.held_bytes == CALL_RESERVE_BYTES
    shell.answer(number)
    batch = shell.commit()
    assert shell.decisions(number) == [Complete()]
    assert batch.settled == (settled("x", Fate.COMPLETED),)
    assert batch.offsets[place()].offset == 1
    assert shell.forgotten == [number]
    assert shell.is_empty()


def test_an_urgent_outcome_is_published_at_once_and_a_patient_one_waits_for_company() -> None:
    shell = leading()
    patient = shell.take("p")
    shell.answer(patient)
    assert shell.batch is None
    assert shell.core.wake_at() == shell.now_ms + LINGER_MS
    urgent = shell.take("u", partition=place("urgent"))
    shell.answer(urgent)
    assert shell.batch is not None
    assert [each.number for each in shell.batch.settlements] == [patient, urgent]


def test_a_call_that_fails_is_made_again_after_its_wait_and_then_completes() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number, LIMITED)
    assert number not in shell.calls
    shell.wait(499)
    assert number not in shell.calls
    shell.wait(1)
    assert shell.calls[number].calls == 2
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.is_empty()


def test_those_who_wake_together_line_up_in_the_order_in_which_they_woke() -> None:
    shell = leading(inflight_max=1)
    numbers = []
    for name in ("a", "b", "c"):
        numbers.append(shell.take(name))
        shell.answer(numbers[-1], verdict(Meaning.UPSTREAM_ERROR, wait_ms=5_000))
    order = []
    shell.wait(5_250)
    while shell.calls:
        (number,) = shell.calls
        order.append(number)
        shell.answer(number)
        shell.carry_out()
    assert order == numbers


def test_a_wait_too_long_for_this_place_is_parked_and_frees_it() -> None:
    shell = leading(in_place_max_ms=400)
    number = shell.take(replace(candidate("x", attempt=3), failures=1))
    shell.answer(number, LIMITED)
    batch = shell.commit()
    assert shell.decisions(number) == [Park("rate_limited", "It was rate_limited.", 10_500, attempts=3, failures=1)]
    assert batch.settled == (settled("x", Fate.PARKED, attempt=3),)
    assert shell.is_empty()


def test_a_deadline_fails_what_still_waits_in_line() -> None:
    shell = leading()
    shell.take(candidate("rich", charge=59_000))
    late = shell.take(candidate("late", charge=50_000, deadline_ms=12_000))
    shell.wait(2_000)
    shell.commit()
    shell.commit()
    assert shell.core.limits.waiting() == 0
    (decision,) = shell.decisions(late)
    assert isinstance(decision, Fail)
    assert decision.reason == "deadline_exceeded"


def test_a_deadline_in_the_middle_of_a_call_waits_for_its_answer() -> None:
    shell = leading()
    number = shell.take(candidate("x", deadline_ms=10_500))
    shell.wait(1_000)
    shell.answer(number)
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]


def test_what_comes_too_late_is_never_called() -> None:
    shell = leading()
    number = shell.take(candidate("x", deadline_ms=10_000))
    assert shell.calls == {}
    shell.commit()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_what_must_not_be_called_fails_with_the_reason_given() -> None:
    shell = leading()
    number = shell.take(candidate("x", refusal=("rejected", "Not on the list.")))
    shell.commit()
    assert shell.decisions(number) == [Fail("rejected", "Not on the list.")]
    assert dict(shell.core.limits.desks()) == {}


def test_what_no_full_bucket_could_pay_fails_at_once() -> None:
    shell = leading()
    number = shell.take(candidate("x", charge=60_001))
    shell.commit()
    (decision,) = shell.decisions(number)
    assert isinstance(decision, Fail)
    assert decision.reason == "too_large"
    assert shell.is_empty()


def test_a_charge_that_the_server_states_above_the_capacity_fails_when_its_turn_comes() -> None:
    shell = leading()
    number = shell.take(candidate("x", charge=100))
    shell.answer(number, verdict(Meaning.RATE_LIMITED, wait_ms=500, requested=60_001))
    shell.wait(600)
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]
    assert shell.is_empty()


def test_the_head_of_one_limit_never_blocks_another() -> None:
    shell = leading()
    shell.take(candidate("a", limit="big", charge=60_000))
    shell.take(candidate("b", limit="big", charge=60_000))
    small = shell.take(candidate("c", limit="small", charge=1))
    assert small in shell.calls


# ---------------------------------------------------------------------------------------------------- garbage


def test_bytes_without_an_id_are_buried() -> None:
    shell = leading()
    number = shell.take(Garbage(None, "No JSON."))
    shell.commit()
    assert shell.decisions(number) == [Bury("undecodable", "No JSON.")]
    assert shell.is_empty()


def test_bytes_with_an_unknown_id_fail_for_that_id_and_once() -> None:
    shell = leading()
    garbage = Garbage(identity("g", body="bytes"), "No body.")
    first, second = shell.take(garbage), shell.take(garbage)
    shell.settle_all()
    assert shell.decisions(first) == [Fail("invalid_request", "No body.")]
    assert shell.decisions(second) == [Bury("invalid_request", "No body.")]
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
    numbers = [shell.take(Garbage(identity(name, body="bytes"), "No body.")) for name in ("parked", "answered", "open")]
    shell.settle_all()
    assert [shell.decisions(number) for number in numbers] == [[Bury("invalid_request", "No body.")]] * 3
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
    assert [each.__class__ for each in shell.decisions(other) + shell.decisions(another)] == [Bury, Bury]
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


# ---------------------------------------------------------------------------------------------------- when to call


def test_nothing_is_called_before_the_first_commit_of_a_term() -> None:
    shell = Shell()
    shell.promote()
    number = shell.take()
    assert number not in shell.calls
    shell.commit()
    assert number in shell.calls


def test_nothing_is_called_once_trust_has_run_out_and_silence_is_not_asked_for_again_and_again() -> None:
    shell = leading()
    shell.take(candidate("big", charge=59_000))
    shell.take(candidate("poor", charge=30_000))
    at_ms = shell.core.wake_at()
    assert at_ms is not None
    while at_ms is not None and shell.now_ms < 60_000:  # nobody renews, nobody commits
        assert at_ms > shell.now_ms
        shell.now_ms = at_ms
        shell.carry_out()
        at_ms = shell.core.wake_at()
    assert len(shell.calls) == 1


def test_a_probe_that_is_committed_restores_trust_and_the_queue_moves_on() -> None:
    shell = leading()
    shell.now_ms += 60_000
    number = shell.take()
    assert number not in shell.calls
    shell.commit()
    assert number in shell.calls


def test_a_second_of_silence_is_the_most_while_something_is_under_way() -> None:
    shell = leading()
    shell.take()
    shell.wait(PROBE_EVERY_MS)
    assert shell.batch is not None
    assert shell.batch.settlements == ()
    assert shell.batch.started == (StartedEntry(identity(), 1),)


def test_an_idle_leader_has_nothing_to_say_for_an_hour() -> None:
    shell = leading()
    assert shell.core.wake_at() == shell.now_ms + HOUR_MS


def test_a_call_that_the_door_did_not_send_is_first_in_line_again() -> None:
    shell = leading(inflight_max=1)
    first, _ = shell.take("a"), shell.take("b")
    call = shell.calls.pop(first)
    shell.post(Refused(call.call))
    assert list(shell.calls) == [first]
    assert shell.calls[first].call != call.call


def test_a_call_that_the_door_did_not_send_still_meets_its_deadline() -> None:
    shell = leading()
    number = shell.take(candidate("x", deadline_ms=10_500))
    shell.wait(600)
    shell.post(Refused(shell.calls.pop(number).call))
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_a_call_that_was_not_sent_for_a_ticket_that_is_gone_is_over() -> None:
    shell = leading()
    call = shell.calls.pop(shell.take()).call
    shell.stand_by()
    shell.post(Refused(call))
    assert shell.is_empty()


def test_while_draining_only_what_should_end_in_time_is_called() -> None:
    shell = leading()
    first = shell.take("a")
    shell.wait(5_000)
    shell.answer(first)
    shell.post(Draining(shell.now_ms + 6_000))
    in_time = shell.take("b")
    assert in_time in shell.calls
    shell.wait(2_000)
    too_late = shell.take("c")
    assert too_late not in shell.calls
    shell.answer(in_time)
    assert not shell.core.idle
    shell.settle_all()
    assert shell.core.idle
    assert shell.decisions(too_late) == []


def test_an_unbelieved_limit_sends_one_call_ahead_and_then_the_rest() -> None:
    shell = Shell(believed=False).lead()
    first, second = shell.take("a"), shell.take("b")
    assert list(shell.calls) == [first]
    shell.answer(first, verdict(remaining=50_000))
    assert list(shell.calls) == [second]


# ---------------------------------------------------------------------------------------------------- taking


def test_only_a_leader_takes_and_has_room() -> None:
    shell = Shell()
    follower = shell.take()
    assert shell.forgotten == [follower]
    assert shell.core.room(place()) == 0
    shell.lead()
    assert shell.core.room(place()) == 1_000
    shell.suspend()
    assert shell.core.room(place()) == 0


def test_a_record_that_comes_in_while_suspended_is_read_again_later() -> None:
    shell = leading()
    shell.suspend()
    dropped = shell.take_at(Source(place(), 0), "x")
    assert shell.forgotten == [dropped]
    shell.lead(shell.restored())
    assert shell.core.want(Source(place(), 0)) is Want.TAKE
    again = shell.take_at(Source(place(), 0), "x")
    shell.settle_all()
    assert shell.decisions(again) == [Complete()]


def test_a_record_of_a_partition_that_is_not_ours_is_let_go() -> None:
    shell = leading()
    number = shell.take_at(Source(place("standard", 9), 0))
    assert shell.forgotten == [number]


def test_a_record_that_is_read_twice_is_taken_once() -> None:
    shell = leading()
    source = Source(place(), 0)
    first, again = shell.take_at(source), shell.take_at(source)
    assert shell.forgotten == [again]
    shell.settle_all()
    assert shell.decisions(first) == [Complete()]


def test_a_new_partition_is_taken_from_its_first_record_and_only_by_a_leader() -> None:
    shell = Shell()
    shell.post(PartitionFound(P1, PartitionProgress(0)))
    assert shell.core.want(Source(P1, 0)) is Want.FULL
    shell.lead()
    shell.post(PartitionFound(P1, PartitionProgress(0)))
    shell.take_at(Source(P1, 0))
    shell.post(PartitionFound(P1, PartitionProgress(0)))  # found twice, begun once
    assert shell.core.want(Source(P1, 0)) is Want.SKIP


def test_a_lost_range_is_buried_in_the_transaction_that_first_stores_its_map() -> None:
    shell = Shell()
    shell.promote({place(): PartitionProgress(0), place("urgent"): PartitionProgress(0)})
    shell.take(Garbage(None, "No JSON."), partition=place("urgent"))
    shell.core.on(Lost(TicketNumber(99), place(), 40), shell.now_ms)
    first = shell.commit()
    second = shell.commit() if 40 not in {each.offset for each in first.offsets.values()} else first
    assert [each.decision.__class__ for each in second.settlements if each.number == 99] == [Bury]
    assert second.offsets[place()].offset == 40
    assert shell.is_empty()


@pytest.mark.parametrize(("removed", "reason"), [(True, "lost_by_retention"), (False, "undecodable")])
def test_a_lost_range_is_buried_under_what_became_of_it(removed: bool, reason: str) -> None:  # noqa: FBT001
    shell = leading()
    shell.post(Lost(TicketNumber(99), place(), 40, removed))
    shell.settle_all()
    (bury,) = shell.decisions(TicketNumber(99))
    assert isinstance(bury, Bury)
    assert bury.reason == reason
    assert bury.sentence.startswith("Offsets 0 to 39 ")


def test_a_range_whose_records_are_all_done_is_not_lost() -> None:
    shell = leading()
    shell.take()
    shell.settle_all()
    shell.post(Lost(TicketNumber(99), place(), 1))
    shell.post(Lost(TicketNumber(98), place("standard", 9), 1))
    assert shell.forgotten[-2:] == [99, 98]
    assert shell.is_empty()


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
    rubbish = shell.take_at(Source(P1, 0), Garbage(identity("x", body="bytes"), "No body."))
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
    shell.read(cancels=(Cancel(identity("x").id_hash, WALL_MS),))
    shell.lead()
    number = shell.take("x", timestamp_ms=WALL_MS)
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_a_promotion_looks_whether_a_cancel_waits_for_who_is_under_way() -> None:
    shell = leading()
    number = shell.take("x")
    shell.suspend()
    shell.read(cancels=(Cancel(identity("x").id_hash, WALL_MS),))
    shell.lead(shell.restored())
    assert len(shell.cancelled) == 1
    shell.answer(number, verdict(Meaning.CONNECTION, counts=False))
    shell.settle_all()
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.is_empty()


# ---------------------------------------------------------------------------------------------------- the long run


def test_what_is_parked_is_said_again_before_it_ages_out_of_the_ledger() -> None:
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take("x"), LIMITED)
    shell.commit()
    said: list[int] = []
    for _ in range(60):
        at_ms = shell.core.wake_at()
        assert at_ms is not None
        shell.wait(at_ms - shell.now_ms)
        if settled("x", Fate.PARKED, attempt=1) in shell.commit().settled:
            said.append(shell.now_ms)
    assert said
    assert said[0] < HOUR_MS


def test_when_too_much_is_parked_the_rest_waits_in_place() -> None:
    shell = leading(in_place_max_ms=100, ids_max=2)
    first, second = shell.take("a"), shell.take("b")
    shell.answer(first, LIMITED)
    shell.commit()
    shell.answer(second, LIMITED)
    assert not shell.core.outbox
    shell.wait(500)
    assert second in shell.calls


def test_a_thousand_requests_of_every_kind_leave_nothing_behind() -> None:
    shell = leading(inflight_max=20)
    for number in range(1_000):
        lane = LANES[number % 3].name
        name = f"id{number % 700}"
        deadline_ms = 10_000_000 if number % 11 else shell.now_ms + 50
        shell.take(candidate(name, charge=1 + number % 40, deadline_ms=deadline_ms), partition=place(lane))
        if number % 7 == 0:
            shell.take(Garbage(identity(name), "No body."), partition=place(lane))
        if number % 3 == 0:
            for waiting in list(shell.calls):
                shell.answer(waiting, LIMITED if number % 2 else None)
        if shell.batch is not None:
            shell.commit()
        shell.now_ms += 10
        shell.renew()
    for _ in range(100):  # bulk waits for its turn until the reserves above it have flowed in
        shell.settle_all()
        shell.wait(500)
        if shell.batch is not None:
            shell.commit()
    assert shell.is_empty()
    assert shell.core.idle
    for progress in shell.restored().values():
        assert progress.incomplete == 0


def test_a_defect_in_the_shell_is_not_swallowed() -> None:
    shell = leading()
    with pytest.raises(KeyError):
        shell.post(Answered(CallNumber(77), verdict(), 0))
    with pytest.raises(AssertionError):
        shell.core.register.progress[place()].finish(5)


def test_the_wall_clock_is_anchored_by_each_promotion() -> None:
    shell = leading()
    assert shell.core.wall_ms(shell.now_ms) == WALL_MS + shell.now_ms
    assert shell.core.wall_ms(shell.now_ms + 5) == WALL_MS + shell.now_ms + 5


def test_no_event_of_a_follower_makes_a_command_but_for_records_let_go() -> None:
    shell = Shell()
    shell.renew()
    shell.post(Taken(TicketNumber(1), Source(place(), 0), 0, 1, candidate()))
    assert (shell.forgotten, shell.batch, shell.calls) == ([1], None, {})
