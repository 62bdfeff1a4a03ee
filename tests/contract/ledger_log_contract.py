"""What every reader of the ledger must do: run on the double in memory and on a real Kafka."""

import asyncio

import pytest

from headrace.broker.errors import PositionGone
from headrace.broker.ports import LedgerLog, LedgerRow, LedgerStart, TransactionLog
from tests.contract.kafka_world import KafkaWorld, outgoing, read


class LedgerLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def _written(self, world: KafkaWorld, *lines: str) -> TransactionLog:
        producer = world.producer()
        await producer.open()
        for line in lines:
            await producer.transact(outgoing(world.ledger_topic, line), {})
        return producer

    async def _open(self, world: KafkaWorld, from_wall_ms: int = 0) -> LedgerLog:
        ledger = world.ledger()
        await ledger.open(from_wall_ms)
        return ledger

    async def _nothing(self, ledger: LedgerLog) -> None:
        async with asyncio.timeout(20):
            while True:
                assert await ledger.read(200) == []

    async def test_an_empty_ledger_is_at_its_end(self, world: KafkaWorld) -> None:
        ledger = await self._open(world)
        assert await ledger.at_end()
        assert await ledger.read(50) == []
        await ledger.close()

    async def test_lines_come_in_order_and_the_end_is_known(self, world: KafkaWorld) -> None:
        producer = await self._written(world, "one", "two", "three")
        ledger = await self._open(world)
        assert await read(ledger, 3) == [b"one", b"two", b"three"]
        assert await ledger.at_end(), "the marker behind the last line is no line to wait for"
        await producer.transact(outgoing(world.ledger_topic, "four"), {})
        async with asyncio.timeout(10):
            while await ledger.at_end():  # noqa: ASYNC110 -- the server has no event for us
                await asyncio.sleep(0.01)
        assert await read(ledger, 1) == [b"four"]
        await ledger.close()
        await producer.close()

    async def test_a_read_ends_when_a_line_comes(self, world: KafkaWorld) -> None:
        producer = await self._written(world)
        ledger = await self._open(world)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        reading = asyncio.create_task(ledger.read(20_000))
        await asyncio.sleep(0.05)
        await producer.transact(outgoing(world.ledger_topic, "now"), {})
        assert [row.value for row in await reading] == [b"now"]
        assert loop.time() - begun_s < 10
        await ledger.close()
        await producer.close()

    async def test_a_line_knows_when_it_was_appended(self, world: KafkaWorld) -> None:
        producer = await self._written(world, "old", "young")
        ledger = await self._open(world)
        rows: list[LedgerRow] = []
        while len(rows) < 2:
            rows.extend(await ledger.read(200))
        assert 0 < rows[0].at_ms <= rows[1].at_ms
        await ledger.close()
        await producer.close()

    async def test_reading_begins_at_an_instant_and_behind_the_last_line_there_is_nothing(
        self, world: KafkaWorld
    ) -> None:
        producer = await self._written(world, "old")
        await asyncio.sleep(0.05)
        await producer.transact(outgoing(world.ledger_topic, "young"), {})
        ledger = await self._open(world)
        rows: list[LedgerRow] = []
        while len(rows) < 2:
            rows.extend(await ledger.read(200))
        await ledger.close()
        ledger = await self._open(world, rows[1].at_ms)
        assert await read(ledger, 1) == [b"young"]
        await ledger.close()
        ledger = await self._open(world, rows[1].at_ms + 60_000)
        assert await read(ledger, 0) == []
        await ledger.close()
        await producer.close()

    async def test_reading_begins_before_the_last_line_however_long_ago_that_is(self, world: KafkaWorld) -> None:
        producer = await self._written(world, "old")
        await asyncio.sleep(0.05)
        await producer.transact(outgoing(world.ledger_topic, "young"), {})
        later_ms = await self._last_ms(world) + 3_600_000
        for before_last_ms, lines in ((0, [b"young"]), (20, [b"young"]), (60_000, [b"old", b"young"])):
            ledger = world.ledger()
            start = await ledger.open(later_ms, before_last_ms=before_last_ms)
            assert start == LedgerStart(later_ms - 3_600_000 - before_last_ms, len(lines) == 2, removed=False, end=4)
            assert await read(ledger, len(lines)) == lines
            await ledger.close()
        ledger = world.ledger()
        assert (await ledger.open(0, before_last_ms=0)).from_ms == 0, "an earlier instant is not made later"
        await ledger.close()
        await producer.close()

    async def test_where_there_is_no_last_line_reading_begins_at_the_instant_given(self, world: KafkaWorld) -> None:
        ledger = world.ledger()
        assert await ledger.open(5_000, before_last_ms=1_000) == LedgerStart(5_000, is_first=True, removed=False, end=0)
        await ledger.close()
        producer = await self._written(world, *map(str, range(100)))
        await world.trim_ledger(151)
        start = await ledger.open(0, before_last_ms=1_000)
        assert (start.is_first, start.removed) == (True, True), "a marker stands at its beginning"
        assert await read(ledger, 24) == [str(number).encode() for number in range(76, 100)]
        await ledger.close()
        await world.trim_ledger(200)
        assert await ledger.open(5_000, before_last_ms=1_000) == LedgerStart(
            5_000, is_first=True, removed=True, end=200
        )
        assert await ledger.at_end()
        await ledger.close()
        await producer.close()

    async def _last_ms(self, world: KafkaWorld) -> int:
        ledger = await self._open(world)
        rows: list[LedgerRow] = []
        while not await ledger.at_end():
            rows.extend(await ledger.read(200))
        await ledger.close()
        return rows[-1].at_ms

    async def test_a_line_knows_its_offset_and_reading_goes_on_from_any(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        written = [(await producer.transact(outgoing(world.ledger_topic, line), {}))[0] for line in ("a", "b", "c")]
        ledger = await self._open(world)
        rows: list[LedgerRow] = []
        while len(rows) < 3:
            rows.extend(await ledger.read(200))
        assert [row.offset for row in rows] == written
        ledger.seek(written[0] + 1)  # a marker stands there
        assert await read(ledger, 2) == [b"b", b"c"]
        ledger.seek(written[2] + 1)
        assert await read(ledger, 0) == []
        assert await ledger.at_end(), "behind the last line stands its marker alone"
        await ledger.close()
        await producer.close()

    @pytest.mark.parametrize("position", [0, 10_000])
    async def test_a_position_that_the_log_does_not_hold_is_said_and_opening_anew_mends_it(
        self, world: KafkaWorld, position: int
    ) -> None:
        """Retention has passed it, or the log was cut off before it."""
        producer = await self._written(world, "one", "two", "three")
        ledger = await self._open(world)
        assert await read(ledger, 3) == [b"one", b"two", b"three"]
        await world.trim_ledger(4)
        ledger.seek(position)
        with pytest.raises(PositionGone):
            await self._nothing(ledger)
        await ledger.close()
        await ledger.open(0)
        assert await read(ledger, 1) == [b"three"]
        await ledger.close()
        await producer.close()

    async def test_what_is_next_can_be_removed_under_an_open_reader(self, world: KafkaWorld) -> None:
        producer = await self._written(world, "one")
        ledger = await self._open(world)
        assert await read(ledger, 1) == [b"one"]
        assert await ledger.at_end()
        for line in ("two", "three"):
            await producer.transact(outgoing(world.ledger_topic, line), {})
        await world.trim_ledger(4)
        ledger.seek(2)
        with pytest.raises(PositionGone):
            await self._nothing(ledger)
        await ledger.close()
        await producer.close()

    async def test_it_can_be_opened_again_after_it_was_closed(self, world: KafkaWorld) -> None:
        producer = await self._written(world, "line")
        ledger = await self._open(world)
        assert await read(ledger, 1) == [b"line"]
        await ledger.close()
        await ledger.close()
        await ledger.open(0)
        assert await read(ledger, 1) == [b"line"]
        await ledger.close()
        await producer.close()
