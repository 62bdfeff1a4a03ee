"""Client of the verbs that send: connected within `--timeout`, closed without a long wait."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.otel.environment import decide
from headrace.broker.cli.patience import closing, reach_kafka
from headrace.broker.client import GenerationClient
from headrace.broker.settings.whole import Settings


@asynccontextmanager
async def connected(settings: Settings, timeout_s: float) -> AsyncIterator[GenerationClient]:
    """Yield a client once Kafka answers. Raises as `reach_kafka`."""
    connection = KafkaConnection.of(settings.kafka)
    await reach_kafka(connection, timeout_s)
    with _traced(settings):
        async with _client(settings, connection) as client:
            yield client


@contextmanager
def _traced(settings: Settings) -> Iterator[None]:
    """Trace what the verb sends, if the settings or OpenTelemetry's variables ask for it and the extra is there."""
    if not decide(settings.tracing, os.environ).on:
        yield
        return
    from headrace.broker.adapters.otel.exporter import tracing_this_process  # noqa: PLC0415 — an extra

    with tracing_this_process(settings.tracing, "headrace-cli", version("headrace")):
        yield


@asynccontextmanager
async def _client(settings: Settings, connection: KafkaConnection) -> AsyncIterator[GenerationClient]:
    client = GenerationClient(
        topic_prefix=settings.kafka.topic_prefix,
        connection=connection,
        source="headrace.cli",
        dedupe_window_s=settings.dedupe.window_s,
    )
    async with closing(client):
        yield client
