import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.budget.refusals import is_explained, spent_of, was_turned_away
from headrace.broker.core.budget.reservation import Reservation
from tests.unit.core.budgets import answer, failure, refusal

SENT = Reservation(1, charge=400, paid=440, stated=False, sent_ms=0, burst=0, endpoint="", unsettled=0)


def shown_empty(remaining: int, kind: str = "tokens") -> Verdict:
    headers = {f"x-ratelimit-limit-{kind}": "60000", f"x-ratelimit-remaining-{kind}": str(remaining)}
    return judge(Answer(429, headers, None, None, None, ""))


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (refusal(used=59_700, requested=400), True),
        (refusal(used=59_600, requested=400), False),  # enough was there
        (refusal(used=0, requested=400, where="project p "), True),
        (shown_empty(439, "project-tokens"), True),
        (shown_empty(440, "project-tokens"), False),
        (shown_empty(0, "input-images"), False),  # this call may have none
        (shown_empty(439), True),
        (shown_empty(440), False),
        (failure(429), False),
    ],
)
def test_a_refusal_is_explained_by_a_limit_that_could_not_pay(verdict: Verdict, expected: bool) -> None:  # noqa: FBT001
    assert is_explained(SENT, verdict) is expected


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(failure(404), True), (failure(401), True), (failure(500), False), (failure(429), False), (answer(), False)],
)
def test_a_call_turned_away_without_limit_headers_took_nothing(verdict: Verdict, expected: bool) -> None:  # noqa: FBT001
    assert was_turned_away(verdict) is expected


def test_one_turned_away_with_limit_headers_was_charged() -> None:
    headers = {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "59000"}
    assert not was_turned_away(judge(Answer(400, headers, None, None, None, "")))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("Limit 5, Used 4, Requested 2", True),
        ("Limit 5, Used 4, Requested 1", False),
        ("Limit 5, Used 1", True),  # of a call that may take all of it
        ("Limit 5, Used 0", False),
    ],
)
def test_a_refusal_is_explained_by_images_that_could_not_pay(numbers: str, expected: bool) -> None:  # noqa: FBT001
    text = f"Rate limit reached for m in organization o on input-images per min: {numbers}."
    assert is_explained(SENT, judge(Answer(429, {}, None, None, None, text))) is expected


def test_a_refusal_names_what_is_spent_or_its_headers_show_it() -> None:
    assert spent_of(SENT, refusal("requests", used=60, requested=1, limit=60)) == {LimitMetric.REQUESTS}
    assert spent_of(SENT, shown_empty(439)) == {LimitMetric.TOKENS}
    assert spent_of(SENT, shown_empty(440)) == spent_of(SENT, failure(429)) == set()
