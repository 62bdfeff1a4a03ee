"""Reply topics looked at before and during a transaction, and which of them a failed one is held against."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.ports import ReplyTopic
from headrace.broker.service.publishing.reply_topics import BARRED_FIRST_MS, FAILURES_MAX, Replies
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

REPLY = "acme.answers"
OTHER = "acme.others"


class Door:
    """Topics that are as a test says, at the instant of each look."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self.looks = 0
        self.is_away = False

    async def look(self, topics: Sequence[str]) -> Mapping[str, ReplyTopic]:
        self.looks += 1
        if self.is_away:
            raise LogUnavailable("Kafka is away.")
        return {topic: ReplyTopic(1_000, self.troubles.get(topic, "")) for topic in topics}

    async def close(self) -> None:
        """Nothing is open."""


class Rig:
    def __init__(self) -> None:
        self.door, self.clock = Door(), WallClock(asyncio.get_running_loop().time)
        self.replies = Replies(self.door, (REPLY, OTHER), meter=Meter(), clock=self.clock)
        self.hindrances: Counter[str] = Counter()
        self.tries = 0

    def transaction(self, *topics: str, then: Callable[[], Awaitable[None]] | None = None) -> Awaitable[None]:
        async def transact() -> None:
            self.tries += 1
            for topic in topics:
                self.hindrances[self.replies.hindrance(topic, Record(b"x", b"y"))] += 1
            if then is not None:
                await then()

        return self.replies.during(topics, transact)

    def shown(self, topic: str = REPLY) -> dict[str, Any]:
        shown: dict[str, Any] = self.replies.shown()[topic]
        return shown


async def dies() -> None:
    raise ProducerDead("A transaction's outcome is unknown.")


async def hangs() -> None:
    await asyncio.sleep(3_600)


async def test_a_transaction_without_copies_looks_at_nothing() -> None:
    rig = Rig()
    await rig.transaction()
    assert (rig.tries, rig.door.looks) == (1, 0)


async def test_a_topic_that_was_looked_at_just_now_is_not_looked_at_again() -> None:
    rig = Rig()
    for _ in range(3):
        await rig.transaction(REPLY)
    assert rig.door.looks == 1
    await asyncio.sleep(0.1)
    await rig.transaction(REPLY)
    assert rig.door.looks == 2


async def test_a_topic_that_goes_in_the_middle_of_a_transaction_holds_it_up_for_a_second_at_most() -> None:
    rig = Rig()

    async def goes() -> None:
        rig.door.troubles[REPLY] = "does not exist"
        await hangs()

    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    with pytest.raises(ProducerDead, match=r"the reply topic acme\.answers does not exist"):
        await rig.transaction(REPLY, OTHER, then=goes)
    assert loop.time() - begun_s < 1
    await rig.transaction(REPLY, OTHER)
    assert rig.hindrances["does not exist"] == 1
    assert (rig.shown()["dropped"], rig.shown(OTHER)["sent"]) == (1, 1)


async def test_a_slow_transaction_is_waited_for_while_nothing_is_wrong_with_the_topic() -> None:
    rig = Rig()

    async def slow() -> None:
        rig.door.is_away = True
        await asyncio.sleep(5)

    await rig.transaction(REPLY, then=slow)
    assert rig.shown() == {"trouble": None, "sent": 1, "dropped": 0}
    assert rig.door.looks > 5


async def test_a_topic_that_fails_transactions_for_no_reason_to_be_seen_is_left_alone_for_longer_and_longer() -> None:
    rig = Rig()
    for failures, barred_ms in ((FAILURES_MAX, BARRED_FIRST_MS), (1, 2 * BARRED_FIRST_MS)):
        for _ in range(failures):
            assert rig.shown()["trouble"] is None
            with pytest.raises(ProducerDead):
                await rig.transaction(REPLY, then=dies)
        await rig.transaction(REPLY)
        assert rig.shown()["trouble"] == "failed the transactions that wrote to it"
        await asyncio.sleep(barred_ms / 1_000 - 1)
        assert rig.shown()["trouble"] is not None
        await asyncio.sleep(1)
    await rig.transaction(REPLY)
    assert rig.shown() == {"trouble": None, "sent": 1, "dropped": 2}
    with pytest.raises(ProducerDead):
        await rig.transaction(REPLY, then=dies)
    assert rig.shown()["trouble"] is None


async def test_a_topic_that_is_seen_to_be_gone_takes_the_blame_for_the_others() -> None:
    rig = Rig()

    async def goes() -> None:
        rig.door.troubles[REPLY] = "does not exist"
        await dies()

    for _ in range(FAILURES_MAX):
        rig.door.troubles.clear()
        await asyncio.sleep(0.1)
        with pytest.raises(ProducerDead):
            await rig.transaction(REPLY, OTHER, then=goes)
    assert rig.shown(OTHER)["trouble"] is None
    await rig.transaction(OTHER)
    assert rig.shown(OTHER)["sent"] == 1


async def test_a_kafka_that_is_away_is_no_fault_of_a_topic() -> None:
    rig = Rig()
    await rig.transaction(REPLY)
    rig.door.is_away = True
    for _ in range(5):
        await asyncio.sleep(0.1)
        with pytest.raises(ProducerDead):
            await rig.transaction(REPLY, then=dies)
    rig.door.is_away = False
    await rig.transaction(REPLY)
    assert rig.shown() == {"trouble": None, "sent": 2, "dropped": 0}


async def test_a_topic_nothing_is_known_of_is_looked_at_three_times_and_then_done_without() -> None:
    rig = Rig()
    rig.door.is_away = True
    await rig.transaction(REPLY)
    assert rig.door.looks == 3
    assert rig.hindrances == {"could not be looked at": 1}


async def test_all_topics_are_glanced_at_now_and_then() -> None:
    rig = Rig()
    rig.door.troubles[OTHER] = "does not exist"
    await rig.replies.check_all()
    await rig.replies.check_all()
    assert rig.door.looks == 1
    assert rig.shown(OTHER)["trouble"] == "does not exist"
    await asyncio.sleep(11)
    await rig.replies.check_all()
    assert rig.door.looks == 2
    nobody = Replies(rig.door, (), meter=Meter(), clock=rig.clock)
    await nobody.check_all()
    assert rig.door.looks == 2
    await rig.replies.close()
