"""A request is one trace from its producer to its reader, whatever happens to it in between."""

import asyncio
import json
from typing import Any

import pytest
from opentelemetry import trace

from headrace.broker.client import GenerationClient
from headrace.broker.errors import GenerationFailed
from headrace.broker.observability.spans import CALL, EMBEDDINGS, PROCESS, SEND, WAIT, Attribute
from headrace.broker.span_ports import EndedSpan
from headrace.broker.testing import Asked, MemoryBroker, Said
from headrace.broker.testing.spans import MemorySpans
from headrace.broker.trace_context import calling, read_context
from headrace.consumers.results import ResultReader
from tests.unit.tracing_service import tracing_service
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "Dear Ada"}]}
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
URGENT, RESULTS, FAILURES = "generation.requests.urgent", "generation.results", "generation.failures"


def named(spans: MemorySpans) -> list[str]:
    return [each.row.name(each.target) for each in spans.ended]


def one(spans: MemorySpans, name: str) -> EndedSpan:
    [found] = [each for each in spans.ended if each.row.name(each.target) == name]
    return found


async def settled(spans: MemorySpans, name: str, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while named(spans).count(name) < count:  # noqa: ASYNC110 — in virtual time; a span gives no notice
            await asyncio.sleep(0.005)


async def test_client_lane_call_outcome_and_reader_are_one_trace() -> None:
    spans = MemorySpans()
    with tracing_service() as service:
        async with MemoryBroker(spans=spans) as broker, GenerationClient(connection=broker.connection) as generations:
            with trace.get_tracer("crm").start_as_current_span("POST /leads") as root:
                await generations.submit(BODY, lane="urgent", id="lead-1")
            async with ResultReader(group="mailer", connection=broker.connection) as results:
                await anext(results)
                with trace.get_tracer("crm").start_as_current_span("send mail"):
                    pass
            await settled(spans, f"process {URGENT}")
    made: dict[str, Any] = {each.name: each for each in service.get_finished_spans()}
    send, process, mail = made[f"send {URGENT}"], made[f"process {RESULTS}"], made["send mail"]
    record, published = one(spans, f"process {URGENT}"), one(spans, f"send {RESULTS}")
    assert send.parent == root.get_span_context()
    assert record.parent is not None
    assert record.parent.span_id == send.context.span_id
    for name in ("wait urgent", "chat gpt-4o-mini", f"send {RESULTS}"):
        assert one(spans, name).parent == record.context
    assert process.parent is not None
    assert process.parent.span_id == published.context.span_id
    assert mail.parent is not None
    assert mail.parent.span_id == process.context.span_id
    trace_ids = {each.context.trace_id for each in (*made.values(), *spans.ended)}
    assert trace_ids == {root.get_span_context().trace_id}


async def test_each_span_is_a_row_of_the_table_and_ends_after_it_began() -> None:
    spans = MemorySpans()
    async with MemoryBroker(spans=spans) as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.generate(BODY, lane="urgent", id="a")
        await settled(spans, f"process {URGENT}")
    assert named(spans) == ["wait urgent", "chat gpt-4o-mini", f"send {RESULTS}", f"process {URGENT}"]
    assert {id(each.row) for each in spans.ended} <= {id(row) for row in (SEND, PROCESS, WAIT, CALL, EMBEDDINGS)}
    for each in spans.ended:
        assert 0 < each.start_ns <= each.end_ns
        assert all(isinstance(name, Attribute) for name in each.attributes)


async def test_a_call_says_what_was_asked_answered_charged_and_used() -> None:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }
    spans = MemorySpans()
    async with (
        MemoryBroker(lambda asked: answer, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a")
    given = one(spans, "chat gpt-4o-mini").attributes
    assert given[Attribute.CHARGE]
    assert {name: value for name, value in given.items() if name is not Attribute.CHARGE} == {
        Attribute.GEN_AI_OPERATION: "chat",
        Attribute.PROVIDER: "openai",
        Attribute.REQUEST_MODEL: "gpt-4o-mini",
        Attribute.REQUEST_MAX_TOKENS: 50,
        Attribute.LIMIT: "any",
        Attribute.SERVER_ADDRESS: "api.openai.com",
        Attribute.SERVER_PORT: 443,
        Attribute.VERDICT: "ok",
        Attribute.HTTP_STATUS: 200,
        Attribute.RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
        Attribute.RESPONSE_ID: "chatcmpl-1",
        Attribute.RESPONSE_TIER: "default",
        Attribute.FINISH_REASONS: ("stop",),
        Attribute.INPUT_TOKENS: 9,
        Attribute.OUTPUT_TOKENS: 5,
        Attribute.CACHED_TOKENS: 4,
        Attribute.REASONING_TOKENS: 3,
    }


@pytest.mark.parametrize(
    ("base_url", "address", "port"),
    [("http://gateway/v1", "gateway", 80), ("https://gateway/v1", "gateway", 443), ("http://[::1]:81/v1", "::1", 81)],
)
async def test_a_call_names_the_server_of_the_base_url(base_url: str, address: str, port: int) -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(settings={"openai": {"base_url": base_url}}, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a")
    given = one(spans, "chat gpt-4o-mini").attributes
    assert (given[Attribute.SERVER_ADDRESS], given[Attribute.SERVER_PORT]) == (address, port)


async def test_embeddings_are_named_as_such() -> None:
    spans = MemorySpans()
    vectors = {"object": "list", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    async with (
        MemoryBroker(lambda asked: vectors, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        body = {"model": "text-embedding-3-small", "input": "Ada"}
        await generations.generate(body, endpoint="embeddings", lane="urgent", id="a")
    assert one(spans, "embeddings text-embedding-3-small").attributes[Attribute.GEN_AI_OPERATION] == "embeddings"


async def test_neither_prompt_nor_answer_nor_tenant_is_exported_unless_switched_on() -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(lambda asked: "confidential-answer", spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a", tenant="acme-corporation", metadata={"m": "secret"})
        await settled(spans, f"process {URGENT}")
    told = repr(spans.ended)
    assert Attribute.TENANT in one(spans, f"process {URGENT}").attributes
    for secret in ("Dear Ada", "confidential-answer", "acme-corporation", "secret"):
        assert secret not in told


async def test_content_is_exported_when_it_is_switched_on() -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(lambda asked: "Hi", settings={"tracing": {"content": True}}, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a")
    given = one(spans, "chat gpt-4o-mini").attributes
    asked, answered = given[Attribute.INPUT_MESSAGES], given[Attribute.OUTPUT_MESSAGES]
    assert json.loads(str(asked)) == [{"role": "user", "parts": [{"type": "text", "content": "Dear Ada"}]}]
    assert json.loads(str(answered)) == [{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]}]


async def test_a_retried_call_has_a_wait_with_its_reason_and_counts_the_calls_before() -> None:
    def answer(asked: Asked) -> Said | None:
        return Said(500, {"error": {"message": "confidential"}}) if asked.nth == 1 else None

    spans = MemorySpans()
    async with (
        MemoryBroker(answer, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a")
        await settled(spans, f"process {URGENT}")
    first, second = (each for each in spans.ended if each.row is CALL)
    waits = [each for each in spans.ended if each.row is WAIT]
    assert (first.error, first.attributes[Attribute.HTTP_STATUS]) == ("upstream_error", 500)
    assert "confidential" not in repr(first)
    assert second.attributes[Attribute.RESEND_COUNT] == 1
    assert waits[1].attributes[Attribute.REASON] == "upstream_error"
    assert waits[1].start_ns == first.end_ns
    assert len({each.context.span_id for each in spans.ended}) == len(spans.ended)
    assert not one(spans, f"process {URGENT}").error


async def test_a_parked_request_comes_back_into_the_same_trace() -> None:
    def answer(asked: Asked) -> Said | None:
        return Said(503, {}, {"retry-after": "2"}) if asked.nth == 1 else None

    spans = MemorySpans()
    async with (
        MemoryBroker(answer, settings={"retry": {"in_place_max_s": 1}}, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT)
        await settled(spans, f"process {URGENT}", 2)
    parked, answered = (each for each in spans.ended if each.row is PROCESS and each.target == URGENT)
    waited = one(spans, f"process {FAILURES}")
    assert {each.context.trace_id for each in spans.ended} == {int("a" * 32, 16)}
    assert {each.parent.span_id for each in (parked, waited, answered) if each.parent} == {int("b" * 16, 16)}
    assert (parked.attributes[Attribute.DECISION], answered.attributes[Attribute.DECISION]) == ("parked", "completed")
    assert one(spans, f"send {FAILURES}").parent == parked.context
    assert one(spans, f"send {URGENT}").parent == waited.context
    assert waited.end_ns - waited.start_ns > 1e9
    assert answered.start_ns >= waited.start_ns
    calls = [each for each in spans.ended if each.row is CALL]
    assert [each.attributes.get(Attribute.RESEND_COUNT) for each in calls] == [None, 1]
    assert len({each.context.span_id for each in spans.ended}) == len(spans.ended)


async def test_a_parked_request_without_a_trace_keeps_the_one_that_began_with_it() -> None:
    def answer(asked: Asked) -> Said | None:
        return Said(503, {}, {"retry-after": "2"}) if asked.nth == 1 else None

    spans = MemorySpans()
    async with (
        MemoryBroker(answer, settings={"retry": {"in_place_max_s": 1}}, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a")
        await settled(spans, f"process {URGENT}", 2)
    parked, answered = (each for each in spans.ended if each.row is PROCESS and each.target == URGENT)
    assert parked.parent is None
    assert answered.parent == parked.context
    assert len({each.context.trace_id for each in spans.ended}) == 1


async def test_the_call_of_a_dead_leader_is_written_by_its_successor() -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(latency_s=10, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.submit(BODY, lane="urgent", id="a", traceparent=PARENT)
        await asyncio.sleep(5)  # the call is under way, and the ledger names the call
        await broker.crash()
        before = one(spans, "wait urgent")
        spans.ended.clear()  # what the dead leader had not exported
        await settled(spans, f"process {URGENT}")
    lost, repeated = sorted((each for each in spans.ended if each.row is CALL), key=lambda each: each.start_ns)
    record = one(spans, f"process {URGENT}")
    assert (lost.error, lost.attributes[Attribute.LOST]) == ("leader_lost", True)
    assert (repeated.error, repeated.attributes[Attribute.REPEATED]) == ("", True)
    assert lost.context.span_id != repeated.context.span_id
    assert lost.start_ns < lost.end_ns <= repeated.start_ns, "from the ledger's line until the successor leads"
    assert lost.parent == repeated.parent == record.context
    wait = one(spans, "wait urgent")
    assert wait.start_ns == before.start_ns == record.start_ns
    assert wait.context.span_id != before.context.span_id, "each leader's wait is a span of its own"
    kafka_ms, queue_ms = wait.attributes[Attribute.IN_KAFKA_MS], wait.attributes[Attribute.IN_QUEUE_MS]
    assert isinstance(kafka_ms, int)
    assert isinstance(queue_ms, int)
    assert kafka_ms >= 5_000 > queue_ms
    assert kafka_ms + queue_ms == pytest.approx((wait.end_ns - wait.start_ns) / 1e6, abs=2)


async def test_a_lost_call_after_a_parking_has_the_id_that_its_leader_gave_it() -> None:
    def answer(asked: Asked) -> Said | None:
        return Said(503, {}, {"retry-after": "2"}) if asked.nth == 1 else None

    spans = MemorySpans()
    async with (
        MemoryBroker(answer, latency_s=10, settings={"retry": {"in_place_max_s": 1}}, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.submit(BODY, lane="urgent", id="a", traceparent=PARENT)
        await settled(spans, "wait urgent", 2)
        await asyncio.sleep(5)  # the ledger names the second call
        await broker.crash()
        await settled(spans, f"process {URGENT}", 2)
    _, cut, lost, repeated = (each for each in spans.ended if each.row is CALL)
    assert (cut.error, lost.error, repeated.error) == ("cancelled", "leader_lost", "")
    assert lost.context == cut.context != repeated.context
    assert lost.attributes[Attribute.RESEND_COUNT] == 1


async def test_a_failed_request_says_why_and_its_log_line_has_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(lambda asked: Said(400, {"error": {"message": "no"}}), spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        with pytest.raises(GenerationFailed):
            await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT)
        await settled(spans, f"process {URGENT}")
    record = one(spans, f"process {URGENT}")
    assert record.error == record.attributes[Attribute.REASON] == "rejected"
    assert record.attributes[Attribute.DECISION] == "failed"
    assert "a" * 32 in capsys.readouterr().out


async def test_a_cancel_has_no_spans_and_a_cancelled_request_did_not_fail() -> None:
    spans = MemorySpans()
    async with (
        MemoryBroker(latency_s=30, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.submit(BODY, lane="urgent", id="a")
        await asyncio.sleep(1)
        await generations.cancel("a")
        await settled(spans, f"process {URGENT}")
    [record] = [each for each in spans.ended if each.row is PROCESS]
    assert (record.error, record.attributes[Attribute.REASON]) == ("", "cancelled")


async def test_a_duplicate_is_a_record_of_its_own_that_was_dropped() -> None:
    spans = MemorySpans()
    async with MemoryBroker(spans=spans) as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.generate(BODY, lane="urgent", id="a")
        await generations.submit(BODY, lane="urgent", id="a", traceparent=PARENT)
        await settled(spans, f"process {URGENT}", 2)
    _, copy = (each for each in spans.ended if each.row is PROCESS)
    assert copy.attributes[Attribute.DECISION] == "duplicate"
    assert copy.context.trace_id == int("a" * 32, 16)


@pytest.mark.parametrize("samples", [True, False])
async def test_a_producer_decides_whether_its_trace_is_exported(samples: bool) -> None:  # noqa: FBT001 — a case
    spans, seen = MemorySpans(samples=not samples), []

    def answer(_: Asked) -> str:
        seen.append(calling.get())
        return "Hi"

    parent = f"00-{'a' * 32}-{'b' * 16}-{'01' if samples else '00'}"
    async with (
        MemoryBroker(answer, spans=spans) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent", id="a", traceparent=parent)
        [record] = broker.kafka.committed(RESULTS)
    assert bool(spans.ended) is samples
    [context] = seen
    assert context is not None
    assert (context.trace_name, context.sampled) == ("a" * 32, samples)
    outcome = dict(record.record.headers)["traceparent"].decode()
    assert outcome.startswith("00-" + "a" * 32)
    assert outcome.endswith("01" if samples else "00")


async def test_without_tracing_an_outcome_repeats_the_context_of_its_request_and_no_call_has_one() -> None:
    seen = []

    def answer(_: Asked) -> str:
        seen.append(calling.get())
        return "Hi"

    async with MemoryBroker(answer) as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT)
        [record] = broker.kafka.committed(RESULTS)
    assert dict(record.record.headers)["traceparent"].decode() == PARENT
    assert seen == [None]


async def test_the_state_of_other_tracing_systems_goes_on_to_the_reader() -> None:
    spans = MemorySpans()
    async with MemoryBroker(spans=spans) as broker, GenerationClient(connection=broker.connection) as generations:
        with tracing_service():
            given = read_context(PARENT, "vendor=x")
            assert given is not None
            flags = trace.TraceFlags(1)
            state = trace.TraceState.from_header(["vendor=x"])
            remote = trace.SpanContext(given.trace_id, given.span_id, True, flags, state)
            with trace.use_span(trace.NonRecordingSpan(remote)):
                await generations.generate(BODY, lane="urgent", id="a")
        [record] = broker.kafka.committed(RESULTS)
    assert dict(record.record.headers)["tracestate"] == b"vendor=x"


async def test_each_histogram_of_a_request_names_its_trace_as_an_exemplar_and_no_trace_that_is_not_exported() -> None:
    for flags, named_in in (("01", 3), ("00", 0)):
        async with (
            MemoryBroker(spans=MemorySpans()) as broker,
            GenerationClient(connection=broker.connection) as generations,
        ):
            await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT[:-2] + flags)
            dispatcher = broker._dispatcher
            assert dispatcher is not None
            await asyncio.sleep(1)  # the commit has returned
            scraped, _ = dispatcher.meter.scrape("application/openmetrics-text; version=1.0.0")
        histograms = ("queue_wait_seconds", "upstream_seconds", "outcome_seconds")
        lines = [line for line in scraped.decode().splitlines() if f'trace_id="{"a" * 32}"' in line]
        assert len(lines) == named_in
        assert all(any(line.startswith(f"headrace_{name}_bucket") for line in lines) for name in histograms[:named_in])
