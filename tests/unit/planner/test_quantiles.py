"""Quantiles in bounded memory, against the sorted list."""

import math
import random

import pytest

from headrace.broker.planner.quantiles import EXACT_MAX, Quantiles

PARTS = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def of(values: list[int]) -> Quantiles:
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    return quantiles


def by_hand(values: list[int], part: float) -> int:
    return sorted(values)[max(1, math.ceil(part * len(values))) - 1]


def test_before_the_first_value_there_is_nothing() -> None:
    assert Quantiles().at(0.5) is None
    assert Quantiles().mean is None


def test_few_values_are_exact() -> None:
    values = [random.Random(1).randrange(1_000_000) for _ in range(EXACT_MAX)]
    quantiles = of(values)
    assert [quantiles.at(part) for part in PARTS] == [by_hand(values, part) for part in PARTS]


def test_a_value_after_a_question_is_counted() -> None:
    quantiles = of([5, 1])
    assert quantiles.at(1.0) == 5
    quantiles.add(9)
    quantiles.add(3)
    assert (quantiles.at(0.5), quantiles.at(1.0)) == (3, 9)


@pytest.mark.parametrize("largest", [3, 1_000, 100_000_000])
def test_many_values_are_within_a_percent(largest: int) -> None:
    dice = random.Random(largest)
    values = [int(largest * dice.random() ** 3) for _ in range(4 * EXACT_MAX)]
    quantiles = of(values)
    for part in PARTS:
        assert quantiles.at(part) == pytest.approx(by_hand(values, part), rel=0.01, abs=0.6)
    assert quantiles.at(1.0) == max(values)


def test_the_mean_stays_exact_and_the_memory_bounded() -> None:
    values = [random.Random(2).randrange(10**9) for _ in range(4 * EXACT_MAX)]
    quantiles = of(values)
    assert quantiles.mean == sum(values) / len(values)
    assert quantiles.largest == max(values)
    assert len(quantiles._buckets) < 2_200
    assert len(quantiles._fresh) <= EXACT_MAX


def test_waits_of_nothing_are_nothing() -> None:
    assert of([0] * (EXACT_MAX + 10)).at(0.5) == 0


@pytest.mark.parametrize(
    ("some", "more"), [(10, 20), (10, EXACT_MAX + 1), (EXACT_MAX + 1, 10), (EXACT_MAX, 1), (9_000, 9_000)]
)
def test_two_streams_become_one(some: int, more: int) -> None:
    chance = random.Random(some)
    first, second = ([chance.randrange(1_000_000) for _ in range(count)] for count in (some, more))
    joined, at_once = of(first), of(first + second)
    joined.take_in(of(second))
    assert (joined.count, joined.total, joined.largest) == (at_once.count, at_once.total, at_once.largest)
    assert [joined.at(part) for part in PARTS] == [at_once.at(part) for part in PARTS]
