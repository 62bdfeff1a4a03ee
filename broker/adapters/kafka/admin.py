"""Kafka's admin client, connected for the duration of its requests and closed without long waits.

aiokafka waits until each connection reports that it is closed. Over TLS a connection whose other side has fallen silent
reports that after half a minute, and a dispatcher that takes over would stand still meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.connection import KafkaConnection

CLOSE_WITHIN_S: Final = 1.0


@asynccontextmanager
async def admin_client(
    connection: KafkaConnection, *, client_id: str, request_ms: int
) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a started client; each of its requests may take `request_ms`. Raises what aiokafka raises."""
    client = made(connection, client_id=client_id, request_ms=request_ms)
    try:
        await client.start()
        yield client
    finally:
        await closed(client)


def made(connection: KafkaConnection, *, client_id: str, request_ms: int) -> AIOKafkaAdminClient:
    """Return a client that is not started, for a caller that keeps it."""
    return AIOKafkaAdminClient(client_id=client_id, request_timeout_ms=request_ms, **connection.client_kwargs())


async def closed(client: AIOKafkaAdminClient) -> None:
    """Close the client, or stop waiting for that; a connection that is left ends by itself."""
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()
