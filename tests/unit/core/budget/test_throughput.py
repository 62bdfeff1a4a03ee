"""What a limit lets through between two refusals, coarse soon and exact late."""

import pytest

from headrace.broker.core.budget.throughput import ALLOWED_PPM, COARSE_MS, EXACT_MS, LONGEST_MS, Throughput
from headrace.broker.core.units import PPM

MINUTE = 60_000
RATE = 60_000_000  # one token a millisecond, as a rate


class Limit:
    """A limit that lets a part of a rate through, which holds calls back all the time."""

    def __init__(self, part_ppm: int = PPM // 2) -> None:
        self.throughput, self.now_ms, self.part_ppm = Throughput(), 0, part_ppm

    def run(self, for_ms: int) -> "Limit":
        self.now_ms += for_ms
        self.throughput.accrue(RATE, for_ms)
        self.throughput.admitted += for_ms * self.part_ppm // PPM
        return self

    def refuse(self) -> tuple[int | None, int | None]:
        return self.throughput.measure(self.now_ms)


def test_between_two_refusals_a_limit_lets_through_what_it_gives() -> None:
    limit = Limit()
    assert limit.refuse() == (None, None)
    assert limit.run(EXACT_MS).refuse() == (RATE // 2, RATE // 2)


@pytest.mark.parametrize(
    ("apart_ms", "coarse", "exact"),
    [
        (COARSE_MS - 1, False, False),
        (COARSE_MS, True, False),
        (EXACT_MS, True, True),
        (EXACT_MS + 1, False, True),
        (LONGEST_MS, False, True),
        (LONGEST_MS + 1, False, False),
    ],
)
def test_a_figure_is_of_refusals_that_are_neither_too_near_nor_too_far(
    apart_ms: int, *, coarse: bool, exact: bool
) -> None:
    limit = Limit()
    limit.refuse()
    found = limit.run(apart_ms).refuse()
    assert tuple(figure is not None for figure in found) == (coarse, exact)


def test_the_latest_refusal_that_is_far_enough_counts() -> None:
    limit = Limit(PPM // 4)
    limit.refuse()
    limit.run(EXACT_MS).refuse()
    limit.part_ppm = PPM // 2
    coarse, exact = limit.run(COARSE_MS).refuse()
    assert coarse == RATE // 2
    assert exact == (RATE // 4 * EXACT_MS + RATE // 2 * COARSE_MS) // (EXACT_MS + COARSE_MS)


def test_where_all_that_the_rate_allowed_was_admitted_the_rate_was_measured_and_not_the_limit() -> None:
    for part_ppm, is_measured in ((ALLOWED_PPM - 1_000, True), (ALLOWED_PPM + 1_000, False)):
        limit = Limit(part_ppm)
        limit.refuse()
        coarse, exact = limit.run(EXACT_MS).refuse()
        assert (coarse is not None) is (exact is not None) is is_measured


def test_time_in_which_no_call_was_held_back_measures_nothing() -> None:
    limit = Limit()
    limit.refuse()
    limit.now_ms += EXACT_MS
    assert limit.refuse() == (None, None)


def test_old_refusals_are_forgotten() -> None:
    limit = Limit()
    for _ in range(1_000):
        limit.run(1_000).refuse()
    assert len(limit.throughput._marks) <= EXACT_MS // 1_000 + 2


def test_at_other_prices_the_same_calls_are_another_throughput() -> None:
    limit = Limit()
    limit.refuse()
    limit.run(MINUTE // 2)
    limit.throughput.reprice(3 * PPM)
    limit.throughput.accrue(3 * RATE, MINUTE // 2)
    limit.throughput.admitted += 3 * MINUTE // 2 // 2
    limit.now_ms += MINUTE // 2
    assert limit.refuse() == (3 * RATE // 2, 3 * RATE // 2)
