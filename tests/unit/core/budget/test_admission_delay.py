import pytest

from headrace.broker.core.budget.admission_delay import (
    DELAY_MAX_MS,
    DELAY_MIN_MS,
    FORGETS_AFTER,
    FORGETS_PARTS,
    OTHERS_STAY,
    RAISED_AMONG_OTHERS,
    SHORT_PARTS,
    SHRINKS_BY,
    AdmissionDelay,
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
