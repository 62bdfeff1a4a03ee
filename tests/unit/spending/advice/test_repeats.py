import pytest

from headrace.broker.spending.advice.finding import SavingEffect, Waste
from tests.unit.spending.advice.made import advised, answered, asked, only

DOCUMENT = "".join(
    f"Sentence {{n}} number {i} of the document of this lead, which is like no other one. " for i in range(40)
)


def test_a_document_that_is_put_in_twice_is_found_with_its_tokens() -> None:
    contents = [(DOCUMENT.format(n=n) + "\n") * 2 for n in range(40)]
    outcomes = [answered(n, input=len(content) // 4) for n, content in enumerate(contents)]
    found = only(advised(outcomes, [asked(n, content) for n, content in enumerate(contents)]), Waste.REPEATED_PART)
    half = sum(len(content) // 8 for content in contents)
    assert found.effect is SavingEffect.SAVED
    assert found.tokens_a_day == pytest.approx(half, rel=0.02)
    assert found.micro_usd_a_day == pytest.approx(half * 2.5, rel=0.02)
    assert found.excerpts == ()


def test_a_history_that_is_appended_to_itself_is_found() -> None:
    turns = [{"role": "user", "content": f"Turn {i}: " + "tell me of the mill and of its wheel " * 5} for i in range(8)]
    outcomes = [answered(n, input=1_600) for n in range(40)]
    requests = [asked(n, messages=[*turns, *turns, {"role": "user", "content": f"lead {n}"}]) for n in range(40)]
    assert Waste.REPEATED_PART in {each.kind for each in advised(outcomes, requests)}


def test_a_repetition_in_few_prompts_is_a_matter_of_their_content() -> None:
    contents = [DOCUMENT.format(n=n) * (8 if n < 4 else 1) for n in range(40)]
    outcomes = [answered(n, input=len(content) // 4) for n, content in enumerate(contents)]
    assert advised(outcomes, [asked(n, content) for n, content in enumerate(contents)]) == []
