import random

import pytest

from headrace.broker.spending.advice.finding import AdviceFinding, Waste
from tests.unit.spending.advice.made import advised, answered, asked, only

LINES = "".join(f"Rule {i} of the house says how a letter to a lead has to end and to begin.\n" for i in range(40))
RIVAL = "".join(f"Line {i} of another house says what a letter to a customer must never say.\n" for i in range(40))


def found_in(*, longer_answers: int = 0, instead: str = "") -> list[AdviceFinding]:
    rng = random.Random(7)
    has_it = [n % 2 == 0 for n in range(80)]
    contents = [f"{LINES if has else instead}lead {n:08}" for n, has in enumerate(has_it)]
    outputs = [rng.randint(180, 220) + (longer_answers if has else 0) for has in has_it]
    outcomes = [answered(n, input=len(contents[n]) // 4, output=outputs[n]) for n in range(80)]
    return advised(outcomes, [asked(n, content) for n, content in enumerate(contents)])


def test_a_part_that_half_of_the_prompts_have_without_longer_answers_raises_a_question() -> None:
    found = only(found_in(), Waste.OPTIONAL_PART)
    assert found.is_question
    assert found.tokens_a_day == pytest.approx(40 * len(LINES) / 4, rel=0.03)
    assert found.evidence["prompts_with_it"] == 40
    assert found.excerpts == ()


def test_a_part_that_makes_answers_longer_raises_none() -> None:
    assert found_in(longer_answers=60) == []


def test_a_part_with_another_one_in_its_place_is_not_optional() -> None:
    assert found_in(instead=RIVAL) == []
