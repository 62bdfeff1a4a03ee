"""Stored offsets of the dispatcher's group, with the metadata that carries the progress maps.

A server that is starting answers with nothing, or with part of the requested offsets, and aiokafka drops the error code
that would say so. So a partial answer is retried; "no offset" is -1, never absence.
"""

import asyncio
from collections.abc import Sequence

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.admin import admin_client
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import StoredOffset, TopicPartition

_TRIES = 50
_PAUSE_S = 0.1
_WITHIN_S = 15.0
_REQUEST_MS = 4_000  # the time that a try takes with a frozen node


class KafkaOffsets:
    """An `OffsetStore` on aiokafka's admin client."""

    def __init__(self, connection: KafkaConnection, *, group: str) -> None:
        """It connects at `read`."""
        self._connection = connection
        self._group = group

    async def read(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
        """See `headrace.broker.ports.OffsetStore.read`.

        Raises:
            LogUnavailable: No complete answer within five seconds, or no answer within fifteen.
        """
        asked = admin_client(self._connection, client_id="headrace-offsets", request_ms=_REQUEST_MS)
        try:
            async with asyncio.timeout(_WITHIN_S), asked as admin:
                return await self._read(admin, partitions)
        except (KafkaError, OSError) as error:
            told = str(error) or "no answer in time"
            raise LogUnavailable(f"The stored offsets of group {self._group} cannot be read: {told}.") from error

    async def _read(
        self, admin: AIOKafkaAdminClient, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, StoredOffset]:
        asked = [KafkaPartition(place.topic, place.partition) for place in partitions]
        last: KafkaError | None = None
        for _ in range(_TRIES):
            try:
                answer = await admin.list_consumer_group_offsets(self._group, partitions=asked)
            except KafkaError as error:
                last, answer = error, {}
            if all(place in answer for place in asked):
                return {
                    TopicPartition(place.topic, place.partition): StoredOffset(
                        answer[place].offset, answer[place].metadata or ""
                    )
                    for place in asked
                }
            await asyncio.sleep(_PAUSE_S)
        raise LogUnavailable(f"The stored offsets of group {self._group} stay incomplete: {last}.")
