import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from headrace.broker.gateway.observing import NoMeter
from headrace.broker.testing.keyed import HOME
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.record import Record
from tests.gateway.rig import client_key
from tests.unit.gateway.served import BODY, served

HELLO = "Dear Ada, hello."


def hello(_: Asked) -> str:
    return HELLO


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
        without, unknown = await world.ask(BODY, key=None), await world.ask(BODY, key="nobody")
        azure = await world.ask(BODY, key=None, api_key=client_key("ingest"))
    assert (without.status, unknown.status, azure.status) == (401, 401, 200)
    assert unknown.error["code"] == "invalid_api_key"
    assert client_key("nobody") not in unknown.body.decode()


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


async def test_the_same_id_again_gets_the_answer_that_was_paid() -> None:
    async with served(hello) as world:
        first = await world.ask(BODY, x_headrace_id="lead-17")
        again = await world.ask(BODY, Idempotency_Key="lead-17")
    assert first.text == again.text == HELLO
    assert first.headers["x-headrace-id"] == again.headers["x-headrace-id"] == "lead-17"
    assert len(world.broker.calls) == 1


async def test_an_id_used_for_another_body_is_a_conflict_that_no_sdk_repeats() -> None:
    async with served(hello) as world:
        await world.ask(BODY, x_headrace_id="lead-17")
        other = await world.ask({**BODY, "temperature": 1}, x_headrace_id="lead-17")
    assert (other.status, other.error["code"]) == (400, "id_conflict")


async def test_equal_ids_of_two_tenants_never_meet() -> None:
    async with served(lambda asked: f"call {len(asked.request_id)} of {asked.request_id}") as world:
        mine = await world.ask(BODY, x_headrace_id="lead-17")
        its = await world.ask(BODY, key="other", x_headrace_id="lead-17")
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET", key="small")
    assert mine.status == its.status == 200
    assert mine.text != its.text
    assert len(world.broker.calls) == 2
    assert "choices" not in seen.body.decode()


async def test_equal_first_attempts_are_separate_calls() -> None:
    async with served(hello) as world:
        await asyncio.gather(*(world.ask(BODY, x_stainless_retry_count="0") for _ in range(3)))
    assert len(world.broker.calls) == 3


async def test_a_repetition_joins_the_call_that_its_client_gave_up() -> None:
    async with served(hello, latency_s=0.3) as world:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, x_stainless_retry_count="0"), 0.1)
        again = await world.ask(BODY, x_stainless_retry_count="1")
    assert again.text == HELLO
    assert len(world.broker.calls) == 1


async def test_a_repetition_joins_a_call_that_began_at_another_gateway() -> None:
    async with served(hello, latency_s=0.3) as one, served(broker=one.broker) as two:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one.ask(BODY, x_stainless_retry_count="0"), 0.1)
        again = await two.ask(BODY, x_stainless_retry_count="1")
    assert again.text == HELLO
    assert len(one.broker.calls) == 1


async def test_a_repetition_after_an_answer_that_was_received_is_a_call_of_its_own() -> None:
    async with served(hello) as world:
        await world.ask(BODY, x_stainless_retry_count="0")
        await asyncio.sleep(0.1)
        await world.ask(BODY, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


async def test_a_repetition_of_another_body_joins_nothing() -> None:
    async with served(hello, latency_s=0.2) as world:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, x_stainless_retry_count="0"), 0.1)
        await world.ask({**BODY, "temperature": 1}, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


async def test_a_wait_that_ends_says_how_to_go_on_and_the_answer_is_there_later() -> None:
    async with served(hello, latency_s=1.3) as world:
        early = await world.ask(BODY, key="hasty")
        name = early.headers["x-headrace-id"]
        assert (early.status, early.error["code"]) == (504, "outcome_pending")
        await asyncio.sleep(0.5)
        late = await world.ask(BODY, key="hasty", x_headrace_id=name)
    assert late.text == HELLO
    assert len(world.broker.calls) == 1


async def test_a_client_that_hangs_up_cancels_its_request_if_its_key_says_so() -> None:
    async with served(hello, latency_s=5.0) as world:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, key="hasty", x_headrace_id="lead-17"), 0.15)
        async with asyncio.timeout(5):
            while not world.broker.outcomes:  # noqa: ASYNC110 — a topic in memory
                await asyncio.sleep(0.02)
    [outcome] = world.broker.outcomes
    assert (outcome.status, getattr(outcome, "reason", "")) == ("failed", "cancelled")


async def test_a_client_that_hangs_up_keeps_its_request_otherwise() -> None:
    async with served(hello, latency_s=0.3) as world:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, x_headrace_id="lead-17"), 0.1)
        again = await world.ask(BODY, x_headrace_id="lead-17")
    assert again.text == HELLO


async def test_a_client_may_take_the_id_alone_and_come_back() -> None:
    async with served(hello, latency_s=0.2) as world:
        taken = await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead/17 of today")
        assert taken.status == 202
        assert taken.json["status"] == "accepted"
        path = taken.headers["Location"]
        waiting = await world.ask(path=path, method="GET")
        await asyncio.sleep(0.4)
        done = await world.ask(path=path, method="GET")
        foreign = await world.ask(path=path, method="GET", key="other")
    assert waiting.json["status"] == "not_known"
    assert done.json["status"] == "completed"
    assert done.json["response"]["choices"][0]["message"]["content"] == HELLO
    assert foreign.json.get("response") is None


async def test_a_request_that_the_leader_has_not_read_yet_is_not_said_to_be_missing() -> None:
    unread = {"state": "unknown", "lanes_without_room": [], "leads_for_s": 900.0}
    waiting = {"state": "waiting", "lane": "urgent", "model": "gpt-4o", "waits_for": [{"kind": "lane"}]}
    async with served(hello, reports=[unread, waiting]) as world:
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert (seen.status, seen.json["status"]) == (200, "queued")


async def test_a_request_that_ends_between_two_looks_is_found_with_its_outcome() -> None:
    gone: list[dict[str, Any]] = [
        {"state": state, "lanes_without_room": [], "leads_for_s": 900.0} for state in ("answered", "unknown")
    ]
    async with served(hello, latency_s=0.2, reports=gone) as world:
        await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead-17")
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert (seen.status, seen.json["status"]) == (200, "completed")


async def test_a_request_that_is_nowhere_is_not_found() -> None:
    nothing = {"state": "unknown", "lanes_without_room": [], "leads_for_s": 900.0}
    async with served(hello, reports=[nothing] * 4) as world:
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert seen.status == 404


async def test_a_request_can_be_cancelled_by_its_id_and_by_no_other_tenant() -> None:
    async with served(hello, latency_s=5.0) as world:
        await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead-17")
        await world.ask(path="/v1/headrace/requests/lead-17", method="DELETE", key="other")
        await asyncio.sleep(0.2)
        assert not world.broker.outcomes
        told = await world.ask(path="/v1/headrace/requests/lead-17", method="DELETE")
        async with asyncio.timeout(5):
            while not world.broker.outcomes:  # noqa: ASYNC110 — a topic in memory
                await asyncio.sleep(0.02)
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert told.status == 202
    assert (seen.json["status"], seen.json["reason"]) == ("failed", "cancelled")


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


async def test_a_gateway_that_leaves_sends_its_clients_to_another() -> None:
    async with served(hello, latency_s=0.6) as one, served(broker=one.broker) as two:
        asking = asyncio.create_task(one.ask(BODY, x_stainless_retry_count="0"))
        await asyncio.sleep(0.1)
        one.gateway.leave()
        reply = await asking
        again = await two.ask(BODY, x_stainless_retry_count="1")
    assert (reply.status, reply.error["code"]) == (504, "outcome_pending")
    assert again.text == HELLO
    assert len(one.broker.calls) == 1


async def test_a_gateway_that_leaves_waits_for_what_ends_within_its_drain() -> None:
    async with served(hello, latency_s=0.4, drain_s=5.0) as world:
        asking = asyncio.create_task(world.ask(BODY))
        await asyncio.sleep(0.1)
        world.gateway.leave()
        assert not world.gateway.is_ready
        reply = await asking
        assert reply.text == HELLO
        assert reply.headers["Connection"] == "close"
        async with aiohttp.ClientSession() as another:
            with pytest.raises(aiohttp.ClientConnectionError):
                await another.post(f"http://127.0.0.1:{world.gateway.port}/v1/chat/completions", json=BODY)


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


@pytest.mark.parametrize("apart_s", [0.0, 1.1])
async def test_two_calls_cut_off_together_are_each_joined_by_one_repetition(apart_s: float) -> None:
    async with served(hello, latency_s=0.5 + apart_s) as world:
        cut = [asyncio.create_task(world.ask(BODY, x_stainless_retry_count="0")) for _ in range(2)]
        await asyncio.sleep(0.2)
        for each in cut:
            each.cancel()
        await asyncio.wait(cut)
        await asyncio.sleep(0.05)
        first = asyncio.create_task(world.ask(BODY, x_stainless_retry_count="1"))
        await asyncio.sleep(apart_s)
        again = await asyncio.gather(first, world.ask(BODY, x_stainless_retry_count="1"))
        assert len(world.broker.calls) == 2
    assert len({reply.headers["x-headrace-id"] for reply in again}) == 2


async def test_a_repetition_that_was_answered_is_joined_by_no_further_one() -> None:
    async with served(hello, latency_s=0.3) as world:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, x_stainless_retry_count="0"), 0.1)
        await world.ask(BODY, x_stainless_retry_count="1")
        await asyncio.sleep(0.1)
        await world.ask(BODY, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_stream_that_was_received_is_joined_by_no_repetition(refuses: bool) -> None:  # noqa: FBT001 — a case
    def answer(_: Asked) -> Said | str:
        return Said(400, {"error": {"message": "no"}}) if refuses else HELLO

    body = {**BODY, "stream": True}
    async with served(answer) as world:
        await world.ask(body, x_stainless_retry_count="0")
        await asyncio.sleep(0.1)
        await world.ask(body, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


async def test_a_hang_up_cancels_nothing_that_another_client_waits_for() -> None:
    async with served(hello, latency_s=0.5) as world:
        staying = asyncio.create_task(world.ask(BODY, key="hasty", x_headrace_id="lead-17"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, key="hasty", x_headrace_id="lead-17"), 0.2)
        assert (await staying).text == HELLO


async def test_ids_of_calls_belong_to_the_gateways_home_partition() -> None:
    async with served(hello) as world:
        await asyncio.gather(*(world.ask(BODY) for _ in range(5)))
        kafka = world.broker.kafka
        assert len(kafka.logs("generation.results")) > 1
        places = {
            kafka.partition_for("generation.results", Record(each.id.encode(), None)) for each in world.broker.outcomes
        }
    assert places == {HOME}


async def test_a_stream_that_has_not_begun_is_sent_away_with_a_status() -> None:
    async with served(hello, latency_s=1.0) as world:
        asking = asyncio.create_task(world.ask({**BODY, "stream": True}))
        await asyncio.sleep(0.2)
        world.gateway.leave()
        reply = await asking
    assert (reply.status, reply.error["code"]) == (504, "outcome_pending")


async def test_an_outcome_of_another_tenant_with_an_id_of_ours_is_not_shown() -> None:
    async with served(hello) as world:
        foreign = Completed(id="acme/lead-17", tenant="globex", lane="urgent", response={"secret": "of globex"})
        record = encode_outcome(foreign, time=datetime.now(UTC))
        kafka = world.broker.kafka
        place = kafka.partition_for("generation.results", record)
        kafka.append("generation.results", record, partition=place, at_ms=kafka.utc_ms())
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert "secret" not in seen.body.decode()


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
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, x_stainless_retry_count="0"), 0.1)
        assert meter.joins == 0
        await world.ask(BODY, x_stainless_retry_count="1", x_headrace_lane="urgent")
        await world.ask(path="/v1/models", method="GET")
    assert meter.joins == 1
    assert meter.lanes == ["urgent", "urgent", ""]


async def test_the_place_of_an_id_is_a_path_whatever_is_in_it() -> None:
    async with served(hello) as world:
        taken = await world.ask(BODY, Prefer="respond-async", x_headrace_id="50% of lead/17?")
        assert taken.headers["Location"] == "/v1/headrace/requests/50%25%20of%20lead/17%3F"


async def test_a_second_signal_skips_the_drain() -> None:
    async with served(hello, latency_s=1.0, drain_s=30.0) as world:
        asking = asyncio.create_task(world.ask(BODY))
        await asyncio.sleep(0.2)
        world.gateway.leave()
        world.gateway.leave()
        reply = await asyncio.wait_for(asking, 5)
    assert reply.error["code"] == "outcome_pending"


async def test_a_deadline_that_passes_before_the_request_is_sent_is_final_as_any_other() -> None:
    async with served(hello) as world:
        reply = await world.ask(BODY, x_headrace_deadline="0.000001")
        assert not world.broker.calls
    assert (reply.status, reply.error["code"]) == (408, "deadline_exceeded")
    assert reply.headers["x-should-retry"] == "false"
