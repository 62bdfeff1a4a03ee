"""Producers and readers join the tracing of their service, and change nothing where there is none."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode

from headrace.broker.adapters.otel.joining import UNTRACED, handling, processing, sending
from headrace.broker.client import GenerationClient, _Flying, submission
from headrace.broker.errors import NotSubmitted
from headrace.broker.observability.spans import SCHEMA_URL
from headrace.broker.testing import MemoryBroker
from headrace.consumers.handling import Refused
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Outcome
from tests.unit.tracing_service import tracing_service
from tests.virtual_time import VIRTUAL_TIME

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": []}
URGENT, RESULTS = "generation.requests.urgent", "generation.results"


def headers(broker: MemoryBroker, topic: str = URGENT) -> dict[str, bytes]:
    return dict(broker.kafka.committed(topic)[-1].record.headers)


@VIRTUAL_TIME
async def test_a_record_carries_the_context_of_its_sending() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.submit(BODY, lane="urgent", id="a")
            carried = headers(broker)
    [send] = service.get_finished_spans()
    assert (send.name, send.kind, send.parent) == (f"send {URGENT}", SpanKind.PRODUCER, None)
    assert carried["traceparent"].decode() == f"00-{send.context.trace_id:032x}-{send.context.span_id:016x}-01"
    assert dict(send.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.destination.name": URGENT,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": "a",
        "messaging.destination.partition.id": (send.attributes or {})["messaging.destination.partition.id"],
        "messaging.kafka.offset": 0,
    }
    assert send.instrumentation_scope is not None
    assert send.instrumentation_scope.schema_url == SCHEMA_URL


@VIRTUAL_TIME
async def test_a_context_that_the_service_gives_is_left_as_it_is() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.submit(BODY, lane="urgent", id="a", traceparent=PARENT)
            assert headers(broker)["traceparent"].decode() == PARENT
    assert not service.get_finished_spans()


@VIRTUAL_TIME
async def test_a_trace_that_the_service_does_not_sample_goes_on_as_such() -> None:
    with tracing_service(ALWAYS_OFF) as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.submit(BODY, lane="urgent", id="a")
            assert headers(broker)["traceparent"].endswith(b"-00")
    assert not service.get_finished_spans()


@VIRTUAL_TIME
async def test_without_a_provider_a_record_carries_nothing() -> None:
    async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.submit(BODY, lane="urgent", id="a")
        assert "traceparent" not in headers(broker)
    assert sending(URGENT, "a", ()) is UNTRACED


@VIRTUAL_TIME
async def test_each_of_many_has_a_span_of_its_own() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            many = [submission({"id": f"lead-{number}", "body": BODY}, lane="urgent") for number in range(5)]
            assert len([receipt async for receipt in generations.submit_many(many)]) == 5
    sent = service.get_finished_spans()
    assert [(each.attributes or {})["messaging.message.id"] for each in sent] == [f"lead-{n}" for n in range(5)]
    assert len({each.context.trace_id for each in sent}) == 5


@VIRTUAL_TIME
async def test_a_record_that_could_not_be_sent_is_a_failed_span() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            with pytest.raises(NotSubmitted):
                await generations.submit(BODY, lane="no-such-lane", id="a")
    [send] = service.get_finished_spans()
    assert send.status.status_code is StatusCode.ERROR
    assert (send.attributes or {})["error.type"] == "MissingTopic"


class NeverAppended:
    """A record under way of which Kafka never says that it has it."""

    async def wait(self, *, timeout_s: float) -> Any:
        raise NotSubmitted(f"Kafka did not answer within {timeout_s} s.")


async def test_a_record_that_kafka_never_acknowledged_is_a_failed_span() -> None:
    with tracing_service() as service:
        flying = _Flying(
            submission({"id": "a", "body": BODY}, lane="urgent"), NeverAppended(), sending(URGENT, "a", ())
        )
        with pytest.raises(NotSubmitted):
            await flying.receipt(1.0)
    [send] = service.get_finished_spans()
    assert (send.status.status_code, (send.attributes or {})["error.type"]) == (StatusCode.ERROR, "NotSubmitted")


@VIRTUAL_TIME
async def test_an_iteration_ends_the_span_of_one_outcome_as_it_asks_for_the_next() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            for number in range(2):
                await generations.generate(BODY, lane="urgent", id=f"lead-{number}", traceparent=PARENT)
            before = contexts.get_current()
            async with ResultReader(group="mailer", connection=broker.connection, follow=False) as results:
                held = [trace.get_current_span().get_span_context() async for _ in results]
            assert contexts.get_current() == before
    first, second = service.get_finished_spans()
    assert [first.context, second.context] == held
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.end_time <= second.start_time
    for each in (first, second):
        assert (each.name, each.kind) == (f"process {RESULTS}", SpanKind.CONSUMER)
        assert each.context.trace_id == int("a" * 32, 16)
        assert (each.attributes or {})["messaging.consumer.group.name"] == "mailer"


@VIRTUAL_TIME
async def test_what_the_service_did_meanwhile_is_linked_and_current_again_after_the_reader() -> None:
    with tracing_service() as service:
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT)
            with trace.get_tracer("crm").start_as_current_span("nightly") as nightly:
                async with ResultReader(group=None, connection=broker.connection) as results:
                    await anext(results)
                    assert trace.get_current_span() is not nightly
                assert trace.get_current_span() is nightly
    process, _ = service.get_finished_spans()
    assert [each.context for each in process.links] == [nightly.get_span_context()]


@VIRTUAL_TIME
async def test_each_attempt_of_a_handler_has_a_span_and_a_failed_one_says_so() -> None:
    current = []

    async def handler(_: Outcome) -> None:
        await asyncio.sleep(0.1)
        current.append(trace.get_current_span().get_span_context())
        if len(current) == 1:
            raise ValueError("confidential")
        raise Refused

    with tracing_service() as service:
        async with (
            MemoryBroker(topics=("letters",)) as broker,
            GenerationClient(connection=broker.connection) as generations,
        ):
            await generations.generate(BODY, lane="urgent", id="a", traceparent=PARENT)
            async with ResultReader(group="mailer", connection=broker.connection, follow=False) as results:
                await results.handle(handler, dead_letters="letters")
    first, second = service.get_finished_spans()
    assert [first.context, second.context] == current
    assert [(each.attributes or {})["error.type"] for each in (first, second)] == ["ValueError", "Refused"]
    assert (second.attributes or {})["headrace.handler.attempt"] == 2
    assert "headrace.handler.attempt" not in (first.attributes or {})
    assert "confidential" not in first.to_json() + second.to_json()


@pytest.mark.parametrize("given", [b"garbage", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"\xff" * 100_000, b""])
def test_an_outcome_with_any_header_is_handled(given: bytes) -> None:
    with tracing_service() as service, handling(RESULTS, (("traceparent", given), ("tracestate", given))):
        pass
    assert not service.get_finished_spans()


def test_a_context_that_the_service_has_set_since_is_not_taken_from_it() -> None:
    with tracing_service():
        before = contexts.get_current()
        span = processing(RESULTS, (("traceparent", PARENT.encode()),))
        assert span is not None
        own = contexts.set_value("own", "value")
        contexts.attach(own)
        span.end()
        assert contexts.get_current() is own
        contexts.attach(before)


def test_a_service_that_does_not_trace_loads_no_opentelemetry() -> None:
    code = (
        "import sys\n"
        "from headrace import GenerationClient, ResultReader\n"
        "from headrace.broker.adapters.otel.joining import UNTRACED, handling, processing, sending\n"
        f"headers = (('traceparent', b'{PARENT}'),)\n"
        "assert sending('t', 'a', ()) is UNTRACED\n"
        "assert processing('t', headers) is None\n"
        "with handling('t', headers):\n"
        "    pass\n"
        "sys.exit(any(name.startswith(('opentelemetry', 'requests')) for name in sys.modules))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Broken(SpanProcessor):
    """A span processor of the service that raises: OpenTelemetry's SDK lets it through."""

    def __init__(self, *, at_start: bool) -> None:
        self._at_start = at_start

    def on_start(self, span: object, parent_context: object = None) -> None:
        if self._at_start:
            raise RuntimeError("no room")

    def on_end(self, span: object) -> None:
        raise RuntimeError("no room")


@pytest.mark.parametrize("at_start", [True, False])
@VIRTUAL_TIME
async def test_a_service_whose_own_tracing_raises_sends_and_reads_as_ever(at_start: bool) -> None:  # noqa: FBT001 — a case
    handled: list[str] = []

    async def handler(outcome: Outcome) -> None:
        handled.append(outcome.id)

    with tracing_service(ALWAYS_ON, Broken(at_start=at_start)):
        async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.generate(BODY, lane="urgent", id="a")
            given = (("traceparent", PARENT.encode()),)
            if (span := processing(RESULTS, given)) is not None:
                span.end(ValueError())
            with pytest.raises(Refused), handling(RESULTS, given):
                raise Refused
            async with ResultReader(connection=broker.connection, group="mail", follow=False) as results:
                await results.handle(handler, dead_letters=None)
    assert handled == ["a"]
