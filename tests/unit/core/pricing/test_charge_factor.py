"""Charges that a server states, beside what two laws say: an input, and an input with the cap on its output."""

import pytest

from headrace.broker.core.pricing.charge_factor import SAMPLES, PriceFactor
from headrace.broker.core.units import PPM, ROUNDING_TOKENS

SIZES = ((100, 400), (250, 350), (120, 700), (300, 520))


def learned(factor: PriceFactor, times: float, law: int = 1, sizes: tuple[tuple[int, ...], ...] = SIZES) -> list[bool]:
    return [factor.record(tokens, round(tokens[law] * times)) for tokens in sizes]


@pytest.mark.parametrize("times", [0.8, 1.29, 1.43, 2.0])
def test_a_few_charges_of_different_calls_show_the_factor_and_its_law(times: float) -> None:
    factor = PriceFactor()
    assert learned(factor, times) == [False, False, True, False]
    assert factor.law == 1
    assert factor.ppm == pytest.approx(times * PPM, rel=0.003)
    assert [factor.applied(tokens) for tokens in (400, 1_000)] == pytest.approx([400 * times, 1_000 * times], abs=2)


def test_until_then_and_where_charges_are_a_laws_own_nothing_changes() -> None:
    factor = PriceFactor()
    assert factor.applied_to((100, 400)) == (100, 400)
    learned(factor, 1.4, sizes=SIZES[: SAMPLES - 1])
    assert (factor.ppm, factor.applied(400)) == (PPM, 400)
    factor = PriceFactor()
    assert not any(learned(factor, 1.0))
    assert (factor.ppm, factor.applied(400)) == (PPM, 400)


def test_calls_of_about_one_size_show_no_factor() -> None:
    factor = PriceFactor()
    alike = tuple((100, 400 + each) for each in range(SAMPLES + 2))
    assert not any(learned(factor, 1.4, sizes=alike))


def test_charges_that_no_factor_explains_show_none() -> None:
    factor = PriceFactor()
    for tokens in SIZES:
        assert not factor.record(tokens, tokens[1] + 300)
    assert factor.ppm == PPM


@pytest.mark.parametrize("sizes", [(5, 6, 7), (40, 45, 50), (100, 110, 120)])
def test_a_surcharge_within_rounding_is_no_factor(sizes: tuple[int, ...]) -> None:
    """Before: texts of five tokens that cost seven made every call dearer by a third, and large ones too large."""
    factor = PriceFactor()
    assert not any(factor.record((each,), each + ROUNDING_TOKENS) for each in sizes)
    assert factor.ppm == PPM


def test_a_factor_that_is_known_stays_where_charges_fit_it_and_the_law_alike() -> None:
    factor = PriceFactor()
    learned(factor, 1.015, sizes=((100, 1_000), (250, 700), (120, 2_000)))
    assert factor.ppm == pytest.approx(1.015 * PPM, rel=0.003)
    assert not any(learned(factor, 1.015, sizes=((50, 100), (60, 110), (70, 120))))


def test_charges_of_a_few_tokens_show_no_factor() -> None:
    factor = PriceFactor()
    assert not any(factor.record((each,), 2 * each) for each in (5, 6, 7, 40))
    assert factor.ppm == PPM


@pytest.mark.parametrize("times", [0.1, 9.0])
def test_a_factor_beyond_reason_is_none(times: float) -> None:
    factor = PriceFactor()
    assert not any(learned(factor, times))
    assert factor.ppm == PPM


def test_a_law_that_charges_what_is_billed_has_none() -> None:
    factor = PriceFactor(1)
    assert not any(learned(factor, 1.4))
    assert any(learned(factor, 1.4, law=0))
    assert (factor.law, factor.applied_to((100, 400))) == (0, (140, 400))


def test_a_factor_stays_until_the_last_charges_all_have_another_one() -> None:
    factor = PriceFactor()
    learned(factor, 1.4)
    assert factor.record((200, 600), 2_000) is False, "no factor explains this one"
    assert factor.ppm == pytest.approx(1.4 * PPM, rel=0.003)
    assert learned(factor, 1.4) == [False] * len(SIZES)
    assert learned(factor, 1.0) == [False, False, True, False]
    assert (factor.ppm, factor.applied(400)) == (PPM, 400)


def test_another_law_may_have_the_same_factor() -> None:
    factor = PriceFactor()
    learned(factor, 1.4)
    learned(factor, 1.4, law=0)
    assert factor.law == 0
    assert factor.ppm == pytest.approx(1.4 * PPM, rel=0.01)


def test_of_two_laws_that_explain_all_the_one_without_a_factor_does() -> None:
    factor = PriceFactor()
    for each in (200, 300, 450):
        assert not factor.record((each // 2, each), each)
    assert factor.ppm == PPM


def test_no_charge_is_less_than_one_token() -> None:
    assert PriceFactor(None, PPM // 4).applied(1) == 1


@pytest.mark.parametrize(("inherited", "ppm"), [(1_430_000, 1_430_000), (0, PPM), (10**12, PPM)])
def test_a_predecessors_factor_is_believed_within_reason(inherited: int, ppm: int) -> None:
    assert PriceFactor(None, inherited).ppm == ppm


def test_charges_that_are_off_by_a_little_change_no_factor() -> None:
    """Before: each refusal of a server whose charges vary by two tokens repriced all calls."""
    factor = PriceFactor()
    learned(factor, 1.7)
    before = factor.ppm
    for off in (-2, 2, -1, 1, 2, 2, -2, -2, 0):
        for tokens in SIZES:
            assert not factor.record(tokens, round(1.7 * tokens[1]) + off)
    assert factor.ppm == before
    assert any(learned(factor, 1.75))


def test_an_inherited_factor_that_explains_charges_stays_and_has_their_law() -> None:
    factor = PriceFactor(None, 1_700_000)
    assert not any(learned(factor, 1.7))
    assert (factor.law, factor.ppm) == (1, 1_700_000)


def test_a_factor_that_two_laws_fit_at_first_becomes_that_of_the_one_that_goes_on_to_fit() -> None:
    """Before: it stayed that of a law a token off, and a large charge then told the wrong law (seed 97025)."""
    factor = PriceFactor()
    for tokens, requested in (((413, 414), 534), ((484, 485), 626), ((362, 363), 468)):
        factor.record(tokens, requested)
    assert factor.law == 0
    assert factor.record((300, 177), 228)
    assert factor.law == 1
    assert factor.ppm == pytest.approx(1.29 * PPM, rel=0.001)
    assert not factor.record((711, 712), 918)
    assert factor.applied(712) == pytest.approx(918, abs=1)


def test_a_factor_that_changes_is_told_by_the_last_charges() -> None:
    factor = PriceFactor()
    for _ in range(3):
        learned(factor, 1.3)
    learned(factor, 1.6)
    assert factor.ppm == pytest.approx(1.6 * PPM, rel=0.003)


def test_the_factor_of_a_predecessor_stays_while_it_is_near_what_some_law_explains() -> None:
    factor = PriceFactor(ppm=1_293_000)
    assert not any(learned(factor, 1.29))
    assert (factor.law, factor.ppm) == (1, 1_293_000)
    assert not any(learned(factor, 1.29))
    other = PriceFactor(ppm=1_700_000)
    assert any(learned(other, 1.29))
