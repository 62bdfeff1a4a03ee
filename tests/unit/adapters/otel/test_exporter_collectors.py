"""Spans reach a collector over HTTP; a hostile collector costs spans alone."""

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.broker.adapters.otel.exporter import open_spans
from headrace.broker.observability.spans import SCHEMA_URL
from headrace.broker.settings.tracing import TracingSettings
from headrace.broker.span_ports import SpanCounts
from tests.unit.adapters.otel.ended_spans import span


@contextmanager
def collector(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A collector that reads a request and answers as told; yields its address."""
    server, ends = socket.create_server(("127.0.0.1", 0)), threading.Event()
    server.settimeout(0.1)

    def serve() -> None:
        while not ends.is_set():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    def handle(client: socket.socket) -> None:
        with client:
            client.settimeout(5)
            try:
                answer(client)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        ends.set()
        thread.join()
        server.close()


def request(client: socket.socket) -> bytes:
    """The body of the request on this connection."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += client.recv(65_536)
    head, _, body = read.partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < length:
        body += client.recv(65_536)
    return head.lower() + b"\0" + body


def test_a_real_export_carries_the_headers_of_the_settings() -> None:
    seen: list[bytes] = []

    def answer(client: socket.socket) -> None:
        seen.append(request(client))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with collector(answer) as url:
        spans = open_spans(TracingSettings(endpoint=url, headers="x-token=s3cret"), "headrace-dispatcher", "1", {})
        spans.record(span())
        asyncio.run(spans.close(5))
    head, _, body = seen[0].partition(b"\0")
    assert head.startswith(b"post /v1/traces ")
    assert b"x-token: s3cret" in head
    body = gzip.decompress(body) if b"content-encoding: gzip" in head else body
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0]
    assert [each.span_id.hex() for each in sent.spans] == ["b" * 16]
    assert sent.schema_url == SCHEMA_URL
    assert spans.counts() == SpanCounts(1, 1, 0)


def refuses(client: socket.socket) -> None:
    request(client)
    client.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")


def is_gone(client: socket.socket) -> None:
    client.close()


def is_silent(client: socket.socket) -> None:
    request(client)
    client.recv(1)


def never_ends(client: socket.socket) -> None:
    request(client)
    client.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        client.sendall(b"x" * 65_536)


def drips(client: socket.socket) -> None:
    request(client)
    client.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(20):
        client.sendall(b"x")
        time.sleep(0.05)  # it is the slowness of the collector that is tested


@pytest.mark.parametrize("location", ["Location: {}/elsewhere\r\n", ""])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_is_no_success(status: int, location: str) -> None:
    seen: list[bytes] = []

    def elsewhere(client: socket.socket) -> None:
        seen.append(request(client))

    with collector(elsewhere) as other:

        def redirects(client: socket.socket) -> None:
            request(client)
            head = f"HTTP/1.1 {status} Moved\r\n{location.format(other)}Content-Length: 0\r\n\r\n"
            client.sendall(head.encode())

        with collector(redirects) as url:
            spans = open_spans(TracingSettings(endpoint=url, headers="x-token=s3cret"), "headrace-dispatcher", "1", {})
            spans.record(span())
            await spans.close(5)
    assert not seen
    assert (spans.counts().exported, spans.counts().lost) == (0, 1)
    assert "redirects" in spans.counts().trouble


def join_exporter() -> None:
    """Wait until its threads have ended: their dice are the `random` that Hypothesis controls in a later test."""
    for thread in threading.enumerate():
        if thread.name in {"last spans", "OtelBatchSpanRecordProcessor"}:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("answer", [refuses, is_gone, is_silent, never_ends, drips])
async def test_a_hostile_collector_holds_up_neither_the_loop_nor_the_end(
    answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # the last batches are given up soon after the test
    with collector(answer) as url:
        spans = open_spans(
            TracingSettings(endpoint=url), "headrace-dispatcher", "1", {"OTEL_BSP_MAX_QUEUE_SIZE": "600"}
        )
        began, longest = time.monotonic(), 0.0
        for _ in range(20):
            for _ in range(100):
                before = time.monotonic()
                spans.record(span())
                longest = max(longest, time.monotonic() - before)
            await asyncio.sleep(0.01)
        took = time.monotonic() - began
        before = time.monotonic()
        await spans.close(0.2)
        closing = time.monotonic() - before
        spans._counted.shutdown()
        await asyncio.to_thread(join_exporter)
    assert spans.counts().recorded == 2_000
    assert spans.counts().exported == 0
    assert spans.counts().lost > 0
    assert spans.counts().trouble
    assert longest < 2
    assert took < 10
    assert closing < 2


async def test_an_answer_without_end_is_read_up_to_a_bound() -> None:
    sent = 0

    def answer(client: socket.socket) -> None:
        nonlocal sent
        request(client)
        client.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            sent += client.send(b"x" * 65_536)

    with collector(answer) as url:
        spans = open_spans(TracingSettings(endpoint=url), "headrace-dispatcher", "1", {})
        spans.record(span())
        await spans.close(5)
    assert spans.counts().lost == 1
    assert sent < 64 * 1024 * 1024


def test_a_verb_that_sends_exports_the_span_of_each_record_before_it_ends() -> None:
    code = (
        "import sys\n"
        "from headrace.broker.adapters.otel.exporter import tracing_this_process\n"
        "from headrace.broker.adapters.otel.joining import sending\n"
        "from headrace.broker.settings.tracing import TracingSettings\n"
        "with tracing_this_process(TracingSettings(endpoint=sys.argv[1]), 'headrace-cli', '1', {}):\n"
        "    span = sending('generation.requests.urgent', 'lead-1', ())\n"
        "    span.sent(0, 7)\n"
        "print(dict(span.headers)['traceparent'].decode())\n"
    )
    seen: list[bytes] = []

    def answer(client: socket.socket) -> None:
        seen.append(request(client))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with collector(answer) as url:
        ended = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    [sent] = ExportTraceServiceRequest.FromString(seen[0].partition(b"\0")[2]).resource_spans[0].scope_spans[0].spans
    assert sent.name == "send generation.requests.urgent"
    assert sent.trace_id.hex() in ended.stdout
