import pytest

from headrace.broker.spending.advice.finding import SavingEffect, Waste
from headrace.schemas.outcome import Cost
from tests.unit.spending.advice.made import advised, answered, asked, only


def test_answers_that_are_cut_off_are_counted_with_what_they_cost() -> None:
    outcomes = [answered(n, finish="length" if n < 20 else "stop") for n in range(100)]
    found = only(advised(outcomes), Waste.CUT_OFF)
    assert (found.tokens_a_day, found.effect) == (20 * 1_200, SavingEffect.IN_VAIN)
    assert found.micro_usd_a_day == pytest.approx(20 * (1_000 * 2.5 + 200 * 10))
    assert "max_completion_tokens" in found.how


def test_the_cap_that_cut_answers_off_is_named_as_the_requests_name_it() -> None:
    outcomes = [answered(n, finish="length") for n in range(30)]
    found = only(advised(outcomes, [asked(n, f"lead {n}", max_tokens=200) for n in range(30)]), Waste.CUT_OFF)
    assert found.how.startswith("Raise max_tokens,")
    assert found.evidence["usual_cap"] == 200


def test_few_answers_that_are_cut_off_are_no_finding() -> None:
    assert advised([answered(n, finish="length" if n < 4 else "stop") for n in range(100)]) == []


def test_paid_calls_past_their_deadline_are_found_even_if_their_requests_failed() -> None:
    outcomes = [answered(n) for n in range(90)]
    outcomes += [answered(n, status="failed", reason="deadline_exceeded") for n in range(90, 110)]
    found = only(advised(outcomes), Waste.LATE)
    assert found.tokens_a_day == 20 * 1_200


def test_a_call_past_its_deadline_without_usage_is_told_but_not_counted() -> None:
    outcomes = [answered(n) for n in range(90)]
    outcomes += [answered(n, status="failed", reason="deadline_exceeded") for n in range(90, 110)]
    silent = {"status": "failed", "reason": "deadline_exceeded", "cost": None}
    outcomes += [answered(n, **silent).model_copy(update={"usage": None}) for n in range(110, 140)]
    found = only(advised(outcomes), Waste.LATE)
    assert found.tokens_a_day == 20 * 1_200
    assert found.evidence["late_after_a_call_without_usage"] == 30


def test_answers_that_were_lost_after_they_were_paid_are_found_by_their_reason() -> None:
    outcomes = [answered(n) for n in range(90)]
    outcomes += [answered(n, status="failed", reason="too_large_for_topic") for n in range(90, 110)]
    assert "too_large_for_topic" in only(advised(outcomes), Waste.PAID_FAILURES).what


def test_many_retries_are_a_question_without_an_amount_of_money() -> None:
    found = only(advised([answered(n, attempts=2 if n % 2 else 1) for n in range(100)]), Waste.RETRIES)
    assert (found.is_question, found.micro_usd_a_day, found.evidence["further_calls"]) == (True, None, 50)


def test_short_answers_of_a_large_model_raise_the_question_of_a_smaller_one() -> None:
    found = only(advised([answered(n, output=20) for n in range(100)]), Waste.CHEAPER_MODEL)
    assert found.is_question
    assert found.what.startswith("Would gpt-4o-mini do?")
    assert found.micro_usd_a_day == pytest.approx(100 * (1_000 * 2.5 + 20 * 10) * 0.94)


def test_long_answers_raise_no_question_of_a_smaller_model() -> None:
    assert advised([answered(n, output=300) for n in range(100)]) == []


def test_a_model_with_a_cheaper_successor_is_asked_about_whatever_its_answers() -> None:
    found = advised([answered(n, model="gpt-4-0613", cost=Cost(micro_usd=42_000.0)) for n in range(100)], prices=_gpt4)
    assert only(found, Waste.CHEAPER_MODEL).evidence["model"] == "gpt-4.1"


def _gpt4(model: str, _tier: str, usage: object) -> Cost | None:
    return Cost(micro_usd={"gpt-4-0613": 42_000.0, "gpt-4.1": 3_600.0}[model]) if usage else None


def test_without_prices_there_is_no_amount_of_money_and_no_question_of_a_model() -> None:
    unpriced = [answered(n, output=20, finish="length", cost=None) for n in range(100)]
    found = only(advised(unpriced, prices=None), Waste.CUT_OFF)
    assert found.micro_usd_a_day is None


@pytest.mark.parametrize("micro_usd", [float("nan"), float("inf"), 1e308, -1.0])
def test_a_price_that_is_no_amount_of_money_is_no_price(micro_usd: float) -> None:
    outcomes = [answered(n, finish="length", cost=Cost(micro_usd=micro_usd)) for n in range(100)]
    assert only(advised(outcomes, prices=None), Waste.CUT_OFF).micro_usd_a_day is None


def test_labels_that_end_at_their_cap_are_meant_to() -> None:
    """A classifier asks for one token, and every one of its answers ends with `length`."""
    outcomes = [answered(n, finish="length", output=1, model="gpt-4o-mini") for n in range(2_000)]
    assert Waste.CUT_OFF not in {each.kind for each in advised(outcomes)}


def test_where_all_answers_end_at_their_cap_it_is_a_question() -> None:
    found = only(advised([answered(n, finish="length") for n in range(100)]), Waste.CUT_OFF)
    assert found.is_question
    assert "is what is wanted" in found.how
