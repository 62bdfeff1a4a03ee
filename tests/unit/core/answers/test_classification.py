import pytest

from headrace.broker.core.answers.classification import BY_CODE, TEXT_CHARS_MAX, is_page, meaning_of
from headrace.broker.core.answers.meaning import Basis, Meaning
from tests.unit.core import recorded

PAGE = "<html>\n<head><title>502 Bad Gateway</title></head>"
LIMITED = (
    "Rate limit reached for gpt-4o in organization o on tokens per min (TPM): Limit 30000, Used 29937, Requested 385."
)


def told(
    status: int | None = None, code: str | None = None, kind: str | None = None, text: str = "", **details: str
) -> tuple[Meaning, Basis]:
    return meaning_of(status, code, kind, text, tuple(details.items()))


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


@pytest.mark.parametrize("kind", ["invalid_request_error", "BadRequestError", "NotFoundError"])
@pytest.mark.parametrize(
    "quoted",
    [
        "insufficient balance",
        "You exceeded your current quota",
        "resource unavailable",
        "at capacity",
        "rate limit",
        "request too large",
    ],
)
def test_words_quoted_from_a_refused_request_stop_neither_account_nor_limit_nor_tier(kind: str, quoted: str) -> None:
    """In an answer with status 200 they were searched anywhere, so that a producer's prompt stopped all requests."""
    assert told(200, None, kind, f"Invalid prompt: '{quoted}'") == (Meaning.REJECTED, Basis.CODE)


def test_the_beginning_of_a_refusals_text_still_decides_in_a_stream() -> None:
    assert told(200, None, "invalid_request_error", CREDITS)[0] is Meaning.QUOTA
    assert told(200, None, "invalid_request_error", "Incorrect API key provided: x")[0] is Meaning.AUTH
    assert told(200, "rate_limit_exceeded", "invalid_request_error", LIMITED)[0] is Meaning.RATE_LIMITED


def test_an_input_that_a_moderation_refused_is_rejected_though_the_status_is_that_of_a_refused_key() -> None:
    for status in (403, 200, None):
        assert told(status, "403", text="No.", flagged_input="a text") == (Meaning.REJECTED, Basis.CODE)
    assert told(403, "403", text="flagged_input", reasons="flagged_input")[0] is Meaning.AUTH
    assert told(403, "insufficient_quota", text="No.", flagged_input="a text")[0] is Meaning.QUOTA


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
    assert told(500, text="it was written: rate limit reached") == (Meaning.UPSTREAM_ERROR, Basis.STATUS)


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


QUOTA = "You exceeded your current quota, please check your plan and billing details."


def test_googles_words_of_a_quota_are_a_limit_where_its_type_or_its_details_name_one() -> None:
    """It says them of a limit per minute, and OpenAI says the same of an empty account."""
    assert told(429, "429", "RESOURCE_EXHAUSTED", QUOTA)[0] is Meaning.RATE_LIMITED
    assert told(429, "429", None, QUOTA, quotaid="GenerateRequestsPerDayPerProject")[0] is Meaning.RATE_LIMITED
    assert told(429, "429", None, QUOTA, retrydelay="36s")[0] is Meaning.RATE_LIMITED
    assert told(429, None, None, f"{QUOTA} \n* Quota exceeded for metric: x_requests")[0] is Meaning.RATE_LIMITED
    assert told(429, None, None, f'GeminiException - {{"status": "RESOURCE_EXHAUSTED", "message": "{QUOTA}"}}')[0] is (
        Meaning.RATE_LIMITED
    )
    assert told(429, "429", "insufficient_quota", QUOTA)[0] is Meaning.QUOTA
    assert told(429, "429", "unknown", QUOTA)[0] is Meaning.QUOTA


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("MODEL_CAPACITY_EXHAUSTED", Meaning.OVERLOADED),
        ("INSUFFICIENT_G1_CREDITS_BALANCE", Meaning.QUOTA),
        ("API_KEY_INVALID", Meaning.AUTH),
        ("RATE_LIMIT_EXCEEDED", Meaning.RATE_LIMITED),
    ],
)
def test_a_reason_in_the_details_decides_before_the_type(reason: str, meaning: Meaning) -> None:
    assert told(429, "429", "RESOURCE_EXHAUSTED", "No.", domain="d", reason=reason)[0] is meaning


CREDITS = "Your team 0-0 has either used all available credits or reached its monthly spending limit."


def test_an_empty_account_is_known_by_its_words_whatever_its_status() -> None:
    for status in (401, 402, 403, 429, None):
        assert told(status, text=CREDITS)[0] is Meaning.QUOTA
    assert told(403, text=f"permission-denied: {CREDITS}")[0] is Meaning.QUOTA
    assert told(400, text="Your credit balance is too low to access the API.")[0] is Meaning.QUOTA
    assert told(400, "invalid_request_error", None, "Insufficient Balance")[0] is Meaning.QUOTA
    assert told(400, text=f"invalid value: '{CREDITS}'")[0] is Meaning.REJECTED


def test_words_of_an_insufficient_balance_decide_only_where_all_else_is_silent() -> None:
    text = "insufficient balance of tokens in this minute"
    assert told(429, text=text)[0] is Meaning.QUOTA
    assert told(429, None, "rate_limit_error", text)[0] is Meaning.RATE_LIMITED
    assert told(429, text=text, retry_after="3")[0] is Meaning.RATE_LIMITED


def test_a_bad_key_that_comes_as_a_400_is_the_accounts_matter() -> None:
    assert told(400, text="Incorrect API key provided. You can obtain one from the console.")[0] is Meaning.AUTH
    assert told(400, text="bad value: 'Incorrect API key provided'")[0] is Meaning.REJECTED


def test_a_413_that_names_a_limit_is_too_large_for_it_and_another_is_refused() -> None:
    assert told(413, text="Request body too large for gpt-4o model. Max size: 8000 tokens.")[0] is Meaning.TOO_LARGE
    assert told(413, text="Request too large for model m on tokens per minute (TPM)")[0] is Meaning.TOO_LARGE
    assert told(413, text="no such thing")[0] is Meaning.REJECTED


def test_a_prompt_beyond_the_window_is_refused_though_the_server_calls_it_its_failure() -> None:
    text = "The decoder prompt (length 66501) is longer than the maximum model length of 65536."
    assert told(500, text=f"[address=0.0.0.0:1, pid=2] {text}")[0] is Meaning.REJECTED
    assert told(500, text="longer than the maximum model length")[0] is Meaning.UPSTREAM_ERROR


def test_details_that_state_a_wait_make_a_limit_of_a_429_alone() -> None:
    assert told(429, text="slow", retry_after="3") == (Meaning.RATE_LIMITED, Basis.CODE)
    assert told(503, text="the model is loading", retry_after="3") == (Meaning.OVERLOADED, Basis.STATUS)
    assert told(403, text="slow", retry_after="3") == (Meaning.AUTH, Basis.STATUS)


def test_of_two_phrases_the_narrower_one_decides() -> None:
    assert told(429, text="Rate limit: request too large for m")[0] is Meaning.TOO_LARGE
    assert told(429, "rate_limit_error", None, "The engine is currently overloaded")[0] is Meaning.OVERLOADED
