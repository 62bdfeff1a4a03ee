"""What every way to the chunks topic must do: run on the double in memory, and on the door to a real Kafka."""

from typing import Protocol

import pytest

from headrace.broker.ports import ChunkLog
from headrace.schemas.record import Record

LARGE_BYTES = 2 * 1024 * 1024
"""More than the topic takes in one record."""


class ChunkWorld(Protocol):
    """A topic, empty at first."""

    def chunks(self) -> ChunkLog:
        """A fresh way to it."""

    def away(self) -> ChunkLog:
        """A way to it that leads nowhere."""

    async def values(self, count: int) -> dict[bytes | None, list[bytes | None]]:
        """What stands there by key, in order, once so many have come."""


class ChunkLogContract:
    """Subclasses bring the fixture `chunk_world`."""

    @pytest.fixture
    async def chunk_world(self) -> ChunkWorld:
        raise NotImplementedError

    async def test_what_is_handed_over_comes_in_order_for_each_key(self, chunk_world: ChunkWorld) -> None:
        chunks = chunk_world.chunks()
        for number in range(50):
            for key in (b"lead-1", b"lead-2", b"lead-3"):
                chunks.send(Record(key, str(number).encode(), (("h", b"v"),)))
        found = await chunk_world.values(150)
        assert found == {key: [str(n).encode() for n in range(50)] for key in (b"lead-1", b"lead-2", b"lead-3")}
        assert chunks.dropped == 0
        await chunks.close()

    async def test_closing_delivers_what_is_on_its_way_and_what_comes_later_is_dropped(
        self, chunk_world: ChunkWorld
    ) -> None:
        chunks = chunk_world.chunks()
        chunks.send(Record(b"lead-1", b"first"))
        await chunk_world.values(1)
        chunks.send(Record(b"lead-1", b"last"))
        await chunks.close()
        assert await chunk_world.values(2) == {b"lead-1": [b"first", b"last"]}
        chunks.send(Record(b"lead-1", b"late"))
        assert chunks.dropped == 1
        await chunks.close()

    async def test_one_that_is_too_large_is_dropped_and_the_others_go_on(self, chunk_world: ChunkWorld) -> None:
        chunks = chunk_world.chunks()
        chunks.send(Record(b"lead-1", b"x" * LARGE_BYTES))
        chunks.send(Record(b"lead-1", b"next"))
        assert await chunk_world.values(1) == {b"lead-1": [b"next"]}
        assert chunks.dropped == 1
        await chunks.close()

    async def test_a_kafka_that_is_away_costs_chunks_and_nothing_else(self, chunk_world: ChunkWorld) -> None:
        chunks = chunk_world.away()
        for number in range(10):
            chunks.send(Record(b"lead-1", str(number).encode()))
        await chunks.close()
        assert chunks.dropped == 10

    async def test_closing_one_that_never_sent_is_nothing(self, chunk_world: ChunkWorld) -> None:
        await chunk_world.chunks().close()
