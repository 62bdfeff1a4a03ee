import pytest

from headrace.broker.core.answers.classification import BY_CODE, TEXT_CHARS_MAX, is_page, meaning_of
from headrace.broker.core.answers.meaning import Basis, Meaning
from tests.unit.core import recorded

PAGE = "<html>\n<head><title>502 Bad Gateway</title></head>"
LIMITED = (
    "Rate limit reached for gpt-4o in organization o on tokens per min (TPM): Limit 30000, Used 29937, Requested 385."
)


def told(
    status: int | None = None, code: str | None = None, kind: str | None = None, text: str = ""
) -> tuple[Meaning, Basis]:
    return meaning_of(status, code, kind, text)


@pytest.mark.parametrize("status", [None, 200, 400, 401, 429, 500, 503])
def test_a_known_code_decides_whatever_the_status(status: int | None) -> None:
    for code, meaning in BY_CODE.items():
        assert told(status, code) == (meaning, Basis.CODE)
        assert told(status, code.upper(), "tokens", LIMITED) == (meaning, Basis.CODE)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("insufficient_quota", Meaning.QUOTA),
        ("budget_exceeded", Meaning.QUOTA),
        ("overloaded_error", Meaning.OVERLOADED),
        ("request_forbidden", Meaning.AUTH),
    ],
)
def test_a_known_type_decides_where_the_code_does_not(kind: str, meaning: Meaning) -> None:
    assert told(400, None, kind) == told(429, "429", kind) == told(200, "new", kind) == (meaning, Basis.CODE)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("429", Meaning.RATE_LIMITED),
        ("401", Meaning.AUTH),
        ("402", Meaning.QUOTA),
        ("400", Meaning.REJECTED),
        ("502", Meaning.UPSTREAM_ERROR),
        ("503", Meaning.OVERLOADED),
    ],
)
def test_a_status_in_the_place_of_a_code_is_one_where_there_is_no_other(code: str, meaning: Meaning) -> None:
    assert told(None, code)[0] is told(200, code)[0] is meaning


@pytest.mark.parametrize("kind", ["tokens", "requests", "input-images", "rate_limit_error", "RateLimitError"])
def test_words_of_limits_are_a_rate_limit_in_a_stream_and_at_any_status(kind: str) -> None:
    assert told(200, None, kind) == told(403, kind) == (Meaning.RATE_LIMITED, Basis.CODE)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("invalid_request_error", Meaning.REJECTED),
        ("BadRequestError", Meaning.REJECTED),
        ("server_error", Meaning.UPSTREAM_ERROR),
        ("permission_error", Meaning.AUTH),
    ],
)
def test_in_a_stream_a_broad_type_decides_where_nothing_else_does(kind: str, meaning: Meaning) -> None:
    assert told(200, None, kind, "boom") == (meaning, Basis.CODE)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (LIMITED, Meaning.RATE_LIMITED),
        ("litellm.RateLimitError: RateLimitError: OpenAIException - " + LIMITED, Meaning.RATE_LIMITED),
        ("INSUFFICIENT QUOTA: You exceeded your current limit of concurrent requests.", Meaning.RATE_LIMITED),
        ("You exceeded your current quota, please check your plan. Please retry in 33.2s.", Meaning.RATE_LIMITED),
        ("You exceeded your current quota, please check your plan and billing details.", Meaning.QUOTA),
        ("Insufficient Balance", Meaning.QUOTA),
        ("litellm.BadRequestError: Budget has been exceeded! Current cost: 14, Max budget: 10", Meaning.QUOTA),
        ("No deployments available - crossed budget: Exceeded budget for deployment", Meaning.QUOTA),
        ("Crossed TPM / RPM / Max Parallel Request Limit.", Meaning.RATE_LIMITED),
        ("Request too large for gpt-4o", Meaning.TOO_LARGE),
        ("Flex: Resource Unavailable", Meaning.TIER_UNAVAILABLE),
        ("Service tier capacity exceeded for this model.", Meaning.TIER_UNAVAILABLE),
        ("Selected model is at capacity. Please try a different model.", Meaning.OVERLOADED),
        ("Slow down.", Meaning.OVERLOADED),
    ],
)
def test_the_text_of_a_429_tells_what_its_code_does_not(text: str, meaning: Meaning) -> None:
    assert told(429, "429", None, text) == (meaning, Basis.TEXT)
    assert told(None, None, None, text) == (meaning, Basis.TEXT)


def test_a_recorded_text_alone_means_what_it_meant_with_its_status_and_code() -> None:
    for row in recorded.errors():
        whole, _ = meaning_of(row["status"], row["code"], row["type"], row["message"])
        assert told(text=row["message"])[0] is whole, row["message"]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.REJECTED),
        (401, Meaning.AUTH),
        (402, Meaning.QUOTA),
        (403, Meaning.AUTH),
        (404, Meaning.REJECTED),
        (408, Meaning.UPSTREAM_ERROR),
        (409, Meaning.UPSTREAM_ERROR),
        (413, Meaning.REJECTED),
        (422, Meaning.REJECTED),
        (429, Meaning.RATE_LIMITED),
        (498, Meaning.TIER_UNAVAILABLE),
        (500, Meaning.UPSTREAM_ERROR),
        (503, Meaning.OVERLOADED),
        (520, Meaning.UPSTREAM_ERROR),
        (529, Meaning.OVERLOADED),
    ],
)
def test_a_status_decides_where_nothing_was_said(status: int, meaning: Meaning) -> None:
    assert told(status) == told(status, str(status)) == (meaning, Basis.STATUS)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_page_where_an_api_would_speak_json_is_the_fault_of_something_on_the_way(status: int) -> None:
    assert told(status, text=PAGE) == (Meaning.UPSTREAM_ERROR, Basis.STATUS)
    assert told(status, text="Not found")[0] is Meaning.REJECTED


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (401, Meaning.AUTH),
        (403, Meaning.AUTH),
        (413, Meaning.REJECTED),
        (429, Meaning.RATE_LIMITED),
        (502, Meaning.UPSTREAM_ERROR),
        (503, Meaning.OVERLOADED),
        (None, Meaning.UPSTREAM_ERROR),
    ],
)
def test_a_page_with_a_telling_status_means_what_the_status_says(status: int | None, meaning: Meaning) -> None:
    assert told(status, text=PAGE) == (meaning, Basis.STATUS)


def test_a_gateways_500_that_wraps_a_429_is_that_429() -> None:
    assert told(500, text=f"upstream said: {LIMITED}") == (Meaning.RATE_LIMITED, Basis.TEXT)
    larger = LIMITED.replace("Rate limit reached", "Request too large")
    assert told(502, text=larger) == (Meaning.TOO_LARGE, Basis.TEXT)
    assert told(500, text="somebody wrote: rate limit reached") == (Meaning.UPSTREAM_ERROR, Basis.STATUS)


def test_a_400_that_quotes_a_429_stays_a_refusal_but_a_spent_budget_is_no_ones_request() -> None:
    assert told(400, text=f"invalid value: '{LIMITED}'")[0] is Meaning.REJECTED
    assert told(400, text="invalid value: 'Budget has been exceeded!'")[0] is Meaning.REJECTED
    assert told(400, text="Budget has been exceeded! Current cost: 2")[0] is Meaning.QUOTA


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        (told(429, "something_new", "something_new", "something new"), Meaning.RATE_LIMITED),
        (told(200, "something_new"), Meaning.UPSTREAM_ERROR),
        (told(None, None, None, "Segmentation fault"), Meaning.UPSTREAM_ERROR),
        (told(302), Meaning.UPSTREAM_ERROR),
        (told(-1), Meaning.UPSTREAM_ERROR),
        (told(999), Meaning.UPSTREAM_ERROR),
    ],
)
def test_what_nobody_understands_gets_a_safe_meaning_and_is_known_to_be_a_guess(
    given: tuple[Meaning, Basis], meaning: Meaning
) -> None:
    assert given == (meaning, Basis.GUESS)


def test_a_429_of_a_failing_server_is_its_failure() -> None:
    assert told(429, None, "server_error", "boom") == (Meaning.UPSTREAM_ERROR, Basis.CODE)


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert told(429, text=" " * TEXT_CHARS_MAX + "request too large") == (Meaning.RATE_LIMITED, Basis.GUESS)


@pytest.mark.parametrize("text", ["<!DOCTYPE html>", "  <HTML lang=en>", '<?xml version="1.0"?>'])
def test_a_page_is_told_by_its_beginning(text: str) -> None:
    assert is_page(text)
    assert not is_page(f"see {text}")
