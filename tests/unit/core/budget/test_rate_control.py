from random import Random

import pytest

from headrace.broker.core.budget.rate_control import (
    CUT_FEW_TIMES,
    CUT_SOME_TIMES,
    GAP_PPM,
    MANY_CALLS,
    SILENCE_MS,
    SOME_CALLS,
    RateControl,
)
from headrace.broker.core.budget.stated_waits import BACKOFF_FIRST_MS
from headrace.broker.core.units import PPM
from tests.unit.core.pacing import (
    HOUR,
    LEEWAY_MS,
    MINUTE,
    PER_MINUTE,
    RATE,
    REFUSED_MS,
    Backlog,
    Caller,
    cut,
    settled,
    sliding,
)


def test_calls_are_sent_at_the_rate() -> None:
    caller = Caller().admit(61)
    assert caller.now_ms == 60 * 1_000 - LEEWAY_MS


def test_a_call_of_the_first_lane_may_go_further_ahead_of_the_pace() -> None:
    caller = Caller()
    caller.send()
    assert caller.due_ms() == 1_000 - LEEWAY_MS
    assert caller.due_ms(first=True) == 1_000 - 2 * LEEWAY_MS


def test_what_was_not_sent_in_idle_time_is_not_sent_later() -> None:
    caller = Caller()
    caller.send()
    caller.send(after_ms=HOUR)
    assert caller.due_ms() == HOUR + 1_000 - 2 * LEEWAY_MS
    caller.now_ms = caller.due_ms()
    caller.send()
    assert caller.due_ms() == HOUR + 2_000 - 2 * LEEWAY_MS


def test_even_within_the_leeway_calls_keep_a_part_of_their_mean_interval() -> None:
    caller = Caller(tokens=10)
    gaps = []
    for _ in range(22):
        gaps.append(caller.wait())
        caller.send()
    assert gaps[:6] == [0] * 6
    caller.now_ms += 200
    gaps = []
    for _ in range(5):
        gaps.append(caller.wait())
        caller.send()
    assert gaps[1:] == [10 * GAP_PPM // PPM] * 4


def test_a_huge_call_is_sent_at_once_and_paid_for_afterwards() -> None:
    caller = Caller()
    caller.tokens = 10**9
    assert caller.due_ms() == 0
    caller.send()
    assert caller.due_ms() == 10**9 - LEEWAY_MS


def test_a_rate_of_nothing_is_one_token_a_minute() -> None:
    caller = Caller(RateControl(0, 0), tokens=1)
    caller.send()
    assert caller.due_ms() == MINUTE - LEEWAY_MS
    for _ in range(200):
        caller.refuse()
        caller.admit()
    assert caller.control.rate >= 1


def test_where_the_mirrors_are_followed_and_not_the_rate_no_debt_is_left_for_when_it_is() -> None:
    caller = Caller()
    for _ in range(10_000):
        caller.send(after_ms=10)
    assert caller.due_ms() - caller.now_ms < 5_000


def test_a_call_without_an_answer_leaves_nothing_behind() -> None:
    caller = Caller()
    for _ in range(1_000):
        caller.control.record_loss(caller.send(after_ms=1_000))
    assert len(caller.control._sent) == 0
    assert len(caller.control._silent) <= 1
    assert caller.control.rate == RATE


def test_answers_to_calls_of_a_time_before_say_nothing() -> None:
    caller = Caller(RateControl(PER_MINUTE, 1_000))
    caller.control.record_admission(77, 900, 1_000)
    caller.control.record_refusal(78, 1_000, 999, 1_010, None)
    assert caller.control.events == 0
    caller.now_ms = 1_020
    assert caller.due_ms() == 1_020
    caller.control.record_refusal(79, 1_000, 1_010, 1_020, None)  # of that time, though not known
    assert caller.control.events == 1


def test_refusals_of_calls_that_were_sent_before_the_cut_do_not_cut_again() -> None:
    caller = Caller().admit(MANY_CALLS)
    wave = [caller.send() for _ in range(10)]
    before, sent_ms = caller.control.rate, caller.now_ms
    rates = []
    for attempt in wave:
        caller.now_ms += 10
        caller.control.record_refusal(attempt, 1_000, sent_ms, caller.now_ms, None)
        rates.append(caller.control.rate)
    assert rates == [cut(before, 1)] * 10
    assert caller.control.events == 1


@pytest.mark.parametrize(
    ("admitted", "times"),
    [(MANY_CALLS, 1), (MANY_CALLS - 1, CUT_SOME_TIMES), (SOME_CALLS, CUT_SOME_TIMES), (SOME_CALLS - 1, CUT_FEW_TIMES)],
)
def test_the_fewer_calls_were_admitted_since_the_last_cut_the_larger_the_next(admitted: int, times: int) -> None:
    caller = Caller().admit(admitted)
    before = caller.control.rate
    assert caller.refuse().control.rate == cut(before, times)


def test_where_a_cap_explains_the_refusals_the_rate_is_not_cut() -> None:
    chance = Random(0)
    backlog = Backlog(
        RateControl(1_200_000, 0), sliding(10, 1_000, of_calls=True), lambda: chance.choice((300, 700, 1_000, 2_000))
    )
    caps = backlog.control._caps._caps_ppm[True]
    while caps[1] is None and backlog.now_ms < 2 * MINUTE:
        backlog.run(backlog.now_ms + 100)
    assert caps[1] == 10 * PPM
    assert backlog.control.rate >= backlog.rates[-1]
    refused = len(backlog.refused)
    backlog.run(backlog.now_ms + 30_000)
    assert len(backlog.refused) <= refused + 2


def test_refusals_in_a_row_are_one_event() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    after = caller.control.rate
    for _ in range(50):
        caller.refuse()
    assert caller.control.events == 1
    assert caller.control.rate == after


def test_what_the_refused_call_had_paid_is_given_back() -> None:
    caller = Caller(tokens=10_000)
    attempt = caller.send()
    caller.now_ms = REFUSED_MS
    caller.control.record_refusal(attempt, 10_000, 0, caller.now_ms, None)
    assert caller.wait() == BACKOFF_FIRST_MS
    caller.send()
    caller.now_ms += SILENCE_MS
    assert caller.wait() < 10_000 * RATE // caller.control.rate


def test_after_a_cut_the_pacing_leaves_out_the_time_of_one_and_a_half_large_calls() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    caller.wait()
    caller.control.record_admission(caller.send(), caller.now_ms, caller.now_ms)
    apart_ms = 1_000 * RATE / caller.control.rate
    assert caller.wait() == pytest.approx(2.5 * apart_ms - BACKOFF_FIRST_MS - LEEWAY_MS, abs=60)


def test_with_doubled_prices_calls_are_sent_at_the_same_instants() -> None:
    def play(factor: int) -> list[int]:
        caller, instants = settled().refuse(), []
        in_flight = caller.send(after_ms=caller.wait())
        caller.control.reprice(factor * PPM)
        caller.tokens *= factor
        caller.control.record_admission(in_flight, caller.now_ms, caller.now_ms)
        for calls in (40, 5, 100):
            for _ in range(calls):
                caller.admit()
                instants.append(caller.now_ms)
            caller.refuse(700)
        return instants

    assert play(2) == pytest.approx(play(1), abs=2)
    assert play(7) == pytest.approx(play(1), abs=2)


def test_a_call_in_flight_counts_at_the_new_prices_whatever_becomes_of_it() -> None:
    def play(factor: int) -> RateControl:
        caller = settled().refuse().admit(70)
        wave = [caller.send() for _ in range(4)]
        caller.control.reprice(factor * PPM)
        caller.control.record_admission(wave[0], caller.now_ms, caller.now_ms)
        for attempt in wave[1:]:
            caller.control.record_refusal(attempt, 1_000, caller.now_ms, caller.now_ms + 20, None)
        return caller.control

    once, twice = play(1), play(2)
    assert twice._paced_us == pytest.approx(once._paced_us, abs=2)
    assert twice._admitted_tokens == once._admitted_tokens + 1_000


def test_prices_of_nothing_leave_a_rate() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    caller.control.reprice(0)
    caller.refuse(took_ms=SILENCE_MS + 1)
    caller.admit(3).refuse()
    assert caller.control.rate >= 1
