"""Partitions read on demand: their batches are fetched when they are asked for, and unpacked when they are taken."""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from headrace.broker.adapters.kafka.batches import UNPACKED_BYTES_MAX
from headrace.broker.adapters.kafka.fetch import fetched_packed, in_thread
from headrace.broker.adapters.kafka.fetched_batches import FetchedBatches
from headrace.broker.errors import LogUnavailable
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.tasks import ended

_WAIT_S = 0.05
"""One call waits so long for a fetch. The next one waits on, and other partitions have their turn in between."""


class OnDemand:
    """The partitions of one topic that are read on demand, by number."""

    def __init__(self) -> None:
        """At first there are none."""
        self._packed: dict[int, FetchedBatches | None] = {}  # what was fetched of each
        self._fetching: dict[int, asyncio.Task[FetchedBatches]] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._packed

    async def start(self, partitions: Collection[int]) -> None:
        """Read these on demand, and no others; forget what was fetched."""
        await ended(*self._fetching.values())
        self._fetching.clear()
        self._packed = dict.fromkeys(partitions)

    def move(self, partition: int, offset: int) -> None:
        """Continue at another offset."""
        if (packed := self._packed.get(partition)) is not None and not packed.move(offset):
            self._packed[partition] = None
        if (fetching := self._fetching.pop(partition, None)) is not None:
            fetching.cancel()

    def end(self, partition: int) -> None:
        """Read the partition on demand no longer."""
        del self._packed[partition]

    async def upcoming(
        self, consumer: AIOKafkaConsumer, place: KafkaPartition, position: int, records_max: int
    ) -> Upcoming | None:
        """Return the offsets of the next records from `position` on; None: Kafka has not answered yet.

        Raises:
            KafkaError: Kafka does not answer, or with an error.
            headrace.broker.errors.LogUnavailable: Kafka does not say what comes next.
        """
        packed = self._packed[place.partition]
        if packed is not None and (upcoming := packed.upcoming(records_max)) is not None:
            return upcoming
        packed = await self._fetched(consumer, place, position if packed is None else packed.end)
        if packed is None:
            return None
        self._packed[place.partition] = packed
        return packed.upcoming(records_max) or Upcoming((), packed.end)

    async def _fetched(self, consumer: AIOKafkaConsumer, place: KafkaPartition, first: int) -> FetchedBatches | None:
        fetching = self._fetching.get(place.partition)
        if fetching is None:
            name = f"{place.topic}/{place.partition} on demand"
            fetching = asyncio.create_task(fetched_packed(consumer, place, first), name=name)
            fetching.add_done_callback(_seen)
            self._fetching[place.partition] = fetching
        await asyncio.wait({fetching}, timeout=_WAIT_S)
        if not fetching.done() or self._fetching.get(place.partition) is not fetching:  # moved in the meantime
            return None
        del self._fetching[place.partition]
        return fetching.result()

    async def take(
        self, consumer: AIOKafkaConsumer, partition: int, records_max: int
    ) -> tuple[Sequence[Fetched] | UnreadableRange, int | None]:
        """Return records that `upcoming` announced, and the position behind them; None if it announced none.

        Raises:
            headrace.broker.errors.LogUnavailable: There is no memory to unpack them now.
        """
        packed = self._packed[partition]
        if packed is None:
            return [], None
        self._packed[partition] = None  # a cancelled call leaves a thread working on it
        try:
            got = await in_thread(consumer, partial(packed.take, records_max))
        except (MemoryError, OSError) as error:
            raise LogUnavailable(
                f"There is no memory to unpack partition {partition}: {type(error).__name__}."
            ) from error
        self._packed[partition] = packed
        self._bound_memory(packed)
        return got, packed.position

    def _bound_memory(self, last: FetchedBatches) -> None:
        """Keep all that is unpacked within the bound of one batch; what was taken last stays."""
        held = [packed for packed in self._packed.values() if packed is not None]
        if sum(packed.unpacked_bytes for packed in held) > UNPACKED_BYTES_MAX:
            for packed in held:
                if packed is not last:
                    packed.release()

    async def close(self) -> None:
        """End what is being fetched."""
        await ended(*self._fetching.values())


def _seen(fetching: asyncio.Task[FetchedBatches]) -> None:
    """Look at the result, since asyncio logs the failure of a fetch whose result is no longer wanted."""
    if not fetching.cancelled():
        fetching.exception()
