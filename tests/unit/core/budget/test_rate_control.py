from random import Random

import pytest

from headrace.broker.core.budget.greatest_sums import GreatestSums
from headrace.broker.core.budget.pace import AHEAD_MS, KEPT_MS
from headrace.broker.core.budget.rate_control import (
    CUT_FEW_TIMES,
    CUT_SOME_TIMES,
    GAP_PPM,
    MANY_CALLS,
    SILENCE_MAX_MS,
    SILENCE_MS,
    SOME_CALLS,
    RateControl,
)
from headrace.broker.core.budget.recent_spending import Sums
from headrace.broker.core.budget.span_caps import REFUSALS_MIN
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
    assert caller.now_ms == 60 * 1_000 - 2 * LEEWAY_MS


def test_a_call_of_the_first_lane_may_go_further_ahead_of_the_pace() -> None:
    caller = Caller()
    caller.send()
    assert caller.due_ms() == 1_000 - 2 * LEEWAY_MS
    assert caller.due_ms(first=True) == 1_000 - 3 * LEEWAY_MS


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


def test_a_large_call_is_paid_for_before_it_is_sent_so_that_small_ones_do_not_wait_for_it() -> None:
    """Before: an urgent call waited for the twelve seconds of a large bulk call that had been sent before it."""
    caller = Caller()
    caller.send()
    caller.tokens = 12_000
    assert caller.due_ms() == 12_000 - 2 * LEEWAY_MS
    caller.wait()
    caller.send()
    caller.tokens = 100
    assert caller.due_ms() - caller.now_ms <= 100


def test_small_calls_leave_what_has_been_saved_for_a_large_one() -> None:
    """Before: each urgent call took all that a large bulk call had waited for, and that was never sent."""
    caller = Caller()
    caller.send()
    for _ in range(20):
        caller.tokens = 12_000
        if caller.due_ms() <= caller.now_ms:
            break
        caller.now_ms += 1_000
        caller.tokens = 100
        assert caller.due_ms() <= caller.now_ms
        caller.send()
    assert 12_000 <= caller.now_ms <= 14_500
    caller.tokens = 12_000
    caller.send()
    assert caller.due_ms() - caller.now_ms > 11_000


def test_what_was_saved_for_a_call_that_is_no_longer_asked_about_is_lost() -> None:
    caller = Caller()
    caller.send()
    caller.tokens = 12_000
    assert caller.due_ms() > caller.now_ms
    caller.tokens = 100
    caller.now_ms += 12_000 + 2 * KEPT_MS
    caller.send()
    caller.tokens = 12_000
    assert caller.due_ms() - caller.now_ms > 11_000


def test_a_huge_call_waits_for_a_minute_at_most_and_is_paid_for_afterwards() -> None:
    caller = Caller()
    caller.send()
    caller.tokens = 10**9
    assert caller.wait() == AHEAD_MS - 2 * LEEWAY_MS
    caller.send()
    caller.tokens = 1_000
    assert caller.due_ms() > 10**9 - AHEAD_MS


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
    assert caller.due_ms() == 1_000 + 1_000 - LEEWAY_MS + 10, "it is given back"
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


def test_cuts_for_refusals_that_a_cap_explains_are_taken_back() -> None:
    caller = settled()
    seldom, often = Sums((0,) * 6, (0, 90, 0, 0, 0, 0)), Sums((0,) * 6, (0, 5, 0, 0, 0, 0))
    control, before = caller.control, caller.control.rate
    for sums in [often] * 400:
        control._caps.record_admission(sums)
    for _ in range(REFUSALS_MIN - 1):
        control._cut(seldom, caller.now_ms)
        before = min(before, control._cut_rates[-1])
    assert control.rate < before
    control._cut(seldom, caller.now_ms)
    assert control.rate == min(control._cut_rates)


def test_a_refusal_that_a_cap_explains_lets_the_rate_grow_by_a_quarter_as_fast() -> None:
    """Before: it went on at the speed that it had come to, and met the next refusal soon."""
    control = settled().control
    for sums in [Sums((0,) * 6, (0, 5, 0, 0, 0, 0))] * 400:
        control._caps.record_admission(sums)
    control._beyond_ms = MINUTE
    for _ in range(REFUSALS_MIN):
        control._cut(Sums((0,) * 6, (0, 90, 0, 0, 0, 0)), MINUTE)
        control._beyond_ms = control._beyond_ms or MINUTE
    assert control.caps_any
    assert control._beyond_ms == MINUTE // 2


def test_what_holds_whatever_the_rate_is_is_handed_to_the_next_one() -> None:
    caller = settled().refuse()
    control = caller.control
    assert not control.caps_any
    control._caps._caps_ppm[True][1] = 3 * PPM
    heir = RateControl(PER_MINUTE, caller.now_ms, learned=control.learned)
    assert heir.caps_any
    assert heir.learned == control.learned
    assert heir.capped_at(1_000, caller.now_ms) == control.capped_at(1_000, caller.now_ms)


def test_a_known_cap_that_is_met_again_takes_back_no_cut() -> None:
    control = settled().control
    control._caps._caps_ppm[False][1] = PPM
    control._caps._holds[False][1].begin(90, 0, isolated=True)
    control._caps._greatest = GreatestSums()  # far more was admitted before
    for _ in range(400):
        control._caps.record_admission(Sums((0, 5, 0, 0, 0, 0), (0,) * 6))
    before = control.rate
    control._cut(Sums((0, 90, 0, 0, 0, 0), (0,) * 6), MINUTE)
    assert control.rate == before


@pytest.mark.parametrize(("took_ms", "silent_ms"), [(REFUSED_MS, SILENCE_MS), (1_000, 1_250), (60_000, SILENCE_MAX_MS)])
def test_silence_means_admission_once_refusals_would_have_come(took_ms: int, silent_ms: int) -> None:
    """Before: where refusals take a second, five calls a second went to a server that refused all."""
    caller = Caller().refuse(took_ms=took_ms)
    caller.wait()
    caller.send()
    assert caller.due_ms() >= caller.now_ms + silent_ms
    assert caller.control.learned.silence_ms == silent_ms
    heir = Caller(RateControl(PER_MINUTE, caller.now_ms, learned=caller.control.learned)).control
    assert heir.learned.silence_ms == silent_ms


def test_where_refusals_come_sooner_again_silence_means_admission_sooner() -> None:
    caller = Caller().refuse(took_ms=1_000)
    for _ in range(20):
        caller.refuse()
    assert caller.control.learned.silence_ms == SILENCE_MS


def test_the_rest_is_told() -> None:
    caller = Caller()
    assert caller.control.rest_ms(0) == 0
    caller.refuse(wait_ms=700)
    assert caller.control.rest_ms(caller.now_ms) == 700
    assert caller.control.rests_until_ms == caller.now_ms + 700


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
    assert caller.wait() <= 2 * 10_000 * RATE / caller.control.rate


def test_after_a_cut_the_pacing_leaves_out_the_time_of_half_a_large_call() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    caller.wait()
    caller.control.record_admission(caller.send(), caller.now_ms, caller.now_ms)
    apart_ms = 1_000 * RATE / caller.control.rate
    assert caller.wait() == pytest.approx(2.5 * apart_ms - BACKOFF_FIRST_MS - LEEWAY_MS, abs=60)


def test_with_doubled_prices_calls_are_sent_at_the_same_instants() -> None:
    def play(factor: int) -> list[int]:
        caller, instants = settled().refuse(), []
        caller.control._is_stated = False
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
        caller.control._is_stated = False
        wave = [caller.send() for _ in range(4)]
        caller.control.reprice(factor * PPM)
        caller.control.record_admission(wave[0], caller.now_ms, caller.now_ms)
        for attempt in wave[1:]:
            caller.control.record_refusal(attempt, 1_000, caller.now_ms, caller.now_ms + 20, None)
        return caller.control

    once, twice = play(1), play(2)
    assert twice._pace._paid_us == pytest.approx(once._pace._paid_us, abs=2)
    assert twice._throughput.admitted == 2 * once._throughput.admitted


def test_what_is_stated_is_as_many_tokens_at_other_prices() -> None:
    """Before: a law that changed doubled the rate, and ten calls were refused until it was halved again."""
    for ppm in (2 * PPM, PPM // 2):
        caller = settled().refuse()
        control = caller.control
        before = [control.rate, control._row_rate, control._peak]
        control.reprice(ppm)
        after = [control.rate, control._row_rate, control._peak]
        assert after == [min(each * ppm // PPM, max(each, RATE)) if ppm > PPM else min(each, RATE) for each in before]


def test_prices_of_nothing_leave_a_rate() -> None:
    caller = Caller().admit(MANY_CALLS).refuse()
    caller.control.reprice(0)
    caller.refuse(took_ms=SILENCE_MS + 1)
    caller.admit(3).refuse()
    assert caller.control.rate >= 1
