import pytest

from headrace.broker.core.answers.refill_detection import SHORT_MS
from headrace.broker.core.budget.admission_delay import (
    DELAY_MAX_MS,
    DELAY_MIN_MS,
    FORGETS_AFTER,
    FORGETS_PARTS,
    LONGER_PARTS,
    OTHERS_STAY,
    RAISED_AMONG_OTHERS,
    REFUSALS_MIN,
    REFUSALS_REMEMBERED,
    SHORT_PARTS,
    SHORT_SHRINKS_BY,
    SHRINKS_BY,
    AdmissionDelay,
    LongestDelay,
)


def shrunk() -> AdmissionDelay:
    """A way that has become as short as any."""
    way = AdmissionDelay()
    for _ in range(600):
        way.record_agreement()
    return way


def test_a_way_is_as_long_as_any_until_answers_say_otherwise() -> None:
    assert AdmissionDelay().ms == DELAY_MAX_MS == 1_000


def test_every_answer_that_agrees_takes_one_part_of_it() -> None:
    way = AdmissionDelay()
    way.record_agreement()
    assert way.ms == 1_000 - 1_000 // SHRINKS_BY == 993
    way.record_agreement()
    assert way.ms == 993 - 7


def test_beside_a_short_window_a_way_shrinks_sooner() -> None:
    """Before: at two calls a second it took more than three minutes to come down from 1 s to 40 ms."""
    way = AdmissionDelay()
    for period_ms, shorter_ms in (
        (SHORT_MS, 1_000 - 1_000 // SHORT_SHRINKS_BY),
        (SHORT_MS + 1, 938 - 938 // SHRINKS_BY),
    ):
        way.adapt_to(period_ms)
        way.record_agreement()
        assert way.ms == shorter_ms


def test_a_way_never_shrinks_below_the_shortest_and_reaches_it() -> None:
    way = AdmissionDelay()
    for _ in range(600):
        way.record_agreement()
        assert way.ms >= DELAY_MIN_MS
    assert way.ms == DELAY_MIN_MS == 120


def test_a_surprise_doubles_a_way_and_the_longest_bounds_it() -> None:
    way = shrunk()
    lengths = []
    for _ in range(5):
        way.record_shortfall()
        lengths.append(way.ms)
    assert lengths == [240, 480, 960, 1_000, 1_000]


def test_what_has_been_too_short_is_not_tried_again_soon() -> None:
    way = shrunk()
    way.record_shortfall()
    for _ in range(FORGETS_AFTER - 1):
        way.record_agreement()
    assert way.ms == 240
    for _ in range(FORGETS_AFTER):
        way.record_agreement()
    assert way.ms == 240 - 240 // FORGETS_PARTS


def test_in_the_end_the_shortest_is_tried_again() -> None:
    way = shrunk()
    way.record_shortfall()
    for _ in range(20 * FORGETS_AFTER):
        way.record_agreement()
    assert way.ms == DELAY_MIN_MS


def test_surprises_among_others_are_not_put_down_to_the_way_for_long() -> None:
    way = shrunk()
    way.record_shortfall()
    way.record_shortfall(by_others=True)
    assert way.ms == 480
    way.record_shortfall()
    for _ in range(600):
        way.record_agreement()
    assert way.ms == DELAY_MIN_MS
    for _ in range(OTHERS_STAY):
        way.record_agreement()
    way.record_shortfall()
    for _ in range(FORGETS_AFTER - 1):
        way.record_agreement()
    assert way.ms == 240


def test_an_error_teaches_unless_more_was_left_than_believed_or_nothing_was_known() -> None:
    way = AdmissionDelay()
    way.learn(0, 60_000, 60_000)
    shorter_ms = way.ms
    assert shorter_ms < DELAY_MAX_MS
    for error in (None, 500):
        way.learn(error, 60_000, 60_000)
        assert way.ms == shorter_ms
    way.learn(-1, 60_000, 60_000)
    assert way.ms == DELAY_MAX_MS


def refused(*took_ms: int) -> int:
    longest = LongestDelay()
    for each_ms in took_ms:
        longest.record_refusal(each_ms)
    return longest.ms


def test_no_call_takes_longer_to_the_server_than_the_slowest_refusal_took_to_come_back() -> None:
    assert refused() == refused(40, 80, 20) == DELAY_MAX_MS, "these may have been fast by chance"
    assert refused(40, 80, 20, 30) == 80 + 80 // LONGER_PARTS
    assert refused(40, 80, 20, 30, 5_000) == DELAY_MAX_MS, "it may be as long again at once"
    assert refused(5_000, *(40,) * (REFUSALS_REMEMBERED - 1)) == DELAY_MAX_MS
    assert refused(5_000, *(40,) * REFUSALS_REMEMBERED) == 50
    assert refused(*(0,) * REFUSALS_MIN) == 1


def test_what_contradicts_a_mirror_makes_no_delay_longer_than_refusals_show() -> None:
    """Before: in a window of a second, bursts of others made it as long as the window."""
    way = AdmissionDelay()
    way.longest_ms = 100
    way.adapt_to(SHORT_MS + 1)
    way.record_shortfall()
    assert way.ms == DELAY_MAX_MS, "a longer window loses little by it, whatever it is that contradicts the mirror"
    way.adapt_to(SHORT_MS)
    for _ in range(20):
        way.record_shortfall()
    assert way.ms == 100
    way.longest_ms = 1_000
    way.record_shortfall()
    assert way.ms == 200


def test_a_delay_that_refusals_show_to_be_shorter_is_shorter_at_the_next_answer() -> None:
    way = AdmissionDelay()
    way.adapt_to(1_000)
    way.record_shortfall()
    way.longest_ms = 100
    for _ in range(600):
        way.learn(0, 6_000, 1_000)
        assert way.ms == 100, "it has proved too short once"
    way.longest_ms = 60
    way.learn(0, 6_000, 1_000)
    assert way.ms == 60


def test_what_is_missing_beyond_the_longest_delay_that_refusals_show_is_others_spending() -> None:
    for missing, by_others in ((200, False), (201, True)):
        way = AdmissionDelay()
        way.adapt_to(SHORT_MS)
        way.longest_ms = 200
        way.learn(-missing, SHORT_MS, SHORT_MS)
        for _ in range(FORGETS_AFTER - 1):
            way.learn(0, SHORT_MS, SHORT_MS)
        assert (way.ms == SHORT_MS // SHORT_PARTS) is by_others


def test_every_answer_makes_a_delay_as_short_as_refusals_show() -> None:
    for error, by_others in ((None, False), (500, False), (-500, True)):
        way = AdmissionDelay()
        way.adapt_to(SHORT_MS)
        way.longest_ms = 200
        way.learn(error, SHORT_MS, SHORT_MS, by_others=by_others)
        assert way.ms == 200


def test_tokens_that_are_missing_beyond_any_delay_are_others_spending() -> None:
    """Such a shortfall is held against no delay, so that it may shrink again at once."""
    for missing, of_tokens, by_others in (
        (DELAY_MAX_MS, True, False),
        (DELAY_MAX_MS + 1, True, True),
        (DELAY_MAX_MS + 1, False, False),
    ):
        way = shrunk()
        way.learn(-missing, 60_000, 60_000, of_tokens=of_tokens)
        for _ in range(FORGETS_AFTER - 1):
            way.learn(0, 60_000, 60_000)
        assert (way.ms == DELAY_MIN_MS) is by_others


@pytest.mark.parametrize(("period_ms", "least_ms"), [(60_000, 120), (3_000, 120), (1_000, 40), (1, 1)])
def test_a_way_comes_down_to_what_is_little_in_the_shortest_window(period_ms: int, least_ms: int) -> None:
    """Before: 120 ms of a window of a second were left unused for ever."""
    way = AdmissionDelay()
    way.adapt_to(period_ms)
    for _ in range(1_000):
        way.record_agreement()
    assert way.ms == least_ms
    assert 1_000 // SHORT_PARTS == 40


def test_what_contradicted_other_mirrors_does_not_keep_a_way_long() -> None:
    """Before: what prices or mirrors were wrong about at first doubled a delay, which stayed so for an hour."""
    way = shrunk()
    for _ in range(3):
        way.record_shortfall()
    way.judge_anew()
    assert way.ms == 960
    for _ in range(600):
        way.record_agreement()
    assert way.ms == DELAY_MIN_MS


def test_what_others_must_have_taken_says_nothing_of_delays() -> None:
    """Before: each of their bursts doubled the delay, and a sixth of a window of six seconds stayed unused for ever."""
    way = shrunk()
    way.record_shortfall()
    way.learn(-1, 60_000, 60_000, by_others=True)
    assert way.ms == 240
    for _ in range(600):
        way.record_agreement()
    assert way.ms == DELAY_MIN_MS, "nor does what was put down to delays before"


def test_where_others_spend_a_shortfall_that_a_delay_may_explain_lengthens_it_a_little() -> None:
    way = shrunk()
    way.learn(-1, 60_000, 60_000, by_others=True)
    way.record_shortfall()
    assert way.ms == DELAY_MIN_MS + -(-DELAY_MIN_MS // RAISED_AMONG_OTHERS)
    for _ in range(OTHERS_STAY):
        way.record_agreement()
    way.record_shortfall()
    assert way.ms == 2 * DELAY_MIN_MS
