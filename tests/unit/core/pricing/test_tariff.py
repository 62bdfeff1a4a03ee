from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import Remaining, TokenUsage
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.tariff import LawStatus, Tariff
from tests.unit.core.specimens import verdict

CHAT, RESPONSES = "chat.completions", "responses"
SIZE = RequestSize(400, 1, 1, 0, 300, 107, function_tools=False, embedding_tokens=None)
ASKED = prices(CHAT, SIZE)  # 401, 300, 102 and 107


def by(law: Law, asked: Prices = ASKED) -> int:
    return asked.tokens[asked.laws.index(law)]


def answered(tariff: Tariff, attempt: int, remaining: int, *, asked: Prices = ASKED, output: int = 0) -> None:
    now_ms = 1_000 * attempt
    tariff.record_send(attempt, asked, now_ms)
    usage = TokenUsage(107, output) if output else None
    tariff.record_answer(attempt, Remaining(remaining, 60_000, 60_000), usage, now_ms + 500)


def test_before_any_evidence_a_call_costs_what_the_dearest_law_says_and_at_least_what_the_cheapest_does() -> None:
    assert Tariff().price(ASKED) == 401
    assert Tariff().least(ASKED) == 102


def test_an_answer_that_supports_a_law_changes_prices_and_the_version() -> None:
    tariff = Tariff()
    answered(tariff, 1, 60_000 - 300)
    assert (tariff.price(ASKED), tariff.least(ASKED), tariff.version) == (300, 102, 1)
    answered(tariff, 2, 60_000 - 300)
    assert (tariff.price(ASKED), tariff.least(ASKED), tariff.version) == (300, 107, 1), "nothing was said of usage"


def test_whenever_a_call_may_cost_less_or_more_at_least_there_are_other_doubts() -> None:
    tariff = Tariff()
    tariff.least(ASKED)
    known = tariff.doubts
    answered(tariff, 1, 60_000 - 300)
    answered(tariff, 2, 60_000 - 300)
    assert (tariff.least(ASKED), tariff.doubts > known) == (107, True)
    known = tariff.doubts
    answered(tariff, 3, 60_000 - 300)
    assert tariff.doubts == known, "no law more was refuted"
    tariff.least(prices(RESPONSES, SIZE))
    assert tariff.doubts > known, "an endpoint that nobody has asked for before"


def test_a_refusal_that_names_its_charge_says_whether_a_law_explains_it() -> None:
    tariff = Tariff()
    for attempt, (requested, explained) in enumerate(((None, True), (401, True), (5_000, False))):
        tariff.record_send(attempt, ASKED, 0)
        assert tariff.record_refusal(attempt, requested) is explained
        assert tariff.price(ASKED) == 401


def test_each_endpoint_has_its_own_law_and_their_calls_disturb_each_other() -> None:
    tariff = Tariff()
    other = prices(RESPONSES, SIZE)
    answered(tariff, 1, 60_000 - 300)
    answered(tariff, 2, 60_000 - by(Law.RESPONSES, other), asked=other)
    assert tariff.laws() == {CHAT: Law.DOCUMENTED, RESPONSES: Law.RESPONSES}
    version = tariff.version
    for attempt in range(3, 23, 2):
        answered(tariff, attempt, 20_000 + 7 * attempt, asked=other)
        answered(tariff, attempt + 1, 20_000 + 7 * attempt - 5_000)
    assert tariff.laws() == {CHAT: Law.DOCUMENTED, RESPONSES: Law.RESPONSES}
    assert tariff.version == version


def test_a_successor_begins_with_the_laws_that_were_believed() -> None:
    tariff = Tariff({CHAT: Law.DOCUMENTED, "embeddings": Law.USAGE})
    assert tariff.price(ASKED) == 300
    assert tariff.least(ASKED) == 102, "others may hold all the same"
    assert tariff.laws() == {CHAT: Law.DOCUMENTED, "embeddings": Law.USAGE}
    assert tariff.version == 0


def test_a_law_that_nobody_doubts_is_not_handed_on() -> None:
    tariff = Tariff()
    flat = Prices.flat(400)
    assert (tariff.price(flat), tariff.least(flat), tariff.laws()) == (400, 400, {})


def test_usage_holds_the_output_of_calls_in_flight() -> None:
    tariff = Tariff({CHAT: Law.USAGE})
    assert (tariff.price(ASKED), tariff.outstanding()) == (107, 0)
    answered(tariff, 1, 20_000, output=400)
    assert (tariff.price(ASKED), tariff.version) == (507, 1)
    tariff.record_send(2, ASKED, 9_000)
    tariff.record_send(3, ASKED, 9_000)
    assert tariff.outstanding() == 800
    tariff.record_loss(2)
    assert tariff.outstanding() == 400


def test_usage_holds_as_much_as_the_outputs_of_the_calls_own_templates_take() -> None:
    tariff, sorts = Tariff({CHAT: Law.USAGE}), replace(ASKED, template=b"sorts...")
    for number in range(10):
        tariff.record_send(number, sorts if number % 2 else ASKED, 0)
        tariff.record_answer(number, None, TokenUsage(107, 20 if number % 2 else 400), 500)
    version = tariff.version
    assert [tariff.price(each) for each in (ASKED, sorts)] == [507, 127]
    tariff.record_send(11, sorts, 9_000)
    tariff.record_send(12, ASKED, 9_000)
    assert (tariff.outstanding(), tariff.version) == (420, version)
    tariff.record_refusal(11, None)
    assert tariff.outstanding() == 400


def test_other_laws_hold_nothing_for_outputs() -> None:
    tariff = Tariff({CHAT: Law.DOCUMENTED})
    answered(tariff, 1, 60_000 - 300, output=400)
    tariff.record_send(2, ASKED, 9_000)
    assert (tariff.price(ASKED), tariff.outstanding(), tariff.version) == (300, 0, 0)


def test_what_is_shown_of_a_law_is_its_support_and_its_median_error() -> None:
    tariff = Tariff()
    tariff.price(ASKED)
    assert tariff.law_statuses() == (LawStatus(CHAT, None, False, 0, None, (), 0),)
    answered(tariff, 1, 60_000 - 300)
    tariff.record_send(2, ASKED, 2_000)
    tariff.record_refusal(2, 305)
    assert tariff.law_statuses() == (LawStatus(CHAT, Law.DOCUMENTED, True, 2, -5, (0, -5), 2, 300),), (
        "the refused one took nothing"
    )


def heard(tariff: Tariff, verdict: Verdict) -> tuple[int | None, bool]:
    tariff.record_send(1, ASKED, 0)
    return tariff.observe(1, verdict, None, 500)


def test_a_good_answer_says_what_remained_and_a_failed_one_nothing() -> None:
    tariff = Tariff()
    assert heard(tariff, verdict(Meaning.UPSTREAM_ERROR, remaining=60_000 - 300)) == (None, True)
    assert tariff.price(ASKED) == 401
    assert heard(tariff, verdict()) == (None, True)
    assert tariff.price(ASKED) == 401
    assert heard(tariff, verdict(remaining=60_000 - 300)) == (None, True)
    assert tariff.price(ASKED) == 300


def test_a_refusal_names_a_charge_of_tokens_or_none() -> None:
    assert heard(Tariff(), verdict(Meaning.RATE_LIMITED, requested=300)) == (300, True)
    assert heard(Tariff(), verdict(Meaning.TOO_LARGE, requested=9_000)) == (9_000, False)
    assert heard(Tariff(), verdict(Meaning.RATE_LIMITED, requested=1, metric=LimitMetric.REQUESTS)) == (None, True)
    assert heard(Tariff(), verdict(Meaning.RATE_LIMITED)) == (None, True)


def test_headers_of_other_limits_alone_say_nothing_of_tokens() -> None:
    requests = Reading(LimitMetric.REQUESTS, 500, 499, 60_000)
    tariff = Tariff()
    assert heard(tariff, replace(verdict(), readings=(requests,))) == (None, True)
    assert tariff.law_statuses()[0].pieces == 0


def test_headers_that_leave_out_the_period_are_read_by_the_last_that_told_it() -> None:
    tariff = Tariff(period_ms=1)
    for attempt, (now_ms, remaining, period_ms) in enumerate(((0, 20_000, 60_000), (1_000, 20_700, None)), start=1):
        tariff.record_send(attempt, ASKED, now_ms)
        readings = (Reading(LimitMetric.TOKENS, 60_000, remaining, period_ms),)
        tariff.observe(attempt, replace(verdict(), readings=readings), None, now_ms + 500)
    assert tariff.laws() == {CHAT: Law.DOCUMENTED}


def test_what_calls_have_been_charged_is_reckoned_by_the_law_that_is_believed_now() -> None:
    tariff = Tariff()
    tariff.record_send(1, ASKED, 0)
    assert tariff.law_statuses()[0].charged_tokens == 401, "the dearest, while nothing is known"
    tariff.record_loss(1)
    answered(tariff, 2, 60_000 - 300)
    assert tariff.law_statuses()[0].charged_tokens == 600, "what was lost may have been taken"
    tariff.record_send(3, ASKED, 9_000)
    tariff.record_refusal(3, None)
    assert tariff.law_statuses()[0].charged_tokens == 600


def test_under_usage_what_an_answer_reports_is_what_its_call_was_charged() -> None:
    tariff = Tariff({CHAT: Law.USAGE, RESPONSES: Law.USAGE})
    tariff.record_send(1, ASKED, 0)
    tariff.record_answer(1, None, TokenUsage(110, 40), 500)
    tariff.record_send(2, prices(RESPONSES, SIZE), 600)
    tariff.record_answer(2, None, TokenUsage(107, 500), 900)
    assert {each.endpoint: each.charged_tokens for each in tariff.law_statuses()} == {CHAT: 150, RESPONSES: 607}


def test_only_an_endpoint_that_is_believed_to_settle_does() -> None:
    tariff = Tariff({CHAT: Law.USAGE})
    assert not tariff.settles(CHAT), "nobody has called it yet"
    assert not tariff.settles_any
    answered(tariff, 1, 20_000, output=400)
    tariff.price(prices(RESPONSES, SIZE))
    assert (tariff.settles(CHAT), tariff.settles(RESPONSES)) == (True, False)
    assert tariff.settles_any


def test_headers_that_came_before_the_answer_speak_of_the_admission_alone() -> None:
    tariff = Tariff()
    level, now_ms = 20_000, 0
    for attempt, output in enumerate((150, 400, 90, 700, 250, 330)):
        tariff.record_send(attempt, ASKED, now_ms)
        level -= 107
        fine = Verdict(Meaning.OK, False, None, (Reading(LimitMetric.TOKENS, 60_000, level, 60_000),), None, False, "")
        level, now_ms = level - output + 1_000, now_ms + 1_000
        tariff.observe(attempt, replace(fine, early=True), TokenUsage(107, output), now_ms)
    (standing,) = tariff.law_statuses()
    assert (standing.law, standing.identified, set(standing.errors)) == (Law.USAGE, True, {0})


def test_what_a_call_in_flight_took_at_least_is_told_until_its_answer_has_come() -> None:
    tariff = Tariff()
    tariff.record_send(7, ASKED, 0)
    assert tariff.least_of(7) == tariff.least(ASKED) == 102


def charged(tariff: Tariff, attempt: int, charge: int, *, usage: TokenUsage | None, early: bool = False) -> None:
    now_ms = 1_000 * attempt
    tariff.record_send(attempt, ASKED, now_ms)
    answered = replace(verdict(), charge=charge, early=early)
    assert tariff.observe(attempt, answered, usage, now_ms + 500) == (None, True)


def test_a_charge_that_an_answer_states_is_exact_evidence() -> None:
    tariff = Tariff()
    charged(tariff, 1, 300, usage=TokenUsage(107, 55))
    assert (tariff.laws(), tariff.version) == ({CHAT: Law.DOCUMENTED}, 1)


def test_a_stated_charge_of_input_and_output_is_the_law_that_settles_at_the_end() -> None:
    """Recorded of Mistral: `x-ratelimit-tokens-query-cost` is the answer's total."""
    tariff = Tariff()
    for attempt, output in enumerate((55, 40, 90), start=1):
        charged(tariff, attempt, 107 + output, usage=TokenUsage(107, output))
    assert tariff.laws() == {CHAT: Law.USAGE}


def test_a_stated_charge_that_is_no_ones_law_leaves_the_recorded_one() -> None:
    """Recorded of Mistral in 2024: some 32,000 for an output whose cap the request did not state."""
    tariff = Tariff()
    for attempt in range(1, 20):
        charged(tariff, attempt, 32_021, usage=TokenUsage(26, 4))
    assert tariff.price(ASKED) == by(Law.CHAT_2025)


def test_a_charge_without_usage_or_before_the_answers_end_is_no_evidence() -> None:
    tariff = Tariff()
    charged(tariff, 1, 300, usage=None)
    charged(tariff, 2, 300, usage=TokenUsage(107, 55), early=True)
    assert (tariff.laws(), tariff.version) == ({}, 0)


MINUTE_MS = 60_000
SLIDING, BUCKET = RefillPattern(Refill.SLIDING, MINUTE_MS), RefillPattern(Refill.BUCKET, MINUTE_MS)


def counted(mark_ms: int) -> RefillPattern:
    return RefillPattern(Refill.FIXED, MINUTE_MS, mark_ms)


def test_what_was_taken_for_evidence_is_forgotten_when_headers_show_a_window() -> None:
    tariff = Tariff()
    answered(tariff, 1, 60_000 - 300)
    assert (tariff.price(ASKED), tariff.version) == (300, 1)
    tariff.refill_by(counted(50_000))
    assert (tariff.price(ASKED), tariff.version) == (by(Law.CHAT_2025), 2)


def test_another_mark_of_the_same_window_or_a_bucket_forgets_nothing() -> None:
    for patterns in ((BUCKET, RefillPattern(Refill.BUCKET, 1_000)), (counted(50_000), counted(110_000))):
        tariff = Tariff()
        tariff.refill_by(patterns[0])
        answered(tariff, 1, 60_000 - 300)
        tariff.refill_by(patterns[0])
        tariff.refill_by(patterns[1])
        assert (tariff.price(ASKED), tariff.version) == (300, 1)


@pytest.mark.parametrize(
    ("pattern", "is_kept"),
    [
        (RefillPattern(Refill.FIXED, 2_000, 500), True),
        (RefillPattern(Refill.FIXED, 1_000, 500), False),
        (BUCKET, False),
    ],
)
def test_evidence_that_held_for_any_short_window_holds_for_the_one_that_is_found(
    pattern: RefillPattern,
    is_kept: bool,  # noqa: FBT001
) -> None:
    """Before: another law was believed then, by whose charges the window seemed to be none (seed 91246)."""
    tariff = Tariff()
    tariff.refill_by(RefillPattern(Refill.SLIDING, 2_000, loose=True))
    answered(tariff, 1, 60_000 - 300)
    tariff.refill_by(pattern)
    assert (tariff.price(ASKED) == 300) is is_kept


def test_another_window_or_none_does() -> None:
    for pattern in (SLIDING, BUCKET, RefillPattern(Refill.FIXED, 1_000, 50_000)):
        tariff = Tariff()
        tariff.refill_by(counted(50_000))
        answered(tariff, 1, 60_000 - 300)
        tariff.refill_by(pattern)
        assert tariff.price(ASKED) == by(Law.CHAT_2025)


def test_an_endpoint_that_is_called_first_later_refills_by_what_is_known() -> None:
    """Two calls to a counter, into which nothing flows."""
    tariff = Tariff()
    tariff.refill_by(counted(50_000))
    answered(tariff, 1, 20_000)
    answered(tariff, 2, 20_000 - 300)
    assert tariff.laws() == {CHAT: Law.DOCUMENTED}


def test_the_period_that_a_level_would_have_in_a_bucket_is_none_of_a_window() -> None:
    """Before: it was another one for each answer, so no two of them were compared and no law was found (seed 1813)."""
    tariff = Tariff()
    tariff.refill_by(counted(50_000))
    for attempt, remaining in enumerate((20_000, 20_000 - 300), start=1):
        tariff.record_send(attempt, ASKED, 1_000 * attempt)
        shown = Reading(LimitMetric.TOKENS, 60_000, remaining, 70_000 + 10_000 * attempt)
        tariff.observe(attempt, replace(verdict(), readings=(shown,)), None, 1_000 * attempt + 500)
    assert tariff.laws() == {CHAT: Law.DOCUMENTED}


def test_a_sliding_window_shows_nothing_while_calls_of_others_expire_in_it() -> None:
    for tariff, learns in ((Tariff(), True), (Tariff({}), False)):
        tariff.refill_by(SLIDING)
        answered(tariff, 1, 20_000)
        answered(tariff, 2, 20_000 - 300)
        assert (tariff.laws() == {CHAT: Law.DOCUMENTED}) is learns, "a predecessor's calls are not known"
    tariff = Tariff()
    tariff.refill_by(SLIDING)
    answered(tariff, 1, 30_000, asked=prices(RESPONSES, SIZE))
    for attempt in (2, 3):
        answered(tariff, attempt, 20_000 - 300 * attempt)
    assert CHAT not in tariff.laws(), "nor are those of another endpoint"


def test_a_factor_that_refusals_show_changes_prices_and_is_handed_on() -> None:
    tariff = Tariff()
    for attempt, longer in enumerate((0, 150, 400)):
        asked = prices(CHAT, SIZE._replace(content_bytes=400 + 4 * longer))
        tariff.record_send(attempt, asked, 1_000 * attempt)
        tariff.record_refusal(attempt, round(1.4 * by(Law.CHAT_2025, asked)))
    assert (tariff.version, tariff.law_version) == (2, 2), "the recorded law is believed first, then the factor"
    assert tariff.price(ASKED) == 143
    [factor] = tariff.factors().values()
    successor = Tariff(tariff.laws(), factors=tariff.factors())
    assert (successor.price(ASKED), successor.factors()) == (143, {CHAT: factor})
    assert Tariff({CHAT: Law.CHAT_2025}).factors() == {}
    assert Tariff({}, factors={RESPONSES: factor}).factors() == {RESPONSES: factor}, "of an endpoint not called since"


def test_of_a_window_that_is_known_all_levels_are_of_its_period_whatever_each_reset_makes_of_it() -> None:
    """Before: each answer of a counter seemed to be of another limit, and what remained of the former was forgotten."""
    tariff = Tariff()
    tariff.refill_by(RefillPattern(Refill.TWO, 10_000, 5_000))
    told = [
        tariff._remaining(replace(verdict(), readings=(Reading(LimitMetric.TOKENS, 60_000, 20_000, period_ms),)))
        for period_ms in (60_000, 234_113, None)
    ]
    assert told == [Remaining(20_000, 60_000, 10_000)] * 3
