"""Whether what is left of a limit rises between two marks."""

from headrace.broker.core.answers.rising_level import RISES_MIN, RisingLevel

WINDOW = 60_000


def rises(*levels: tuple[int, int], marks_ms: tuple[int, ...] = ()) -> list[bool]:
    """The verdict after each level, with the time until the mark; all of one window, unless marks are given."""
    rising = RisingLevel()
    marks_ms = marks_ms or (WINDOW,) * len(levels)
    return [
        rising.observe(mark_ms - full_in_ms, full_in_ms, left, WINDOW)
        for mark_ms, (full_in_ms, left) in zip(marks_ms, levels, strict=True)
    ]


def test_levels_that_rise_some_times_between_marks_are_no_counters() -> None:
    assert RISES_MIN == 3
    assert rises((50_000, 10), (49_000, 11), (48_000, 12), (47_000, 13)) == [False, False, False, True]
    assert rises((50_000, 10), (49_000, 11), (48_000, 9), (47_000, 10), (46_000, 11))[-2:] == [False, True]


def test_levels_that_fall_prove_nothing_in_whatever_order_answers_come() -> None:
    assert not any(rises((50_000, 13), (49_000, 12), (48_000, 11), (47_000, 10), (46_000, 10)))
    assert not any(rises((46_000, 10), (47_000, 11), (48_000, 12), (49_000, 13), (50_000, 14)))
    assert not any(rises((48_000, 12), (50_000, 14), (46_000, 10), (49_000, 13), (47_000, 11)))


def test_an_earlier_level_that_is_lower_shows_a_rise_as_well() -> None:
    assert rises((46_000, 13), (47_000, 12), (48_000, 11), (49_000, 10)) == [False, False, False, True]


def test_two_levels_of_one_instant_show_none() -> None:
    assert not any(rises(*[(50_000, left) for left in range(10)]))


def test_a_counter_that_begins_anew_has_not_risen() -> None:
    marks_ms = tuple(WINDOW * window + off for window in range(1, 6) for off in (0, 300))
    levels = [(50_000, 10), (1_000, 2)] * 5
    assert not any(rises(*levels, marks_ms=marks_ms))
    assert not any(rises(*[(50_000 - window, 10 + window) for window in range(5)], marks_ms=marks_ms[::2]))


def test_a_level_of_a_former_window_that_comes_late_tells_nothing() -> None:
    marks_ms = (2 * WINDOW, WINDOW, WINDOW, WINDOW, 2 * WINDOW)
    assert not any(rises((50_000, 10), (9_000, 11), (8_000, 12), (7_000, 13), (49_000, 9), marks_ms=marks_ms))


def test_resets_that_grow_with_what_is_used_are_those_of_a_bucket() -> None:
    """Its resets look like those of a counter where figures are rounded and contradict one another."""
    levels = [(left * 3_000, 100 - left) for left in (20, 19, 18, 17, 16)]
    assert not any(rises(*levels, marks_ms=tuple(full_in_ms for full_in_ms, _ in levels)))


def test_rises_of_several_windows_do_not_add_up() -> None:
    """One charge that is given back in each of them proves nothing."""
    marks_ms = tuple(WINDOW * window for window in range(1, 6) for _ in range(2))
    assert not any(rises(*[(50_000, 10), (40_000, 11)] * 5, marks_ms=marks_ms))


def test_a_time_that_is_stated_as_of_the_answer_does_not_make_a_level_the_later_one() -> None:
    """The slower of two calls is told the shorter time, beside the level that it found before the other."""
    rising = RisingLevel()
    for sent_ms in range(0, 20_000, 100):
        slow = sent_ms % 200 == 0
        answered_ms = sent_ms + (900 if slow else 50)
        assert not rising.observe(sent_ms, WINDOW - answered_ms, 60_000 - sent_ms, WINDOW)
