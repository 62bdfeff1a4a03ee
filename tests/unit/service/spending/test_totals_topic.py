"""When a transaction may write sums: what is known of the topic, and what its failures say of it."""

import asyncio

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.service.containment import said
from headrace.broker.service.spending.totals_topic import (
    FAILURES_MAX,
    LOOK_EVERY_MS,
    MISSING,
    NOT_LOOKED_AT,
    REST_FIRST_MS,
    REST_MAX_MS,
    TotalsTopic,
)
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryReplyTopics
from tests.unit.service.rig import World, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

NAME = "t.totals"
REFUSED = ProducerDead("no", setback=Setback.REFUSED, topic=NAME)
UNKNOWN = ProducerDead("lost")


class Rig:
    def __init__(self, *, exists: bool = True) -> None:
        self.world = World()
        if exists:
            self.world.kafka.create(NAME)
        self.topic = TotalsTopic(MemoryReplyTopics(KafkaLink(self.world.kafka)), NAME, self.world.clock, said)

    async def ready(self) -> "Rig":
        await self.topic.check()
        assert self.topic.is_writable
        return self

    def state(self) -> tuple[bool, str | None]:
        return self.topic.is_writable, self.topic.hindrance

    def commit(self) -> bool:
        """One transaction that is committed; whether it wrote sums."""
        written = self.topic.is_writable
        self.topic.begin(written=written)
        self.topic.committed()
        return written

    def fail(self, error: ProducerDead) -> bool:
        self.topic.begin(written=self.topic.is_writable)
        return self.topic.failed(error)


async def rested(rig: Rig) -> float:
    """How many seconds it rests, to half a per cent."""
    return await until(lambda: rig.topic.is_writable, 2 * REST_MAX_MS / 1_000)


async def test_nothing_is_written_before_the_topic_was_seen_and_it_is_looked_at_in_intervals() -> None:
    rig = Rig(exists=False)
    assert rig.state() == (False, NOT_LOOKED_AT)
    await rig.topic.check()
    assert rig.state() == (False, MISSING)
    rig.world.kafka.create(NAME)
    await rig.topic.check()
    assert rig.state() == (False, MISSING)
    await asyncio.sleep(LOOK_EVERY_MS / 1_000)
    await rig.topic.check()
    assert rig.state() == (True, None)


async def test_what_was_known_stands_while_kafka_is_away() -> None:
    rig = await Rig().ready()
    rig.world.kafka.stop()
    await asyncio.sleep(LOOK_EVERY_MS / 1_000)
    await rig.topic.check()
    assert rig.topic.is_writable


async def test_after_each_refusal_it_rests_twice_as_long_up_to_an_hour_and_a_success_forgets_that() -> None:
    rig = await Rig().ready()
    rests = []
    for _ in range(8):
        assert rig.fail(REFUSED)
        assert not rig.commit(), "the next transaction has no sums, and goes through"
        rests.append(await rested(rig))
    assert rests[:3] == pytest.approx([REST_FIRST_MS / 1_000 * times for times in (1, 2, 4)], rel=0.01)
    assert rests[-2:] == pytest.approx([REST_MAX_MS / 1_000] * 2, rel=0.01)
    assert rig.commit()
    rig.fail(REFUSED)
    rig.commit()
    assert await rested(rig) == pytest.approx(REST_FIRST_MS / 1_000, rel=0.01)


async def test_a_failure_without_a_cause_rests_it_if_the_next_goes_through_without_sums_twice_in_a_row() -> None:
    rig = await Rig().ready()
    for attempt in range(FAILURES_MAX):
        assert not rig.fail(UNKNOWN)
        assert not rig.commit()
        assert rig.topic.is_writable is (attempt < FAILURES_MAX - 1)
    assert rig.topic.hindrance == "made transactions fail that wrote to it"


async def test_failures_with_a_success_between_them_are_not_in_a_row() -> None:
    rig = await Rig().ready()
    for _ in range(2 * FAILURES_MAX):
        rig.fail(UNKNOWN)
        assert not rig.commit()
        assert rig.commit()


async def test_where_the_next_transaction_fails_without_sums_too_the_cause_lies_elsewhere() -> None:
    rig = await Rig().ready()
    for _ in range(2 * FAILURES_MAX):
        rig.fail(UNKNOWN)
        rig.fail(UNKNOWN)
        assert not rig.commit()
        assert rig.topic.is_writable


async def test_the_refusal_of_another_topic_is_not_its_own() -> None:
    rig = await Rig().ready()
    assert not rig.fail(ProducerDead("no", setback=Setback.REFUSED, topic="t.results"))
    assert rig.topic.is_writable
