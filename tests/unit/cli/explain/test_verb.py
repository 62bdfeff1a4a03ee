"""`headrace explain`: everything recorded is one valid object a line, and a page a person can read."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headrace.broker.cli.explain.advice import ATTEMPTS_MAX, IN_PLACE_MAX_MS, a_period, spoken_ms, what_it_means
from headrace.broker.cli.explain.page import page
from headrace.broker.cli.main import main
from headrace.broker.core.answers.verdict import Answer, judge
from headrace.broker.settings.duties import RetrySettings
from tests.unit.core import recorded

NUMBER = {"type": ["integer", "null"], "minimum": 0}
BUCKET = {"capacity": NUMBER, "remaining": NUMBER, "period_ms": NUMBER, "full_in_ms": NUMBER}
NUMBERS = {"period_ms": NUMBER, "capacity": NUMBER, "used": NUMBER, "requested": NUMBER}
VERDICTS = "ok rate_limited too_large quota overloaded tier_unavailable upstream_error auth rejected"


def shape(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


NAME = {"type": ["string", "null"]}
METRIC = {"enum": ["tokens", "requests"]}
LIMIT = shape({"name": NAME, "metric": METRIC, "counts": {"type": "string"}, **NUMBERS})
CONTRACT = shape(
    {
        "verdict": {"enum": VERDICTS.split()},
        "retry": {"type": "boolean"},
        "wait_ms": NUMBER,
        "limit": {"anyOf": [LIMIT, {"type": "null"}]},
        "limits": {"type": "array", "items": shape({"metric": METRIC, **BUCKET})},
        "action": {"type": "string", "pattern": r"^Headrace [^\n]+\.$"},
        "other_limit": shape({"name": NAME, "metric": {"type": "string"}, **NUMBERS}),
        "other_limits": {"type": "array", "minItems": 1, "items": shape({"metric": {"type": "string"}, **BUCKET})},
    },
    "other_limit",
    "other_limits",
)
VALIDATOR = jsonschema.Draft202012Validator(CONTRACT)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["explain", *argv]) == 0
    return capsys.readouterr().out


def objects(out: str) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in out.splitlines()]
    for each in told:
        VALIDATOR.validate(each)
    return told


def test_every_recorded_error_is_one_valid_object_with_the_judges_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    told = objects(run(capsys, str(recorded.DATA / "openai_error_messages.jsonl"), "--json"))
    rows = recorded.errors()
    assert len(told) == len(rows)
    for row, each in zip(rows, told, strict=True):
        verdict = judge(recorded.answer_of(row))
        assert (each["verdict"], each["retry"], each["wait_ms"]) == (
            verdict.meaning,
            verdict.retryable,
            verdict.wait_ms,
        )
        assert (each["limit"] or {}).get("capacity") == row["limit"]
        assert (each["limit"] or {}).get("requested") == row["requested"]
        assert each["limits"] == []


def test_every_recorded_set_of_headers_is_one_valid_object_with_both_limits(capsys: pytest.CaptureFixture[str]) -> None:
    told = objects(run(capsys, str(recorded.DATA / "openai_ratelimit_headers.jsonl"), "--json"))
    rows = recorded.header_sets()
    assert len(told) == len(rows)
    for row, each in zip(rows, told, strict=True):
        assert each["verdict"] == ("ok" if row["status"] == 200 else "rejected")
        tokens, requests = each["limits"]
        assert (tokens["metric"], tokens["capacity"], tokens["remaining"]) == (
            "tokens",
            row["limit_tokens"],
            row["remaining_tokens"],
        )
        assert requests["metric"] == "requests"


def test_every_recorded_answer_of_another_server_is_one_valid_object(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = recorded.others()
    source = tmp_path / "answers.jsonl"
    source.write_text("\n".join(json.dumps(row["input"]) for row in rows), encoding="utf-8")
    told = objects(run(capsys, str(source), "--json"))
    assert len(told) == len(rows)
    for row, each in zip(rows, told, strict=True):
        verdict = judge(recorded.others_answer(row))
        assert (each["verdict"], each["wait_ms"]) == (verdict.meaning, verdict.wait_ms), row["id"]
        kinds = {"tokens", "requests", "input-tokens", "output-tokens", "uncached-input-tokens", "concurrent-requests"}
        assert (each["limit"] is not None) is (verdict.limit is not None and verdict.limit.metric in kinds), row["id"]


def test_a_limit_of_input_tokens_and_a_charge_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = "This request would exceed the rate limit for your organization (o) of 20,000 input tokens per minute."
    assert "The limit on input tokens is used up: it holds 20,000 input tokens a minute." in run(capsys, text)
    (told,) = objects(run(capsys, text, "--json"))
    assert (told["limit"]["metric"], told["limit"]["capacity"]) == ("tokens", 20_000)
    assert told["limit"]["counts"] == "input-tokens"
    answered = {"status": 200, "headers": {"x-ratelimit-tokens-query-cost": "5200"}, "body": {"choices": []}}
    assert "charged   5,200 tokens" in run(capsys, json.dumps(answered))


@pytest.mark.parametrize(
    ("words", "metric", "counts"),
    [("tokens", "tokens", "tokens"), ("requests", "requests", "requests"), ("input-tokens", "tokens", "input-tokens")],
)
def test_a_script_reads_what_a_limit_counts(
    capsys: pytest.CaptureFixture[str], words: str, metric: str, counts: str
) -> None:
    text = f"Rate limit reached for m in organization o on {words} per min: Limit 100, Used 90, Requested 20."
    (told,) = objects(run(capsys, text, "--json"))
    assert (told["limit"]["metric"], told["limit"]["counts"]) == (metric, counts)
    assert "other_limit" not in told


def test_a_script_reads_of_input_that_no_cache_holds(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = (row for row in recorded.others() if row["id"] == "azure-foundry-uncached")
    (told,) = objects(run(capsys, json.dumps(row["input"]), "--json"))
    assert (told["limit"]["metric"], told["limit"]["counts"]) == ("tokens", "uncached-input-tokens")


@pytest.mark.parametrize("counted", ["input tokens", "input images"])
def test_a_request_beyond_a_limit_of_its_input_is_told_what_to_send_less_of(
    capsys: pytest.CaptureFixture[str], counted: str
) -> None:
    text = (
        f"Request too large for m in organization o on {counted.replace(' ', '-')} per min: Limit 5, Used 0, "
        "Requested 9. The input or output tokens must be reduced in order to run successfully."
    )
    page = run(capsys, text)
    assert f"The limit m holds 5 {counted} a minute, and this request alone takes 9" in page
    assert f"send fewer {counted} in one request, or have the limit raised" in page


def test_a_recorded_message_alone_gives_the_same_object_as_a_whole_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [row for row in recorded.errors() if row["code"] != "token_limit_exceeded"]  # that code is in no message
    texts, answers = tmp_path / "texts", tmp_path / "answers.jsonl"
    texts.write_text("\n\n".join(row["message"] for row in rows), encoding="utf-8")
    bodies = ({"error": {key: row[key] for key in ("message", "code", "type")}} for row in rows)
    whole = [{"status": row["status"], "headers": {}, "body": body} for row, body in zip(rows, bodies, strict=True)]
    answers.write_text("\n".join(map(json.dumps, whole)), encoding="utf-8")
    assert objects(run(capsys, str(texts), "--json")) == objects(run(capsys, str(answers), "--json"))


def test_bad_lines_stop_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = tmp_path / "answers.jsonl"
    source.write_bytes(b'{"status": 200}\nnot json\n{"status": 42\n\xff\xfe\x00\n[[[[\n{"status": 429}\n')
    told = objects(run(capsys, str(source), "--json"))
    assert [each["verdict"] for each in told] == ["ok", *["upstream_error"] * 4, "rate_limited"]


def test_no_answer_at_all_is_a_failure_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("Request timed out.", "Connection error."):
        (told,) = objects(run(capsys, text, "--json"))
        assert (told["verdict"], told["retry"]) == ("upstream_error", True)
        assert run(capsys, text).startswith(("timeout", "connection"))


def test_images_are_told_to_a_person_and_beside_the_contract_to_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization o on input-images per min: Limit 5, "
    )
    text += "Used 5, Requested 1. Please try again in 12s."
    (told,) = objects(run(capsys, text, "--json"))
    assert (told["limit"], told["wait_ms"]) == (None, 12_000)
    assert told["other_limit"] == {
        "metric": "input-images",
        "name": "gpt-image",
        "period_ms": 60_000,
        "capacity": 5,
        "used": 5,
        "requested": 1,
    }
    assert "5 of 5 input images a minute are spent" in run(capsys, text)


def test_a_page_says_what_how_full_when_and_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    headers = recorded.header_sets()[6]["headers"]
    lacks = "28,039 of 30,000 tokens a minute are spent, and it takes 3,906."
    error = {"error": {"message": recorded.errors()[23]["message"], "type": "tokens", "code": "rate_limit_exceeded"}}
    out = run(capsys, json.dumps({"status": 429, "headers": headers, "body": error}))
    assert out.splitlines() == [
        "rate_limited  HTTP 429, code rate_limit_exceeded, type tokens",
        f"  The limit gpt-4.1 has no room for this request: {lacks}",
        "  spent     ███████████████████░ 93.5%",
        "  left      ████████████████████ 149,999,225 of 150,000,000 tokens",
        "  left      ████████████████████ 29,999 of 30,000 requests, full in 2 ms",
        "  left      ████████████████████ 49,999 of 50,000 input images, full in 1 ms",
        "  again in  3.89 s",
        "  Headrace  waits 3.89 s and calls again; this does not count as a failed attempt.",
        "  you       nothing now; if it continues, find out what else spends from this limit, or have it raised",
        "",
    ]


def test_a_page_shows_the_servers_words_and_never_its_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"message": "my secret prompt", "code": "\x1b[2Jnew", "type": "my secret", "param": "messages\u202e"}
    out = run(capsys, json.dumps({"status": 429, "body": {"error": error}}))
    assert "secret" not in out
    assert "\x1b" not in out
    assert "please report it" in out
    rejected = json.dumps({"status": 400, "body": {"error": error}})
    assert "messages" not in run(capsys, rejected)
    assert "correct messages[0].content, which OpenAI names" in run(
        capsys, rejected.replace("messages\\u202e", "messages[0].content")
    )


def test_many_are_summed_up_and_each_says_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, str(recorded.DATA / "openai_error_messages.jsonl")).splitlines()
    assert lines[-1].startswith("53 explained: rate_limited 25, too_large 9")
    assert sum(bool(re.search(r"  line \d+$", line)) for line in lines) == 52


def test_a_narrow_terminal_wraps_and_loses_nothing() -> None:
    answer = Answer(500, {}, None, None, None, "")
    wide = list(page(answer, judge(answer), where="", width=10_000))
    narrow = list(page(answer, judge(answer), where="", width=60))
    assert all(len(line) <= 60 for line in narrow[1:])
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(wide).split())


@pytest.mark.parametrize(
    ("status", "code", "message", "said"),
    [
        (403, None, "", "is not allowed to do this"),
        (403, "unsupported_country_region_territory", "", "country or region"),
        (401, None, "", "does not accept the key"),
        (429, "slow_down", "", "asks to slow down"),
        (429, None, "at capacity", "OpenAI is overloaded"),
        (404, "model_not_found", "", "no such model"),
        (400, "content_filter", "", "refused the content"),
        (
            400,
            "context_length_exceeded",
            "maximum context length is 10 tokens",
            "has more tokens, and the model's window",
        ),
        (429, None, "Request too large", "larger than the limit"),
        (429, None, "Request too large for m on tokens per min: Limit 7", "The limit m holds 7 tokens a minute"),
        (429, "token_limit_exceeded", "", "The queue of batches is full; it has room"),
        (429, "tokens", "Rate limit reached for m on tokens per day: Limit 7.", "it holds 7 tokens a day"),
        (
            429,
            None,
            "Rate limit reached for m in project p on requests per hour: Limit 7, Used 7",
            "The project's limit m",
        ),
        (429, None, "Limit type: tokens. Current limit: 7, Remaining: 1 rate limit", "6 of 7 tokens are spent"),
        (302, None, "", "does not know this answer"),
        (404, None, "404 page not found", "The server has no such path"),
        (405, None, "", "may not be OpenAI's API"),
    ],
)
def test_each_kind_of_answer_has_a_sentence_of_its_own(status: int, code: str | None, message: str, said: str) -> None:
    answer = Answer(status, {}, code, None, None, message)
    assert said in what_it_means(answer, judge(answer))


def test_times_are_spoken() -> None:
    assert [spoken_ms(ms) for ms in (7, 1_000, 3_890, 432_000)] == ["7 ms", "1 s", "3.89 s", "7 min 12 s"]
    assert [a_period(ms) for ms in (60_000, 10_000, 2_592_000_000)] == ["a minute", "in 10 s", "in 30 days"]


def test_what_headrace_would_do_follows_the_defaults() -> None:
    defaults = RetrySettings()
    assert (defaults.in_place_max_s * 1_000, defaults.attempts_max) == (IN_PLACE_MAX_MS, ATTEMPTS_MAX)


@pytest.mark.parametrize(
    ("told", "verdict"), [("429", "rate_limited"), ("insufficient_quota", "quota"), ("Slow down.", "overloaded")]
)
def test_an_argument_that_is_no_file_may_be_what_was_said(
    told: str, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [each["verdict"] for each in objects(run(capsys, told, "--json"))] == [verdict]


@pytest.mark.parametrize("source", ["nosuch.jsonl", "/"])
def test_a_file_that_cannot_be_read_is_one_sentence(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", source]) == 2
    assert "cannot be read" in capsys.readouterr().err
