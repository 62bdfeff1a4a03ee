import pytest

from headrace.broker.core.pricing.surplus import MEMORY, Surplus


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
