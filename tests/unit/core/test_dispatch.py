"""From a record taken to the one outcome it ends in, when it is called, and the long run."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import CALL_RESERVE_BYTES, LINGER_MS, PROBE_EVERY_MS
from headrace.broker.core.commands import AttemptEntry, Call, Complete, Fail, Park, SettledEntry
from headrace.broker.core.events import Answered, CallNotSent, Committed, Crashed, Draining, Taken
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.requests.triage import CALL_CRASHED, CUT_OFF
from headrace.broker.core.ticket import CallNumber, Garbage, Source, TicketNumber
from tests.progress_seen import incomplete
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import HOUR_MS, LANES, candidate, identity, place, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


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


def test_what_happens_is_a_reason_to_ask_at_once_but_an_answer_for_which_nobody_waits_can_wait_for_company() -> None:
    shell = leading(inflight_max=3)
    patient, late, urgent = shell.take("p"), shell.take("l"), shell.take("u", partition=place("urgent"))

    def heard(number: TicketNumber) -> int | None:
        shell.core.on(Answered(shell.calls.pop(number).call, verdict(), 1_000), shell.now_ms)
        return shell.core.wake_at()

    assert heard(patient) == (linger_ms := shell.now_ms + LINGER_MS)
    shell.now_ms += 10
    assert heard(late) == linger_ms
    assert heard(urgent) == shell.now_ms
    shell.carry_out()
    assert shell.batch is not None
    lone, _ = shell.take("1"), [shell.take(name) for name in "2345"]
    assert heard(lone) == shell.now_ms, "its place is another's now"
    shell.core.on(Committed(shell.batch.serial, shell.now_ms), shell.now_ms)
    assert shell.core.wake_at() == shell.now_ms


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
    shell.read(settled("x", Fate.PARKED, attempt=2))
    number = shell.take(replace(candidate("x", attempt=3), failures=1))
    shell.answer(number, LIMITED)
    batch = shell.commit()
    assert shell.decisions(number) == [Park("rate_limited", "It was rate_limited.", 10_500, attempts=3, failures=1)]
    assert batch.settled == (settled("x", Fate.PARKED, attempt=3),)
    assert shell.is_empty()


def test_what_must_not_be_called_fails_with_the_reason_given() -> None:
    shell = leading()
    number = shell.take(candidate("x", refusal=("rejected", "Not on the list.")))
    shell.commit()
    assert shell.decisions(number) == [Fail("rejected", "Not on the list.")]
    assert dict(shell.core.limits.limit_queues()) == {}


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
    assert shell.batch.started == (AttemptEntry(identity(), 1),)


def test_an_idle_leader_has_nothing_to_say_for_half_a_window() -> None:
    shell = leading()
    assert shell.core.wake_at() == shell.now_ms + HOUR_MS // 2


def test_a_call_that_the_door_did_not_send_is_first_in_line_again() -> None:
    shell = leading(inflight_max=1)
    first, _ = shell.take("a"), shell.take("b")
    call = shell.calls.pop(first)
    shell.post(CallNotSent(call.call))
    assert list(shell.calls) == [first]
    assert shell.calls[first].call != call.call


def refused(shell: Shell, *calls: Call) -> None:
    for each in calls:
        shell.core.on(CallNotSent(each.call), shell.now_ms)
    shell.carry_out()


def test_of_an_ordering_key_calls_that_were_not_sent_start_in_its_order_all_the_same() -> None:
    for backwards in (False, True):
        shell = leading()
        names = (("a", "gpt"), ("b", "gpt"), ("c", "other"))
        numbers = [shell.take(candidate(name, limit=limit, order=b"k")) for name, limit in names]
        calls = [shell.calls.pop(number) for number in numbers]
        refused(shell, *(reversed(calls) if backwards else calls))
        assert list(shell.calls) == numbers, backwards
        shell.settle_all()
        assert shell.is_empty()


def test_one_that_waits_behind_a_call_that_was_not_sent_waits_again() -> None:
    shell = leading(inflight_max=1)
    first, second = (shell.take(candidate(name, limit=name, order=b"k")) for name in ("a", "b"))
    refused(shell, shell.calls.pop(first))
    assert list(shell.calls) == [first]
    shell.answer(first)
    assert list(shell.calls) == [second]
    shell.settle_all()
    assert shell.is_empty()


def test_a_call_that_was_not_sent_for_a_ticket_that_is_gone_is_over() -> None:
    shell = leading()
    call = shell.calls.pop(shell.take()).call
    shell.stand_by()
    shell.post(CallNotSent(call))
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


def let_it_rest(shell: Shell, number: TicketNumber) -> int:
    """Fail each transaction that holds this ticket until its decision rests; how many those were."""
    tries = 0
    while not shell.core.outbox._failing.resting:
        if any(each.number == number for each in shell.begun().settlements):
            tries += 1
            shell.suspend()
            shell.promote(shell.restored())
        else:
            shell.commit()
    return tries


def test_what_rests_is_tried_once_more_when_the_drain_begins_and_not_when_it_ends() -> None:
    shell = leading()
    number = shell.take("a")
    shell.answer(number)
    assert let_it_rest(shell, number) > 1
    shell.post(Draining(shell.now_ms + 6_000))
    assert not shell.core.idle
    assert let_it_rest(shell, number) == 1
    shell.commit()
    shell.post(Draining(shell.now_ms))
    assert let_it_rest(shell, number) == 0
    assert shell.core.idle
    assert shell.core.outbox.holds(shell.core.registry.tickets()[0])


def test_an_unbelieved_limit_sends_one_call_ahead_and_then_the_rest() -> None:
    shell = Shell(believed=False).lead()
    first, second = shell.take("a"), shell.take("b")
    assert list(shell.calls) == [first]
    shell.answer(first, verdict(remaining=50_000))
    assert list(shell.calls) == [second]


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


@pytest.mark.slow
def test_a_thousand_requests_of_every_kind_leave_nothing_behind() -> None:
    shell = leading(inflight_max=20)
    for number in range(1_000):
        lane = LANES[number % 3].name
        name = f"id{number % 700}"
        deadline_ms = 10_000_000 if number % 11 else shell.now_ms + 50
        shell.take(candidate(name, charge=1 + number % 40, deadline_ms=deadline_ms), partition=place(lane))
        if number % 7 == 0:
            shell.take(Garbage(identity(name), "No body.", "invalid_request"), partition=place(lane))
        if number % 3 == 0:
            for waiting in list(shell.calls):
                shell.answer(waiting, LIMITED if number % 2 else None)
        if shell.batch is not None:
            shell.commit()
        shell.now_ms += 10
        shell.renew()
        shell.carry_out()
    for _ in range(100):  # bulk waits for its turn until the reserves above it have flowed in
        shell.settle_all()
        shell.wait(500)
        if shell.batch is not None:
            shell.commit()
    assert shell.is_empty()
    assert shell.core.idle
    for progress in shell.restored().values():
        assert incomplete(progress) == 0


def test_a_defect_in_the_shell_is_not_swallowed() -> None:
    shell = leading()
    with pytest.raises(KeyError):
        shell.post(Answered(CallNumber(77), verdict(), 0))


def test_the_wall_clock_is_anchored_by_each_promotion() -> None:
    shell = leading()
    assert shell.core.wall_ms(shell.now_ms) == WALL_MS + shell.now_ms
    assert shell.core.wall_ms(shell.now_ms + 5) == WALL_MS + shell.now_ms + 5


def test_no_event_of_a_follower_makes_a_command_but_for_records_let_go() -> None:
    shell = Shell()
    shell.renew()
    shell.post(Taken(TicketNumber(1), Source(place(), 0), 0, 1, candidate()))
    assert (shell.forgotten, shell.batch, shell.calls) == ([1], None, {})


def test_a_request_whose_call_crashed_fails_and_is_not_called_again() -> None:
    shell = leading()
    number = shell.take()
    shell.post(Crashed(shell.calls.pop(number).call))
    shell.settle_all()
    assert shell.decisions(number) == [CALL_CRASHED]
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.is_empty()


def test_a_crash_of_a_call_that_was_given_up_changes_nothing() -> None:
    shell = leading()
    number = shell.take(candidate(deadline_ms=15_000))
    shell.wait(5_000)
    shell.post(Crashed(shell.calls.pop(number).call))
    shell.settle_all()
    assert shell.decisions(number) == [CUT_OFF]
    assert shell.is_empty()
