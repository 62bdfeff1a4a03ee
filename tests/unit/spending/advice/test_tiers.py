from datetime import timedelta

import pytest

from headrace.broker.spending.advice.finding import Waste
from headrace.schemas.request_codec import DecodedRequest
from tests.unit.spending.advice.made import NOON, advised, answered, asked, only

GPT5 = {"model": "gpt-5"}


def requests(slack: timedelta | None, **body: str) -> list[DecodedRequest]:
    deadlines = [None if slack is None else NOON + timedelta(seconds=n) + slack for n in range(40)]
    return [asked(n, f"lead {n}", deadline=deadlines[n], **(GPT5 | body)) for n in range(40)]


def test_a_lane_whose_deadlines_are_hours_away_would_allow_flex_at_half_the_price() -> None:
    found = only(advised([answered(n, **GPT5) for n in range(40)], requests(timedelta(hours=5))), Waste.CHEAPER_TIER)
    assert (found.lane, found.tokens_a_day) == ("standard", 40 * 1_200)
    assert found.micro_usd_a_day == pytest.approx(40 * (1_000 * 1.25 + 200 * 10) / 2)
    assert 'service_tier to "flex"' in found.how


@pytest.mark.parametrize("minutes", [1, 10, 14])
def test_deadlines_of_some_minutes_do_not_allow_it(minutes: int) -> None:
    assert advised([answered(n, **GPT5) for n in range(40)], requests(timedelta(minutes=minutes))) == []


def test_a_model_without_flex_is_not_advised_to_it() -> None:
    assert advised([answered(n) for n in range(40)], requests(timedelta(hours=5), model="gpt-4o")) == []


def test_requests_that_ask_for_a_tier_are_left_alone() -> None:
    asking = requests(timedelta(hours=5), service_tier="flex")
    outcomes = [answered(n, tier_asked="flex", tier_served="flex", **GPT5) for n in range(40)]
    assert advised(outcomes, asking) == []


def test_a_request_without_a_deadline_has_that_of_its_lane_if_it_is_known() -> None:
    outcomes = [answered(n, **GPT5) for n in range(40)]
    assert advised(outcomes, requests(None)) == []
    known = advised(outcomes, requests(None), lane_deadlines_s={"standard": 86_400})
    assert only(known, Waste.CHEAPER_TIER).evidence["requests_with_a_deadline_of_their_own"] == 0
    assert advised(outcomes, requests(None), lane_deadlines_s={"standard": 600}) == []


def test_answers_after_their_deadline_are_paid_in_vain() -> None:
    found = advised([answered(n) for n in range(40)], requests(timedelta(seconds=1), model="gpt-4o"))
    assert only(found, Waste.LATE).tokens_a_day == 40 * 1_200
