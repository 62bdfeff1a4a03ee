"""How answers identify the law of a charge, and what their headers lack."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS, DELAY_MIN_MS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, SETTINGS, answer, full, low, refusal

CHAT = Prices("chat.completions", (Law.CHAT_LEGACY, Law.CHAT_2025), (680, 400))


def identifying(*, laws: dict[str, Law] | None = None) -> Budget:
    levels = (KEY,)
    return Budget(
        SETTINGS, 0, Checkpoint(SETTINGS.name, 0, levels, 0, 0, PPM, laws or {}, tolerated_burst_tokens=60_000)
    )


def test_a_law_that_an_answer_supports_reprices_the_calls_on_their_way() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_LEGACY})
    for attempt in range(3):
        budget.reserve(attempt, 680, 0, prices=CHAT)
    budget.record_answer(0, 500, answer((60_000, 59_600, "400ms")))
    assert budget.tariff.price(CHAT) == 400
    assert low(budget, 500) == 59_600 - 2 * (400 + ROUNDING_TOKENS)
    assert budget.checkpoint(500).laws == {"chat.completions": Law.CHAT_2025}


def test_a_charge_that_a_law_explains_changes_the_law_and_needs_no_markup() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    for attempt in range(3):
        budget.reserve(attempt, 400, 0, prices=CHAT)
    budget.record_answer(0, 0, refusal(used=50_000, requested=680, wait="1ms"))
    assert (budget.tariff.price(CHAT), budget.checkpoint(0).markup_ppm) == (680, PPM)
    assert low(budget) == 10_000 - 2 * (680 + ROUNDING_TOKENS)


def test_a_law_that_is_believed_from_now_on_lets_limits_be_what_its_predecessor_disproved() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    for attempt in range(3):
        budget.reserve(attempt, 400, 0, prices=CHAT)
    budget.record_answer(0, 0, answer((60_000, 59_600, "400ms")))
    (header,) = budget._buckets._shown._headers.values()
    header.evidence.rule_out(Refill.FIXED)
    budget.record_answer(1, 0, refusal(used=50_000, requested=400, wait="1ms"))
    assert header.evidence._ruled_out
    budget.record_answer(2, 0, refusal(used=50_000, requested=680, wait="1ms"))
    assert not header.evidence._ruled_out


def test_a_law_that_explains_a_charge_ends_the_markup_of_one_that_did_not() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    for attempt, requested in enumerate((500, 680)):
        budget.reserve(attempt, 400, 2_000 * attempt, prices=CHAT)
        budget.record_answer(attempt, 2_000 * attempt, refusal(used=50_000, requested=requested, wait="1ms"))
        assert budget.checkpoint(0).markup_ppm == (1_250_000 if requested == 500 else PPM)


def test_headers_of_a_limit_that_settles_at_the_end_still_hold_the_outputs_of_calls_in_flight() -> None:
    usage = Prices("chat.completions", (Law.USAGE,), (100,))
    budget = identifying()
    for attempt in range(3):
        budget.reserve(attempt, budget.tariff.price(usage), 0, prices=usage)
    budget.record_answer(0, 2_000, answer((60_000, 50_000, "10s")), TokenUsage(100, 300))
    assert budget.tariff.price(usage) == 400
    assert budget.levels(2_000)[0].high <= 50_000 - 2 * 300 + 2_000 + 1


@pytest.mark.parametrize(("seconds", "kept"), [(1, 15_000), (10, 15_000), (60, 18_000)])
def test_of_a_short_limit_no_more_than_a_quarter_is_kept_for_outputs(seconds: int, kept: int) -> None:
    """It refills while they last. Before, a bucket of a second was kept full for calls of seconds (seed 92315)."""
    budget = identifying()
    for calls, now_ms, left in ((1, 0, 54_000), (61, 20, 30_000)):
        shown = answer((60_000, left, f"{(60_000 - left) * seconds // 60}ms"))
        shown = replace(shown, readings=tuple(replace(each, period_ms=1_000 * seconds) for each in shown.readings))
        for attempt in range(calls, 2 * calls):
            budget.reserve(attempt, budget.tariff.price(USAGE), now_ms, prices=USAGE)
        budget.record_answer(calls, now_ms + 20, shown, TokenUsage(100, 300))
    (level,) = [each for each in budget.levels(40) if each.period_ms == 1_000 * seconds]
    assert 30_000 - level.high == pytest.approx(kept, abs=1_500)


USAGE = Prices("chat.completions", (Law.USAGE,), (100,))


def settling(*, known: bool = True) -> Budget:
    """Outputs of 300 are taken when calls end, and that is known."""
    budget = identifying() if known else Budget(LimitBeliefs("m", None, None), 0, None)
    budget.reserve(0, 100, 0, prices=USAGE)
    told = answer((60_000, 59_600, "400ms")) if known else answer()
    budget.record_answer(0, 1_000, told, TokenUsage(100, 300))
    return budget


def early(remaining: int) -> Verdict:
    return replace(answer((60_000, remaining, "10s")), early=True)


def test_a_streams_headers_lack_the_outputs_of_all_that_were_in_flight_when_it_left_its_own_included() -> None:
    budget = settling()
    for attempt in (1, 2):
        budget.reserve(attempt, 400, 2_000, prices=USAGE)
    budget.record_answer(1, 3_000, Verdict(Meaning.UPSTREAM_ERROR, True, None, (), None, True, ""))
    budget.record_answer(2, 3_000, early(50_000), TokenUsage(100, 300))
    level = budget.levels(3_000)[0].high
    assert 50_000 - 2 * 300 + 1_000 <= level <= 50_000 - 2 * 300 + 1_000 + 1, "and a second has flowed in since"


def test_a_stream_that_left_before_anybody_knew_of_outputs_lacks_as_much_as_is_in_flight_now() -> None:
    budget = identifying()
    for attempt in (1, 2, 3):
        budget.reserve(attempt, 100, 0, prices=USAGE)
    budget.record_answer(1, 1_000, early(50_000), TokenUsage(100, 300))
    assert budget.levels(1_000)[0].high <= 50_000 - 2 * 300 + 1_000 + 1


def test_a_whole_answers_headers_have_in_them_what_flowed_in_while_it_was_written() -> None:
    budget = settling()
    budget.reserve(1, 400, 2_000, prices=USAGE)
    budget.record_answer(1, 12_000, answer((60_000, 30_000, "30s")), TokenUsage(100, 300))
    assert budget.levels(12_000)[0].high <= 30_000 + DELAY_MAX_MS + 1, "not ten seconds' worth more"
    budget.reserve(2, 400, 13_000, prices=USAGE)
    budget.reserve(3, 20_000, 13_500, stated=True, prices=Prices.flat(20_000))
    budget.record_answer(2, 23_000, answer((60_000, 20_000, "40s")), TokenUsage(100, 300))
    after = budget.levels(23_000)[0]
    assert after.high <= 20_000 + 2 * DELAY_MAX_MS
    assert after.low >= 20_000 + 10_000 - 20_000 - DELAY_MAX_MS, "what was sent meanwhile is taken off once, not twice"


def test_where_no_bucket_is_known_a_whole_answer_lacks_nothing_that_flowed_in() -> None:
    budget = settling(known=False)
    budget.reserve(1, 400, 2_000, prices=USAGE)
    budget.record_answer(1, 9_000, answer((60_000, 50_000, "10s")), TokenUsage(100, 300))
    assert budget.levels(9_000)[0].capacity == 60_000


def test_headers_that_nobody_can_date_refill_in_the_period_that_is_known() -> None:
    budget = Budget(LimitBeliefs("m", None, None), 0, None)
    budget.reserve(1, 680, 0, prices=CHAT)
    budget.record_answer(1, 500, answer((60_000, 59_600, "")))
    assert budget.tariff.laws() == {"chat.completions": Law.CHAT_2025}
    budget.reserve(2, 400, 600, prices=CHAT)
    budget.record_answer(2, 900, answer((60_000, 59_600, "")))
    assert budget.tariff.law_statuses()[0].error_tokens == 0


def test_before_the_first_answer_a_quarter_of_a_configured_limit_is_spent_and_others_share_of_it_is_kept() -> None:
    budget = Budget(SETTINGS, 0, None)
    now, sent = 0, 0
    for reserved_ppm, most in ((50_000, 12), (0, 15)):
        while (at := budget.payable_at(1_000, now, reserved_ppm=reserved_ppm)) is not None:
            now = at
            budget.reserve(sent, 1_000, now)
            sent += 1
        assert sent == most
    budget.record_answer(0, now, answer((60_000, 20_000, "40s")))
    assert budget.payable_at(1_000, now) is not None


@pytest.mark.slow
def test_a_surprise_larger_than_any_way_is_put_down_to_others_and_a_small_one_to_the_way() -> None:
    for remaining, way_ms in ((40_000, DELAY_MIN_MS), (59_400, 2 * DELAY_MIN_MS)):
        budget = full()
        now = 0
        for attempt in range(600):
            now += 2_000
            budget.reserve(attempt, 400, now)
            budget.record_answer(attempt, now, answer((60_000, 59_600, "400ms")))
        assert budget.learned_limits().admission_delay_ms == DELAY_MIN_MS
        budget.reserve(1_000, 400, now)
        budget.record_answer(1_000, now, answer((60_000, remaining - 400, f"{60_400 - remaining}ms")))
        assert budget.learned_limits().admission_delay_ms == 2 * DELAY_MIN_MS
        for attempt in range(2_000, 2_600):
            now += 60_000
            budget.reserve(attempt, 400, now)
            budget.record_answer(attempt, now, answer((60_000, 59_600, "400ms")))
        assert budget.learned_limits().admission_delay_ms == way_ms


def test_a_delay_comes_down_again_once_calls_have_other_prices() -> None:
    """Before: what a wrong law had missed passed for a delay of a second, for an hour."""
    budget = identifying(laws={"chat.completions": Law.CHAT_LEGACY})
    budget._calibration._delay.record_shortfall()
    assert budget._calibration._delay._shortest_ms > DELAY_MIN_MS
    for attempt in range(3):
        budget.reserve(attempt, 680, 0, prices=CHAT)
    budget.record_answer(0, 500, answer((60_000, 59_600, "400ms")))
    budget.record_answer(1, 600, answer((60_000, 59_200, "400ms")))
    assert budget._calibration._delay._shortest_ms == DELAY_MIN_MS


def test_what_recent_calls_pay_now_is_told_as_a_part_of_what_they_paid() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_LEGACY})
    for attempt in range(3):
        budget.reserve(attempt, 680, 0, prices=CHAT)
    budget.record_answer(0, 500, answer((60_000, 59_600, "400ms")))
    assert budget._calibration.repriced_ppm == 400 * PPM // 680
    budget.record_answer(1, 600, answer((60_000, 59_200, "400ms")))
    assert budget._calibration.repriced_ppm == PPM, "no price has changed since"


def test_a_markup_reprices_as_well_as_a_law() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_2025})
    budget.reserve(0, 400, 0, prices=CHAT)
    budget.record_answer(0, 0, refusal(used=50_000, requested=500, wait="1ms"))
    assert budget._calibration.repriced_ppm == 1_250_000
    budget.reserve(1, 400, 2_000, prices=CHAT)
    budget.record_answer(1, 2_000, refusal(used=50_000, requested=680, wait="1ms"))
    assert budget.tariff.price(CHAT) == 680
    assert budget._calibration.repriced_ppm == 680 * PPM // 500


def test_without_a_recent_call_that_was_charged_no_price_changes_anything() -> None:
    budget = identifying(laws={"chat.completions": Law.CHAT_LEGACY})
    for attempt in range(2):
        budget.reserve(attempt, 680, 0, prices=CHAT)
    budget.abandon(0, 0, sent=False)
    budget._sends.strike(1)
    budget.record_answer(1, 500, answer((60_000, 59_600, "400ms")))
    assert budget.tariff.price(CHAT) == 400
    assert budget._calibration.repriced_ppm == PPM
