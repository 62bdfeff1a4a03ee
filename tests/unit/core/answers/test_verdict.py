import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric, readings, side_readings
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.verdict import (
    QUEUE_WAIT_MS,
    SERVER_WAIT_MS_MAX,
    UNSTATED_WAIT_MS,
    WAIT_MS_MAX,
    Answer,
    Fault,
    Meaning,
    judge,
    success,
    unknown_server,
    wrong_server,
)
from tests.unit.core import recorded
from tests.unit.core.answers.answering import EMPTY_REQUESTS, EMPTY_TOKENS, answer

# What each recorded message became, by the category its collector gave it.
MEANING_OF_CATEGORY = {
    "auth": Meaning.AUTH,
    "region": Meaning.AUTH,
    "bad_gateway": Meaning.UPSTREAM_ERROR,
    "server_error": Meaning.UPSTREAM_ERROR,
    "bad_request": Meaning.REJECTED,
    "context_length": Meaning.REJECTED,
    "model_not_found": Meaning.REJECTED,
    "overloaded": Meaning.OVERLOADED,
    "slow_down": Meaning.OVERLOADED,
    "quota": Meaning.QUOTA,
    "rate_limit": Meaning.RATE_LIMITED,
    "batch_queue": Meaning.RATE_LIMITED,
    "request_too_large": Meaning.TOO_LARGE,
}


def test_every_recorded_error_becomes_what_its_reader_would_call_it() -> None:
    periods = {"minute": MINUTE_MS, "day": DAY_MS}
    for row in recorded.errors():
        verdict = judge(recorded.answer_of(row))
        assert verdict.meaning is MEANING_OF_CATEGORY[row["category"]], row["message"]
        assert verdict.shape is None, "nothing recorded is a guess"
        if row["retry_after_ms"] is not None:
            assert verdict.wait_ms == row["retry_after_ms"]
        if row["limit"] is not None:
            assert verdict.limit is not None
            assert (verdict.limit.capacity, verdict.limit.used) == (row["limit"], row["used"])
            assert (verdict.limit.requested, verdict.limit.name) == (row["requested"], row["model"])
            assert verdict.limit.period_ms == periods.get(row["period"])
        if row["dimension"] in {"tokens", "requests"}:
            assert verdict.limit is not None
            assert verdict.limit.metric == row["dimension"]
        assert row["message"] not in verdict.sentence


def test_the_tables_of_what_everything_recorded_became_are_up_to_date() -> None:
    rewrite = "look at the difference, then: python -m tests.unit.core.recorded"
    assert recorded.verdicts_table() == recorded.VERDICTS.read_text(encoding="utf-8"), rewrite
    assert recorded.limits_table() == recorded.LIMITS.read_text(encoding="utf-8"), rewrite


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        (answer(200), Meaning.OK),
        (answer(204), Meaning.OK),
        (answer(None, "timeout"), Meaning.TIMEOUT),
        (answer(None, "connection"), Meaning.CONNECTION),
        (answer(None), Meaning.UPSTREAM_ERROR),
        (answer(None, message="<html>something</html>"), Meaning.UPSTREAM_ERROR),
        (answer(404, message="<html>something</html>"), Meaning.UPSTREAM_ERROR),
        (answer(200, "server_error", message="boom"), Meaning.UPSTREAM_ERROR),
        (answer(200, message="boom"), Meaning.UPSTREAM_ERROR),
        (answer(200, "rate_limit_exceeded"), Meaning.RATE_LIMITED),
        (answer(200, kind="tokens"), Meaning.RATE_LIMITED),
        (answer(200, "invalid_prompt"), Meaning.REJECTED),
        (answer(302), Meaning.UPSTREAM_ERROR),
        (answer(400), Meaning.REJECTED),
        (answer(400, "content_policy_violation"), Meaning.REJECTED),
        (answer(400, "billing_hard_limit_reached"), Meaning.QUOTA),
        (answer(401), Meaning.AUTH),
        (answer(402), Meaning.QUOTA),
        (answer(403), Meaning.AUTH),
        (answer(403, "model_not_found"), Meaning.REJECTED),
        (answer(403, "model_not_found", "request_forbidden"), Meaning.REJECTED),
        (answer(404), Meaning.REJECTED),
        (answer(408), Meaning.UPSTREAM_ERROR),
        (answer(409), Meaning.UPSTREAM_ERROR),
        (answer(418), Meaning.REJECTED),
        (answer(422), Meaning.REJECTED),
        (answer(429), Meaning.RATE_LIMITED),
        (answer(429, "something_new", "something_new", "something new"), Meaning.RATE_LIMITED),
        (answer(429, "slow_down", "rate_limit_error"), Meaning.OVERLOADED),
        (answer(429, message="Resource Unavailable"), Meaning.TIER_UNAVAILABLE),
        (answer(429, "resource_unavailable"), Meaning.TIER_UNAVAILABLE),
        (answer(498), Meaning.TIER_UNAVAILABLE),
        (answer(498, "capacity_exceeded"), Meaning.TIER_UNAVAILABLE),
        (answer(400, message="Unsupported service_tier: flex"), Meaning.REJECTED),
        (answer(400, "unsupported_value", "invalid_request_error", "service_tier"), Meaning.REJECTED),
        (answer(429, kind="server_error"), Meaning.UPSTREAM_ERROR),
        (answer(429, "INSUFFICIENT_QUOTA"), Meaning.QUOTA),
        (answer(429, "credit_balance_exhausted", "insufficient_quota"), Meaning.QUOTA),
        (answer(429, kind="insufficient_quota"), Meaning.QUOTA),
        (answer(429, message="You exceeded your current quota"), Meaning.QUOTA),
        (answer(500), Meaning.UPSTREAM_ERROR),
        (answer(502), Meaning.UPSTREAM_ERROR),
        (answer(503), Meaning.OVERLOADED),
        (answer(520), Meaning.UPSTREAM_ERROR),
        (answer(-1), Meaning.UPSTREAM_ERROR),
    ],
)
def test_status_and_code_decide_before_text(given: Answer, meaning: Meaning) -> None:
    assert judge(given).meaning is meaning


def test_only_an_answer_a_refusal_and_an_oversize_are_final() -> None:
    by_meaning = {
        Meaning.OK: answer(),
        Meaning.RATE_LIMITED: answer(429),
        Meaning.TOO_LARGE: answer(429, message="Request too large for m"),
        Meaning.QUOTA: answer(429, "insufficient_quota"),
        Meaning.OVERLOADED: answer(503),
        Meaning.TIER_UNAVAILABLE: answer(498),
        Meaning.UPSTREAM_ERROR: answer(500),
        Meaning.AUTH: answer(401),
        Meaning.REJECTED: answer(400),
        Meaning.TIMEOUT: answer(None, "timeout"),
        Meaning.CONNECTION: answer(None, "connection"),
    }
    verdicts = {meaning: judge(given) for meaning, given in by_meaning.items()}
    verdicts[Meaning.NOT_THE_API] = wrong_server(answer(404))
    assert set(verdicts) == set(Meaning)
    assert all(verdict.meaning is meaning for meaning, verdict in verdicts.items())
    final = {meaning for meaning, verdict in verdicts.items() if not verdict.retryable}
    assert final == {Meaning.OK, Meaning.TOO_LARGE, Meaning.REJECTED}
    counted = {meaning for meaning, verdict in verdicts.items() if verdict.counts_as_attempt}
    assert counted == {
        Meaning.OVERLOADED,
        Meaning.UPSTREAM_ERROR,
        Meaning.TIMEOUT,
        Meaning.CONNECTION,
    }


def test_an_answer_that_another_server_may_have_written_is_tried_again_and_counts_as_no_attempt() -> None:
    verdict = unknown_server(answer(404))
    assert (verdict.meaning, verdict.retryable, verdict.counts_as_attempt) == (Meaning.UPSTREAM_ERROR, True, False)
    assert "HTTP 404" in verdict.sentence


LIMITED = "Rate limit reached for m in organization o on tokens per min (TPM): Limit 10000, Used 9000, Requested 3000."
IMAGES_USED_UP = (
    "Rate limit reached for m (for limit images) in organization o on input-images per min: Limit 5, Used 5, "
    "Requested 1."
)


@pytest.mark.parametrize(
    ("given", "wait_ms"),
    [
        (answer(429, message=LIMITED + " Please try again in 12s.", headers={"retry-after-ms": "11987"}), 11_987),
        (answer(429, message=LIMITED + " Please try again in 11.5s.", headers={"retry-after": "0"}), 11_500),
        (answer(429, message=LIMITED), 12_000),  # the refill law on the stated numbers
        (answer(429, message=LIMITED.replace("9000", "1000")), 1),
        (answer(429, message=LIMITED.replace(" Used 9000,", "")), UNSTATED_WAIT_MS),
        (answer(429, message=LIMITED.replace(" Requested 3000", "")), UNSTATED_WAIT_MS),
        (answer(429), UNSTATED_WAIT_MS),
        (answer(429, message=LIMITED.replace("Used 9000, Requested 3000", "Used 10500")), 3_006),  # one token more
        (answer(429, message=LIMITED.replace("on tokens", "on input-tokens")), 12_000),
        (answer(429, message=IMAGES_USED_UP), 12_000),
        (answer(429, message=IMAGES_USED_UP.replace(", Requested 1.", ".")), 12_000),
        (answer(429, "token_limit_exceeded"), QUEUE_WAIT_MS),
        (answer(429, headers=EMPTY_REQUESTS), 20_000),  # until one more request is there
        (answer(429, headers=EMPTY_REQUESTS | {"x-ratelimit-reset-requests": "7"}), UNSTATED_WAIT_MS),
        (answer(429, headers=EMPTY_TOKENS), UNSTATED_WAIT_MS),
        (answer(503, headers={"Retry-After": "20"}), 20_000),
        (answer(503), None),
        (answer(498, headers={"Retry-After": "20"}), 20_000),
        (answer(498), None),
        (answer(500, headers={"Retry-After": "2"}), 2_000),
        (answer(400, headers={"Retry-After": "2"}), None),
    ],
)
def test_the_wait_is_the_servers_word_then_the_law_then_a_safe_one(given: Answer, wait_ms: int | None) -> None:
    assert judge(given).wait_ms == wait_ms


def test_a_verdict_carries_what_the_answer_says_of_the_limits() -> None:
    headers = {
        "X-RateLimit-Limit-Tokens": "200000",
        "X-RateLimit-Remaining-Tokens": "150000",
        "X-RateLimit-Reset-Tokens": "15s",
    }
    verdict = judge(answer(429, message=LIMITED, headers=headers))
    assert verdict.snapshot is not None
    assert verdict.snapshot.requested == 3_000
    (reading,) = verdict.readings
    assert (reading.metric, reading.remaining, reading.period_ms) == (LimitMetric.TOKENS, 150_000, MINUTE_MS)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (answer(429, message=LIMITED), StatedLimit("tokens", "m", MINUTE_MS, 10_000, 9_000, 3_000)),
        (answer(429), None),
        (answer(429, headers=EMPTY_REQUESTS), StatedLimit("requests", None, MINUTE_MS, 3, 3)),
        (answer(429, headers=EMPTY_REQUESTS | EMPTY_TOKENS), None),  # either of them
        (answer(429, kind="tokens"), StatedLimit("tokens")),
        (answer(429, kind="input-images", headers=EMPTY_TOKENS), StatedLimit("input-images")),
        (
            answer(429, kind="tokens", headers=EMPTY_REQUESTS | EMPTY_TOKENS),
            StatedLimit("tokens", None, MINUTE_MS, 30_000, 30_000),
        ),
        (
            answer(429, message="have exceeded token rate limit of your current S0 tier", headers=EMPTY_TOKENS),
            StatedLimit("tokens", None, MINUTE_MS, 30_000, 30_000),
        ),
        (answer(429, message="have exceeded token rate limit of your current S0 tier"), StatedLimit("tokens")),
        (answer(200, headers=EMPTY_TOKENS), None),
        (answer(400, headers=EMPTY_TOKENS), None),
        (answer(500, message="maximum context length is 8192 tokens"), None),
        (answer(429, "insufficient_quota", message=LIMITED), None),
    ],
)
def test_the_limit_that_refused_is_told_by_text_type_or_headers(given: Answer, limit: StatedLimit | None) -> None:
    assert judge(given).limit == limit


def test_a_projects_bucket_is_told_apart_from_the_organisations() -> None:
    project = {f"x-ratelimit-{what}-project-tokens": number for what, number in (("limit", "100"), ("remaining", "40"))}
    verdict = judge(answer(200, headers=EMPTY_TOKENS | project))
    assert [reading.capacity for reading in verdict.readings] == [30_000]
    assert [(side.kind, side.capacity, side.remaining) for side in verdict.side_readings] == [
        ("project-tokens", 100, 40)
    ]


def test_breakers_are_for_what_is_the_accounts_or_the_servers_fault() -> None:
    faults = {given: judge(answer(given)).fault for given in (200, 400, 401, 402, 429, 500, 503)}
    assert {status for status, fault in faults.items() if fault in {Fault.ACCOUNT, Fault.SERVER}} == {
        401,
        402,
        500,
        503,
    }


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (answer(429, "new_code", "my secret", "my secret prompt"), "HTTP 429, code new_code, a text of 16 characters"),
        (answer(302, message="<html>my secret"), "HTTP 302, a page of 15 characters"),
        (answer(None), "no text"),
        (answer(429, "rate_limit_exceeded", message="my secret prompt"), None),
        (answer(500, message="my secret prompt"), None),
        (answer(200), None),
    ],
)
def test_what_nobody_understood_is_told_by_its_shape_alone(given: Answer, shape: str | None) -> None:
    assert judge(given).shape == shape


def test_a_message_is_no_snapshot_unless_a_limit_refused_the_request() -> None:
    assert judge(answer(400, message=LIMITED)).snapshot is None


def test_a_sentence_names_codes_and_numbers_but_never_what_the_server_quoted() -> None:
    given = Answer(400, {}, "bad value 'my secret prompt'", "invalid_request_error", "messages[0].content", "my secret")
    assert judge(given).sentence == (
        "OpenAI refused this request for what it is; it is not tried again "
        "(HTTP 400, type invalid_request_error, param messages[0].content)."
    )
    assert judge(answer(429, message=LIMITED.replace("per min", "per day"))).sentence == (
        "OpenAI's rate limit is used up; the request waits and is called again "
        "(HTTP 429, limit 10000 tokens per 86400 s, of m, used 9000, requested 3000, wait 17280000 ms)."
    )
    bare = judge(answer(None, message="Rate limit reached: on requests per day Limit 3"))
    assert bare.snapshot is not None
    assert bare.snapshot.period_ms == DAY_MS
    assert "used" not in bare.sentence.split("(")[1]
    assert judge(answer()).sentence == "OpenAI answered (HTTP 200)."
    assert judge(answer(None)).sentence == ("OpenAI or something on the way to it failed; the request is tried again.")


def test_a_sentence_has_the_numbers_of_a_limit_of_images_as_well() -> None:
    assert judge(answer(429, message=IMAGES_USED_UP)).sentence == (
        "OpenAI's rate limit is used up; the request waits and is called again "
        "(HTTP 429, limit 5 input-images per 60 s, of images, used 5, requested 1, wait 12000 ms)."
    )


def test_an_answer_that_is_fine_is_what_its_headers_make_of_it() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29000",
        "x-ratelimit-reset-tokens": "2s",
        "x-ratelimit-limit-project-requests": "500",
        "x-ratelimit-remaining-project-requests": "499",
    }
    judged = judge(Answer(200, headers, None, None, None, ""))
    assert judged == success(200, readings(headers), side_readings(headers))
    assert (judged.meaning, judged.retryable, judged.counts_as_attempt) == (Meaning.OK, False, False)
    assert (judged.wait_ms, judged.snapshot, judged.limit, judged.shape) == (None, None, None, None)
    assert judged.sentence == "OpenAI answered (HTTP 200)."
    assert len(judged.readings) == len(judged.side_readings) == 1


def test_headers_that_came_before_the_answer_are_told_from_others() -> None:
    assert judge(Answer(200, {}, None, None, None, "", early=True)).early
    assert not judge(Answer(200, {}, None, None, None, "")).early


@pytest.mark.parametrize("stated", ["999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "86401"])
def test_no_refusal_rests_a_limit_for_longer_than_a_day(stated: str) -> None:
    """A pause is never shortened, and a successor inherits it: a header of a thousand years ended the limit."""
    headers = {"retry-after": stated, "date": "Thu, 01 Oct 2026 00:00:00 GMT"}
    assert judge(Answer(429, headers, None, None, None, "")).wait_ms == WAIT_MS_MAX
    assert judge(Answer(503, headers, None, None, None, "")).wait_ms == SERVER_WAIT_MS_MAX


def test_what_a_refusals_numbers_come_to_is_bounded_too() -> None:
    message = "Rate limit reached for m on tokens per day (TPD): Limit 1, Used 999999999999999, Requested 9."
    assert judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, message)).wait_ms == WAIT_MS_MAX


def test_a_refused_tier_is_rejected_only_if_the_body_may_have_asked_for_one() -> None:
    refusal = Answer(400, {}, None, "invalid_request_error", None, "Unsupported service_tier: flex")
    for body in (None, {"service_tier": "flex"}, {"service_tier": None}):
        verdict = judge(refusal, body)
        assert (verdict.meaning, verdict.retryable) == (Meaning.REJECTED, False)
    verdict = judge(refusal, {"model": "m"})
    assert (verdict.meaning, verdict.retryable, verdict.counts_as_attempt) == (Meaning.TIER_UNAVAILABLE, True, False)
    assert verdict.shape is None


def test_only_a_refusal_can_be_one_of_a_tier_that_was_not_asked_for() -> None:
    said = "Unsupported service_tier: flex"
    assert judge(Answer(500, {}, None, None, "service_tier", said), {}).meaning is Meaning.UPSTREAM_ERROR
    assert judge(Answer(401, {}, None, None, "service_tier", said), {}).meaning is Meaning.AUTH


@pytest.mark.parametrize(
    ("given", "states"),
    [
        (answer(429, message=LIMITED), True),
        (answer(429, message=IMAGES_USED_UP), True),
        (answer(429, headers=EMPTY_TOKENS), True),
        (answer(200, headers=EMPTY_TOKENS), True),
        (answer(429), False),
        (answer(429, message=IMAGES_USED_UP.replace("Limit 5, Used 5", "")), False),
    ],
)
def test_a_budget_can_believe_a_bucket_in_headers_and_one_that_refused_whatever_it_counts(
    given: Answer,
    states: bool,  # noqa: FBT001
) -> None:
    assert judge(given).states_limits is states
