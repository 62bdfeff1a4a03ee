"""What windows count of debits, and what of it ceases to count."""

from itertools import accumulate
from random import Random

import pytest

from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.pricing.counted_debits import Debits, counted, former_debits, returned
from headrace.broker.simulator.meters.two_windows import TwoWindows

PERIOD, MARK, CAPACITY, DELAY = 6_000, 1_300, 60_000, 25
TWO = RefillPattern(Refill.TWO, PERIOD, MARK)
SLIDING, FIXED = RefillPattern(Refill.SLIDING, PERIOD), RefillPattern(Refill.FIXED, PERIOD, MARK)
LOOSE = RefillPattern(Refill.SLIDING, PERIOD, loose=True)


class Course:
    """Debits at random instants, and the levels that two counters had after each; calls take up to `DELAY` ms."""

    def __init__(self, seed: int, *, delay_ms: int = DELAY) -> None:
        chance = Random(seed)
        meter = TwoWindows(CAPACITY, PERIOD * 1_000, 0, mark_us=MARK * 1_000)
        self.at_ms = sorted(chance.sample(range(40_000), 300))
        tokens = [chance.randint(100, 900) for _ in self.at_ms]
        self.sums = [[0, *accumulate(tokens)]]
        self.debits = Debits(self.at_ms, self.sums)
        arrivals = sorted((at_ms + chance.randint(0, delay_ms), number) for number, at_ms in enumerate(self.at_ms))
        self.left: dict[int, int] = {}
        for arrived_ms, number in arrivals:
            meter.refill(arrived_ms * 1_000)
            meter.pay(tokens[number])
            self.left[number] = CAPACITY - meter.used()


@pytest.mark.parametrize("seed", range(10))
def test_what_two_counters_leave_lies_between_what_is_predicted_of_them(seed: int) -> None:
    course, told, widths = Course(seed), 0, list[int]()
    for end in range(60, 300):
        found = counted(course.debits, end, CAPACITY, TWO, DELAY)
        into_ms = (course.at_ms[end] - MARK) % PERIOD
        assert (found is None) is (not DELAY < into_ms < PERIOD - DELAY)
        if found is not None:
            least, most = found.left(0)
            assert least - 1 <= course.left[end] <= most + 1
            assert found.needs_all
            assert course.at_ms[found.first] >= course.at_ms[end] - 2 * PERIOD - DELAY
            assert found.until > end
            told += 1
            widths.append(most - least)
    assert told > 200
    assert sum(widths) / told < 1_200, "about two calls' tokens"


@pytest.mark.parametrize("seed", range(10))
def test_what_ceases_to_count_between_two_debits_of_a_window_is_known_too(seed: int) -> None:
    course = Course(seed, delay_ms=0)
    for end in range(80, 300):
        start = end - 8
        known = former_debits(course.at_ms[start] - DELAY, course.at_ms[end] + DELAY, TWO, DELAY)
        into_ms = (course.at_ms[start] - DELAY - MARK) % PERIOD
        crosses = into_ms + course.at_ms[end] - course.at_ms[start] + 2 * DELAY >= PERIOD
        assert (known is None) is (crosses or into_ms < DELAY)
        if known is None:
            continue
        least, most = returned(course.debits, 0, (start, end), TWO, DELAY)
        taken = course.sums[0][end + 1] - course.sums[0][start + 1]
        assert least - 2 <= course.left[end] - course.left[start] + taken <= most + 2
        assert known == (course.at_ms[start] - DELAY - into_ms - PERIOD - DELAY, course.at_ms[start] - DELAY - into_ms)


def test_nothing_returns_before_the_former_window_is_known_or_within_a_delay() -> None:
    assert returned(Debits([0, 10], [[0, 5, 9]]), 0, (0, 1), TWO, DELAY) == (0, 0)
    at_ms = [MARK + 100, MARK + PERIOD + 500, MARK + PERIOD + 510]
    assert returned(Debits(at_ms, [[0, 600, 700, 800]]), 0, (1, 2), TWO, DELAY) == (0, -(-600 * (10 + DELAY) // PERIOD))


def test_other_windows_tell_what_they_did() -> None:
    sums = [[0, 10, 20, 30, 40]]
    debits = Debits([0, 100, 7_000, 7_100], sums)
    assert counted(debits, 3, CAPACITY, FIXED, DELAY) is None
    sliding = counted(debits, 3, CAPACITY, SLIDING, DELAY)
    assert sliding is not None
    assert (sliding.first, sliding.until, sliding.needs_all, sliding.left(0)) == (2, 3, False, (0, CAPACITY - 10))
    assert counted(debits, 0, CAPACITY, SLIDING, DELAY) is None
    loose = counted(debits, 3, CAPACITY, LOOSE, DELAY)
    assert loose is not None
    assert (loose.first, loose.until, loose.needs_all) == (0, 4, True)
    assert loose.left(0) == (CAPACITY - 40, CAPACITY - 10)
    assert returned(debits, 0, (0, 1), FIXED, DELAY) == (0, 0)
    assert returned(Debits([0, 50, 6_000, 6_200], sums), 0, (2, 3), SLIDING, DELAY) == (10, 20)
    assert returned(Debits([0, 50, 6_000, 6_010], sums), 0, (2, 3), SLIDING, DELAY) == (0, 10)
    assert former_debits(7_000, 7_100, SLIDING, DELAY) == (1_000, 1_100)
    assert former_debits(MARK + 1, MARK + 9, FIXED, DELAY) == (MARK - PERIOD - DELAY, MARK)
    assert former_debits(MARK + 1, MARK + PERIOD, FIXED, DELAY) is None


def test_a_debit_close_to_the_mark_may_be_of_either_window_and_counts_once() -> None:
    debits = Debits([MARK - PERIOD + 100, MARK + 10, MARK + 30], [[0, 600, 900, 1_100]])
    found = counted(debits, 2, CAPACITY, TWO, DELAY)
    assert found is not None
    least = 900 * (PERIOD - 30 - DELAY) // PERIOD + 200
    most = -(-600 * (PERIOD - 30 + DELAY) // PERIOD) + 300 + 200
    assert found.left(0) == (CAPACITY - most, CAPACITY - least)
