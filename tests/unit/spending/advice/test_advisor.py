import json
import random
from datetime import timedelta

import pytest

from benchmarks.advice.prices import price
from headrace.broker.spending.advice.advisor import GROUPS_MAX, Advisor
from headrace.broker.spending.advice.finding import Waste
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome
from tests.unit.spending.advice.made import NOON, advised, answered, asked, only, text

SECRET = "the combination of the safe"
CONSTANT = "".join(f"{SECRET} is told to model {n}. " for n in range(250))


def wasteful() -> tuple[list[AdvisedOutcome], list[DecodedRequest]]:
    contents = [f"It is {n:02}:00. {CONSTANT} {CONSTANT} lead {n}" for n in range(50)]
    outcomes = [answered(n, input=4_500, finish="length", request_digest="same") for n in range(50)]
    return outcomes, [asked(n, content, max_tokens=200) for n, content in enumerate(contents)]


def test_prompts_appear_in_no_finding_unless_they_are_asked_for() -> None:
    found = advised(*wasteful())
    assert {each.kind for each in found} >= {Waste.REPEATED_PART, Waste.CUT_OFF, Waste.DUPLICATES}
    assert SECRET not in json.dumps([each.as_json() for each in found]) + repr(found)


def test_prompts_that_are_asked_for_appear_in_excerpts_alone() -> None:
    found = advised(*wasteful(), show_prompts=True)
    shown = [each for each in found if each.excerpts]
    assert SECRET in json.dumps([each.as_json() for each in shown])
    assert all(len(excerpt) <= 160 for each in shown for excerpt in each.excerpts)
    plain = [each.as_json() | {"excerpts": []} for each in found]
    assert SECRET not in json.dumps(plain)


def test_findings_do_not_depend_on_the_order_in_which_outcomes_and_requests_come() -> None:
    outcomes, requests = wasteful()
    expected = [each.as_json() for each in advised(outcomes, requests)]
    for seed in range(3):
        mixed: list[AdvisedOutcome | DecodedRequest] = [*outcomes, *requests]
        random.Random(seed).shuffle(mixed)
        advisor = Advisor(price=price)
        for each in mixed:
            if isinstance(each, AdvisedOutcome):
                advisor.outcome(each)
            else:
                advisor.request(each, "standard")
        assert [each.as_json() for each in advisor.findings()] == expected


def test_a_period_of_days_is_stated_by_the_day_and_a_shorter_one_is_not_extrapolated() -> None:
    outcomes = [answered(n, finish="length") for n in range(400)]
    assert only(advised(outcomes), Waste.CUT_OFF).tokens_a_day == 400 * 1_200
    four_days = [answered(n, finish="length", called_at=NOON + timedelta(hours=n * 0.24)) for n in range(401)]
    assert only(advised(four_days), Waste.CUT_OFF).tokens_a_day == pytest.approx(100 * 1_200, rel=0.01)


def test_the_largest_groups_are_kept_of_any_number_and_what_is_given_up_is_counted() -> None:
    advisor = Advisor()
    for n in range(3_000):
        advisor.outcome(answered(2 * n, template=f"template-{n}", input=10))
        advisor.outcome(answered(2 * n + 1, template="large", finish="length"))
        advisor.request(asked(n, template=f"template-{n}"), "bulk")
    (found,) = advisor.findings()
    assert (found.template, found.calls) == ("large", 3_000)
    assert 3_000 - 2 * GROUPS_MAX <= advisor.left_out < 3_000
    wanted = sum(advisor.wants(f"lead-{2 * n}") for n in range(3_000))
    assert wanted == 3_000 - advisor.left_out, "requests of what was given up are of no use"


def test_requests_of_a_much_longer_period_still_meet_the_outcomes() -> None:
    advisor, contents = Advisor(), text(8_000)
    for n in range(100):
        advisor.outcome(answered(n, input=2_010))
    for n in range(4_000, -1, -1):
        advisor.request(asked(n, f"{contents}\nlead {n:08}"), "standard")
    assert only(advisor.findings(), Waste.UNCACHED_PREFIX).sample == 96


def test_what_is_little_beside_the_rest_of_its_template_is_no_finding() -> None:
    outcomes = [answered(n, finish="length" if n < 30 else "stop") for n in range(1_000)]
    assert advised(outcomes) == []  # 36,000 tokens, but 3 % of all


def test_nothing_is_no_finding() -> None:
    assert Advisor().findings() == []
