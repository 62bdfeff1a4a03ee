from random import Random

import pytest

from headrace.broker.core.budget.extremes import BLOCK, RangeExtremes


class Plain:
    """The same without blocks."""

    def __init__(self) -> None:
        self.peaks: list[int] = []
        self.dips: list[int] = []


def add(course: RangeExtremes, peak: int, dip: int) -> None:
    course.peaks.append(peak)
    course.dips.append(dip)


def filled(sends: int) -> RangeExtremes:
    """Peaks that fall from 0 and dips that fall from -1: peak `n` is -10 n, the dip after it -10 n - 1."""
    course = RangeExtremes()
    for place in range(sends):
        add(course, -10 * place, -10 * place - 1)
    return course


def test_a_course_is_as_long_as_the_sends_it_has_followed() -> None:
    assert len(RangeExtremes()) == 0
    assert len(filled(3)) == 3


def test_a_stretch_of_one_send_is_that_send() -> None:
    course = filled(3)
    assert (course.highest(1, 2), course.lowest(1, 2)) == (-10, -11)


def test_a_stretch_reaches_up_to_its_stop_and_no_further() -> None:
    course = RangeExtremes()
    for peak, dip in ((5, 4), (7, 1), (9, 0)):
        add(course, peak, dip)
    assert (course.highest(0, 2), course.lowest(0, 2)) == (7, 1)


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 3 * BLOCK - 1, 3 * BLOCK + 5])
def test_an_extreme_is_found_wherever_in_the_blocks_it_lies(place: int) -> None:
    course = RangeExtremes()
    for each in range(3 * BLOCK + 6):
        add(course, int(each == place), -int(each == place))
    assert (course.highest(0, 3 * BLOCK + 6), course.lowest(0, 3 * BLOCK + 6)) == (1, -1)
    if place:
        assert (course.highest(0, place), course.lowest(0, place)) == (0, 0)


def test_what_was_cut_is_forgotten_and_what_comes_instead_counts() -> None:
    course = filled(2 * BLOCK)
    course.cut(BLOCK + 1)
    assert len(course) == BLOCK + 1
    for _ in range(BLOCK - 1):
        add(course, 1_000, -100_000)
    assert (course.highest(0, 2 * BLOCK), course.lowest(0, 2 * BLOCK)) == (1_000, -100_000)
    assert course.lowest(0, BLOCK + 1) == -10 * BLOCK - 1


def test_a_cut_after_the_last_send_changes_nothing() -> None:
    course = filled(BLOCK)
    course.cut(BLOCK)
    course.cut(5 * BLOCK)
    assert (course.highest(0, BLOCK), course.lowest(0, BLOCK)) == (0, -10 * (BLOCK - 1) - 1)


def test_more_may_be_forgotten_than_was_followed() -> None:
    course = filled(BLOCK // 2)
    course.forget(2 * BLOCK)
    assert len(course) == 0
    add(course, 5, 3)
    assert (course.highest(0, 1), course.lowest(0, 1)) == (5, 3)


def test_only_whole_blocks_are_forgotten() -> None:
    with pytest.raises(AssertionError, match="whole"):
        filled(BLOCK).forget(BLOCK - 1)


@pytest.mark.parametrize("seed", range(8))
def test_any_stretch_has_the_extremes_of_its_plain_slice_after_any_cuts_and_forgets(seed: int) -> None:
    chance, course, plain = Random(seed), RangeExtremes(), Plain()
    for _ in range(60):
        deed = chance.random()
        if deed < 0.2 and plain.peaks:
            place = chance.randint(0, len(plain.peaks))
            course.cut(place)
            del plain.peaks[place:], plain.dips[place:]
        elif deed < 0.4:
            sends = BLOCK * chance.randint(0, 2)
            course.forget(sends)
            del plain.peaks[:sends], plain.dips[:sends]
        peaks = [chance.randint(-(10**6), 10**6) for _ in range(chance.randint(0, 2 * BLOCK))]
        dips = [peak - chance.randint(0, 10**6) for peak in peaks]
        for peak, dip in zip(peaks, dips, strict=True):
            add(course, peak, dip)
        plain.peaks += peaks
        plain.dips += dips
        assert len(course) == len(plain.peaks)
        for _ in range(10 if plain.peaks else 0):
            first = chance.randrange(len(plain.peaks))
            stop = chance.randint(first + 1, len(plain.peaks))
            assert course.highest(first, stop) == max(plain.peaks[first:stop])
            assert course.lowest(first, stop) == min(plain.dips[first:stop])
