"""Whatever people have at hand becomes the answer it shows."""

import json
from typing import Any

import pytest

from headrace.broker.cli.explain.answers import answers_in
from headrace.broker.core.answers.verdict import Answer, Meaning, judge

LIMITED = (
    "Rate limit reached for gpt-4o in organization o on tokens per min (TPM): Limit 30000, Used 29937, Requested 385."
)
ERROR = {"message": LIMITED, "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
WHOLE = Answer(429, {}, "rate_limit_exceeded", "tokens", None, LIMITED)


def one(text: str) -> Answer:
    (answer,) = answers_in(text)
    return answer


def meaning(text: str) -> Meaning:
    return judge(one(text)).meaning


@pytest.mark.parametrize(
    "told",
    [
        {"status": 429, "headers": {}, "body": {"error": ERROR}},
        {"status": "429", "headers": None, "body": json.dumps({"error": ERROR})},
        {"status_code": 429, "headers": [], "body": ERROR},
        {"statusCode": 429, **ERROR},
        {"status": 429, **ERROR},
        {"id": "lead-1", "status": "failed", "reason": "exhausted", "error": {"status": 429, **ERROR}},
        {"status": 429, "headers": {}, "body": [{"error": ERROR}]},
    ],
)
def test_an_object_is_an_answer_in_many_spellings(told: dict[str, Any]) -> None:
    assert one(json.dumps(told)) == one(json.dumps(told, indent=2)) == WHOLE


def test_headers_come_as_tools_write_them() -> None:
    for headers in (
        {"Retry-After": "7"},
        {"retry-after": ["7", "8"]},
        [["Retry-After", "7"], ["odd"], 3],
        {"retry-after": 7},
    ):
        told = {"status": 429, "headers": headers, "body": ""}
        assert judge(one(json.dumps(told))).wait_ms == 7_000, headers


def test_an_array_of_answers_is_several() -> None:
    text = json.dumps([{"status": 200}, {"status": 500}, {"status": 401}])
    assert [judge(answer).meaning for answer in answers_in(text)] == [Meaning.OK, Meaning.UPSTREAM_ERROR, Meaning.AUTH]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"status": 200, "headers": {}}', Meaning.OK),
        ('{"status": 200, "headers": {}, "body": {"choices": []}}', Meaning.OK),
        ('{"id": "chatcmpl-1", "object": "chat.completion", "choices": [], "usage": {}}', Meaning.OK),
        ('{"id": "lead-1", "status": "completed", "response": {"choices": []}}', Meaning.OK),
        ('{"object": "response", "status": "failed", "error": {"code": "server_error"}}', Meaning.UPSTREAM_ERROR),
        ('{"status": 400, "headers": {}, "body": {"odd": 1}}', Meaning.REJECTED),
        ('{"status": true, "message": "Incorrect API key provided: x"}', Meaning.AUTH),
        ('{"status": 503, "body": "<html>busy</html>"}', Meaning.OVERLOADED),
        ('{"foo": 1}', Meaning.UPSTREAM_ERROR),
        ('{"event": "upstream_trouble", "status": 429, "code": "insufficient_quota"}', Meaning.QUOTA),
        ('{"log": "Error: insufficient_quota", "pid": 7}', Meaning.QUOTA),
        (json.dumps({"level": "error", "message": f"Error code: 429 - {ERROR}"}), Meaning.RATE_LIMITED),
        ('{"message": "503 Slow Down"}', Meaning.OVERLOADED),
        ("[1, 2]", Meaning.UPSTREAM_ERROR),
        ('"429"', Meaning.RATE_LIMITED),
        ('{"error": {"code": "timeout"}}', Meaning.TIMEOUT),
    ],
)
def test_what_is_only_part_of_an_answer_means_what_is_left_of_it(text: str, expected: Meaning) -> None:
    assert meaning(text) is expected


def test_the_output_of_curl_is_an_answer_with_its_headers() -> None:
    body = json.dumps({"error": ERROR}, indent=2)
    head = "HTTP/2 429 \ndate: Wed, 25 Nov 2026 09:00:00 GMT\nretry-after: Wed, 25 Nov 2026 09:00:12 GMT\n\n"
    answer = one(f"HTTP/1.1 200 Connection established\n\n{head}{body}\n")
    assert (answer.status, answer.error_code, judge(answer).wait_ms) == (429, "rate_limit_exceeded", 12_000)
    verbose = "< HTTP/1.1 401 Unauthorized\n< server: x\n<\n* Connection kept\n" + json.dumps(
        {"error": {"message": "no"}}
    )
    assert (one(verbose).status, one(verbose).message, one(verbose).headers) == (401, "no", {"server": "x"})
    assert meaning("HTTP/1.1 502 Bad Gateway\n\n<html>\n\n</html>") is Meaning.UPSTREAM_ERROR
    assert meaning("HTTP/1.1 200 OK") is Meaning.OK


OVERLOADED = '{"type":"error","error":{"code":"server_is_overloaded","message":"m"},"sequence_number":2}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'event: response.created\ndata: {{"type":"response.created"}}\n\nevent: error\ndata: {OVERLOADED}',
            Meaning.OVERLOADED,
        ),
        (f"data: {OVERLOADED}\n\ndata: [DONE]", Meaning.OVERLOADED),
        (f'data: {{"error": {json.dumps(ERROR)}}}', Meaning.RATE_LIMITED),
        ('data: {"choices": []}\n\ndata: [DONE]', Meaning.OK),
        ("event: error\ndata: upstream broke", Meaning.UPSTREAM_ERROR),
        ("event: error", Meaning.UPSTREAM_ERROR),
        (
            'HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\ndata: {"error": {"code": "slow_down"}}',
            Meaning.OVERLOADED,
        ),
        (json.dumps({"status": 200, "body": f"data: {OVERLOADED}\n\n"}), Meaning.OVERLOADED),
    ],
)
def test_an_error_in_a_stream_is_found_among_its_events(text: str, expected: Meaning) -> None:
    assert meaning(text) is expected


@pytest.mark.parametrize(
    ("text", "status", "code", "message"),
    [
        (f"Error code: 429 - {{'error': {ERROR}}}", 429, "rate_limit_exceeded", LIMITED),
        (f"openai.RateLimitError: Error code: 429 - {ERROR}", 429, "rate_limit_exceeded", LIMITED),
        (
            f"x\nError code: 500 - {{'error': {{'message': 'a'}}}}\nError code: 429 - {ERROR}",
            429,
            "rate_limit_exceeded",
            LIMITED,
        ),
        (f"Error code: 429 - {LIMITED}", 429, None, LIMITED),
        (f"HTTP 429: {json.dumps({'error': ERROR})}", 429, "rate_limit_exceeded", LIMITED),
        ("Request failed with status code 429", 429, None, "Request failed with status code 429"),
        ("500 requests a minute", None, None, "500 requests a minute"),
        ("503 Slow Down", 503, None, "503 Slow Down"),
        ("openai.AuthenticationError: no", 401, None, "openai.AuthenticationError: no"),
        ("Error: insufficient_quota", None, "insufficient_quota", "Error: insufficient_quota"),
        ("openai.APITimeoutError: Request timed out.", None, "timeout", "openai.APITimeoutError: Request timed out."),
        ("curl: (7) Failed to connect to x", None, "connection", "curl: (7) Failed to connect to x"),
        (LIMITED, None, None, LIMITED),
        (f"stream disconnected: {LIMITED}", None, None, f"stream disconnected: {LIMITED}"),
        ("stream disconnected before completion", None, "connection", "stream disconnected before completion"),
        ("Limit {30000}", None, None, "Limit {30000}"),
        ("a } before {", None, None, "a } before {"),
        ("{'error': {'message': '\\d'}}", None, None, "\\d"),
        ("{" * 5_000 + "}", None, None, "{" * 5_000 + "}"),
    ],
)
def test_a_copied_text_is_taken_apart(text: str, status: int | None, code: str | None, message: str) -> None:
    answer = one(text)
    assert (answer.status, answer.error_code, answer.message) == (status, code, message)


def test_an_exception_cut_off_while_it_was_copied_tells_what_is_left() -> None:
    for length in range(20, len(f"Error code: 429 - {{'error': {ERROR}}}")):
        answer = one(f"Error code: 429 - {{'error': {ERROR}}}"[:length])
        assert answer.status == 429
    cut = one(
        "Error code: 429 - {'error': {'code': 'insufficient_quota', 'type': 'insufficient_quota', 'message': 'You"
    )
    assert (cut.error_code, cut.error_type) == ("insufficient_quota", "insufficient_quota")
