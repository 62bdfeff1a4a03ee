"""Figures that a server rounds, and exact ones."""

from random import Random

import pytest

from headrace.broker.core.answers.rounding import DIFFERENT_MIN, Rounding


def seen(figures: list[int], amount: int = 7) -> int:
    rounding = Rounding()
    for figure in figures:
        rounding.observe(figure, amount)
    return rounding.step


@pytest.mark.parametrize("step", [100, 171, 32_750])
def test_the_step_of_rounded_figures_is_found(step: int) -> None:
    drawn = Random(step)
    assert seen([drawn.randrange(1, 100) * step for _ in range(40)]) % step == 0
    assert seen([step * part for part in (9, 8, 7, 5)]) == step


def test_exact_figures_have_no_step() -> None:
    for seed in range(200):
        drawn = Random(seed)
        assert seen([drawn.randrange(1, 100_000) for _ in range(40)]) == 1


def test_one_exact_figure_ends_it_for_good() -> None:
    rounding = Rounding()
    for figure in (9_000, 8_000, 7_000, 5_000, 4_001, 3_000, 2_000):
        rounding.observe(figure, 7)
    assert rounding.step == 1


def test_few_figures_show_nothing() -> None:
    assert seen([9_000, 8_000, 7_000] * 10) == 1
    assert seen([1_000 * part for part in range(1, DIFFERENT_MIN + 1)]) == 1_000


def test_an_empty_limit_shows_nothing() -> None:
    assert seen([0, 900, 0, 700, 500, 0, 300]) == 100


def test_calls_of_round_amounts_leave_round_figures() -> None:
    assert seen([9_000, 8_000, 6_000, 5_000], amount=1_000) == 1
    rounding = Rounding()
    for figure, amount in ((9_000, 1_000), (8_000, 1_000), (6_000, 2_000), (5_000, 1_000), (4_000, 300)):
        rounding.observe(figure, 17, amount)
    assert rounding.step == 1_000, "the last call tells: no law explains what is left"


def test_one_law_of_several_explains_round_figures() -> None:
    rounding = Rounding()
    for figure in (9_000, 8_000, 6_000, 5_000):
        rounding.observe(figure, 313, 1_000, 77)
    assert rounding.step == 1


def test_without_amounts_any_step_is_that_of_the_figures() -> None:
    rounding = Rounding()
    for figure in (9_000, 8_000, 6_000, 5_000):
        rounding.observe(figure)
    assert rounding.step == 1_000


def test_a_figure_that_stays_is_rounded_by_no_more_than_the_divisor_or_a_tenth() -> None:
    """Before: unchanged levels were taken for exact, and a law for right that was too dear."""
    rounding, steps = Rounding(), []
    for figure in (9_500, 9_500, 9_500, 9_000, 8_500, 8_500, 8_000, 7_500):
        rounding.observe(figure, 313, used=10_000 - figure)
        steps.append(rounding.step)
    assert steps == [1, 1_000, 1_000, 500, 500, 500, 500, 500]


def test_an_exact_figure_shows_that_equal_ones_were_chance() -> None:
    rounding = Rounding()
    for figure in (9_500, 9_500, 9_001):
        rounding.observe(figure, 313, used=10_000 - figure)
    assert rounding.step == 1


@pytest.mark.parametrize(("amount", "step"), [(500, 1), (502, 1), (503, 1_000)])
def test_calls_that_each_find_a_full_limit_leave_the_same(amount: int, step: int) -> None:
    rounding = Rounding()
    for _ in range(5):
        rounding.observe(9_500, 313, amount, used=500)
    assert rounding.step == step


def test_a_refused_call_changes_no_figure() -> None:
    rounding = Rounding()
    for _ in range(5):
        rounding.observe(9_500, used=500)
    assert rounding.step == 1


def test_figures_of_a_limit_of_a_few_units_are_whole() -> None:
    rounding = Rounding()
    for _ in range(3):
        rounding.observe(4, 1, used=5)
    assert rounding.step == 1
