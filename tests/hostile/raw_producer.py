"""An idempotent producer of batches that are given byte by byte, past every client's own checks."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, NotLeaderForPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

from tests.unit.adapters.raw_batches import batch

_AGAIN_AFTER_S = 0.2
_TIMEOUT_MS = 5_000


@dataclass
class RawProducer:
    """Appends each batch once: what Kafka did not acknowledge is sent again under the same sequence number.

    Attributes:
        producer: Started; its connections are used, and what it knows of the leaders of partitions.
    """

    producer: AIOKafkaProducer
    _id: int = -1
    _epoch: int = -1
    _sequences: Counter[tuple[str, int]] = field(default_factory=Counter)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, ...] | bytes], *, codec: int, at_ms: int
    ) -> int:
        """The offset of the first of these records, once Kafka has taken them.

        Raises:
            KafkaError: Kafka refuses them for good.
        """
        async with self._one_at_a_time:
            while True:
                try:
                    await self._identified()
                    data = batch(
                        0,
                        records,
                        codec=codec,
                        first_timestamp=at_ms,
                        producer_id=self._id,
                        epoch=self._epoch,
                        sequence=self._sequences[topic, partition],
                    )
                    offset = await self._sent(topic, partition, data)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                else:
                    self._sequences[topic, partition] += len(records)
                    return offset
                await asyncio.sleep(_AGAIN_AFTER_S)
                await self.producer.client.force_metadata_update()

    async def _identified(self) -> None:
        if self._id < 0:
            client = self.producer.client
            response = await client.send(client.get_random_node(), InitProducerIdRequest(None, _TIMEOUT_MS))
            _check(response.error_code)
            self._id, self._epoch = response.producer_id, response.producer_epoch

    async def _sent(self, topic: str, partition: int, data: bytes) -> int:
        client = self.producer.client
        await self.producer.partitions_for(topic)
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node < 0:
            raise NotLeaderForPartitionError
        response = await client.send(node, ProduceRequest(None, -1, _TIMEOUT_MS, [(topic, [(partition, data)])]))
        ((_, ((_, error, offset, *_),)),) = response.topics
        _check(error)
        return int(offset)


def _check(code: int) -> None:
    """Raises KafkaError where the code says one."""
    if code:
        raise for_code(code)
