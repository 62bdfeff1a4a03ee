from random import Random

import pytest

from headrace.broker.core.pricing.surplus import MEMORY, Surplus, grown


def of(*figures: int, memory: int = MEMORY) -> Surplus:
    surplus = Surplus(memory)
    for tokens in figures:
        surplus.add(tokens)
    return surplus


def test_nothing_is_known_before_the_first_figure_which_is_believed_as_it_is() -> None:
    assert (bool(of()), of().tokens) == (False, 0)
    assert (bool(of(0)), of(700).tokens) == (True, 700)


def test_figures_that_differ_are_taken_for_their_mean_and_a_deviation() -> None:
    alternating = of(*[1_000, 3_000] * 20)
    assert 2_500 < alternating.tokens < 3_300


@pytest.mark.parametrize("memory", [4, MEMORY, 32])
def test_the_last_figures_weigh_most(memory: int) -> None:
    assert of(*[1_000] * 100, *[5_000] * 8 * memory, memory=memory).tokens == pytest.approx(5_000, abs=memory)


def test_a_long_memory_moves_less() -> None:
    assert of(*[1_000] * 50, 2_000, memory=32).tokens < of(*[1_000] * 50, 2_000).tokens


def test_a_figure_may_be_negative() -> None:
    assert of(-500, -500, -500).tokens == -500


def learned(*figures: int) -> Surplus:
    surplus = Surplus()
    for tokens in figures:
        surplus.learn(tokens)
    return surplus


def test_one_absurd_figure_counts_for_what_the_estimate_may_grow_to() -> None:
    assert learned(10**12).tokens == 10**12, "nothing else is known"
    assert learned(1_000, 1_000, 10**12).tokens <= grown(1_000)


def test_two_low_figures_in_a_row_are_a_new_size_and_one_is_not() -> None:
    usual = [20_000] * 8
    assert learned(*usual, 1_000).tokens >= 19_000
    assert learned(*usual, 1_000, 20_000, 1_000).tokens >= 19_000
    assert learned(*usual, 1_000, 1_000).tokens == 1_000
    assert learned(10**12, 1_000).tokens == 1_000, "a single figure is no usual size"


def test_a_size_that_was_usual_is_believed_at_once_when_it_returns() -> None:
    assert learned(*[20_000] * 8, 1_000, 1_000, 20_000).tokens >= 19_000
    assert learned(10**12, 1_000, 10**12).tokens <= grown(1_000), "an absurd figure was none"


@pytest.mark.parametrize(("large", "small", "percent"), [(20_000, 1_000, 75), (20_000, 1_000, 90), (8_000, 1_500, 80)])
def test_figures_of_two_usual_sizes_seldom_exceed_the_estimate(large: int, small: int, percent: int) -> None:
    dice, surplus, exceeded = Random(1), learned(large), 0
    for _ in range(500):
        tokens = large if dice.randrange(100) < percent else small
        exceeded += surplus.tokens < tokens
        surplus.learn(tokens)
    assert exceeded < 50
