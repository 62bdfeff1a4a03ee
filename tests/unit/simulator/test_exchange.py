import asyncio
import json
from typing import Any

import pytest

from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.behaviours.profiles import StaleHeaders
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.script import Scripted
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.streams import Break, Manner
from tests.unit.simulator.asking import (
    ASKED,
    HELLO,
    KEY,
    Desk,
    error_of,
    numbered,
    object_of,
    stream_of_reply,
    words_of,
)


def test_an_answer_has_the_shape_of_a_chat_completion() -> None:
    reply = Desk().ask()
    body = reply.body
    assert not isinstance(body, str)
    assert reply.status == 200
    assert {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"} <= set(body)
    assert body["model"] == "gpt-4o-mini-2024-07-18"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert reply.headers["x-ratelimit-remaining-requests"] == "499"


def test_the_same_request_gets_the_same_answer_and_latency_whatever_came_before() -> None:
    first, second = Desk(seed=3), Desk(seed=3)
    other = HELLO | {"messages": [{"role": "user", "content": "Company: Other"}]}
    second.ask(other)
    messages = [{"content": HELLO["messages"][0]["content"], "role": "user"}]
    same = {"messages": messages, "metadata": {"id": "x"}, "model": HELLO["model"]}
    one, two = first.ask(), second.ask(same)
    assert (words_of(one), one.delay_s) == (words_of(two), two.delay_s)


def test_latency_and_words_differ_by_content_and_by_seed() -> None:
    bodies = [numbered(number) for number in range(50)]
    desk = Desk(latency_s=(1.0, 4.0))
    replies = [desk.ask(body) for body in bodies]
    assert all(1.0 <= reply.delay_s <= 4.0 for reply in replies)
    assert len({reply.delay_s for reply in replies}) == 50
    assert max(reply.delay_s for reply in replies) > 3.5
    assert len({words_of(reply) for reply in replies}) > 25
    assert [Desk(seed=8).ask(body).delay_s for body in bodies] != [reply.delay_s for reply in replies]


@pytest.mark.parametrize(("headers", "code"), [({}, None), ({"authorization": "Bearer wrong-1"}, "invalid_api_key")])
def test_a_missing_or_wrong_key_is_a_401_that_costs_nothing(headers: dict[str, str], code: str | None) -> None:
    desk = Desk()
    reply = desk.ask(headers=headers)
    assert (reply.status, error_of(reply)["code"]) == (401, code)
    assert reply.headers == {}
    assert desk.books.admitted == 0


def test_a_model_that_is_not_served_is_a_404_and_a_400_on_responses() -> None:
    desk = Desk(models=("gpt-4o",))
    reply = desk.ask()
    assert (reply.status, error_of(reply)["code"]) == (404, "model_not_found")
    reply = desk.ask({"model": "gpt-5", "input": "hi"}, endpoint=Endpoint.RESPONSES)
    assert (reply.status, error_of(reply)["code"], error_of(reply)["param"]) == (400, "model_not_found", "model")
    assert desk.ask(HELLO | {"model": "gpt-4o-2024-08-06"}).status == 200


@pytest.mark.parametrize(
    ("body", "charged"),
    [
        (b"{no json", 0),
        (b"[1]", 0),
        ({"messages": []}, 0),
        ({"model": "m"}, 1),
        ({"model": "m", "messages": "text"}, 1),
        ({"model": "m", "messages": [{"role": "user", "content": "12345678"}], "stream": "yes"}, 4),
    ],
)
def test_a_400_is_charged_once_it_has_a_model(body: Any, charged: int) -> None:
    desk = Desk()
    reply = desk.ask(body)
    assert (reply.status, error_of(reply)["type"]) == (400, "invalid_request_error")
    assert desk.books.snapshot(with_ids=False).charged_tokens == charged
    assert ("x-ratelimit-limit-tokens" in reply.headers) == (charged > 0)


def test_a_refusal_carries_limit_headers_and_both_retry_headers() -> None:
    desk = Desk(requests_per_minute=1)
    desk.ask()
    reply = desk.ask()
    assert reply.status == 429
    assert error_of(reply)["type"] == "requests"
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("60", "60000")
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert reply.delay_s == 0


def test_a_dated_snapshot_draws_from_the_bucket_of_its_model() -> None:
    desk = Desk(requests_per_minute=1)
    assert desk.ask(HELLO | {"model": "gpt-4o-mini-2024-07-18"}).status == 200
    assert desk.ask().status == 429
    assert desk.ask(HELLO | {"model": "gpt-4o"}).status == 200


def test_a_refusal_comes_before_the_stream_and_an_embedding_has_none() -> None:
    desk = Desk(requests_per_minute=1)
    streamed = desk.ask(HELLO | {"stream": True})
    assert streamed.stream is not None
    refused = desk.ask(HELLO | {"stream": True})
    assert (refused.status, refused.stream) == (429, None)
    embedding = desk.ask({"model": "e", "input": "a", "stream": True}, endpoint=Endpoint.EMBEDDINGS)
    assert (embedding.status, error_of(embedding)["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(("endpoint", "body"), [(Endpoint.CHAT, HELLO), (Endpoint.RESPONSES, ASKED)])
def test_a_stream_tells_the_answer_that_would_have_come_without_it(endpoint: Endpoint, body: dict[str, Any]) -> None:
    headers = KEY | {"x-client-request-id": "lead-1"}
    whole = Desk(seed=3).ask(body, endpoint=endpoint, headers=headers)
    told = Desk(seed=3).ask(body | {"stream": True}, endpoint=endpoint, headers=headers)
    assert whole.stream is None
    assert isinstance(whole.body, dict)
    assert isinstance(told.body, dict)
    made = ("created", "created_at")  # the second it was made in
    assert {key: value for key, value in told.body.items() if key not in made} == {
        key: value for key, value in whole.body.items() if key not in made
    }
    assert (told.delay_s, told.headers) == (whole.delay_s, whole.headers)
    assert stream_of_reply(told).body is told.body


def test_an_id_is_the_header_then_the_metadata_then_the_body() -> None:
    desk = Desk()
    body = HELLO | {"metadata": {"id": "from-metadata"}}
    desk.ask(body, headers=KEY | {"x-client-request-id": "from-header", "x-headrace-id": "second"})
    desk.ask(body, headers=KEY | {"x-headrace-id": "second"})
    desk.ask(body)
    desk.ask()
    desk.ask()
    counts = {request_id: count.calls for request_id, count in desk.books.ids.items()}
    assert list(counts.items())[:3] == [("from-header", 1), ("second", 1), ("from-metadata", 1)]
    assert list(counts.values())[3:] == [2]


def test_the_other_endpoints_answer_in_their_own_shape() -> None:
    desk = Desk()
    response = desk.ask({"model": "gpt-4.1", "input": "12345678"}, endpoint=Endpoint.RESPONSES).body
    assert not isinstance(response, str)
    assert response["object"] == "response"
    assert response["output"][0]["content"][0]["type"] == "output_text"
    assert desk.books.charged["gpt-4.1"] == response["usage"]["input_tokens"] + 19
    listed = desk.ask({"model": "e", "input": ["a", "b"], "dimensions": 8}, endpoint=Endpoint.EMBEDDINGS).body
    assert not isinstance(listed, str)
    assert [len(item["embedding"]) for item in listed["data"]] == [8, 8]


def test_an_answer_stops_at_the_cap_and_says_so() -> None:
    body = Desk().ask(HELLO | {"max_tokens": 5, "n": 2}).body
    assert not isinstance(body, str)
    assert [choice["finish_reason"] for choice in body["choices"]] == ["length", "length"]
    assert body["usage"]["completion_tokens"] == 10
    response = Desk().ask({"model": "m", "input": "x", "max_output_tokens": 16}, endpoint=Endpoint.RESPONSES).body
    assert not isinstance(response, str)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_half_a_surrogate_pair_is_text_like_any_other() -> None:
    prompt = b'{"model": "m", "messages": [{"role": "user", "content": "Company: A\\ud800"}], "max_tokens": 9}'
    assert Desk().ask(prompt).status == 200


def test_json_is_answered_where_json_is_asked_for() -> None:
    reply = Desk().ask(HELLO | {"response_format": {"type": "json_object"}})
    assert set(json.loads(words_of(reply))) == {"subject", "body"}


def test_a_script_answers_the_calls_it_chooses_and_no_others() -> None:
    desk = Desk()
    quota = {"error": {"message": "m", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
    desk.exchange.script = lambda number, _: Scripted(429, quota, {"a": "b"}, 0.5) if number == 2 else None
    assert [desk.ask().status for _ in range(3)] == [200, 429, 200]
    assert desk.books.admitted == 2
    scripted = Desk()
    scripted.exchange.script = lambda *_: Scripted(502, "<html>", delay_s=0.25, charged=True)
    reply = scripted.ask()
    assert (reply.status, reply.body, reply.delay_s) == (502, "<html>", 0.25)
    assert scripted.books.admitted == 1


def test_a_script_may_only_change_the_latency() -> None:
    desk = Desk()
    desk.exchange.script = lambda *_: Scripted(delay_s=9.0, headers={"x-extra": "1"})
    reply = desk.ask()
    assert (reply.status, reply.delay_s, reply.headers["x-extra"]) == (200, 9.0, "1")


@pytest.mark.parametrize("answer", [{}, {"status": 502, "body": "<html>"}, {"status": 502, "charged": True}])
def test_a_script_may_hold_any_answer(answer: dict[str, Any]) -> None:
    desk, held = Desk(), asyncio.Event()
    desk.exchange.script = lambda number, _: Scripted(held=held, **answer) if number == 1 else None
    assert [desk.ask().held for _ in range(2)] == [held, None]


def test_a_script_may_break_a_stream_and_keep_an_answer_whole() -> None:
    desk = Desk()
    cut = Break(Manner.CUT, 2)
    desk.exchange.script = lambda *_: Scripted(broken=cut)
    assert stream_of_reply(desk.ask(HELLO | {"stream": True})).broken == cut
    assert desk.ask().stream is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"law": "unheard"},
        {"refused_cost": "unheard"},
        {"tokens_per_minute": 0},
        {"requests_per_day": 0},
        {"latency_s": (2.0, 1.0)},
        {"latency_s": (0.0, float("inf"))},
        {"error_rate": 1.1},
        {"error_rate": -0.1},
        {"long_429_rate": 1.1},
        {"long_429_s": 0.0},
        {"long_429_s": 86_401.0},
        {"stream_cut_rate": 0.7, "stream_error_rate": 0.7},
        {"stream_cut_rate": -0.1},
        {"stream_error_rate": -0.1},
        {"burst_s": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        UpstreamSettings(**wrong)


def test_under_usage_a_whole_answer_shows_what_is_left_after_its_output_and_a_stream_what_was_left_before() -> None:
    played = (behaviour("law-usage"), behaviour("latency-fixed", seconds=1.0))
    desk = Desk(behaviours=played)
    reply = desk.ask()
    usage = object_of(reply)["usage"]
    assert reply.headers["x-ratelimit-remaining-tokens"] == str(200_000 - usage["prompt_tokens"])
    assert reply.late_headers is not None
    later = reply.late_headers(1_000_000)
    assert later["x-ratelimit-remaining-tokens"] == str(200_000 - usage["completion_tokens"])
    assert desk.books.charged == {"gpt-4o-mini": usage["total_tokens"]}
    assert desk.ask(HELLO | {"stream": True}, now_us=1_000_000).late_headers is None


def test_a_latency_by_name_wins_over_the_range() -> None:
    desk = Desk(latency_s=(1.0, 4.0), behaviours=(behaviour("latency-fixed", seconds=0.2),))
    assert desk.ask().delay_s == 0.2


def test_load_makes_an_answer_slower() -> None:
    desk = Desk(behaviours=(behaviour("latency-load", shortest_s=1, longest_s=1, knee=10),))
    for _ in range(5):
        desk.books.arrive()
    assert desk.ask().delay_s == 1.5


def test_a_shared_limit_is_drawn_from_by_dated_snapshots_too() -> None:
    desk = Desk(tokens_per_minute=10, behaviours=(behaviour("shared-limit", limit_name="all", models=["gpt-4*"]),))
    assert desk.ask().status == 200
    reply = desk.ask(HELLO | {"model": "gpt-4.1-2025-04-14"})
    assert "for gpt-4.1-2025-04-14 (for limit all) in organization" in error_of(reply)["message"]


def test_a_projects_headers_come_with_every_answer() -> None:
    reply = Desk(behaviours=(behaviour("project-limits"),)).ask()
    assert reply.headers["x-ratelimit-limit-project-tokens"] == "100000"
    assert reply.headers["x-ratelimit-limit-project-requests"] == "250"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["x"] * 2_048, None),
        (["x"] * 2_049, "array_above_max_length"),
        ([[1] * 8_192, [2]], None),
        ([1] * 8_193, "context_length_exceeded"),
        (["x", "y" * 40_000], "context_length_exceeded"),
        ([[1] * 8_000] * 37, None),
        ([[1] * 8_000] * 38, "max_tokens_per_request"),
    ],
)
def test_more_than_an_embeddings_call_may_have_is_a_400(given: list[Any], code: str | None) -> None:
    reply = Desk(tokens_per_minute=1_000_000).ask(
        {"model": "e", "input": given, "dimensions": 1}, endpoint=Endpoint.EMBEDDINGS
    )
    assert not isinstance(reply.body, str)
    if code is None:
        assert (reply.status, len(reply.body["data"])) == (200, len(given))
    else:
        assert (reply.status, reply.body["error"]["code"]) == (400, code)


def test_a_reset_forgets_conversations_responses_and_levels_that_are_shown_late() -> None:
    desk = Desk(behaviours=(StaleHeaders(3_600.0),))
    asked = ASKED | {"conversation": "conv_1"}

    def billed(body: dict[str, Any]) -> int:
        usage: dict[str, int] = object_of(desk.ask(body, endpoint=Endpoint.RESPONSES))["usage"]
        return usage["input_tokens"]

    first, second = billed(asked), billed(asked)
    response = str(object_of(desk.ask(ASKED, endpoint=Endpoint.RESPONSES))["id"])
    remaining = "x-ratelimit-remaining-tokens"
    stale = desk.ask(ASKED, endpoint=Endpoint.RESPONSES).headers[remaining]
    desk.reset()
    assert second > first == billed(asked)
    assert billed(ASKED | {"previous_response_id": response}) == first
    assert desk.ask(ASKED, endpoint=Endpoint.RESPONSES).headers[remaining] != stale
