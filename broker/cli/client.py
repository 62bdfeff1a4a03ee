"""Client of the verbs that send: connected within `--timeout`, closed without a long wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.patience import closing, reach_kafka
from headrace.broker.client import GenerationClient
from headrace.broker.settings.whole import Settings


@asynccontextmanager
async def connected(settings: Settings, timeout_s: float) -> AsyncIterator[GenerationClient]:
    """Yield a client once Kafka answers. Raises as `reach_kafka`."""
    connection = KafkaConnection.of(settings.kafka)
    await reach_kafka(connection, timeout_s)
    client = GenerationClient(
        topic_prefix=settings.kafka.topic_prefix,
        connection=connection,
        source="headrace.cli",
        dedupe_window_s=settings.dedupe.window_s,
    )
    async with closing(client):
        yield client
