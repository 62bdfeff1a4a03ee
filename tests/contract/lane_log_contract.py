"""What every reader of a lane must do: run on the double in memory and on a real Kafka."""

import asyncio
from typing import Any

import pytest

from headrace.broker.errors import MissingTopic
from headrace.broker.on_demand_ports import OnDemandLog
from headrace.broker.ports import LaneLog, UnreadableRange
from headrace.schemas.record import Record
from tests.contract.kafka_world import PARTITIONS, KafkaWorld, bare, taken, texts, values


async def _nothing(lane: LaneLog, partition: int) -> bool:
    """Whether nothing comes of a partition within a moment."""
    for _ in range(3):
        await lane.wait([partition], 100)
        if await lane.take(partition, 10):
            return False
    return True


async def upcoming(lane: OnDemandLog, partition: int, records_max: int) -> list[int]:
    """The offsets of the next records, asked for until they are known; the batch of the first ends behind it."""
    async with asyncio.timeout(20):
        while (found := await lane.upcoming(partition, records_max)) is None:
            pass
    assert not isinstance(found, UnreadableRange)
    assert found.batch_end > found.offsets[0] if found.offsets else found.batch_end == lane.position(partition)
    return list(found.offsets)


class LaneLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def test_partitions_and_bounds_of_an_empty_lane(self, world: KafkaWorld) -> None:
        lane = world.lane()
        assert await lane.partitions() == list(range(PARTITIONS))
        assert await lane.bounds([0, 1]) == {0: (0, 0), 1: (0, 0)}
        assert await lane.first_timestamp_ms(0) is None
        await lane.close()

    async def test_a_lane_without_topic_is_missing(self, world: KafkaWorld) -> None:
        lane = world.missing_lane()
        with pytest.raises(MissingTopic):
            await lane.partitions()
        await lane.close()

    async def test_records_come_whole_and_in_order(self, world: KafkaWorld) -> None:
        first = Record(b"\xff", b"1", (("a", b"\x00"), ("a", b"2")))
        await world.append(1, first, Record(None, None), Record(None, b""))
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        got = await taken(lane, 1, 3)
        assert [fetched.offset for fetched in got] == [0, 1, 2]
        assert [bare(fetched.record) for fetched in got] == [first, Record(None, None), Record(None, b"")]
        assert await lane.first_timestamp_ms(1) == got[0].timestamp_ms
        assert await lane.bounds([1]) == {1: (0, 3)}
        await lane.close()

    async def test_a_take_that_finds_only_markers_and_aborted_records_moves_behind_them(
        self, world: KafkaWorld
    ) -> None:
        await world.append(0, *values("first"))
        for number in range(3):
            stranger = world.stranger()
            await stranger.write(0, b"undone %d" % number)
            await stranger.abort()
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        assert texts(await taken(lane, 0, 1)) == ["first"]
        async with asyncio.timeout(10):
            while lane.position(0) < 7:
                assert await lane.take(0, 10) == []
                await lane.wait([0], 10)
        assert (lane.position(0), lane.position(1), await lane.bounds([0])) == (7, 0, {0: (0, 7)})
        await world.append(0, *values("last"))
        assert texts(await taken(lane, 0, 1)) == ["last"]
        await lane.close()

    async def test_a_header_without_a_value_is_an_empty_one(self, world: KafkaWorld) -> None:
        odd: Any = (("x", None), ("", None), ("", b""), ("x", b"1"))
        await world.append(0, Record(None, b"1", odd), Record(None, b"2"))
        lane = world.lane()
        await lane.start({0: 0})
        first, second = await taken(lane, 0, 2)
        assert bare(first.record) == Record(None, b"1", (("x", b""), ("", b""), ("", b""), ("x", b"1")))
        assert bare(second.record) == Record(None, b"2")
        await lane.close()

    async def test_the_record_at_an_offset_is_known_by_its_timestamp_and_reading_begins_anew(
        self, world: KafkaWorld
    ) -> None:
        await world.append(0, *values("a", "b", "c"))
        await world.append(1, *values("d"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        first = await taken(lane, 0, 3)
        second = await taken(lane, 1, 1)
        asked = {0: 1, 1: 0}
        assert await lane.timestamps_ms(asked) == {0: first[1].timestamp_ms, 1: second[0].timestamp_ms}
        assert await lane.timestamps_ms({0: 2, 1: 1}) == {0: first[2].timestamp_ms}
        await lane.start({0: 1, 1: 0})
        assert texts(await taken(lane, 0, 2)) == ["b", "c"]
        assert texts(await taken(lane, 1, 1)) == ["d"]
        await lane.close()

    async def test_never_more_records_than_asked_for_and_none_left_out(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abcdefg"))
        lane = world.lane()
        await lane.start({0: 0})
        got: list[str] = []
        async with asyncio.timeout(30):
            while len(got) < 7:
                some = await lane.take(0, 2)
                assert not isinstance(some, UnreadableRange)
                assert len(some) <= 2
                got += texts(some)
                assert lane.position(0) == len(got)
                await lane.wait([0], 50)
        assert got == list("abcdefg")
        assert await lane.take(0, 2) == []
        await lane.close()

    async def test_reading_begins_where_it_is_told_and_goes_back_when_told(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abcd"))
        lane = world.lane()
        await lane.start({0: 2})
        assert texts(await taken(lane, 0, 2)) == ["c", "d"]
        lane.rewind(0, 1)
        assert lane.position(0) == 1
        assert texts(await taken(lane, 0, 3)) == ["b", "c", "d"]
        await lane.close()

    async def test_a_wait_takes_nothing_away(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"ab"))
        await world.append(1, *values(*"xy"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        for _ in range(3):
            await lane.wait([0, 1], 100)
        assert (lane.position(0), lane.position(1)) == (0, 0)
        assert texts(await taken(lane, 0, 2)) == ["a", "b"]
        assert texts(await taken(lane, 1, 2)) == ["x", "y"]
        await lane.close()

    async def test_what_a_wait_saw_is_forgotten_by_a_rewind(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abc"))
        lane = world.lane()
        await lane.start({0: 1})
        await lane.wait([0], 2_000)
        lane.rewind(0, 0)
        assert texts(await taken(lane, 0, 3)) == ["a", "b", "c"]
        await lane.close()

    async def test_a_wait_ends_when_a_record_comes(self, world: KafkaWorld) -> None:
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        waiting = asyncio.create_task(lane.wait([0, 1], 20_000))
        await asyncio.sleep(0.05)
        await world.append(1, *values("late"))
        await waiting
        assert loop.time() - begun_s < 10
        assert texts(await taken(lane, 1, 1)) == ["late"]
        await lane.close()

    async def test_a_cancelled_take_loses_nothing(self, world: KafkaWorld) -> None:
        lane = world.lane()
        await lane.start({0: 0})
        await world.append(0, *values(*"abc"))
        for _ in range(5):
            taking = asyncio.create_task(lane.take(0, 1))
            await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait({taking})
            if not taking.cancelled():
                lane.rewind(0, 0)
        assert texts(await taken(lane, 0, 3)) == ["a", "b", "c"]
        await lane.close()

    async def test_starting_anew_forgets_all_positions(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"ab"))
        await world.append(1, *values(*"xy"))
        lane = world.lane()
        await lane.start({0: 0})
        await taken(lane, 0, 2)
        await lane.start({0: 1, 1: 1})
        assert texts(await taken(lane, 0, 1)) == ["b"]
        assert texts(await taken(lane, 1, 1)) == ["y"]
        await lane.close()

    async def test_a_new_partition_is_seen_and_read(self, world: KafkaWorld) -> None:
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        await world.append(0, *values("old"))
        assert texts(await taken(lane, 0, 1)) == ["old"]
        await world.add_partition()
        async with asyncio.timeout(30):
            while await lane.partitions() != [0, 1, 2]:  # noqa: ASYNC110 -- the server has no event for us
                await asyncio.sleep(0.05)
        await lane.start({0: lane.position(0), 1: 0, 2: 0})
        await world.append(2, *values("new"))
        assert texts(await taken(lane, 2, 1)) == ["new"]
        assert await _nothing(lane, 0)
        await lane.close()

    async def test_an_aborted_transaction_is_not_seen_and_its_offsets_are_jumped_over(self, world: KafkaWorld) -> None:
        await world.append(0, *values("a"))
        stranger = world.stranger()
        await stranger.write(0, b"never", b"never")
        await stranger.abort()
        await world.append(0, *values("b"))
        lane = world.lane()
        await lane.start({0: 0})
        got = await taken(lane, 0, 2)
        assert [(fetched.offset, text) for fetched, text in zip(got, texts(got), strict=True)] == [(0, "a"), (4, "b")]
        assert lane.position(0) == 5
        await lane.close()

    async def test_an_open_transaction_is_waited_for(self, world: KafkaWorld) -> None:
        stranger = world.stranger()
        await stranger.write(0, b"held")
        await world.append(0, *values("behind"))
        await world.append(1, *values("elsewhere"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        assert texts(await taken(lane, 1, 1)) == ["elsewhere"]
        assert await _nothing(lane, 0)
        assert (await lane.bounds([0]))[0] == (0, 0), "what is not committed is not there yet"
        await stranger.commit()
        assert texts(await taken(lane, 0, 2)) == ["held", "behind"]
        await lane.close()

    async def test_it_tells_where_nothing_is_left_to_take(self, world: KafkaWorld) -> None:
        await world.append(0, *values("a", "b"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        await lane.wait([0], 10_000)
        assert not lane.is_at_end(0), "what a wait saw is still to be taken"
        assert texts(await taken(lane, 0, 2)) == ["a", "b"]
        assert lane.is_at_end(0)
        stranger = world.stranger()
        await stranger.write(0, b"held")
        assert await _nothing(lane, 0)
        assert (lane.is_at_end(0), lane.is_at_end(1)) == (True, True), "what is not committed is not there yet"
        await stranger.commit()
        await lane.wait([0], 10_000)
        assert not lane.is_at_end(0)
        assert texts(await taken(lane, 0, 1)) == ["held"]
        lane.rewind(0, 2)
        assert not lane.is_at_end(0)
        await lane.close()

    async def test_what_retention_removed_is_one_unreadable_range(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abcde"))
        await world.append(1, *values("x"))
        await world.trim(0, 3)
        lane = world.lane()
        assert await lane.bounds([0]) == {0: (3, 5)}
        await lane.start({0: 1, 1: 0})
        lost: UnreadableRange | None = None
        async with asyncio.timeout(30):
            while lost is None:
                some = await lane.take(0, 10)
                lost = some if isinstance(some, UnreadableRange) else None
                if lost is None:
                    await lane.wait([0, 1], 100)
        assert lost == UnreadableRange(1, 2, removed=True)
        assert lane.position(0) == 3
        assert texts(await taken(lane, 0, 2)) == ["d", "e"]
        assert texts(await taken(lane, 1, 1)) == ["x"]
        await lane.close()

    async def test_on_demand_the_next_offsets_are_told_before_they_are_taken(self, world: KafkaWorld) -> None:
        await world.append(0, *values("a", "b"))
        for fate in ("abort", "commit", "abort"):
            stranger = world.stranger()
            await stranger.write(0, fate.encode(), b"two")
            await (stranger.commit() if fate == "commit" else stranger.abort())
        await world.append(0, *values("c"))
        await world.append(1, *values("ahead"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0}, on_demand={0})
        got: list[tuple[int, str]] = []
        async with asyncio.timeout(30):
            while offsets := await upcoming(lane, 0, 4):
                assert await upcoming(lane, 0, 4) == offsets, "it takes nothing away"
                assert lane.position(0) == offsets[0]
                some = await lane.take(0, len(offsets))
                assert not isinstance(some, UnreadableRange)
                assert [fetched.offset for fetched in some] == offsets
                assert lane.position(0) == offsets[-1] + 1
                got += zip(offsets, texts(some), strict=True)
        assert got == [(0, "a"), (1, "b"), (5, "commit"), (6, "two"), (11, "c")]
        assert (await upcoming(lane, 0, 1), lane.position(0)) == ([], 12)
        assert await lane.take(0, 1) == []
        assert texts(await taken(lane, 1, 1)) == ["ahead"]
        await lane.close()

    async def test_on_demand_reading_goes_back_and_on_when_told(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abcdef"))
        lane = world.lane()
        await lane.start({0: 2}, on_demand={0})
        assert await lane.take(0, 1) == [], "it was not asked for"
        assert await upcoming(lane, 0, 2) == [2, 3]
        for offset in (4, 2, 0, 3):
            lane.rewind(0, offset)
            assert lane.position(0) == offset
            assert await upcoming(lane, 0, 1) == [offset]
            some = await lane.take(0, 1)
            assert not isinstance(some, UnreadableRange)
            assert texts(some) == ["abcdef"[offset]]
        await lane.close()

    async def test_a_partition_read_on_demand_is_read_ahead_from_its_position_once_told(
        self, world: KafkaWorld
    ) -> None:
        await world.append(0, *values(*"abc"))
        lane = world.lane()
        await lane.start({0: 0}, on_demand={0})
        assert await upcoming(lane, 0, 1) == [0]
        assert len(await lane.take(0, 1)) == 1  # type: ignore[arg-type]
        assert await upcoming(lane, 0, 5) == [1, 2]
        lane.read_ahead(0)
        assert texts(await taken(lane, 0, 2)) == ["b", "c"]
        await world.append(0, *values("d"))
        assert texts(await taken(lane, 0, 1)) == ["d"]
        await lane.close()

    async def test_on_demand_an_open_transaction_is_the_end(self, world: KafkaWorld) -> None:
        stranger = world.stranger()
        await stranger.write(0, b"held")
        await world.append(0, *values("behind"))
        lane = world.lane()
        await lane.start({0: 0}, on_demand={0})
        assert await upcoming(lane, 0, 9) == []
        await stranger.commit()
        async with asyncio.timeout(10):
            while not await upcoming(lane, 0, 9):  # noqa: ASYNC110 -- a commit is readable a moment later
                await asyncio.sleep(0.02)
        some = await lane.take(0, 9)
        assert not isinstance(some, UnreadableRange)
        assert texts(some) == ["held", "behind"]
        await lane.close()

    async def test_on_demand_what_retention_removed_is_one_unreadable_range(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"abcde"))
        await world.trim(0, 3)
        lane = world.lane()
        await lane.start({0: 1}, on_demand={0})
        async with asyncio.timeout(20):
            while (lost := await lane.upcoming(0, 9)) is None:
                pass
        assert lost == UnreadableRange(1, 2, removed=True)
        assert lane.position(0) == 3
        assert await upcoming(lane, 0, 9) == [3, 4]
        await lane.close()

    async def test_starting_anew_a_partition_is_read_ahead_unless_told_otherwise(self, world: KafkaWorld) -> None:
        await world.append(0, *values(*"ab"))
        await world.append(1, *values(*"xy"))
        lane = world.lane()
        await lane.start({0: 0, 1: 0}, on_demand={0})
        assert await upcoming(lane, 0, 9) == [0, 1]
        await lane.start({0: 1, 1: 0}, on_demand={1})
        assert texts(await taken(lane, 0, 1)) == ["b"]
        assert await upcoming(lane, 1, 9) == [0, 1]
        await lane.close()
