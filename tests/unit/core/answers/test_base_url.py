"""Which answers show that an operator has named another server, and which are the request's own fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.core.answers.base_url import LATELY_MS, MODELS_MAX, Addressee, AnswerForm, Ruling, form_of
from headrace.broker.core.answers.error_body import answer_of
from headrace.broker.core.answers.verdict import Answer

JSON = {"Content-Type": "application/json; charset=utf-8"}
TEXT = {"content-type": "text/plain; charset=utf-8"}
PAGE = "<!DOCTYPE html><html><head><title>Not Found</title></head></html>"


def refused(status: int | None, body: Any = "", headers: dict[str, str] | None = None) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return answer_of(status, JSON if headers is None else headers, text)


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


GONE = {
    "openai": error("The model `x` does not exist.", type="invalid_request_error", code="model_not_found"),
    "azure": error("The API deployment for this resource does not exist.", code="DeploymentNotFound"),
    "vllm": {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
    "ollama": error('model "x" not found, try pulling it first', type="api_error", param=None, code=None),
    "openrouter": error("No endpoints found for x.", code=404),
    "openrouter, providers": error("No allowed providers are available for the selected model.", code=404),
    "gemini": [{"error": {"code": 404, "message": "models/x is not found for v1beta", "status": "NOT_FOUND"}}],
    "anthropic": {"type": "error", **error("model: x", type="not_found_error")},
    "together": error("Unable to access model x.", type="invalid_request_error", code="model_not_available"),
    "fireworks": error("Model not found, inaccessible, and/or not deployed", code="NOT_FOUND"),
    "deepinfra": {"detail": {"error": "Model is not available"}},
    "foundry": error("Unknown model: x", code="unknown_model"),
    "xai": {"code": "The requested resource was not found", "error": "The model x does not exist"},
}


@pytest.mark.parametrize("body", GONE.values(), ids=GONE)
def test_a_model_that_a_server_of_the_api_does_not_have_is_known_by_its_words(body: object) -> None:
    assert form_of(refused(404, body)) is AnswerForm.GONE


MISSING: dict[str, tuple[int, Any, dict[str, str]]] = {
    "go": (404, "404 page not found\n", TEXT),
    "fastapi": (404, {"detail": "Not Found"}, JSON),
    "nginx": (404, PAGE, {"content-type": "text/html"}),
    "spring": (404, {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v1/chat/completions"}, JSON),
    "express": (404, "<!doctype html><pre>Cannot POST /chat/completions</pre>", {"content-type": "text/html"}),
    "fastify": (404, {"message": "Route POST:/chat/completions not found", "error": "Not Found"}, JSON),
    "kong": (404, {"message": "no Route matched with those values"}, JSON),
    "openai, without /v1": (404, error("Invalid URL (POST /chat)", type="invalid_request_error"), JSON),
    "openai, long ago": (404, error("Unknown request URL: POST /v1/v1", type="invalid_request_error"), JSON),
    "azure, wrong path": (404, error("Resource not found", code="404"), JSON),
    "another api": (404, error("The thing is away", code="NoSuchThing"), JSON),
    "nothing": (404, "", {}),
    "json of another kind": (404, {"model": "gpt-4o"}, JSON),
    "an echo": (404, '{"model": "gpt-4o", "deployment": 1', JSON),
    "405": (405, {"detail": "Method Not Allowed"}, JSON),
    "405, openai": (405, error("Not allowed to POST on /v1/models.", type="invalid_request_error"), JSON),
    "405, nothing": (405, "", {}),
}


@pytest.mark.parametrize(("status", "body", "headers"), MISSING.values(), ids=MISSING)
def test_a_path_that_is_missing_is_no_word_of_the_api(status: int, body: object, headers: dict[str, str]) -> None:
    assert form_of(refused(status, body, headers)) is AnswerForm.MISSING


ODD: dict[str, tuple[int, Any, dict[str, str]]] = {
    "to https": (301, "", {"location": "https://gw/v1"}),
    "sign-in": (302, "<html>Sign in</html>", {}),
    "temporarily": (307, "", {}),
    "python": (501, "<!DOCTYPE HTML><h1>Unsupported method ('POST')</h1>", {"content-type": "text/html"}),
    "page": (400, "<html><h1>400 Bad Request</h1></html>", {"content-type": "text/html"}),
    "forbidden": (403, PAGE, {"content-type": "text/html"}),
    "proxy": (407, PAGE, {"content-type": "text/html"}),
    "text": (400, "Bad Request", TEXT),
    "nothing": (415, "", {}),
    "json-rpc": (400, {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": None}, JSON),
    "json-rpc, with a 200": (200, {"jsonrpc": "2.0", "error": {"code": -32601, "message": "No method"}}, JSON),
    "too large for a gateway": (413, "<html>413 Request Entity Too Large</html>", {"content-type": "text/html"}),
    "too large, text": (413, "Payload Too Large", TEXT),
    "a path too long for a gateway": (414, "<html>414 Request-URI Too Large</html>", {"content-type": "text/html"}),
    "headers too large": (431, "", {}),
    "json of another kind": (422, {"ok": False}, JSON),
    "a status that no API has": (418, "I'm a teapot", {}),
    "locked": (423, "", {}),
    "precondition": (428, "", {}),
    "legal": (451, PAGE, {"content-type": "text/html"}),
    "a bare word": (400, {"timestamp": 1, "status": 400, "error": "Bad Request", "path": "/v1/chat/completions"}, JSON),
    "too large, in a text": (413, "Request too large", TEXT),
    "a bare text": (400, {"error": "no handler found for uri [/chat/completions] and method [POST]"}, JSON),
    "a bare detail": (422, {"detail": "Missing signature."}, JSON),
    "another's error with a 200": (200, {"ok": False, "error": "unknown_method"}, JSON),
    "a greeting with a 200": (200, {"message": "Hello World"}, JSON),
}


@pytest.mark.parametrize(("status", "body", "headers"), ODD.values(), ids=ODD)
def test_what_no_api_answers_is_odd(status: int, body: object, headers: dict[str, str]) -> None:
    assert form_of(refused(status, body, headers)) is AnswerForm.ODD


PLAIN: dict[str, tuple[int | None, Any, dict[str, str]]] = {
    "no answer": (None, "", {}),
    "bad request": (400, error("Bad.", type="invalid_request_error", param="messages"), JSON),
    "bad request, vllm": (400, {"object": "error", "message": "Too long.", "type": "BadRequestError"}, JSON),
    "too large, openai": (413, error("Too large.", type="invalid_request_error"), JSON),
    "too large, in a code": (413, error("Too large.", code="request_too_large"), JSON),
    "an http status as code": (400, error("Bad.", code=400), JSON),
    "a code alone": (400, error("Bad.", code="bad"), JSON),
    "an error with a 200": (200, error("Busy.", type="server_error"), JSON),
    "fastapi": (422, {"detail": [{"loc": ["body", "n"], "msg": "bad", "type": "int"}]}, {}),
    "conversation": (404, error("Conversation with id 'c' not found.", type="invalid_request_error"), JSON),
    "param": (404, error("No such file object: f", param="file"), JSON),
    "bad key, in a text": (400, {"code": "invalid-argument", "error": "Incorrect API key provided. See x.ai."}, JSON),
    "empty account, in a text": (400, {"error": "Insufficient Balance"}, JSON),
    "empty account": (404, error("No credit.", code="insufficient_quota"), JSON),
    "a type that tells": (404, error("No.", type="authentication_error"), JSON),
    "key": (401, "", {}),
    "limit": (429, "", {}),
    "server": (500, PAGE, {}),
    "gateway": (502, PAGE, {}),
    "unimplemented": (501, error("Not yet.", type="server_error"), JSON),
}


@pytest.mark.parametrize(("status", "body", "headers"), PLAIN.values(), ids=PLAIN)
def test_refusals_of_the_api_and_trouble_tell_nothing_of_the_address(
    status: int | None, body: object, headers: dict[str, str]
) -> None:
    expected = AnswerForm.ODD if isinstance(body, dict) and isinstance(body.get("detail"), list) else AnswerForm.PLAIN
    assert form_of(refused(status, body, headers)) is expected


def test_no_recorded_error_of_openai_or_azure_is_taken_for_another_server() -> None:
    lines = (Path(__file__).parent.parent / "data" / "openai_error_messages.jsonl").read_text().splitlines()
    for line in lines:
        told = json.loads(line)
        fields = {name: told.get(name) for name in ("message", "code", "type")}
        form = form_of(answer_of(told.get("status"), {}, {"error": fields}))
        assert form in {AnswerForm.PLAIN, AnswerForm.GONE}, told
    assert len(lines) > 50


# ---------------------------------------------------------------------- what follows


def test_before_any_answer_no_strange_word_is_the_requests_fault() -> None:
    addressee = Addressee()
    for form in (AnswerForm.MISSING, AnswerForm.ODD):
        assert addressee.observe("m", form, 0, 10) is Ruling.ELSEWHERE
    assert not addressee.proved


def test_before_any_answer_the_apis_own_refusals_stand() -> None:
    addressee = Addressee()
    assert addressee.observe("m", AnswerForm.PLAIN, 0, 10) is Ruling.AS_JUDGED
    assert addressee.observe("m", AnswerForm.GONE, 0, 10) is Ruling.AS_JUDGED
    assert not addressee.proved


def test_before_any_answer_a_second_model_that_is_gone_shows_that_all_are() -> None:
    addressee = Addressee()
    assert addressee.observe("m", AnswerForm.GONE, 0, 10) is Ruling.AS_JUDGED
    assert addressee.observe("m", AnswerForm.GONE, 20, 30) is Ruling.AS_JUDGED
    assert addressee.observe("n", AnswerForm.GONE, 20, 30) is Ruling.ELSEWHERE
    assert addressee.observe("m", AnswerForm.GONE, 40, 50) is Ruling.ELSEWHERE
    addressee.observe("o", AnswerForm.ANSWER, 60, 70)
    for model in ("m", "n", "p"):
        assert addressee.observe(model, AnswerForm.GONE, 80, 90) is Ruling.AS_JUDGED


def test_an_answer_proves_it_and_odd_words_are_the_servers_trouble_from_then_on() -> None:
    addressee = Addressee()
    assert addressee.observe("m", AnswerForm.ANSWER, 0, 10) is Ruling.AS_JUDGED
    assert addressee.proved
    assert addressee.observe("m", AnswerForm.ODD, 20, 30) is Ruling.AS_JUDGED


def test_the_only_model_that_is_missing_is_the_operators_matter() -> None:
    addressee = Addressee(proved=True)
    assert addressee.observe("m", AnswerForm.MISSING, 0, 10) is Ruling.ELSEWHERE
    addressee.observe("m", AnswerForm.ANSWER, 20, 30)
    assert addressee.observe("m", AnswerForm.MISSING, 40, 50) is Ruling.ELSEWHERE


def test_a_model_alone_is_the_requests_fault_once_another_was_answered_between_two_of_its_404s() -> None:
    addressee = Addressee(proved=True)
    addressee.observe("good", AnswerForm.ANSWER, 0, 10)
    assert addressee.observe("bad", AnswerForm.MISSING, 15, 20) is Ruling.AGAIN
    addressee.observe("good", AnswerForm.ANSWER, 19, 25)  # it had left before
    assert addressee.observe("bad", AnswerForm.MISSING, 26, 30) is Ruling.AGAIN
    addressee.observe("good", AnswerForm.ANSWER, 20, 35)
    addressee.observe("good", AnswerForm.ANSWER, 30, 39)
    assert addressee.observe("bad", AnswerForm.MISSING, 34, 40) is Ruling.AGAIN, (
        "the server may have been mended since it left"
    )
    assert addressee.observe("bad", AnswerForm.MISSING, 35, 41) is Ruling.AS_JUDGED


def test_a_model_that_was_answered_again_is_judged_anew() -> None:
    addressee = Addressee(proved=True)
    addressee.observe("bad", AnswerForm.MISSING, 0, 5)
    addressee.observe("good", AnswerForm.ANSWER, 10, 20)
    assert addressee.observe("bad", AnswerForm.MISSING, 21, 22) is Ruling.AS_JUDGED
    addressee.observe("bad", AnswerForm.ANSWER, 23, 30)
    assert addressee.observe("good", AnswerForm.MISSING, 31, 40) is Ruling.AGAIN, "the other one is there now"
    assert addressee.observe("bad", AnswerForm.MISSING, 31, 41) is Ruling.ELSEWHERE


def test_all_models_at_once_are_the_operators_matter_also_beside_one_that_was_missing_before() -> None:
    addressee = Addressee(proved=True)
    addressee.observe("bad", AnswerForm.MISSING, 0, 5)
    addressee.observe("one", AnswerForm.ANSWER, 10, 20)
    addressee.observe("two", AnswerForm.ANSWER, 10, 20)
    assert addressee.observe("bad", AnswerForm.MISSING, 21, 22) is Ruling.AS_JUDGED
    assert addressee.observe("one", AnswerForm.MISSING, 23, 30) is Ruling.AGAIN
    assert addressee.observe("two", AnswerForm.MISSING, 23, 31) is Ruling.ELSEWHERE
    for model in ("one", "two", "bad"):
        assert addressee.observe(model, AnswerForm.MISSING, 40, 50) is Ruling.ELSEWHERE


def test_an_answer_of_long_ago_proves_nothing_of_now() -> None:
    addressee = Addressee(proved=True)
    addressee.observe("good", AnswerForm.ANSWER, 0, 10)
    assert addressee.observe("bad", AnswerForm.MISSING, 10, 10 + LATELY_MS) is Ruling.AGAIN
    assert addressee.observe("bad", AnswerForm.MISSING, 10, 11 + LATELY_MS) is Ruling.ELSEWHERE


def test_a_model_that_was_answered_and_is_gone_waits_until_another_shows_that_it_is_alone() -> None:
    addressee = Addressee()
    addressee.observe("m", AnswerForm.ANSWER, 0, 10)
    assert addressee.observe("m", AnswerForm.GONE, 20, 30) is Ruling.ELSEWHERE
    assert addressee.observe("never answered", AnswerForm.GONE, 20, 30) is Ruling.AS_JUDGED
    addressee.observe("never answered", AnswerForm.MISSING, 20, 30)
    assert addressee.observe("never answered", AnswerForm.GONE, 20, 30) is Ruling.AS_JUDGED
    addressee.observe("other", AnswerForm.ANSWER, 40, 50)
    assert addressee.observe("m", AnswerForm.GONE, 60, 70) is Ruling.AS_JUDGED


def test_no_more_models_are_remembered_than_a_bound() -> None:
    addressee = Addressee()
    for number in (*range(MODELS_MAX), 0, MODELS_MAX):
        addressee.observe(str(number), AnswerForm.ANSWER, number, number)
    assert addressee.observe("1", AnswerForm.GONE, 999, 999) is Ruling.AS_JUDGED, "it was heard of longest ago"
    for number in range(MODELS_MAX + 1):
        addressee.observe(str(number), AnswerForm.ANSWER, number, number)
    assert addressee.observe("0", AnswerForm.GONE, 999, 999) is Ruling.AS_JUDGED
    assert addressee.observe("1", AnswerForm.GONE, 999, 999) is Ruling.AGAIN
    for number in range(MODELS_MAX + 1):
        addressee.observe(f"missing {number}", AnswerForm.MISSING, 1_000, 1_000)
    assert len(addressee._missing) == len(addressee._answered_ms) == MODELS_MAX
