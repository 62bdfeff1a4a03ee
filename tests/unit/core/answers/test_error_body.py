import json
from typing import Any

import pytest

from headrace.broker.core.answers.error_body import DETAILS_MAX, NESTED_MAX, ErrorFields, answer_of, error_in
from headrace.broker.core.answers.verdict import Meaning, judge

INNER = {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
FIELDS = ErrorFields("rate_limit_exceeded", "tokens", None, "Rate limit reached")
FILTERED = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}


@pytest.mark.parametrize(
    "body",
    [
        {"error": INNER},
        [{"error": INNER}],
        json.dumps({"error": INNER}),
        INNER,
        {"object": "error", **INNER},
        {"detail": {"error": INNER}},
        {"type": "error", "error": INNER, "sequence_number": 2},
        {"type": "response.failed", "response": {"object": "response", "status": "failed", "error": INNER}},
        {"object": "response", "status": "failed", "error": INNER, "output": []},
        {"error": json.dumps({"error": INNER})},
        {"error": {"message": json.dumps({"error": INNER}), "type": "upstream_error", "code": 502}},
        {"choices": [], "error": INNER},
    ],
)
def test_an_error_is_found_wherever_servers_put_it(body: Any) -> None:
    assert error_in(body) == FIELDS


def test_an_event_error_with_its_fields_beside_its_type_has_no_type_of_its_own() -> None:
    event = {"type": "error", "code": "server_error", "message": "boom", "param": None, "sequence_number": 3}
    assert error_in(event) == ErrorFields("server_error", None, None, "boom")


@pytest.mark.parametrize(
    "body",
    [
        None,
        7,
        "",
        "Rate limit reached",
        "<html></html>",
        "{",
        "[" * 100_000,
        "{" + " " * 70_000 + "}",
        [],
        [1],
        [{"error": INNER}, {}],
        {},
        {"error": None, "object": "response", "status": "completed", "output": []},
        {"object": "response", "status": "in_progress", "error": None},
        {"choices": [], "usage": {}, "message": "not an error"},
        {"detail": ["a", "b"]},
        {"detail": {"loc": "body"}},
        {"type": "response.created", "response": {"object": "response", "error": None, "output": []}},
    ],
)
def test_what_holds_no_error_is_none(body: Any) -> None:
    assert error_in(body) is None


def test_a_response_that_failed_without_saying_why_has_failed() -> None:
    event = {"type": "response.failed", "response": {"object": "response", "status": "failed", "error": None}}
    assert judge(answer_of(200, {}, event)).meaning is Meaning.UPSTREAM_ERROR


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"error": "out of order"}, ErrorFields(message="out of order")),
        ({"detail": "out of order"}, ErrorFields(message="out of order")),
        ({"message": "out of order"}, ErrorFields(message="out of order")),
        ({"error": ["odd"]}, ErrorFields(message='["odd"]')),
        (
            {"status": 429, "error": "INSUFFICIENT QUOTA", "message": "You exceeded your current limit of requests."},
            ErrorFields(message="INSUFFICIENT QUOTA: You exceeded your current limit of requests."),
        ),
        (
            {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 2 seconds."},
            ErrorFields(message="Rate limit is exceeded. Try again in 2 seconds."),
        ),
        (
            {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
            ErrorFields("400", "BadRequestError", None, "too long"),
        ),
        (
            [{"error": {"code": 429, "message": "exhausted", "status": "RESOURCE_EXHAUSTED"}}],
            ErrorFields("429", "RESOURCE_EXHAUSTED", None, "exhausted"),
        ),
        (
            {"error": {"message": "filtered", "type": None, "code": "400", "status": 400, "innererror": FILTERED}},
            ErrorFields("ResponsibleAIPolicyViolation", None, None, "filtered"),
        ),
        (
            {"error": {"message": "filtered", "code": "content_filter", "innererror": FILTERED}},
            ErrorFields("content_filter", None, None, "filtered"),
        ),
        ({"error": {"code": "500", "innererror": {}}}, ErrorFields("500", None, None, "")),
        ({"error": {"message": {"text": "odd"}, "type": ["a"]}}, ErrorFields(None, '["a"]', None, '{"text": "odd"}')),
        ({"error": {"message": {1, 2}}}, ErrorFields(message="?")),
    ],
)
def test_other_servers_fields_are_read_as_texts(body: Any, fields: ErrorFields) -> None:
    assert error_in(body) == fields


def test_envelopes_within_envelopes_are_opened_up_to_a_bound() -> None:
    body: Any = {"error": INNER}
    for _ in range(NESTED_MAX - 1):
        body = {"error": {"message": json.dumps(body)}}
    assert error_in(body) == FIELDS
    deeper = error_in({"error": {"message": json.dumps(body)}})
    assert deeper is not None
    assert deeper.code is None


def test_an_answer_without_an_error_says_nothing_and_one_with_it_says_its_fields() -> None:
    well = answer_of(200, {}, {"choices": [], "usage": {}})
    assert judge(well).meaning is Meaning.OK
    assert judge(answer_of(204, {}, "")).meaning is Meaning.OK
    assert judge(answer_of(200, {}, {"error": INNER})).meaning is Meaning.RATE_LIMITED
    assert judge(answer_of(200, {}, {"error": {"odd": 1}})).meaning is Meaning.UPSTREAM_ERROR


def test_the_text_of_what_is_no_json_is_the_message_of_an_answer_that_is_not_well() -> None:
    assert answer_of(502, {"a": "b"}, "<html>").message == "<html>"
    assert answer_of(None, {}, "boom" * 100_000).message == "boom" * 16_384
    assert answer_of(500, {}, {"unknown": 1}).message == ""
    assert answer_of(200, {}, "<html>").message == ""


def details_in(error: Any) -> tuple[tuple[str, str], ...]:
    found = error_in({"error": error})
    assert found is not None
    return found.details


def test_further_fields_are_read_as_texts_outer_ones_first() -> None:
    error = {
        "message": "busy",
        "code": 429,
        "innererror": {"code": "x"},
        "details": [{"@type": "RetryInfo", "retryDelay": "36s"}, {"violations": [{"quotaId": "q", "quotaValue": 20}]}],
        "retryAfter": 3,
        "metadata": {"headers": {"X-RateLimit-Limit": "50"}, "own": True, "none": None, "ratio": 1.5},
    }
    assert details_in(error) == (
        ("retryafter", "3"),
        ("@type", "RetryInfo"),
        ("retrydelay", "36s"),
        ("x-ratelimit-limit", "50"),
        ("quotaid", "q"),
        ("quotavalue", "20"),
    )
    assert answer_of(429, {}, {"error": error}).details == details_in(error)


def test_details_are_bounded_in_number_depth_and_length() -> None:
    assert len(details_in({str(number): "x" for number in range(1_000)})) == DETAILS_MAX
    assert len(details_in({"many": ["x"] * 1_000})) == DETAILS_MAX
    assert len(details_in({"many": [{str(number): "x" for number in range(1_000)}] * 1_000})) == DETAILS_MAX
    [(name, text)] = details_in({"n" * 10_000: "x" * 10_000})
    assert len(name) == len(text) == 500
    assert details_in({"large": 10**400}) == (("large", "1" + "0" * 400),)
    assert details_in({"huge": 10**5_000}) == (("huge", "?"),)
    deep: Any = "x"
    for _ in range(20):
        deep = {"in": deep}
    assert details_in(deep) == ()


def test_an_error_is_what_it_says_whatever_its_details() -> None:
    assert error_in({"error": INNER | {"more": "x"}}) == FIELDS
    assert answer_of(429, {}, {"error": {"more": "x"}}).message == "?"


def test_an_empty_field_of_an_answer_makes_no_answer_of_an_error() -> None:
    body = {"message": "TPM limit reached.", "data": None}
    assert error_in(body) == ErrorFields(message="TPM limit reached.")
    assert error_in(body | {"data": []}) is None
