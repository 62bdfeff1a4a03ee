import pytest

from headrace.broker.spending.advice.finding import Waste
from tests.unit.spending.advice.made import advised, answered, asked, only, text

ONE = text(8_000, "Answer letters about the mill in one sentence. ")
OTHER = text(8_000, "Classify what the customer wants to buy from us today. ")


def test_requests_without_a_template_are_told_apart_by_the_beginning_of_their_instructions() -> None:
    outcomes = [answered(n, template=None, input=2_010, cached=1_920 if n % 4 else 0) for n in range(400)]
    bodies = [{"instructions": ONE if n % 4 else OTHER, "input": f"lead {n:08}"} for n in range(400)]
    requests = [asked(n, template=None, messages=[], **body) for n, body in enumerate(bodies)]
    for request in requests:
        del request.request.body["messages"]
    found = only(advised(outcomes, requests), Waste.UNCACHED_PREFIX)
    assert found.template is None
    assert found.calls == pytest.approx(100, rel=0.05)
    assert found.instructions is not None
    assert found.tokens_a_day == pytest.approx(100 * (2_000 - 64), rel=0.1)


def test_requests_meet_their_outcomes_whatever_name_of_the_model_the_answer_has() -> None:
    outcomes = [answered(n, model="gpt-4o-2024-08-06", input=2_010) for n in range(50)]
    requests = [asked(n, f"{ONE}\nlead {n:08}", model="a-deployment") for n in range(50)]
    found = only(advised(outcomes, requests, prices=None), Waste.UNCACHED_PREFIX)
    assert (found.model, found.sample) == ("gpt-4o", 50)


def test_requests_without_outcomes_and_outcomes_without_requests_are_no_finding() -> None:
    assert advised([], [asked(n, f"{ONE}\nlead {n}") for n in range(50)]) == []
    assert advised([answered(n, input=2_010) for n in range(50)]) == []
    assert advised([answered(n) for n in range(50)], [asked(n + 50, f"{ONE}\nlead {n}") for n in range(50)]) == []


def test_estimated_tokens_are_scaled_to_what_usage_reports() -> None:
    outcomes = [answered(n, input=3_000) for n in range(50)]
    found = only(advised(outcomes, [asked(n, f"{ONE}\nlead {n:08}") for n in range(50)]), Waste.UNCACHED_PREFIX)
    assert found.evidence["estimate_scaled_by"] == pytest.approx(1.5, rel=0.02)
    assert found.tokens_a_day == pytest.approx(49 * (3_000 - 64), rel=0.03)


def test_an_estimate_that_is_far_from_what_usage_reports_scales_nothing() -> None:
    """Five times as many tokens: the usage has something that the prompts do not show, such as a file."""
    outcomes = [answered(n, input=10_000) for n in range(50)]
    found = only(advised(outcomes, [asked(n, f"{ONE}\nlead {n:08}") for n in range(50)]), Waste.UNCACHED_PREFIX)
    assert found.evidence["estimate_scaled_by"] == 1


def test_outcomes_that_do_not_name_their_template_yet_are_told_apart_by_that_of_the_request() -> None:
    outcomes = [answered(n, template=None, input=2_010, cached=1_920 if n % 2 else 0) for n in range(100)]
    requests = [asked(n, f"{ONE}\nlead {n:08}", template="new" if n % 2 else "old") for n in range(100)]
    found = only(advised(outcomes, requests), Waste.UNCACHED_PREFIX)
    assert (found.template, found.instructions, found.sample) == (None, "old", 50)
