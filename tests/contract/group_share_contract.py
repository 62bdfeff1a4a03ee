"""What every share of a group's partitions must do: run on the double in memory and on a real Kafka."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from headrace.broker.batch_ports import GroupShare
from headrace.broker.errors import MissingTopic

PARTITIONS = 4


class ShareWorld(Protocol):
    """A topic of `PARTITIONS` partitions, and a group of its own."""

    def member(self) -> GroupShare:
        """One more member."""

    def of_missing_topic(self) -> GroupShare: ...


async def shared(*members: GroupShare) -> Sequence[frozenset[int]]:
    """The shares, once they are all of the topic and as equal as can be."""
    async with asyncio.timeout(40):
        while True:
            shares = [member.assigned for member in members]
            everything = sorted(number for share in shares for number in share)
            sizes = sorted(map(len, shares))
            if everything == list(range(PARTITIONS)) and sizes[-1] - sizes[0] <= 1:
                return shares
            await asyncio.sleep(0.05)


class GroupShareContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> ShareWorld:
        raise NotImplementedError  # a subclass brings it

    async def test_members_share_all_partitions_and_what_one_leaves_the_others_take(self, world: ShareWorld) -> None:
        one, two = world.member(), world.member()
        assert one.assigned == frozenset()
        await one.open()
        await shared(one)
        await two.open()
        await shared(one, two)
        await one.close()
        assert one.assigned == frozenset()
        await shared(two)
        await two.close()
        await two.close()

    async def test_a_missing_topic_is_said(self, world: ShareWorld) -> None:
        member = world.of_missing_topic()
        with pytest.raises(MissingTopic):
            await member.open()
        await member.close()
