import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from headrace.broker.gateway.observing import NoMeter
from headrace.broker.testing.upstream import Asked, Said
from tests.gateway.rig import client_key
from tests.unit.gateway.served import BODY, HELLO, hello, served


async def test_a_call_goes_onto_its_keys_lane_and_its_answer_comes_back() -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY)
    assert reply.status == 200
    assert reply.text == HELLO
    assert reply.headers["x-headrace-lane"] == "urgent"
    assert reply.headers["x-headrace-id"].startswith("call-")
    assert reply.headers["x-headrace-attempts"] == "1"
    assert reply.headers["Server"] == "headrace"
    [outcome] = world.broker.outcomes
    assert outcome.tenant == "acme"
    assert outcome.id == f"acme/{reply.headers['x-headrace-id']}"


async def test_a_key_that_is_missing_or_unknown_is_refused_in_openais_words() -> None:
    async with served(hello) as world:
        without, unknown = await world.ask(BODY, key=None), await world.ask(BODY, key="stranger")
        azure = await world.ask(BODY, key=None, api_key=client_key("ingest"))
    assert (without.status, unknown.status, azure.status) == (401, 401, 200)
    assert unknown.error["code"] == "invalid_api_key"
    assert client_key("stranger") not in unknown.body.decode()


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"x_headrace_lane": "standard"}, 403, "standard"),
        ({"x_headrace_lnae": "bulk"}, 400, "x-headrace-lnae"),
        ({"x_headrace_deadline": "soon"}, 400, "x-headrace-deadline"),
        ({"x_headrace_deadline": "2001-01-01T00:00:00Z"}, 400, "passed"),
        ({"x_headrace_deadline": "-1"}, 400, "x-headrace-deadline"),
        ({"x_headrace_deadline": "nan"}, 400, "x-headrace-deadline"),
        ({"x_headrace_on_disconnect": "explode"}, 400, "keep or cancel"),
        ({"x_headrace_id": "a", "Idempotency_Key": "b"}, 400, "two ids"),
        ({"x_headrace_id": "i" * 600}, 400, "512"),
    ],
)
async def test_a_wish_that_cannot_be_read_is_refused_by_name(
    headers: Mapping[str, str], status: int, word: str
) -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY, **headers)
        assert not world.broker.calls
    assert reply.status == status
    assert word in reply.error["message"]


async def test_another_lane_of_the_key_is_taken_by_a_header() -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY, x_headrace_lane="bulk", x_headrace_template="welcome", x_headrace_deadline="30")
    assert reply.status == 200
    assert reply.headers["x-headrace-lane"] == "bulk"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"[]", 400),
        (b"nul", 400),
        (b'{"model": NaN}', 400),
        (b"\xff", 400),
        (b" " * 100_001, 413),
    ],
)
async def test_a_body_that_is_no_request_is_refused(body: bytes, status: int) -> None:
    async with served(hello) as world:
        reply = await world.ask(body)
        assert not world.broker.calls
    assert reply.status == status
    assert set(reply.error) == {"message", "type", "param", "code"}


async def test_a_body_whose_encoding_does_not_hold_is_refused() -> None:
    async with served(hello) as world:
        reply = await world.ask(b"no gzip at all", Content_Encoding="gzip")
        assert not world.broker.calls
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")


async def test_a_path_and_a_method_that_are_not_served_have_openais_errors() -> None:
    async with served(hello) as world:
        path = await world.ask(BODY, path="/v1/images")
        method = await world.ask(None, method="GET")
    assert (path.status, method.status) == (404, 405)
    assert "error" in path.json
    assert "error" in method.json


async def test_a_base_url_that_lacks_its_end_is_recognised() -> None:
    async with served(hello) as world:
        short = await world.ask(BODY, path="/chat/completions")
        other = await world.ask(BODY, path="/v1/images")
    assert short.status == 404
    assert "ends in /v1" in short.error["message"]
    assert "ends in /v1" not in other.error["message"]


async def test_a_model_that_the_key_may_not_use_is_unknown_to_it() -> None:
    async with served(hello) as world:
        reply = await world.ask({**BODY, "model": "o3"}, key="small")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_models_are_those_that_the_key_may_use() -> None:
    async with served(hello) as world:
        every = await world.ask(path="/v1/models", method="GET")
        few = await world.ask(path="/v1/models", method="GET", key="small")
        one = await world.ask(path="/v1/models/gpt-4o", method="GET", key="small")
        none = await world.ask(path="/v1/models/o3", method="GET", key="small")
    assert [each["id"] for each in every.json["data"]] == ["gpt-4o", "o3"]
    assert [each["id"] for each in few.json["data"]] == ["gpt-4o"]
    assert (one.status, none.status) == (200, 404)


async def test_what_openai_refused_is_passed_on_and_is_final() -> None:
    error = {"message": "Invalid value", "type": "invalid_request_error", "param": "temperature", "code": "bad_value"}

    def refuse(_: Asked) -> Said:
        return Said(400, {"error": error})

    async with served(refuse) as world:
        whole = await world.ask(BODY)
        stream = await world.ask({**BODY, "stream": True})
    for reply in (whole, stream):
        assert reply.status == 400
        assert reply.error == error
        assert reply.headers["x-should-retry"] == "false"


async def test_a_stream_is_openais_events_and_ends_with_done() -> None:
    async with served(hello) as world:
        reply = await world.ask({**BODY, "stream": True, "stream_options": {"include_usage": True}})
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    frames = reply.body.decode().strip().split("\n\n")
    assert frames[-1] == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1] if not frame.startswith(":")]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == HELLO
    assert chunks[-1]["usage"]["total_tokens"] > 0


async def test_a_key_above_its_own_cap_is_told_when_to_come_back() -> None:
    async with served(hello, latency_s=0.3) as world:
        first = asyncio.create_task(world.ask(BODY, key="small"))
        await asyncio.sleep(0.1)
        second = await world.ask(BODY, key="small")
        assert (await first).status == 200
        third = await world.ask(BODY, key="small")
    assert (second.status, second.error["code"]) == (429, "rate_limit_exceeded")
    assert int(second.headers["retry-after"]) >= 1
    assert third.status == 200


async def test_while_kafka_is_away_a_client_is_told_to_come_back() -> None:
    async with served(hello) as world:
        world.broker.kafka.stop()
        asking = asyncio.create_task(world.ask(BODY, x_headrace_id="lead-17"))
        reply = await asyncio.wait_for(asking, 30)
        world.broker.kafka.start_again()
        again = await world.ask(BODY, x_headrace_id="lead-17")
    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert again.text == HELLO


async def test_embeddings_and_responses_are_served_too() -> None:
    def answer(asked: Asked) -> dict[str, Any]:
        if asked.endpoint == "embeddings":
            return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
        return {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "gpt-4o-mini",
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": HELLO}]}],
        }

    async with served(answer) as world:
        vectors = await world.ask({"model": "m", "input": "Grüße"}, path="/v1/embeddings")
        response = await world.ask({"model": "gpt-4o-mini", "input": "Grüße"}, path="/v1/responses")
    assert vectors.json["data"][0]["embedding"] == [0.5]
    assert response.json["output"][0]["content"][0]["text"] == HELLO


async def test_a_body_of_another_type_is_refused() -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY, Content_Type="text/plain")
    assert (reply.status, reply.error["code"]) == (415, "unsupported_content_type")


async def test_a_body_that_does_not_come_is_refused_in_time() -> None:
    async with served(hello) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
        head = f"Host: gateway\r\nAuthorization: Bearer {client_key('ingest')}\r\nContent-Length: 10\r\n"
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json\r\n{head}\r\n{{".encode())
        status = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert b" 408 " in status


async def test_a_defect_ends_one_request_and_says_nothing_of_it() -> None:
    async def broken(_request_id: str, _within_s: float) -> Mapping[str, Any]:
        raise ZeroDivisionError("a prompt")

    async with served(hello, leader=broken) as world:
        reply = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
        after = await world.ask(BODY)
    assert (reply.status, reply.error["code"], after.status) == (500, "crashed", 200)
    assert "prompt" not in reply.body.decode()


class Counting(NoMeter):
    def __init__(self) -> None:
        self.joins = 0
        self.lanes: list[str] = []

    def joined(self) -> None:
        self.joins += 1

    def answered(self, endpoint: str, lane: str, status: int, seconds: float) -> None:
        self.lanes.append(lane)


async def test_answers_are_counted_by_lane_and_joins_are_counted() -> None:
    meter = Counting()
    async with served(hello, latency_s=0.3, meter=meter) as world:
        await world.cut_off(x_stainless_retry_count="0")
        assert meter.joins == 0
        await world.ask(BODY, x_stainless_retry_count="1", x_headrace_lane="urgent")
        await world.ask(path="/v1/models", method="GET")
    assert meter.joins == 1
    assert meter.lanes == ["urgent", "urgent", ""]


async def test_a_deadline_that_passes_before_the_request_is_sent_is_final_as_any_other() -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY, x_headrace_deadline="0.000001")
        assert not world.broker.calls
    assert (reply.status, reply.error["code"]) == (408, "deadline_exceeded")
    assert reply.headers["x-should-retry"] == "false"
