"""Share of a topic's partitions: Kafka's consumer groups as an election by partition, without reading a record.

A member that dies is replaced after its session has timed out; one that leaves, at once. Its partitions are paused, so
aiokafka fetches nothing, and are polled all the same: aiokafka leaves the group for a consumer that is not.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.consumer import close_consumer, start_consumer
from headrace.broker.adapters.kafka.watch import topic_now
from headrace.broker.tasks import ended

_SESSION_MS: Final = 6_000
"""The shortest that Kafka allows unless it is configured otherwise: a dead member's partitions wait as long."""
_HEARTBEAT_MS: Final = 1_500
_POLL_MS: Final = 500
_AFTER_ERROR_S: Final = 1.0


class KafkaShare(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """See `headrace.broker.batch_ports.GroupShare`."""

    def __init__(self, connection: KafkaConnection, *, topic: str, group: str) -> None:
        """It connects at `open`."""
        self.assigned: frozenset[int] = frozenset()
        self._connection = connection
        self._topic = topic
        self._group = group
        self._consumer: AIOKafkaConsumer | None = None
        self._polling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `GroupShare.open`."""
        consumer = AIOKafkaConsumer(
            **self._connection.client_kwargs(),
            group_id=self._group,
            client_id="headrace-share",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            request_timeout_ms=10_000 + _SESSION_MS,
            retry_backoff_ms=50,
        )
        try:
            async with kafka_errors_explained(self._connection, right="READ"):
                await start_consumer(consumer)
                await topic_now(consumer._client, self._topic, self._connection)  # noqa: SLF001  # no public way
        except BaseException:
            await close_consumer(consumer)
            raise
        self._consumer = consumer
        consumer.subscribe([self._topic], listener=self)
        self._polling = asyncio.create_task(self._poll(consumer), name=f"share of {self._topic}")

    async def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        """Give up all partitions; aiokafka calls this before a rebalance."""
        self.assigned = frozenset()

    async def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        """Take over the new partitions; aiokafka calls this after a rebalance."""
        places = list(assigned)
        if self._consumer is not None and places:
            self._consumer.pause(*places)
        self.assigned = frozenset(place.partition for place in places)

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                await consumer.getmany(timeout_ms=_POLL_MS)
            except (
                KafkaError,
                OSError,
            ):  # the group's coordinator is away, or a right is missing: until that is mended
                await asyncio.sleep(_AFTER_ERROR_S)

    async def close(self) -> None:
        """See `GroupShare.close`."""
        self.assigned = frozenset()
        if self._polling is not None:
            await ended(self._polling)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)
