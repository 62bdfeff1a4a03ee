"""Prices of calls whose bodies do not show all: input that they only name, outputs without a cap."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Snapshot
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import PRICE_MAX, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.tariff import Tariff
from headrace.broker.core.pricing.unshown_input import FIRST_TOKENS
from tests.unit.core.specimens import verdict

CHAT, RESPONSES = "chat.completions", "responses"
MINUTE_MS = 60_000
FILE = Reference(ReferenceKind.FILE, b"12345678")
SHOWN = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
NAMED = prices(RESPONSES, SHOWN, Law.RESPONSES, (FILE,))  # 119, and the file
PLAIN = prices(RESPONSES, SHOWN, Law.RESPONSES)
REFUSED = verdict(Meaning.RATE_LIMITED)


def stating(requested: int) -> Verdict:
    return replace(REFUSED, snapshot=Snapshot(LimitMetric.TOKENS, MINUTE_MS, 60_000, 60_000, requested, None, 1_000))


def test_a_request_costs_what_its_body_only_names_too_and_at_least_what_it_shows() -> None:
    tariff = Tariff()
    assert tariff.price(NAMED) == 119 + FIRST_TOKENS[ReferenceKind.FILE]
    assert (tariff.least(NAMED), tariff.price(PLAIN)) == (119, 119)


def test_what_an_answer_was_billed_is_the_price_of_the_next_call_and_disclosed_of_its_own() -> None:
    tariff = Tariff()
    tariff.record_send(1, NAMED, 0)
    assert tariff.observe(1, verdict(), TokenUsage(7_100, 10), 500) == (None, True)
    assert tariff.disclosed == NAMED.with_input(7_000)
    assert tariff.price(NAMED) == 7_119
    assert (tariff.version, tariff.estimates_version) == (0, 1), "the calls in flight name the same file, perhaps"
    tariff.record_send(2, PLAIN, 1_000)
    tariff.observe(2, verdict(), TokenUsage(100, 10), 1_500)
    assert tariff.disclosed is None


def test_the_calls_in_flight_are_priced_again_at_most_every_two_seconds() -> None:
    tariff, versions = Tariff(), []
    for number in range(9):
        tariff.record_send(number, NAMED, 500 * number)
        tariff.observe(number, verdict(), TokenUsage(100 + 6_000 * (number + 1), 10), 500 * number)
        versions.append(tariff.estimates_version)
    assert versions == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_an_estimate_that_proves_right_prices_nothing_again() -> None:
    tariff = Tariff()
    for number in range(9):
        tariff.record_send(number, NAMED, 5_000 * number)
        tariff.observe(number, verdict(), TokenUsage(4_100, 10), 5_000 * number)
    assert tariff.estimates_version == 0


def test_an_answer_is_carried_by_the_request_that_names_it_without_what_it_reasoned() -> None:
    tariff = Tariff()
    tariff.record_send(1, PLAIN, 0)
    tariff.observe(1, verdict(), TokenUsage(100, 900, 600, b"answer-1"), 500)
    following = prices(RESPONSES, SHOWN, Law.RESPONSES, (Reference(ReferenceKind.RESPONSE, b"answer-1"),))
    assert tariff.price(following) == 119 + 400


def test_absurd_usage_teaches_what_one_call_costs_and_raises_nothing() -> None:
    tariff = Tariff()
    for number, usage in enumerate((TokenUsage(10**400, 0), TokenUsage(0, -5, 10**9), TokenUsage(-7, 10), None)):
        tariff.record_send(number, NAMED, 0)
        tariff.observe(number, verdict(), usage, 0)
        assert 119 <= tariff.price(NAMED) <= PRICE_MAX
    assert tariff.price(PLAIN) == 119


def test_a_refusal_tells_the_surplus_of_its_own_call_and_is_no_measure_of_others() -> None:
    tariff = Tariff()
    tariff.record_send(1, NAMED, 0)
    assert tariff.observe(1, stating(9_119), None, 500) == (None, True)
    assert tariff.price(NAMED) == 9_119
    for attempt, requested in ((2, 119), (3, 7)):
        tariff.record_send(attempt, NAMED, 0)
        assert tariff.observe(attempt, stating(requested), None, 500) == (None, True)
    assert tariff.price(NAMED) == 9_119, "a cap may hide what is not shown"
    of_any_law = prices(RESPONSES, SHOWN, None, (FILE,))
    unknown = Tariff()
    unknown.record_send(1, of_any_law, 0)
    unknown.observe(1, stating(9_119), None, 500)
    assert unknown.price(of_any_law) == max(of_any_law.tokens) + FIRST_TOKENS[ReferenceKind.FILE]


def test_a_stated_charge_of_a_call_with_unshown_input_is_held_against_what_it_was_billed() -> None:
    asked, tariff = prices(RESPONSES, SHOWN, None, (FILE,)), Tariff()
    tariff.record_send(1, asked, 0)
    tariff.observe(1, replace(verdict(), charge=7_119), TokenUsage(7_100, 10), 500)
    assert tariff.laws() == {RESPONSES: Law.RESPONSES}
    chat, of_chat = prices(CHAT, SHOWN, None, (FILE,)), Tariff()
    of_chat.record_send(1, chat, 0)
    of_chat.observe(1, replace(verdict(), charge=102), TokenUsage(7_100, 10), 500)
    assert of_chat.laws() == {}, "whether files count there is not known"


def test_a_size_learned_for_outputs_without_a_cap_changes_prices_but_not_the_law() -> None:
    uncapped, tariff = prices(CHAT, SHOWN, Law.DOCUMENTED), Tariff()
    assert tariff.price(uncapped) == 101
    tariff.record_send(1, uncapped, 0)
    assert tariff.observe(1, stating(16_384), None, 500) == (16_384, True)
    assert tariff.price(uncapped) == 16_384
    assert (tariff.version, tariff.estimates_version, tariff.law_version) == (1, 0, 0)
