"""A mirror of a window that slides: each charge counts for a period."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from headrace.broker.core.budget.sliding_sum import SLOT_MS
from headrace.broker.core.budget.sliding_window import (
    CORRECTIONS_MAX,
    FINE_MS,
    FINE_PERIOD_MS,
    PROMPT_MS,
    REMEMBERED_MAX,
    SlidingWindowMirror,
)
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.counters import CAPACITY, MINUTE, WAY, Slider


def test_each_charge_counts_for_a_period_and_a_way_and_then_no_more() -> None:
    slider = Slider()
    slider.send(400, 50)
    assert slider.interval(50) == (CAPACITY - 400 - ROUNDING_TOKENS, CAPACITY - 400 + ROUNDING_TOKENS)
    grown_old = MINUTE + DELAY_MAX_MS + SLOT_MS
    assert slider.slider.low(grown_old - 1) == CAPACITY - 402
    assert slider.slider.low(grown_old) == CAPACITY
    assert Slider().interval(0) == (CAPACITY, CAPACITY)


def test_the_upper_end_counts_a_charge_no_longer_than_the_server_must() -> None:
    slider = Slider()
    slider.send(400, 50)
    assert slider.slider.high(MINUTE - 1_100) == CAPACITY - 398
    assert slider.slider.high(MINUTE + 50) == CAPACITY


def test_a_charge_smaller_than_the_rounding_may_be_nothing() -> None:
    slider = Slider()
    slider.send(1, 0)
    assert slider.interval(0) == (CAPACITY - 1 - ROUNDING_TOKENS, CAPACITY)


def test_a_sliding_window_of_requests_counts_them_exactly() -> None:
    slider = Slider(LimitMetric.REQUESTS, 500)
    slider.send(400, 0)
    assert slider.interval(0) == (499, 499)
    assert slider.hear(499, 0, 10) == 0


def test_a_call_waits_until_enough_has_grown_old() -> None:
    slider = Slider(capacity=1_000)
    slider.send(398, 0)
    slider.send(398, 10_000)
    assert slider.slider.payable_at(198, 0, 20_000) == 20_000
    assert slider.slider.payable_at(199, 0, 20_000) == MINUTE + DELAY_MAX_MS + SLOT_MS
    assert slider.slider.payable_at(198, 1, 20_000) == MINUTE + DELAY_MAX_MS + SLOT_MS - PROMPT_MS
    assert slider.slider.payable_at(998, 0, 20_000) == MINUTE + DELAY_MAX_MS + 10_000 + SLOT_MS


def test_a_call_larger_than_the_window_goes_when_nothing_counts() -> None:
    slider = Slider(capacity=1_000)
    assert slider.slider.payable_at(5_000, 500, 0) == 0
    slider.send(10, 0)
    assert slider.slider.payable_at(5_000, 500, 0) == MINUTE + DELAY_MAX_MS + SLOT_MS


def others(slider: Slider, now_ms: int) -> tuple[int, int]:
    return slider.slider._others.least(now_ms), slider.slider._others.most(now_ms)


def test_a_call_waits_until_what_others_have_taken_ceases_to_count() -> None:
    """Before: it waited for an answer, which no call got, until none of ours counted."""
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.hear(0, number, 10)
    assert slider.slider.low(MINUTE) < 0
    assert slider.slider.payable_at(1_000, 0, 10) == MINUTE + WAY
    assert slider.slider.payable_at(CAPACITY, 0, 10) == MINUTE + WAY + SLOT_MS
    assert slider.slider.payable_at(1_000, 0, 2 * MINUTE) == 2 * MINUTE


@pytest.mark.parametrize("way_ms", [120, 500, DELAY_MAX_MS])
def test_a_charge_counts_for_the_period_and_the_longest_admission_delay_known(way_ms: int) -> None:
    slider = Slider()
    slider.hear(CAPACITY, slider.send(1, 0), 10, way_ms)
    slider.send(CAPACITY - 100, 1_000)
    assert slider.slider.payable_at(1_000, 0, 2_000) == 1_000 + MINUTE + way_ms + SLOT_MS


def test_a_short_window_is_counted_finely() -> None:
    slider = SlidingWindowMirror(LimitMetric.REQUESTS, 5, FINE_PERIOD_MS, 0, SentCalls())
    for number in range(5):
        slider.pay(1, number, 3)
    assert slider.payable_at(1, 0, 3) == FINE_PERIOD_MS + DELAY_MAX_MS + FINE_MS


def test_what_was_sent_before_the_window_was_known_counts_and_what_is_older_does_not() -> None:
    slider = Slider(sent=((7_000, 0), (5_000, DELAY_MAX_MS), (300, MINUTE + DELAY_MAX_MS + SLOT_MS)))
    now_ms = MINUTE + DELAY_MAX_MS + SLOT_MS
    assert slider.interval(now_ms) == (CAPACITY - 5_304, CAPACITY - 298)  # the one of 7,000 is too old now
    assert slider.hear(CAPACITY - 7_000, 0, now_ms + 1) is None
    assert slider.hear(CAPACITY - 5_300, 2, now_ms + 1) == 0


def test_an_answer_is_compared_with_all_that_counted_when_its_call_came_in() -> None:
    """Before: only the last period was counted, and what was sent before that passed for others' calls."""
    slider = Slider(sent=((4_000, 0), (1_000, 30_000), (300, MINUTE + 10_000)))
    assert slider.hear(CAPACITY - 5_000, 1, MINUTE + 10_001) == 0
    assert others(slider, MINUTE + 10_001) == (0, 0)


def test_the_calls_of_others_are_forgotten_once_ours_explain_all() -> None:
    """Before: the upper end counted ours for a second less than a period, so in a window of a second it never did."""
    sends = SentCalls()
    slider = SlidingWindowMirror(LimitMetric.REQUESTS, 10, 1_000, 0, sends)

    def answer(used: int, sent_ms: int, calls: int) -> int | None:
        number = 0
        for at_ms in range(sent_ms - 100 * (calls - 1), sent_ms + 1, 100):
            number = sends.append(at_ms, 1)
            slider.pay(1, number, at_ms)
        return slider.observe(10 - used, sends.admission_order(number, sent_ms, sent_ms + 500, 40), sends)

    answer(1, 0, 1)  # from now on the delay is known to be short
    assert answer(8, 2_000, 3) == -4  # with what may have come since the figure was cut
    assert slider.low(2_500) == 10 - 3 - 5
    assert slider.others == 4
    assert answer(5, 4_000, 5) == 0, "they had ceased to count"
    assert slider.low(4_500) == 5


def test_a_server_that_counts_less_than_all_is_no_sign_of_a_delay() -> None:
    """Before: others had taken less than nothing, and an answer that agreed with all of ours fell short of that."""
    slider = Slider()
    slider.send(1_000, 0)
    assert slider.hear(CAPACITY - 10, slider.send(10, 10_000), 10_010) == 996
    assert slider.hear(CAPACITY - 1_020, slider.send(10, 20_000), 20_010) == 0


def test_what_others_take_is_told_by_an_answer_and_counted_from_then_on() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(39_000, number, 10) == -(20_000 - 1 - ROUNDING_TOKENS)  # others: 19,997 at least
    assert slider.interval(10) == (CAPACITY - 1_002 - 20_002, CAPACITY - 998 - 19_997)
    assert slider.slider.corrections == 1
    assert slider.slider.payable_at(38_994, 0, 10) == 10
    assert slider.slider.payable_at(38_995, 0, 10) > 10


def test_answers_that_agree_narrow_what_others_take() -> None:
    slider = Slider()
    slider.hear(39_000, slider.send(1_000, 0), 10)  # others: 19,997 to 20,002
    number = slider.send(1_000, 1_000)
    assert slider.hear(38_001, number, 1_010) == 0  # 21,999 used; ours 1,996 to 2,004: others 19,994 to 20,003
    assert others(slider, 1_010) == (19_997, 20_002)
    number = slider.send(1_000, 2_000)
    assert slider.hear(37_006, number, 2_010) == 0  # 22,994 used; ours 2,994 to 3,006: others 19,987 to 20,000
    assert others(slider, 2_010) == (19_997, 20_000)


def test_others_who_take_less_than_believed_are_believed_to_from_the_answer_on() -> None:
    slider = Slider()
    slider.hear(39_000, slider.send(1_000, 0), 10)
    number = slider.send(1_000, 1_000)
    assert slider.hear(58_000, number, 1_010) == 19_997 - 4  # 2,000 used; ours 1,996 to 2,004
    assert slider.interval(1_010) == (CAPACITY - 2_004 - 4, CAPACITY - 1_996)
    assert slider.slider.corrections == 2


def test_others_who_have_given_less_than_nothing_do_not_make_more_than_all() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(CAPACITY, number, 10) == 998  # the server has counted nothing
    assert slider.interval(10) == (CAPACITY - 1_002, CAPACITY - 998)


def test_calls_sent_within_a_way_of_ours_may_have_come_on_either_side() -> None:
    slider = Slider()
    slider.send(2_000, 0)  # more than a way before: it had come in
    slider.send(1_000, 50)
    number = slider.send(400, 120)
    slider.send(500, 200)
    slider.send(3_000, 221)  # more than a way later: it had not
    used = 2_000 + 1_000 + 400 + 500
    assert slider.hear(CAPACITY - used, number, 300) == 0  # both on the same side as ours: others 0
    assert others(slider, 300) == (0, 0)
    assert slider.slider.corrections == 0


@pytest.mark.parametrize(("used", "agrees"), [(2_393, False), (2_394, True), (3_907, True), (3_908, False)])
def test_what_ours_may_count_lies_between_all_that_must_have_come_and_all_that_may(used: int, *, agrees: bool) -> None:
    slider = Slider()
    slider.send(2_000, 0)
    slider.send(1_000, 50)
    number = slider.send(400, 120)
    slider.send(500, 200)
    # At least 1,998 + 998 + 398 less the 1,000, which may be still to come;
    # at most 2,002 + 1,002 + 402 + 500, and one of rounding.
    assert (slider.hear(CAPACITY - used, number, 300) == 0) == agrees


def test_an_answer_in_the_wrong_order_is_weighed_with_what_counted_when_its_call_was_sent() -> None:
    slider = Slider()
    early = slider.send(1_000, 0)
    late = slider.send(1_000, 5_000)
    assert slider.hear(CAPACITY - 2_000, late, 5_010) == 0
    assert slider.hear(CAPACITY - 1_000, early, 9_000) == 0
    assert slider.slider.corrections == 0


def test_an_answer_is_heard_once() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.hear(59_000, number, 10) == 0
    assert slider.hear(10, number, 20) is None


def test_the_answer_to_a_call_whose_neighbours_are_forgotten_tells_a_sliding_window_nothing() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    for _ in range(2 * SENDS_MAX):
        slider.sends.append(1, 1)
    assert slider.hear(10, number, 20) is None


def test_no_more_calls_are_remembered_than_may_be() -> None:
    slider = Slider()
    for number in range(REMEMBERED_MAX + 1):
        slider.slider.pay(1, number, number)
    assert len(slider.slider._sent) == REMEMBERED_MAX
    assert min(slider.slider._sent) == 1


def test_a_refused_call_counts_no_more() -> None:
    slider = Slider()
    slider.send(500, 0)
    number = slider.send(10_000, 150)
    slider.sends.strike(number)
    slider.slider.refund(10_000, number, 300)
    assert slider.interval(300) == (CAPACITY - 502, CAPACITY - 498)
    assert slider.hear(CAPACITY - 500, number, 310) == 0
    assert slider.interval(310) == (CAPACITY - 502, CAPACITY - 498)


def test_a_refused_call_of_next_to_nothing_gives_back_no_more_than_was_paid() -> None:
    slider = Slider()
    slider.send(500, 0)
    number = slider.send(1, 0)
    slider.slider.refund(1, number, 10)
    assert slider.interval(10) == (CAPACITY - 502, CAPACITY - 498)


def test_a_sliding_limit_is_followed_at_once() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    assert slider.slider.adopt_capacity(90_000, number, 0)
    assert slider.interval(0) == (90_000 - 1_002, 90_000 - 998)
    assert slider.hear(89_000, number, 10) == 0


def test_once_calls_are_dearer_a_sliding_window_counts_them_again() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.sends.reprice(1_700_000, 1_000_000)
    slider.slider.reprice(slider.sends)
    assert slider.interval(0)[0] == CAPACITY - 1_700 - ROUNDING_TOKENS
    assert slider.hear(CAPACITY - 1_700, number, 10) == 0


def test_a_sliding_window_of_which_nothing_was_sent_counts_nothing_again() -> None:
    slider = Slider()
    slider.slider.reprice(slider.sends)
    assert slider.interval(0) == (CAPACITY, CAPACITY)


def test_a_refused_call_that_is_not_remembered_gives_nothing_back() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    slider.hear(CAPACITY - 1_000, number, 10)
    before = slider.interval(20)
    slider.slider.refund(500, number, 20)
    assert slider.interval(20) == before


def corrected(slider: Slider, number: int, charge: int) -> None:
    place = slider.sends.index_of(number)
    assert place is not None
    tokens = slider.sends.amounts[LimitMetric.TOKENS]
    excess, tokens[place] = tokens[place] - charge, charge
    slider.slider.correct([(number, excess)], slider.sends.sent_ms[place], slider.sends)


@pytest.mark.parametrize("charge", [219, 20_000])
def test_an_answer_tells_nothing_of_others_after_a_call_before_its_own_has_proved_mispriced(charge: int) -> None:
    slider = Slider()
    early, own, later = slider.send(4_000, 0), slider.send(1_000, 1_000), slider.send(4_000, 2_000)
    corrected(slider, early, charge)
    corrected(slider, later, charge)
    assert slider.hear(CAPACITY - charge - 1_000, own, 2_500) == 0
    assert slider.interval(2_500)[0] == CAPACITY - 2 * charge - 1_000 - 3 * ROUNDING_TOKENS
    assert slider.slider.corrections == 0


def test_a_call_that_had_grown_old_when_another_was_sent_corrects_nothing_of_its_answer() -> None:
    slider = Slider()
    early, own = slider.send(4_000, 0), slider.send(1_000, MINUTE + DELAY_MAX_MS + SLOT_MS)
    corrected(slider, early, 219)
    assert slider.hear(CAPACITY - 1_000, own, MINUTE + DELAY_MAX_MS + SLOT_MS + 10) == 0
    assert slider.slider.corrections == 0


@pytest.mark.parametrize(("charge", "apart"), [(219, (0, 3_781)), (20_000, (0, 0))])
def test_what_others_took_is_less_certain_if_a_call_proves_mispriced_after_a_later_one_was_heard(
    charge: int, apart: tuple[int, int]
) -> None:
    """An answer after that shows which it was."""
    slider = Slider()
    early, own = slider.send(4_000, 0), slider.send(1_000, 1_000)
    slider.hear(CAPACITY - 5_000, own, 1_500)
    narrow = others(slider, 1_500)
    corrected(slider, early, charge)
    wide = others(slider, 1_500)
    assert (wide[0] - narrow[0], wide[1] - narrow[1]) == apart
    assert slider.hear(CAPACITY - charge - 2_000, slider.send(1_000, 3_000), 3_500) == 0
    assert slider.interval(3_500)[0] == pytest.approx(CAPACITY - charge - 2_000, abs=6 * ROUNDING_TOKENS)


def test_an_answer_after_very_many_corrections_tells_nothing() -> None:
    slider = Slider(capacity=10**6)
    own = slider.send(1_000, 0)
    for _ in range(CORRECTIONS_MAX + 1):
        corrected(slider, slider.send(10, 1), 9)
    assert slider.hear(10, own, 100) is None


def test_a_call_that_is_forgotten_is_not_corrected() -> None:
    slider = Slider()
    number = slider.send(1_000, 0)
    before = slider.interval(1)
    for _ in range(2 * SENDS_MAX):
        slider.sends.append(1, 1)
    slider.slider.correct([(number, 500)], 1, slider.sends)
    assert slider.interval(1) == before
