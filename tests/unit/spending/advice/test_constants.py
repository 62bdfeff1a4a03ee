import pytest

from headrace.broker.spending.advice.finding import AdviceFinding, Waste
from tests.unit.spending.advice.made import advised, answered, asked, only, text


def found_in(constant: int, output: int, cached: int = 0) -> list[AdviceFinding]:
    contents = [f"{text(constant)}\n{text(200, f'lead {n:08}')}" for n in range(60)]
    outcomes = [answered(n, input=len(contents[n]) // 4, output=output, cached=cached) for n in range(60)]
    return advised(outcomes, [asked(n, content) for n, content in enumerate(contents)])


def test_short_instructions_that_are_most_of_what_is_paid_raise_a_question() -> None:
    found = only(found_in(constant=2_400, output=100), Waste.CONSTANT_PART)
    assert found.is_question
    assert found.tokens_a_day == pytest.approx(60 * 600, rel=0.03)
    assert found.micro_usd_a_day == pytest.approx(60 * 600 * 2.5, rel=0.03)


def test_instructions_beside_long_answers_raise_none() -> None:
    assert found_in(constant=2_400, output=700) == []
