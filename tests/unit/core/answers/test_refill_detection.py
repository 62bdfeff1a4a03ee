from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MONTH_MS,
    SECOND_MS,
    LimitMetric,
    Reading,
)
from headrace.broker.core.answers.refill_detection import (
    AGREEING_ANSWERS,
    ANSWERS_MIN,
    APART_MS,
    LENGTHS_MS,
    NARROW_PARTS,
    Refill,
    RefillEvidence,
    RefillPattern,
)
from tests.unit.core.answers.listening import CAPACITY, Call, Listener, reading, sliding


def counter(*, calls: int = ANSWERS_MIN, mark_ms: int = 50_000, apart_ms: int = APART_MS) -> list[Call]:
    """What a counter that begins anew at `mark_ms` says of calls of 1,000 tokens each."""
    return [(1_000 * (call + 1), mark_ms - call * apart_ms, call * apart_ms) for call in range(calls)]


@pytest.mark.parametrize("period_ms", [SECOND_MS, MINUTE_MS, DAY_MS, MONTH_MS])
def test_one_answer_of_a_bucket_of_a_usual_period_tells_it(period_ms: int) -> None:
    assert Listener().hear(CAPACITY // 10, period_ms // 10) == RefillPattern(Refill.BUCKET, period_ms)


def test_an_answer_that_leaves_two_usual_periods_open_tells_nothing() -> None:
    # 1 of 60,000 used, full in less than 1 ms: any period up to a minute
    listener = Listener()
    assert listener.hear(1, 0) is None
    assert listener.hear(4, 4, 100) == RefillPattern(Refill.BUCKET, MINUTE_MS)


def test_a_usual_period_that_could_be_far_longer_is_not_believed() -> None:
    assert Listener().hear(2, 2) is None  # between 60,000 and 180,001 ms: more than three times a minute
    assert Listener().hear(2, 3) is None  # between 90,000 and 240,001, where no usual period lies
    assert Listener().hear(3, 2) == RefillPattern(Refill.BUCKET, MINUTE_MS)  # between 40,000 and 90,001


def test_headers_are_whole_numbers_and_a_unit_around_them_does_not_mislead() -> None:
    # 100.6 of 1,000 used show as 101 and, of a minute, 6,036 ms
    assert Listener().hear(101, 6_036, capacity=1_000) == RefillPattern(Refill.BUCKET, MINUTE_MS)
    assert Listener().hear(101, 6_060, capacity=1_000) == RefillPattern(Refill.BUCKET, MINUTE_MS)
    assert Listener().hear(101, 5_998, capacity=1_000) is None  # between 59,386 and 59,991 ms
    assert Listener().hear(101, 6_061, capacity=1_000) is None  # 60,009 ms at least


def test_an_unusual_period_is_believed_once_enough_answers_agree_and_it_is_known_closely() -> None:
    listener = Listener()
    beliefs = listener.hear_all([(used, used // 10, used) for used in (6_000, 7_000, 8_000, 9_000)])
    assert beliefs[:3] == [None] * 3
    assert beliefs[3] == RefillPattern(Refill.BUCKET, (6_000 + 6_008) // 2)  # 901 * 60,000 // 8,999 + 1 = 6,008


def test_an_unusual_period_that_is_known_too_loosely_is_not_believed() -> None:
    listener = Listener()
    beliefs = listener.hear_all([(used, used // 10, 0) for used in (20, 30, 40, 50, 60)])
    # 60 used, full in 6 ms: 6,000 up to 7 * 60,000 // 59 + 1 = 7,119 ms, a fifth
    assert beliefs == [None] * 5
    assert 1_119 * NARROW_PARTS > 6_000
    assert listener.hear(6_000, 600) == RefillPattern(Refill.BUCKET, (6_000 + 601 * CAPACITY // 5_999 + 1) // 2)


def test_answers_that_repeat_what_is_used_are_one_answer() -> None:
    listener = Listener()
    assert [listener.hear(6_000, 600, now) for now in range(10)] == [None] * 10


@pytest.mark.parametrize(
    ("used", "full_in_ms"),
    [(0, 60_000), (CAPACITY, 60_000), (6_000, None)],
    ids=["full", "empty, perhaps in debt", "without a time"],
)
def test_an_answer_that_tells_nothing_changes_nothing(used: int, full_in_ms: int | None) -> None:
    listener = Listener()
    assert listener.hear(used, full_in_ms) is None
    assert listener.hear(600, 600) == RefillPattern(Refill.BUCKET, MINUTE_MS)


def test_a_bucket_that_is_known_stays_so_whatever_the_order_of_its_answers() -> None:
    listener = Listener(took_ms=5_000)
    for sent_ms, used in ((9_000, 9_000), (1_000, 2_000), (5_000, 30_000), (200, 59_999)):
        assert listener.hear(used, used, sent_ms) == RefillPattern(Refill.BUCKET, MINUTE_MS)


def test_a_sliding_window_is_believed_at_the_fourth_answer_that_differs() -> None:
    assert Listener().hear_all(sliding())[2:] == [None, RefillPattern(Refill.SLIDING, MINUTE_MS)]


def test_a_sliding_window_may_be_of_any_period() -> None:
    assert Listener().hear_all(sliding(period_ms=7_777))[-1] == RefillPattern(Refill.SLIDING, 7_777)


def test_what_is_heard_in_less_than_a_second_looks_the_same_under_all() -> None:
    listener = Listener()
    assert listener.hear_all(sliding(calls=10, apart_ms=100))[-1] is None  # 900 ms from the first to the last
    assert listener.hear(11_000, MINUTE_MS, APART_MS) == RefillPattern(Refill.SLIDING, MINUTE_MS)


def test_what_is_heard_in_less_than_a_second_tells_nothing_however_late_that_is() -> None:
    assert Listener().hear_all([(1_000 * n, MINUTE_MS, 10**9 + 249 * n) for n in (1, 2, 3, 4)])[-1] is None


def test_answers_in_the_wrong_order_are_as_far_apart_as_in_the_right_one() -> None:
    listener = Listener()
    assert listener.hear_all(sliding()[::-1])[-1] == RefillPattern(Refill.SLIDING, MINUTE_MS)


def test_a_counter_is_believed_at_the_fourth_answer_with_the_latest_end_that_is_possible() -> None:
    listener = Listener(took_ms=200)
    beliefs = listener.hear_all(counter())
    assert beliefs[2:] == [None, RefillPattern(Refill.FIXED, MINUTE_MS, 50_000 + 200 + 1)]


def test_every_answer_narrows_when_a_counter_begins_anew() -> None:
    listener = Listener(took_ms=200)
    listener.hear_all(counter())
    listener.took_ms = 20
    assert listener.hear(5_000, 45_990, 4_000) == RefillPattern(Refill.FIXED, MINUTE_MS, 50_000 + 10 + 1)


def test_a_call_sent_behind_the_mark_tells_the_next_one() -> None:
    listener = Listener()
    listener.hear_all(counter())
    for number in (1, 2, 3):
        sent_ms = 50_000 + (number - 1) * MINUTE_MS + 10
        assert listener.hear(500, 59_990, sent_ms) == RefillPattern(
            Refill.FIXED, MINUTE_MS, 50_001 + number * MINUTE_MS
        )


def test_a_call_sent_before_the_mark_and_heard_behind_it_tells_the_next_one_only_if_it_was_charged_behind_it() -> None:
    for full_in_ms, mark_ms in ((1_000, 50_001), (59_000, 49_000 + 30_000 + 59_000 + 1)):
        listener = Listener()
        listener.hear_all(counter())
        listener.took_ms = 30_000
        assert listener.hear(500, full_in_ms, 49_000) == RefillPattern(Refill.FIXED, MINUTE_MS, mark_ms)


def test_the_answer_to_a_call_sent_before_the_mark_does_not_confuse_when_it_comes_after_one_sent_behind_it() -> None:
    listener = Listener()
    listener.hear_all(counter())
    behind = RefillPattern(Refill.FIXED, MINUTE_MS, 110_001)
    assert listener.hear(500, 59_000, 51_000) == behind
    listener.took_ms = 15_000
    assert listener.hear(9_000, 5_000, 45_000) == behind


def test_a_call_sent_before_the_mark_and_counted_behind_it_tells_the_next_one() -> None:
    listener = Listener(took_ms=200)
    listener.hear_all(counter())  # ends at 50,000, or up to 201 ms later
    assert listener.hear(500, 59_980, 49_950) == RefillPattern(Refill.FIXED, MINUTE_MS, 50_150 + 59_980 + 1)
    assert listener.hear(900, 59_000, 51_000) == RefillPattern(Refill.FIXED, MINUTE_MS, 110_131)


@pytest.mark.parametrize(
    ("mark_ms", "period_ms"),
    [
        (50_000, MINUTE_MS),
        (MINUTE_MS, MINUTE_MS),
        (MINUTE_MS + 6_000, MINUTE_MS),
        (MINUTE_MS + 7_000, 2 * MINUTE_MS),
        (HOUR_MS - 1, HOUR_MS),
        (4_000_001, 2 * HOUR_MS),
        (DAY_MS - 1, DAY_MS),
        (96_000_001, 96_000_001),
        (9_000, 10_000),
        (5_500, 6_000),
    ],
)
def test_a_counter_is_as_long_as_the_shortest_usual_one_whose_end_can_be_about_so_far(
    mark_ms: int, period_ms: int
) -> None:
    assert Listener().hear_all(counter(mark_ms=mark_ms))[-1] == RefillPattern(Refill.FIXED, period_ms, mark_ms + 1)


def test_no_length_is_overestimated_by_more_than_half() -> None:
    """Otherwise a window would be taken for one whose next mark comes after several of its own."""
    long = [length for length in LENGTHS_MS if length >= 10_000 and length < DAY_MS]
    assert all(later <= 2 * length for length, later in pairwise([*long, DAY_MS]))


def test_a_counter_that_the_levels_have_ruled_out_is_taken_for_two_whose_mark_is_that_of_the_newest_levels() -> None:
    """Before: it was modelled as a bucket, in which nothing that is left is lost."""
    fixed = Listener().hear_all(counter(calls=12))[-1]
    listener = Listener()
    listener.evidence.rule_out(Refill.FIXED)
    two = listener.hear_all(counter(calls=12))[-1]
    assert fixed is not None
    assert two == RefillPattern(Refill.TWO, fixed.period_ms, fixed.mark_ms - 1, 0)


def test_the_mark_of_two_counters_whose_levels_are_old_is_that_of_the_newest_ones() -> None:
    """Before: no mark fitted all of them, and the evidence began anew with each answer."""
    listener, taken_ms, pattern = Listener(took_ms=100), 0, None
    for call in range(200):
        sent_ms = call * 100
        taken_ms = sent_ms if sent_ms >= taken_ms + 4_000 else taken_ms
        pattern = listener.hear(1_000 * (1 + call % 20), 10_000 - taken_ms % 10_000, sent_ms)
        if call == 30:
            listener.evidence.rule_out(Refill.FIXED)
    assert pattern is not None
    assert (pattern.refill, pattern.period_ms, pattern.mark_ms % 10_000, pattern.loose) == (
        Refill.TWO,
        10_000,
        0,
        False,
    )


def test_two_counters_whose_marks_lie_anywhere_are_none() -> None:
    listener = Listener(took_ms=5_000)
    listener.evidence.rule_out(Refill.FIXED)
    calls = [(1_000 * (1 + call), 1 + (call * 3_700) % 9_900, 700 * call) for call in range(12)]
    assert listener.hear_all(calls)[-1] is None


def test_counters_that_the_levels_have_ruled_out_are_not_believed_again() -> None:
    listener = Listener()
    listener.evidence.rule_out(Refill.FIXED)
    listener.evidence.rule_out(Refill.TWO)
    assert listener.hear_all(counter(calls=12)) == [None] * 12


def test_a_bucket_and_a_sliding_window_are_believed_though_a_counter_is_ruled_out() -> None:
    for calls in (sliding(), [(used, used, used) for used in (6_000, 7_000, 8_000, 9_000)]):
        listener = Listener()
        listener.evidence.rule_out(Refill.FIXED)
        assert listener.hear_all(calls)[-1] is not None


def test_a_limit_of_few_calls_is_told_by_as_many_figures_as_there_are() -> None:
    """Before: a window of four calls a second never showed a fourth figure, and was taken for four a minute."""
    listener = Listener()
    for call in range(13):
        at_ms = 260 * call
        believed = listener.hear(1 + call % 3, 1_000 - at_ms % 1_000, at_ms, capacity=4)
    assert believed is not None
    assert (believed.refill, believed.period_ms) == (Refill.FIXED, SECOND_MS)


def calls(*answers: tuple[int, int, int], capacity: int, took_ms: int = 0) -> RefillPattern | None:
    """What is believed after these answers of a limit of calls: what is used, how long until nothing is, when sent."""
    evidence, believed = RefillEvidence(), None
    for used, full_in_ms, sent_ms in answers:
        shown = Reading(LimitMetric.REQUESTS, capacity, capacity - used, None, full_in_ms)
        believed = evidence.observe(shown, sent_ms, sent_ms + took_ms)
    return believed


@pytest.mark.parametrize("capacity", [2, 13])
def test_a_window_whose_every_answer_shows_one_call_is_a_sliding_one_of_a_usual_period(capacity: int) -> None:
    """Before: one call used bounded no period from above, and two calls a second were taken for two a minute."""
    apart = [(1, SECOND_MS, APART_MS * call) for call in range(ANSWERS_MIN)]
    assert calls(*apart, capacity=capacity) == RefillPattern(Refill.SLIDING, SECOND_MS, loose=True)
    assert calls(*apart[1:], capacity=capacity) is None
    together = [(used, full_in_ms, sent_ms // 2) for used, full_in_ms, sent_ms in apart]
    assert calls(*together, capacity=capacity) is None


def test_an_odd_bucket_that_was_found_at_one_level_is_one_as_soon_as_it_is_found_at_another() -> None:
    apart = [(1, SECOND_MS, APART_MS * call) for call in range(ANSWERS_MIN)]
    levels = [(used, SECOND_MS * used, 9_000) for used in (2, 3, 4)]
    assert calls(*apart, *levels, capacity=13) == RefillPattern(Refill.BUCKET, 13_007)


def test_one_call_used_is_one_whole_call_and_tells_the_period_of_its_bucket() -> None:
    assert calls((1, 120, 0), capacity=500) == RefillPattern(Refill.BUCKET, MINUTE_MS)
    assert calls((1, 8_640, 0), capacity=10_000) == RefillPattern(Refill.BUCKET, DAY_MS)


def test_a_limit_of_calls_that_is_used_up_is_evidence_as_no_call_leaves_a_debt() -> None:
    used_up = [(1, SECOND_MS - at_ms % SECOND_MS, at_ms) for at_ms in range(0, 9_000, 1_050)]
    believed = calls(*used_up, capacity=1, took_ms=30)
    assert believed is not None
    assert (believed.refill, believed.period_ms) == (Refill.FIXED, SECOND_MS)


def test_a_window_that_begins_anew_is_told_though_its_every_answer_shows_one_call() -> None:
    """Before: five calls a second were taken for five a minute, since no second figure came."""
    few = [(1, SECOND_MS - at_ms % SECOND_MS, at_ms) for at_ms in range(0, 11_000, 1_450)]
    assert len(few) == 2 * ANSWERS_MIN
    assert calls(*few, capacity=5) == RefillPattern(Refill.SLIDING, SECOND_MS, loose=True), "the mark is not known yet"
    assert calls(*few, (1, 400, 11_600), capacity=5) == RefillPattern(Refill.FIXED, SECOND_MS, 12_001, 2)
    assert calls(*few[1:], capacity=5) is None


def test_a_limit_of_tokens_that_shows_few_figures_is_left_open() -> None:
    """Rounded to tenths, a limit of ten seconds with the level and the time of one second's shows but two."""
    listener = Listener()
    rounded = [listener.hear(54_000 + 6_000 * (call % 2), SECOND_MS, APART_MS * call) for call in range(24)]
    assert rounded == [None] * 24
    few = [listener.hear(1_000, SECOND_MS - 370 * call % SECOND_MS, 9_000 + 1_370 * call) for call in range(24)]
    assert few == [None] * 24


def test_a_refused_call_shows_what_is_left_of_a_sliding_window_since_the_last_charge() -> None:
    """Before: a `reset` below the period made a sliding window a counter with marks anywhere."""
    listener = Listener()
    listener.hear_all(sliding())
    refused = reading(5_000, 20_000)
    believed = listener.evidence.observe(refused, 9_000, 9_000, charged=False)
    assert believed == RefillPattern(Refill.SLIDING, MINUTE_MS)
    assert listener.evidence.observe(refused, 9_000, 9_000) != believed


@pytest.mark.parametrize(("period_ms", "loose"), [(SECOND_MS, True), (2_000, True), (1_500, False), (3_000, False)])
def test_a_short_time_of_whole_seconds_may_be_any_short_window_rounded_up(period_ms: int, *, loose: bool) -> None:
    assert Listener().hear_all(sliding(period_ms=period_ms))[-1] == RefillPattern(
        Refill.SLIDING, period_ms, loose=loose
    )


def test_where_parts_of_a_second_are_stated_a_whole_second_is_not_rounded_up() -> None:
    listener = Listener()
    listener.hear_all(sliding(period_ms=SECOND_MS))
    believed = listener.evidence.observe(reading(9_000, SECOND_MS), 9_000, 9_000, fine=True)
    assert believed == RefillPattern(Refill.SLIDING, SECOND_MS)


def test_what_is_none_of_the_three_is_heard_anew_and_may_become_clear() -> None:
    listener = Listener()
    confused = [(1_000, 60_000, 0), (2_000, 30_000, 1_000), (3_000, 55_000, 2_000), (4_000, 1_000, 3_000)]
    assert listener.hear_all(confused)[-1] is None
    assert listener.hear_all(sliding())[2:] == [None, RefillPattern(Refill.SLIDING, MINUTE_MS)]


def test_an_answer_that_names_another_capacity_begins_anew() -> None:
    listener = Listener()
    listener.hear_all(sliding())
    assert listener.hear(5_000, MINUTE_MS, 4_000, capacity=90_000) is None
    assert listener.hear(5_000, MINUTE_MS, 5_000) is None  # and back: what was heard before is gone
    assert listener.hear(600, 599, 6_000, capacity=60_001) == RefillPattern(Refill.BUCKET, MINUTE_MS)


def settled(period_ms: int = MINUTE_MS) -> Listener:
    """A bucket with which so many answers have agreed that one more of the same is not looked into."""
    listener = Listener()
    for number in range(AGREEING_ANSWERS):
        used = 30_000 + 10 * number
        assert listener.hear(used, used * period_ms // MINUTE_MS, number) is not None or number < ANSWERS_MIN
    return listener


def test_a_settled_bucket_is_believed_after_an_answer_that_tells_nothing_new() -> None:
    listener = settled()
    for used in (40_000, 1, 59_999, 59_999, 2):
        assert listener.hear(used, used, 10_000) == RefillPattern(Refill.BUCKET, MINUTE_MS)


def test_an_answer_narrows_a_settled_bucket_of_an_unusual_period() -> None:
    listener = settled(10_000)
    assert listener.hear(30_000, 5_000, 1_000) == RefillPattern(Refill.BUCKET, 10_000)
    assert listener.hear(59_999, 10_001, 1_001) == RefillPattern(Refill.BUCKET, 10_001)


@pytest.mark.parametrize("period_ms", [SECOND_MS, DAY_MS], ids=["shorter", "longer"])
def test_a_settled_bucket_that_is_contradicted_is_heard_anew(period_ms: int) -> None:
    listener = settled()
    assert listener.hear(6_000, period_ms // 10, 10_000) == RefillPattern(Refill.BUCKET, period_ms)


def test_a_settled_bucket_that_becomes_a_window_is_found_out_as_at_first() -> None:
    calls = [(used, full_in_ms, 10_000 + sent_ms) for used, full_in_ms, sent_ms in sliding() if sent_ms is not None]
    assert settled().hear_all(calls)[1:] == [None, None, RefillPattern(Refill.SLIDING, MINUTE_MS)]


def test_a_period_of_more_than_a_month_is_not_believed_however_many_answers_agree() -> None:
    listener = Listener()
    for call in range(2 * ANSWERS_MIN):
        used = 1_000 + call
        assert listener.hear(used, 40 * DAY_MS * used // CAPACITY, call * APART_MS) is None


def test_a_window_whose_header_names_a_period_has_that_one() -> None:
    evidence = RefillEvidence()
    for used, full_in_ms, sent_ms in counter(mark_ms=3_600_000):
        shown = replace(reading(used, full_in_ms, CAPACITY), period_ms=DAY_MS, named=True)
        pattern = evidence.observe(shown, sent_ms or 0, sent_ms or 0)
    assert pattern is not None
    assert (pattern.refill, pattern.period_ms) == (Refill.FIXED, DAY_MS)
