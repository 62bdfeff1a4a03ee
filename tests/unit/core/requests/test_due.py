"""What deadlines do to requests: passed, near, out of reach, too near for a call."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.commands import Fail
from headrace.broker.core.events import CallNotSent
from headrace.broker.core.requests.triage import CUT_OFF, TOO_LATE
from headrace.broker.core.ticket import TicketNumber
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import LANES, candidate, place, verdict


def failure(shell: Shell, number: TicketNumber) -> str:
    (decision,) = shell.decisions(number)
    assert isinstance(decision, Fail)
    return decision.reason


def test_a_deadline_fails_what_still_waits_in_line() -> None:
    shell = leading()
    shell.take(candidate("rich", charge=59_000))
    late = shell.take(candidate("late", charge=2_500, deadline_ms=12_000))
    shell.take(candidate("urgent", charge=2_900), partition=place("urgent"))  # goes first, and leaves too little
    shell.wait(2_000)
    shell.commit()
    shell.commit()
    assert shell.core.limits.waiting() == 0
    assert shell.decisions(late) == [TOO_LATE]
    assert failure(shell, late) == "deadline_exceeded"


def test_a_deadline_that_is_near_lifts_whoever_still_waits_and_then_passes_all_the_same() -> None:
    shell = Shell(lanes=tuple(replace(rule, lift_ppm=50_000) for rule in LANES)).lead()
    shell.take(candidate("rich", charge=59_000))
    near = shell.take(candidate("near", charge=2_500, deadline_ms=12_000))
    shell.take(candidate("urgent", charge=2_900), partition=place("urgent"))
    nearing = shell.core.limits.limit_queue("gpt", 10_000).lanes.queue("standard").nearing
    shell.wait(1_799)
    assert nearing.head() is None
    shell.wait(1)
    assert nearing.head() is not None
    shell.wait(200)
    shell.commit()
    shell.commit()
    assert failure(shell, near) == "deadline_exceeded"


def test_who_has_no_time_left_for_a_call_is_passed_by_who_has() -> None:
    shell = leading()
    shell.take(candidate("rich", charge=59_000))
    shell.core.limits.limit_queue("gpt", 10_000).lanes.durations.add("", 2_500)
    late = shell.take(candidate("late", charge=3_000, deadline_ms=14_000), partition=place("urgent"))
    far = shell.take(candidate("far", charge=3_000), partition=place("urgent"))
    shell.wait(1_499)
    pick = shell.core.limits.limit_queue("gpt", shell.now_ms).lanes.pick(shell.now_ms)
    assert pick is not None
    assert pick.ticket.number == late
    shell.wait(1_501)
    assert far in shell.calls
    assert late not in shell.calls


def test_how_long_calls_take_is_learned_from_those_that_are_answered() -> None:
    shell = leading()
    number = shell.take(candidate("x"))
    shell.now_ms += 700
    shell.answer(number)
    assert shell.core.limits.limit_queue("gpt", shell.now_ms).lanes.durations.of("").long_ms == 700


def test_a_deadline_that_no_turn_can_meet_is_told_as_soon_as_it_is_taken() -> None:
    shell = leading()
    shell.take(candidate("rich", charge=59_000))
    late = shell.take(candidate("late", charge=50_000, deadline_ms=12_000))
    shell.settle_all()
    assert failure(shell, late) == "deadline_unreachable"
    assert shell.core.limits.waiting() == 0


def test_who_stands_behind_one_of_its_key_is_told_in_the_breath_in_which_it_lines_up() -> None:
    shell = leading()
    shell.core.limits.limit_queue("gpt", shell.now_ms).budget.pause_until(11_000)
    first = shell.take(candidate("first", charge=47_000, order=b"k"))
    behind = [shell.take(candidate(f"b{each}", charge=20_000, deadline_ms=12_000, order=b"k")) for each in range(2)]
    shell.wait(1_000)
    assert first in shell.calls
    assert len(shell.core.outbox) == 2
    shell.wait(1)
    shell.settle_all()
    assert [failure(shell, number) for number in behind] == ["deadline_unreachable"] * 2


def test_a_deadline_that_no_turn_can_meet_any_more_is_told_though_nothing_else_happens() -> None:
    shell = leading()
    rich = shell.take(candidate("rich", charge=59_000))
    late = shell.take(candidate("late", charge=3_000, deadline_ms=14_000))
    shell.wait(1_400)
    urgent = shell.take(candidate("urgent", charge=2_300), partition=place("urgent"))
    for number in (rich, urgent):
        shell.answer(number)
        shell.commit()
    while (at_ms := shell.core.wake_at()) is not None and not shell.core.outbox:
        shell.wait(at_ms - shell.now_ms)
    assert shell.now_ms < 12_000, "2,600 flow in until its deadline"
    shell.commit()
    assert failure(shell, late) == "deadline_unreachable"


def test_a_deadline_in_the_middle_of_a_call_cuts_it_off_and_what_it_took_is_taken() -> None:
    shell = leading()
    number = shell.take(candidate("x", charge=10_000, deadline_ms=10_500))
    call = shell.calls[number].call
    shell.wait(500)
    assert shell.cancelled == [call]
    shell.commit()
    assert failure(shell, number) == "deadline_exceeded"
    (level,) = shell.core.limits.limit_queue("gpt", 10_500).budget.levels(10_500)
    assert level.low < 51_000


def test_what_comes_too_late_is_never_called() -> None:
    shell = leading()
    number = shell.take(candidate("x", deadline_ms=10_000))
    assert shell.calls == {}
    shell.commit()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_a_call_that_the_door_did_not_send_still_meets_its_deadline() -> None:
    shell = leading()
    number = shell.take(candidate("x", deadline_ms=10_500))
    shell.wait(600)
    shell.post(CallNotSent(shell.calls.pop(number).call))
    shell.settle_all()
    assert [each.__class__ for each in shell.decisions(number)] == [Fail]


def test_of_those_that_wake_at_once_the_first_to_sleep_ends_up_in_front() -> None:
    shell = leading(inflight_max=2)
    first, second = shell.take("first"), shell.take("second")
    other = shell.take("other")
    shell.answer(first, verdict(Meaning.RATE_LIMITED, wait_ms=500))
    shell.answer(second, verdict(Meaning.RATE_LIMITED, wait_ms=500))
    assert other not in shell.calls
    shell.wait(500)
    assert list(shell.calls) == [first], "after a refusal a call goes alone"


def test_a_deadline_cuts_a_call_off_and_says_so() -> None:
    shell = leading()
    number = shell.take(candidate("late", deadline_ms=12_000))
    assert number in shell.calls
    shell.wait(2_000)
    assert len(shell.cancelled) == 1
    shell.commit()
    shell.commit()
    assert shell.decisions(number) == [CUT_OFF]


def test_whether_any_request_was_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = leading()
    number = shell.take(candidate("x", charge=59_000))
    waiting = shell.take(candidate("y", charge=59_000))
    assert waiting not in shell.calls
    ticket = shell.core.registry._tickets[waiting]
    found = [[ticket], []]
    monkeypatch.setattr(shell.core.limits, "unreachable", lambda _now_ms: found.pop(0) if found else [])
    assert shell.core._due_tickets.fail_unreachable(shell.now_ms)
    assert not shell.core._due_tickets.fail_unreachable(shell.now_ms)
    assert number in shell.calls
