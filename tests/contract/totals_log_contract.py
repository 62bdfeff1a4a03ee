"""What every reader of the totals topic must do: run on the double in memory and on a real Kafka."""

import asyncio

import pytest

from headrace.broker.errors import MissingTopic
from headrace.broker.ports import Outgoing, TransactionLog
from headrace.broker.status_ports import TotalsLog
from headrace.schemas.record import Record
from tests.contract.kafka_world import KafkaWorld


class TotalsLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def _producer(self, world: KafkaWorld) -> TransactionLog:
        producer = world.producer()
        await producer.open()
        return producer

    async def _write(self, world: KafkaWorld, producer: TransactionLog, *sums: tuple[str, str]) -> None:
        records = [Outgoing(world.totals_topic, Record(key.encode(), value.encode())) for key, value in sums]
        await producer.transact(records, {})

    async def _read(self, totals: TotalsLog, count: int) -> list[tuple[bytes | None, bytes | None]]:
        """So many records, and whatever else stands before the end."""
        found: list[Record] = []
        async with asyncio.timeout(30):
            while len(found) < count or not await totals.is_at_end():
                found.extend(await totals.read(200))
        return [(record.key, record.value) for record in found]

    async def test_records_come_with_their_keys_in_order_and_the_end_is_known(self, world: KafkaWorld) -> None:
        producer, totals = await self._producer(world), world.totals()
        await self._write(world, producer, ("a", "1"), ("b", "1"))
        await self._write(world, producer, ("a", "2"))
        await totals.open(0)
        assert await self._read(totals, 3) == [(b"a", b"1"), (b"b", b"1"), (b"a", b"2")]
        assert await totals.is_at_end()
        await self._write(world, producer, ("c", "1"))
        assert await self._read(totals, 1) == [(b"c", b"1")]
        await totals.close()
        await producer.close()

    async def test_an_empty_topic_is_at_its_end(self, world: KafkaWorld) -> None:
        totals = world.totals()
        await totals.open(0)
        async with asyncio.timeout(10):
            while not await totals.is_at_end():
                assert await totals.read(100) == []
        await totals.close()

    async def test_reading_begins_at_an_instant(self, world: KafkaWorld) -> None:
        producer, totals = await self._producer(world), world.totals()
        await self._write(world, producer, ("old", "1"))
        await asyncio.sleep(0.05)
        await self._write(world, producer, ("young", "1"))
        await totals.open(4_102_444_800_000)  # in the year 2100
        await totals.read(100)
        await self._write(world, producer, ("next", "1"))
        assert await self._read(totals, 1) == [(b"next", b"1")]
        await totals.close()
        await producer.close()

    async def test_what_was_not_committed_is_never_seen(self, world: KafkaWorld) -> None:
        producer, totals = await self._producer(world), world.totals()
        await self._write(world, producer, ("a", "1"))
        await totals.open(0)
        assert await self._read(totals, 1) == [(b"a", b"1")]
        await producer.close()
        successor = await self._producer(world)
        await self._write(world, successor, ("b", "1"))
        assert await self._read(totals, 1) == [(b"b", b"1")]
        await totals.close()
        await successor.close()

    async def test_a_topic_that_does_not_exist_is_said(self, world: KafkaWorld) -> None:
        with pytest.raises(MissingTopic):
            await world.missing_totals().open(0)

    async def test_it_can_be_opened_again_after_it_was_closed(self, world: KafkaWorld) -> None:
        producer, totals = await self._producer(world), world.totals()
        await self._write(world, producer, ("a", "1"))
        for _ in range(2):
            await totals.open(0)
            assert await self._read(totals, 1) == [(b"a", b"1")]
            await totals.close()
        await totals.close()
        await producer.close()
