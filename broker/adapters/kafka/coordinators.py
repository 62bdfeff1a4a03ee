"""Health check of one process's two Kafka coordinators: of its transactional id and of its offsets group.

A standby may report itself able to lead only if it could start its producer and read the stored offsets, and starting
the producer would fence the leader. So both coordinators are looked up, and each is sent a request that only it
answers, on a connection that stays open. An answer from one partition proves neither (holes 64).
"""

import asyncio
import contextlib

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.commit import OffsetFetchRequest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.errors import LogUnavailable
from headrace.broker.tasks import ended

_WITHIN_S = 1.2
_REQUEST_MS = 1_000
_RETRY_S = 0.1
_CLOSE_WITHIN_S = 1.0
_AWAY = (KafkaError, OSError, AssertionError)
"""Errors of a coordinator that moves, or of any other node that is away.

AssertionError: Kafka has reported no node at all, as a node that comes back does for a moment; aiokafka then asserts
that it has been bootstrapped.
"""


class KafkaCoordinators:
    """A `Coordinators` on aiokafka's client."""

    def __init__(self, connection: KafkaConnection, *, transactional_id: str, group: str | None = None) -> None:
        """It connects at the first `check`. The offsets group is `group`, by default named as the transactional id."""
        self._connection = connection
        self._transactional_id = transactional_id
        self._group = group or transactional_id
        self._client: AIOKafkaClient | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def check(self) -> None:
        """See `headrace.broker.ports.Coordinators.check`."""
        last: BaseException | None = None
        try:
            async with asyncio.timeout(_WITHIN_S):
                while True:
                    try:
                        await self._ask(await self._started())
                    except _AWAY as error:
                        last = error
                    else:
                        return
                    self._drop()
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError as error:
            self._drop()
            told = "it names no node" if isinstance(last, AssertionError) else str(last or "") or "no answer in time"
            raise LogUnavailable(f"Kafka's coordinators of {self._transactional_id} do not answer: {told}.") from error
        except asyncio.CancelledError:
            self._drop()
            raise

    async def _started(self) -> AIOKafkaClient:
        """Return a connected client. Its start is never cancelled: aiokafka would forget its first connection."""
        if self._client is None or self._starting is None:
            self._client = AIOKafkaClient(
                client_id="headrace-coordinators",
                request_timeout_ms=_REQUEST_MS,
                retry_backoff_ms=50,
                **self._connection.client_kwargs(),
            )
            self._starting = asyncio.create_task(self._client.bootstrap(), name="coordinators start")
        await asyncio.shield(self._starting)
        return self._client

    async def _ask(self, client: AIOKafkaClient) -> None:
        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, self._transactional_id)
        await client.send(node, ApiVersionRequest(), group=ConnectionGroup.COORDINATION)
        node = await client.coordinator_lookup(CoordinationType.GROUP, self._group)
        told = await client.send(node, OffsetFetchRequest(self._group, []), group=ConnectionGroup.COORDINATION)
        error = for_code(getattr(told, "error_code", 0))
        if error is not for_code(0):
            raise error

    def _drop(self) -> None:
        """Discard the client, so that the next check looks for the nodes anew; close the old one in the background."""
        client, starting = self._client, self._starting
        self._client = self._starting = None
        if client is not None and starting is not None:
            closing = asyncio.create_task(_closed(client, starting), name="coordinators close")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """See `headrace.broker.ports.Coordinators.close`."""
        self._drop()
        if self._closing:
            await asyncio.wait(set(self._closing))


async def _closed(client: AIOKafkaClient, starting: asyncio.Task[None]) -> None:
    await asyncio.wait({starting}, timeout=_CLOSE_WITHIN_S)
    await ended(starting)
    if not starting.cancelled():
        starting.exception()  # the error was raised where the start was awaited
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await client.close()
