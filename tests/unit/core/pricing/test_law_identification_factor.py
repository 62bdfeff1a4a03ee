"""A server that charges what a law says, times a factor of its own."""

import pytest

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from headrace.broker.core.pricing.law_identification import LawIdentification, Remaining, Sent, TokenUsage
from headrace.broker.core.pricing.laws import Prices, RequestSize
from headrace.broker.core.pricing.laws import prices as priced
from headrace.broker.core.units import PPM
from tests.unit.core.pricing.charging import CHAT

TIMES = 1.43
LEGACY = ENDPOINT_TABLE[CHAT].laws.index(Law.CHAT_LEGACY)


def prices(number: int, *, cap: int | None = 300) -> Prices:
    """Each call is 100 tokens of text longer than the one before."""
    text = 400 * (number + 1)
    size = RequestSize(text, 1, 1, 0, cap, 40 + text // 4, function_tools=False, embedding_tokens=None)
    return priced(CHAT, size)


def refused(witness: LawIdentification, number: int, now_ms: int | None = None) -> bool:
    asked = prices(number)
    sent = witness.record_send(asked, 1_000 * number if now_ms is None else now_ms)
    witness.record_refusal(sent, charged=False)
    return witness.record_stated_charge(asked, round(asked.tokens[LEGACY] * TIMES))


def test_refusals_that_name_their_charges_show_the_law_and_its_factor() -> None:
    witness = LawIdentification(prices(0), None)
    assert [refused(witness, number) for number in (1, 3, 5, 6)] == [False, False, True, True]
    assert witness.evidence.believed is Law.CHAT_LEGACY
    asked = prices(2)
    assert witness.price(asked) == pytest.approx(asked.tokens[LEGACY] * TIMES, abs=2)
    assert witness.least(asked) == asked.tokens[LEGACY], "no other law is possible, but the factor may hold no more"
    before = LawIdentification(prices(0), None)
    assert (before.price(asked), before.least(asked)) == (max(asked.tokens), min(asked.tokens))


def test_before_any_law_is_believed_the_dearest_has_the_factor() -> None:
    asked = prices(2)
    witness = LawIdentification(asked, None, factor_ppm=2 * PPM)
    assert witness.price(asked) == 2 * max(asked.tokens)
    place = asked.laws.index(Law.USAGE)
    assert witness.least(asked) == min(asked.tokens)
    small = LawIdentification(asked, None, factor_ppm=PPM // 2)
    assert small.least(asked) == min(asked.tokens[place], -(-min(asked.tokens) // 2))


def test_answers_after_that_fit_and_so_do_those_of_calls_sent_before() -> None:
    witness, level, now_ms = LawIdentification(prices(0), None), 50_000, 0

    def begin(number: int) -> tuple[Sent, Remaining]:
        nonlocal level, now_ms
        asked = prices(number)
        sent = witness.record_send(asked, now_ms)
        level -= round(asked.tokens[LEGACY] * TIMES)
        remaining = Remaining(level, 60_000, 60_000)
        level, now_ms = level + 1_000, now_ms + 1_000
        return sent, remaining

    for number in range(4):
        witness.record_answer(*begin(number), None, now_ms)
    early, shown = begin(7)
    for number in (1, 3, 5):
        refused(witness, number, now_ms)
    witness.record_answer(early, shown, None, now_ms + 500)
    assert witness.errors[-1] == 0
    for number in range(10):
        witness.record_answer(*begin(number), None, now_ms + 500)
        assert (witness.evidence.believed, witness.errors[-1]) == (Law.CHAT_LEGACY, 0)


def test_a_call_without_a_cap_on_its_output_shows_no_factor() -> None:
    witness = LawIdentification(prices(0), None)
    for number in (0, 3, 6, 9):
        asked = prices(number, cap=None)
        assert asked.uncapped
        witness.record_stated_charge(asked, round(asked.tokens[LEGACY] * TIMES))
    assert witness.factor_ppm == PPM


def test_usage_has_no_factor() -> None:
    witness = LawIdentification(prices(0), Law.USAGE, factor_ppm=2 * PPM)
    asked = prices(2)
    place = asked.laws.index(Law.USAGE)
    assert witness.price(asked) == asked.tokens[place] + witness.outputs.of(asked.template).reserved
    for number in (1, 2, 4, 5):
        asked, usage = prices(number), TokenUsage(200, 50 * number)
        witness.record_stated_charge(asked, 250 + 50 * number, usage)
    assert witness.factor_ppm == 2 * PPM
