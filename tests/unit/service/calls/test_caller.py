"""One attempt: the request goes out as it came, the answer is judged, weighed and kept, and nothing is too odd."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import Addressee
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.commands import Call, Complete, Settlement
from headrace.broker.core.ticket import CallNumber, LanePartition, Source, TicketNumber
from headrace.broker.ports import UpstreamReply
from headrace.broker.service.calls.caller import Calling
from headrace.broker.service.calls.foreign_server import Strangers
from headrace.broker.service.calls.streaming import Streaming
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.metrics.upstream_log import SHAPES_SAID_MAX
from headrace.broker.service.payloads import Payload, PayloadStore
from headrace.broker.service.publishing.records import SettlementRecords
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryChunks, MemoryReplyTopics
from headrace.broker.testing.upstream import Asked, Said, ScriptedUpstream, Silence, completion
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import decode_chunk
from headrace.schemas.delta import text_of
from headrace.schemas.outcome import Usage
from headrace.schemas.record import Record
from headrace.schemas.request_codec import decode_request
from tests.unit.service.publication_rig import NOW, UNPRICED
from tests.unit.service.rig import grants_of, settings_of
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


ASKED = Asked("chat.completions", {"model": "gpt-4o-mini"}, "lead-1", nth=1, number=1)


class Rig:
    def __init__(
        self, said: Said | Silence | None = None, headers: tuple[tuple[str, bytes], ...] = (), **fields: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = WallClock(loop.time, lambda: datetime(2026, 12, 1, 9, tzinfo=UTC))
        self.upstream = ScriptedUpstream(latency_s=2, script=lambda _: said)
        self.hold, self.meter = PayloadStore(), Meter()
        self.kafka = MemoryKafka(self.clock.utc_ms)
        self.kafka.create("chunks")
        self.term: int | None = 7
        log = MemoryChunks(KafkaLink(self.kafka), topic="chunks")
        self.telemetry = Telemetry(self.meter, self.hold, self.clock)
        streaming = Streaming(log, self.clock, lambda: self.term, contained=self.telemetry.contained)
        self.strangers = Strangers(Addressee(proved=True), url="https://gw/v1")
        self.calling = Calling(self.upstream, self.clock, self.telemetry, streaming, self.strangers)
        shape = {"id": "lead-1", "body": {"model": "gpt-4o-mini", "messages": [], "seed": 7}} | fields
        record = Record(None, json.dumps(shape).encode())
        content = decode_request(record.value, headers)
        at = self.clock.utc_now()
        self.cargo = Payload(Source(LanePartition("bulk", 0), 0), "t", record, content, at, at, self.clock.now_ms())
        self.number = self.hold.put(self.cargo)

    async def call(self, calls: int = 1) -> tuple[Verdict, int]:
        command = Call(CallNumber(calls), TicketNumber(1), 40, calls, repeated=False)
        return await self.calling.call(command, self.cargo)

    @property
    def chunks(self) -> list[Chunk]:
        return [decode_chunk(each.record.value, each.record.headers) for each in self.kafka.committed("chunks")]

    def outcome(self) -> Record:
        """What publication makes of it."""
        replies = Replies(MemoryReplyTopics(KafkaLink(self.kafka)), (), meter=Meter(), clock=self.clock)
        records = SettlementRecords(settings_of(), self.clock, replies, grants=grants_of(self.clock), costing=UNPRICED)
        (outgoing,) = records.of(Settlement(self.number, Complete()), self.cargo, 1, NOW)
        return outgoing.record

    def metric(self, name: str, labels: Mapping[str, str]) -> float:
        return self.meter._registry.get_sample_value(name, dict(labels)) or 0.0


async def test_the_request_goes_out_as_it_came_under_its_id() -> None:
    rig = Rig()
    await rig.call()
    (asked,) = rig.upstream.asked
    assert asked == Asked(
        "chat.completions", {"model": "gpt-4o-mini", "messages": [], "seed": 7}, "lead-1", nth=1, number=1
    )


async def test_an_answer_is_kept_with_its_usage_and_its_times() -> None:
    rig = Rig()
    verdict, weight = await rig.call()
    assert verdict.meaning is Meaning.OK
    assert weight > len(json.dumps(rig.cargo.response))
    assert rig.cargo.usage == Usage(input_tokens=10, output_tokens=5, total_tokens=15)
    assert rig.cargo.finished_ms is not None
    assert rig.cargo.called_ms is not None
    assert rig.cargo.finished_ms - rig.cargo.called_ms == 2_000
    assert (rig.cargo.calls, rig.cargo.charge) == (1, 40)


async def test_a_ruling_on_the_server_replaces_the_verdict_and_weighs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, asked = Rig(), list[int]()
    ruled = Verdict(Meaning.UPSTREAM_ERROR, True, None, (), None, True, "Not the API.")

    def rule(*given: object) -> tuple[Verdict, None]:
        asked.extend(each for each in given if isinstance(each, int))
        return ruled, None

    monkeypatch.setattr(rig.strangers, "judge", rule)
    assert await rig.call() == (ruled, 0)
    assert asked == [rig.cargo.called_ms, rig.cargo.finished_ms]


async def test_a_second_attempt_keeps_the_time_of_the_first_and_forgets_its_error() -> None:
    rig = Rig(Said(500, {"error": {"message": "no"}}))
    await rig.call()
    first_ms, error = rig.cargo.called_ms, rig.cargo.error
    assert error is not None
    assert error["status"] == 500
    rig.upstream.script = None
    await rig.call(2)
    assert (rig.cargo.called_ms, rig.cargo.calls, rig.cargo.error) == (first_ms, 2, None)


async def test_an_error_is_kept_for_the_outcome_and_weighs_nothing() -> None:
    error = {"message": "Bad.", "type": "invalid_request_error", "param": "messages", "code": "bad"}
    rig = Rig(Said(400, {"error": error}))
    verdict, weight = await rig.call()
    assert (verdict.meaning, weight) == (Meaning.REJECTED, 0)
    assert rig.cargo.error == {"status": 400, **error}
    assert rig.cargo.response is None


async def test_an_error_object_is_small_text_whatever_came() -> None:
    """It is published twice: in the outcome, and in a RetryableFailure beside a large request."""
    odd = "\ud83d" + "x" * 50_000
    rig = Rig(Said(400, {"error": {"message": odd, "type": odd, "param": odd, "code": {"deep": [odd]}}}))
    await rig.call()
    assert rig.cargo.error is not None
    assert len(json.dumps(rig.cargo.error, ensure_ascii=False).encode()) < 4_000


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", "{", "null", '{"usage": NaN}', "[" * 100_000])
async def test_a_200_that_is_no_json_object_is_the_upstreams_trouble(body: str) -> None:
    rig = Rig(Said(200, body))
    verdict, weight = await rig.call()
    assert (verdict.meaning, verdict.retryable, weight) == (Meaning.UPSTREAM_ERROR, True, 0)
    assert rig.cargo.response is None


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ({"error": {"message": "Provider disconnected", "code": 502}}, Meaning.UPSTREAM_ERROR),
        (
            {"object": "response", "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "full"}},
            Meaning.RATE_LIMITED,
        ),
    ],
)
async def test_an_error_inside_a_200_is_no_answer(body: Mapping[str, Any], meaning: Meaning) -> None:
    rig = Rig(Said(200, body))
    verdict, weight = await rig.call()
    assert (verdict.meaning, weight) == (meaning, 0)
    assert rig.cargo.response is None
    assert rig.cargo.error is not None
    assert (rig.cargo.error["status"], rig.cargo.error["message"]) == (200, body["error"]["message"])


async def test_what_nobody_understands_is_logged_once_by_its_shape_and_never_by_its_text() -> None:
    rig = Rig(Said(429, {"error": {"message": "my secret prompt", "code": "brand_new", "type": "my secret"}}))
    with capture_logs() as logs:
        for _ in range(3):
            await rig.call()
        rig.upstream.script = lambda _: Said(429, {"error": {"message": "my secret, longer", "code": "brand_new"}})
        await rig.call()
    (told,) = logs
    assert told["event"] == "answer_not_understood"
    assert (told["taken_for"], told["model"]) == ("rate_limited", "gpt-4o-mini")
    assert told["shape"] == "HTTP 429, code brand_new, a text of 16 characters"
    assert "secret" not in str(logs)


async def test_no_more_shapes_are_remembered_than_a_bound() -> None:
    rig = Rig()
    with capture_logs() as logs:
        for count in range(SHAPES_SAID_MAX + 5):
            code = "".join(chr(ord("a") + int(digit)) for digit in str(count))
            rig.upstream.script = lambda _, code=code: Said(429, {"error": {"message": "?", "code": code}})
            await rig.call()
    assert len(logs) == SHAPES_SAID_MAX


@pytest.mark.parametrize("code", ["timeout", "connection"])
async def test_no_answer_is_one_too(code: str) -> None:
    rig = Rig(Silence(code))
    verdict, _ = await rig.call()
    assert verdict.meaning is Meaning(code)
    assert rig.cargo.error is not None
    assert rig.cargo.error["status"] is None


async def test_half_a_surrogate_pair_in_an_answer_costs_one_character() -> None:
    rig = Rig(Said(200, '{"choices": [{"text": "half \\ud83d, whole \\ud83d\\ude00, ü"}]}'))
    verdict, weight = await rig.call()
    assert verdict.meaning is Meaning.OK
    value = json.loads(rig.outcome().value or b"")
    assert value["response"] == {"choices": [{"text": "half ?, whole \U0001f600, ü"}]}
    assert weight > 0


@pytest.mark.parametrize("text", ["x" * 50_000, "ü" * 50_000, "世" * 50_000, "\\u4e16" * 50_000, "\\u0001" * 50_000])
async def test_a_weight_is_never_below_what_is_published(text: str) -> None:
    rig = Rig(Said(200, '{"choices": [{"text": "' + text + '"}]}'), metadata={"k": "ü" * 5_000})
    _, weight = await rig.call()
    assert rig.outcome().bytes_max <= weight


async def test_what_was_called_is_counted() -> None:
    rig = Rig(Said(429, {"error": {"message": "Rate limit", "code": "rate_limit_exceeded"}}))
    rig.cargo.limit = "gpt-4o-mini"
    await rig.call()
    rig.upstream.script = None
    await rig.call(2)
    assert rig.metric("headrace_attempts_total", {"model": "gpt-4o-mini", "tier": "", "result": "rate_limited"}) == 1
    assert rig.metric("headrace_attempts_total", {"model": "gpt-4o-mini", "tier": "", "result": "ok"}) == 1
    assert rig.metric("headrace_throttles_total", {"model": "gpt-4o-mini", "limit": "unstated"}) == 1
    assert rig.metric("headrace_usage_tokens_total", {"model": "gpt-4o-mini", "tier": "", "kind": "input"}) == 10
    assert rig.metric("headrace_charge_tokens_total", {"model": "gpt-4o-mini", "lane": "bulk"}) == 40
    assert rig.metric("headrace_upstream_seconds_sum", {"model": "gpt-4o-mini"}) == pytest.approx(2)


# ---------------------------------------------------------------------- streams


async def test_without_a_stream_nothing_is_told() -> None:
    rig = Rig()
    await rig.call()
    assert "stream" not in rig.upstream.asked[0].body
    assert not rig.chunks


async def test_a_stream_is_told_and_the_answer_is_kept_whole_with_its_usage() -> None:
    rig = Rig(stream=True)
    verdict, weight = await rig.call(2)
    assert (verdict.meaning, weight > 0) == (Meaning.OK, True)
    assert "".join(text_of(chunk.delta) for chunk in rig.chunks) == "Answer to lead-1."
    assert [(chunk.id, chunk.term, chunk.attempt, chunk.seq) for chunk in rig.chunks] == [
        ("lead-1", 7, 2, seq) for seq in range(len(rig.chunks))
    ]
    assert [chunk.final for chunk in rig.chunks] == [False] * (len(rig.chunks) - 1) + [True]
    assert rig.cargo.usage == Usage(input_tokens=10, output_tokens=5, total_tokens=15)
    assert rig.cargo.answer()["choices"]


async def test_attempts_before_a_parking_and_the_run_are_in_the_number() -> None:
    rig = Rig(stream=True, headers=(("headrace-attempt", b"4"), ("headrace-run", b"2")))
    await rig.call()
    assert {(chunk.run, chunk.attempt) for chunk in rig.chunks} == {(2, 4)}


async def test_a_stream_that_is_cut_has_no_last_chunk_and_counts_as_a_connection_that_failed() -> None:
    rig = Rig(Said(body=completion(ASKED), cut_after=2), stream=True)
    verdict, weight = await rig.call()
    assert (verdict.meaning, verdict.retryable, verdict.counts_as_attempt, weight) == (
        Meaning.CONNECTION,
        True,
        True,
        0,
    )
    assert rig.chunks
    assert not any(chunk.final for chunk in rig.chunks)
    assert rig.cargo.response is None
    assert rig.metric("headrace_attempts_total", {"model": "gpt-4o-mini", "tier": "", "result": "connection"}) == 1


async def test_an_error_in_a_stream_has_its_verdict_and_no_last_chunk() -> None:
    error = {"message": "Overloaded.", "type": "server_error", "param": None, "code": "server_is_overloaded"}
    rig = Rig(Said(body={"error": error}), stream=True)
    verdict, _ = await rig.call()
    assert verdict.meaning is Meaning.OVERLOADED
    assert not rig.chunks


async def test_nothing_is_told_of_a_call_that_was_cancelled() -> None:
    rig = Rig(stream=True)
    call = asyncio.create_task(rig.call())
    await asyncio.sleep(0.45)  # the first word came at 0.4 s, the next comes at 0.8 s
    call.cancel()
    await asyncio.wait({call})
    await asyncio.sleep(10)
    assert [(chunk.seq, chunk.final) for chunk in rig.chunks] == [(0, False)]


async def test_nothing_is_told_once_the_term_has_ended_but_the_answer_is_kept() -> None:
    rig = Rig(stream=True)
    call = asyncio.create_task(rig.call())
    await asyncio.sleep(0.45)
    rig.term = None
    verdict, _ = await call
    assert verdict.meaning is Meaning.OK
    assert len(rig.chunks) == 1


async def test_an_answer_too_large_for_any_outcome_ends_its_request_by_its_weight() -> None:
    """It was paid for, and the next one would be as large."""
    rig = Rig()

    class TooLarge(ScriptedUpstream):
        async def call(self, *asked: Any, **told: Any) -> UpstreamReply:
            reply = await super().call(*asked, **told)
            return replace(reply, body=None, too_large=9_000_000)

    rig.calling.upstream = TooLarge()
    verdict, weight = await rig.call()
    assert (verdict.meaning, weight, rig.cargo.response) == (Meaning.OK, 9_000_000, None)


async def test_a_large_answer_waits_as_json_and_is_published_whole() -> None:
    body = completion(ASKED) | {"note": "x" * 100_000}
    rig = Rig(Said(200, body))
    _, weight = await rig.call()
    assert isinstance(rig.cargo.response, bytes)
    assert rig.cargo.answer() == body
    assert len(rig.outcome().value or b"") <= weight


FAILED_ON_ITS_WAY = {"error": {"message": "It broke.", "type": "server_error"}, "usage": {"prompt_tokens": 5}}


async def test_an_error_in_a_200_that_states_tokens_is_billed() -> None:
    rig = Rig(Said(200, FAILED_ON_ITS_WAY))
    verdict, _ = await rig.call()
    assert verdict.meaning is not Meaning.OK
    assert rig.cargo.paid
    assert rig.cargo.usage == Usage(input_tokens=5, total_tokens=5)


async def test_the_next_call_is_not_billed_for_the_one_before() -> None:
    rig = Rig(Said(200, FAILED_ON_ITS_WAY))
    await rig.call()
    rig.calling.upstream = ScriptedUpstream(script=lambda _: Said(500))
    await rig.call(2)
    assert (rig.cargo.paid, rig.cargo.usage) == (False, None)


async def test_what_another_server_says_of_tokens_is_no_bill() -> None:
    rig = Rig(Said(200, {"hello": "world", "usage": {"prompt_tokens": 5}}))
    rig.calling.strangers = Strangers(Addressee(proved=False), url="https://gw/v1")
    verdict, _ = await rig.call()
    assert verdict.meaning is not Meaning.OK
    assert (rig.cargo.paid, rig.cargo.usage) == (False, None)


async def test_an_answer_too_large_to_be_read_is_paid_and_says_no_usage() -> None:
    class TooLarge(ScriptedUpstream):
        async def call(self, *asked: Any, **told: Any) -> UpstreamReply:
            reply = await super().call(*asked, **told)
            return replace(reply, body=None, too_large=9_000_000)

    rig = Rig()
    rig.calling.upstream = TooLarge()
    await rig.call()
    assert (rig.cargo.paid, rig.cargo.usage, rig.cargo.model_served) == (True, None, "gpt-4o-mini")
