from datetime import UTC, datetime

import pytest

from headrace.broker.spending.advice.prompts import prompt_of
from headrace.broker.spending.advice.records import beginning_of, facts_of_request, family_of
from tests.unit.spending.advice.made import asked

INSTRUCTIONS = "write one friendly sentence to each lead about the mill and never promise any discount to them"


def beginning(text: str) -> str:
    return beginning_of(prompt_of({"instructions": text, "input": "hi"}))


@pytest.mark.parametrize(
    "front", ["2026-11-28T10:00:00Z ", "Dear Ada, ", "Ticket 8F3A-11 for Bo ", "On Friday, November 27 ", ""]
)
def test_dates_ids_numbers_and_names_do_not_change_the_digest_of_a_beginning(front: str) -> None:
    digests = {beginning(front + INSTRUCTIONS), beginning("Call 99887766, " + INSTRUCTIONS)}
    assert len(digests) == 1


def test_other_instructions_have_another_digest() -> None:
    assert beginning(INSTRUCTIONS) != beginning("classify the letter as a complaint or a question or an order of goods")


@pytest.mark.parametrize("text", ["", "7", "ONLY CAPITALS HERE", "你好,世界", "\ud800"])
def test_a_beginning_without_plain_words_has_a_digest_too(text: str) -> None:
    assert len(beginning(text)) == 8


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4o", "gpt-4o"),
        ("o3-2025-04-16", "o3"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x1", "ft:gpt-4o-mini-2024-07-18:acme::x1"),
    ],
)
def test_a_snapshot_belongs_to_its_model(model: str, family: str) -> None:
    assert family_of(model) == family


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        ({"max_tokens": 300}, ("max_tokens", 300)),
        ({"max_completion_tokens": 300}, ("max_completion_tokens", 300)),
        ({"max_output_tokens": 10**30}, ("max_output_tokens", 10**9)),
        ({"max_tokens": True}, ("", None)),
        ({"max_tokens": -1}, ("", None)),
        ({"max_tokens": "many"}, ("", None)),
    ],
)
def test_a_cap_is_a_positive_whole_number(body: dict[str, object], cap: tuple[str, int | None]) -> None:
    facts = facts_of_request(asked(1, **body), "bulk")
    assert (facts.cap_name, facts.cap) == cap


def test_a_deadline_of_a_replay_takes_precedence() -> None:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    decoded = asked(1, deadline=at)
    assert facts_of_request(decoded, "bulk").deadline_s == at.timestamp()


def test_tokens_are_counted_as_far_as_the_text_is_kept_and_in_proportion_beyond_it() -> None:
    long, short = (facts_of_request(asked(1, "a" * length), "bulk") for length in (1_000_000, 4_000))
    assert long.tokens("gpt-4o", lambda _model, text: len(text) // 2) == pytest.approx(500_000, rel=0.01)
    assert short.tokens("gpt-4o", lambda _model, _text: None) == 1_000.25
    assert short.tokens("gpt-4o", None) == 1_000.25


def test_a_template_stands_for_the_beginning() -> None:
    assert facts_of_request(asked(1), "bulk").beginning == "welcome"
    assert len(facts_of_request(asked(1, template=None), "bulk").beginning) == 8
