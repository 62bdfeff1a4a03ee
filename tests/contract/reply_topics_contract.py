"""What every look at reply topics must tell: run on the double in memory, and on the door to a real Kafka."""

from typing import Protocol

import pytest

from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import ReplyTopics


class ReplyTopicsWorld(Protocol):
    """A Kafka without reply topics at first."""

    prefix: str

    def door(self) -> ReplyTopics:
        """A way to look."""

    def away(self) -> ReplyTopics:
        """A way to look that leads nowhere."""

    async def create(self, topic: str, bytes_max: int) -> None: ...

    async def delete(self, topic: str) -> None: ...


class ReplyTopicsContract:
    """Subclasses bring the fixture `reply_world`."""

    @pytest.fixture
    async def reply_world(self) -> ReplyTopicsWorld:
        raise NotImplementedError

    async def test_each_topic_is_told_as_it_is_now_and_none_is_created(self, reply_world: ReplyTopicsWorld) -> None:
        there, gone = f"{reply_world.prefix}-there", f"{reply_world.prefix}-gone"
        await reply_world.create(there, 100_000)
        door = reply_world.door()
        for _ in range(2):
            found = await door.look([there, gone])
            assert found.keys() == {there, gone}
            assert found[there].trouble == ""
            assert 90_000 < found[there].bytes_max <= 100_000
            assert found[gone].trouble == "does not exist"
        await reply_world.delete(there)
        assert (await door.look([there]))[there].trouble == "does not exist"
        await reply_world.create(there, 100_000)
        assert (await door.look([there]))[there].trouble == ""
        await door.close()

    async def test_a_kafka_that_is_away_is_an_error_within_bounds(self, reply_world: ReplyTopicsWorld) -> None:
        door = reply_world.away()
        with pytest.raises(LogUnavailable, match="reply topics"):
            await door.look(["anything"])
        await door.close()

    async def test_closing_one_that_never_looked_is_nothing(self, reply_world: ReplyTopicsWorld) -> None:
        await reply_world.door().close()
