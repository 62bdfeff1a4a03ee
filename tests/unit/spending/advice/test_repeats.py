import random

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


def test_what_tools_have_in_common_is_no_repetition() -> None:
    """Each tool must state its parameters."""
    lead = {"type": "string", "description": "The id of the lead in the customer database, as the search has told it."}
    dry = {"type": "boolean", "description": "Whether only to check what would be done to the record, and not do it."}
    parameters = {"type": "object", "properties": {"lead": lead, "dry_run": dry}}
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": parameters}} for n in range(10)]
    requests = [asked(n, f"lead {n}", tools=tools) for n in range(40)]
    assert advised([answered(n, input=700, output=1_000) for n in range(40)], requests) == []
    contents = [(DOCUMENT.format(n=n) + "\n") * 2 for n in range(40)]
    requests = [asked(n, content, tools=tools) for n, content in enumerate(contents)]
    outcomes = [answered(n, input=len(content) // 4 + 700) for n, content in enumerate(contents)]
    half = sum(len(content) // 8 for content in contents)
    found = [each for each in advised(outcomes, requests) if each.kind is Waste.REPEATED_PART]
    assert [each.tokens_a_day for each in found] == [pytest.approx(half, rel=0.1)]


def test_equal_rows_of_a_table_are_its_content() -> None:
    rng = random.Random(5)
    rows = [
        f"delivered\tDHL Express International\tRotterdam Maasvlakte Terminal 2\tpallet of kind {n}" for n in range(3)
    ]
    contents = ["\n".join(rng.choice(rows) for _ in range(12)) + f"\nlead {n}" for n in range(200)]
    outcomes = [answered(n, input=300) for n in range(200)]
    assert advised(outcomes, [asked(n, content) for n, content in enumerate(contents)]) == []
