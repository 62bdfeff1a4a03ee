"""Calls whose input or output their bodies do not show, as evidence of a law."""

import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import (
    LawIdentification,
    Remaining,
    TokenUsage,
)
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from tests.unit.core.pricing.charging import CHAT, size
from tests.unit.core.pricing.test_law_identification import LIMIT, named


@pytest.mark.parametrize("law", [Law.RESPONSES, Law.USAGE])
def test_calls_with_input_that_bodies_do_not_show_identify_the_law_by_what_they_were_billed(law: Law) -> None:
    asked, place = named(), named().laws.index(law)
    witness = LawIdentification(asked, None)
    level, now_ms = 50_000, 0
    for number in range(30):
        carried, output = 500 + 137 * number % 1_000, 40 + 31 * number % 200
        sent = witness.record_send(asked, now_ms, 2_000)
        told = asked.with_input(carried)
        level -= told.tokens[place]
        admitted = level
        level = min(60_000, level + 1_000)
        now_ms += 1_000
        usage = TokenUsage(100 + carried, output + asked.covered)
        if law is Law.USAGE:
            level -= output
        sent = witness.disclose(sent, told)
        witness.record_answer(sent, Remaining(level if law is Law.USAGE else admitted, *LIMIT), usage, now_ms)
    assert (witness.evidence.believed, witness.evidence.identified) == (law, True)
    assert set(witness.errors) <= set(range(-30, 31))


def test_a_call_of_which_no_answer_tells_the_input_is_no_evidence() -> None:
    asked = named()
    witness = LawIdentification(asked, None)
    for number in range(5):
        sent = witness.record_send(asked, 1_000 * number, 2_000)
        witness.record_answer(sent, Remaining(50_000 - 9_000 * number, *LIMIT), None, 1_000 * number + 500)
    assert witness.evidence.pieces == 0


@pytest.mark.parametrize(
    ("endpoint", "kind"), [("chat.completions", ReferenceKind.FILE), ("responses", ReferenceKind.TOOL)]
)
def test_files_of_a_chat_and_what_tools_find_are_no_evidence_of_what_is_charged_at_admission(
    endpoint: str, kind: ReferenceKind
) -> None:
    """Whether such files count is not known, and tools have found nothing then; by `usage` both count."""
    asked = prices(endpoint, size(), references=(Reference(ReferenceKind.FILE, b"f"), Reference(kind, b"k")))
    assert asked.unshown is not None
    witness = LawIdentification(asked, None)
    for number in range(5):
        sent = witness.disclose(witness.record_send(asked, 1_000 * number, 2_000), asked.with_input(5_000))
        witness.record_answer(
            sent, Remaining(50_000, *LIMIT), TokenUsage(asked.unshown.billed + 5_000, 0), 1_000 * number + 500
        )
    assert witness.evidence.pieces == 0


def test_where_an_operator_fixes_another_law_there_is_no_history_of_ends_to_correct() -> None:
    size_ = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
    asked = prices("responses", size_, Law.RESPONSES, (Reference(ReferenceKind.FILE, b"f"),))
    witness = LawIdentification(asked, None)
    sent = witness.disclose(witness.record_send(asked, 0, 2_000), asked.with_input(5_000))
    assert (sent.prices.tokens, sent.usage) == ((5_119,), -1)
    witness.record_answer(sent, None, TokenUsage(5_100, 70), 500)
    assert witness.outputs.reserved == 70, "they are known, whatever the law"


def test_a_charge_that_no_law_explains_tells_what_stands_for_a_cap_that_is_not_stated() -> None:
    asked = prices(CHAT, size()._replace(output_tokens_max=None), Law.DOCUMENTED)
    witness = LawIdentification(asked, None)
    assert witness.price(asked) == asked.tokens[0]
    assert witness.record_stated_charge(asked, 16_384)
    assert witness.price(asked) == 16_384
    capped = prices(CHAT, size(1), Law.DOCUMENTED)
    assert witness.price(capped) == capped.tokens[0] == 300
    assert not witness.record_stated_charge(capped, 16_384)
    assert not LawIdentification(prices(CHAT, size()), None).record_stated_charge(prices(CHAT, size()), 16_384)


def test_the_price_of_a_call_is_the_believed_laws_with_what_it_may_write() -> None:
    asked = prices(CHAT, size())  # without a cap
    unknown = LawIdentification(asked, None)
    assert unknown.price(asked) == max(asked.tokens)
    settled = LawIdentification(asked, Law.USAGE)
    settled.outputs.record(150)
    assert settled.price(asked) == asked.tokens[asked.laws.index(Law.USAGE)] + 150
    documented = LawIdentification(asked, Law.DOCUMENTED)
    documented.outputs.record(150)
    assert documented.uncapped_size() == 0
    assert documented.price(asked) == 150
    assert documented.uncapped_size() == 150


def test_a_size_of_outputs_that_admitted_calls_did_not_take_is_forgotten() -> None:
    asked = prices(CHAT, size()._replace(output_tokens_max=None), Law.DOCUMENTED)
    witness, left = LawIdentification(asked, None), 60_000
    assert witness.charges_all_input(asked)
    assert witness.record_stated_charge(asked, 16_384)
    for number in range(4):
        sent = witness.record_send(asked, 1_000 * number)
        left = min(60_000, left + 1_000) - asked.tokens[0]
        witness.record_answer(sent, Remaining(left, *LIMIT), TokenUsage(100, 0), 1_000 * number + 500)
    assert witness.price(asked) == asked.tokens[0]
