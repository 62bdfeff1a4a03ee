"""One request whose leader is killed during its call, as one trace: `python -m tests.tracing.failover`.

A service submits a request inside a span of its own, on a real Kafka. Two dispatchers and a retrier run; the leader is
ended by SIGKILL while OpenAI (simulated) has the call. The standby takes over, makes the call again, and the service's
reader gets the outcome. All of them export to a real OpenTelemetry Collector, whose file is read at the end.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from headrace import Completed, GenerationClient, ResultReader
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from tests.integration.fleet import Fleet
from tests.tracing.otelcol import collecting
from tests.tracing.tree import Received, received, roots, tree

SHOWN = (
    "error.type",
    "http.response.status_code",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "headrace.charge.tokens",
    "headrace.verdict",
    "headrace.call.lost",
    "headrace.call.repeated",
    "headrace.wait.kafka_ms",
    "headrace.wait.queue_ms",
    "headrace.decision",
    "messaging.kafka.offset",
)
PREFIX = "traced"
CALL_S = 6.0
_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write a first e-mail to Acme."}]}


def _own_tracing(endpoint: str) -> TracerProvider:
    """The service's own tracing, set up as any service's is: Headrace's client has no part in it."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "lead-mailer", "service.instance.id": str(os.getpid())})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


async def play(services: LocalServices, endpoint: str, directory: Path) -> str:
    """Submit, kill the leader during the call, read the outcome; return the trace's id."""
    played = UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=60_000, latency_s=(CALL_S, CALL_S), seed=7, port=0
    )
    settings = {"HEADRACE_TRACING__ENDPOINT": endpoint, "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
    bootstrap, tracer = services.endpoints.bootstrap_servers, trace.get_tracer("lead-mailer")
    async with (
        Upstream(played) as upstream,
        Fleet(services, PREFIX, upstream.base_url, directory, settings) as fleet,
        GenerationClient(bootstrap, topic_prefix=PREFIX) as generations,
    ):
        first, second = await fleet.start(), await fleet.start()
        leader = await fleet.leader()
        await fleet.standby()
        with tracer.start_as_current_span("POST /leads", kind=trace.SpanKind.SERVER) as span:
            await generations.submit(_BODY, lane="urgent", tenant="acme", id="lead-9001-email")
        await fleet.inflight(leader, 1)
        await asyncio.sleep(1.5)  # the wait's span leaves once a second
        await fleet.kill(leader)
        async with ResultReader(bootstrap, group="lead-mailer", topic_prefix=PREFIX) as results:
            async with asyncio.timeout(60):
                outcome = await anext(results)
            assert isinstance(outcome, Completed), outcome
            with tracer.start_as_current_span("send mail"):
                await asyncio.sleep(0.05)
        successor = first if leader is second else second
        successor.send(signal.SIGTERM)
        await successor.ended()
    return f"{span.get_span_context().trace_id:032x}"


def complaints(spans: Sequence[Received]) -> list[str]:
    """What is wrong with the trace of a failover; nothing if all is as the page says."""
    names = [each.name for each in spans]
    wanted = {
        "POST /leads": 1,
        f"send {PREFIX}.requests.urgent": 1,
        f"process {PREFIX}.requests.urgent": 1,
        "wait urgent": 2,
        "chat gpt-4o-mini": 2,
        f"send {PREFIX}.results": 1,
        f"process {PREFIX}.results": 1,
        "send mail": 1,
    }
    found = [
        f"{names.count(name)} spans {name!r}, not {count}"
        for name, count in wanted.items()
        if names.count(name) != count
    ]
    found += [f"the span {each.name!r} has no parent here" for each in roots(spans) if each.name != "POST /leads"]
    lost = [each for each in spans if each.attributes.get("headrace.call.lost")]
    if len(lost) != 1 or not lost[0].failed or lost[0].end_ns - lost[0].start_ns < 1e9:
        found.append("the call that the dead leader had begun is not there as a failed span of more than a second")
    return found


def _whole(written: Path, trace_id: str) -> list[Received]:
    """Return the trace's spans once it is whole; as they are after ten seconds."""
    until = time.monotonic() + 10
    while True:
        spans = [each for each in received(written) if each.trace_id == trace_id]
        if not complaints(spans) or time.monotonic() > until:
            return spans
        time.sleep(0.1)  # a poll: the collector writes ten times a second, and gives no notice


def main() -> int:
    """Play it once and print the tree; 1 if the trace is not whole."""
    with tempfile.TemporaryDirectory(prefix="headrace-trace-") as name:
        directory = Path(name)
        with collecting(directory) as collector, LocalServices() as services:
            provider = _own_tracing(collector.endpoint)
            trace_id = asyncio.run(play(services, collector.endpoint, directory))
            provider.shutdown()
            spans = _whole(collector.received, trace_id)
        said = complaints(spans)
    sys.stdout.write(f"trace {trace_id}: {len(spans)} spans, as the OpenTelemetry Collector received them\n\n")
    sys.stdout.write(f"{tree(spans, SHOWN)}\n" + "".join(f"\nWRONG: {each}" for each in said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
