"""The ledger is deleted and made anew: whoever knows what stood in it writes it again."""

import asyncio

import pytest
import structlog.testing

from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.ports import LedgerLog
from headrace.broker.testing.kafka_doors import MemoryLedger
from headrace.schemas.ids import id_hash
from headrace.schemas.topics import ledger_topic
from tests.unit.service.leadership.test_parked_ids import IN_TEN_MINUTES, ends, parked, shut
from tests.unit.service.rig import PREFIX, Process, World, led, standing_by, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LEDGER = ledger_topic(PREFIX)
NOTICED_WITHIN_S = 15


class _WithoutIds(MemoryLedger):
    """As before Kafka 2.8."""

    @property
    def topic_id(self) -> str | None:
        return None

    @topic_id.setter
    def topic_id(self, _: str | None) -> None:
        pass


class OnOldKafka(Process):
    def ledger(self) -> LedgerLog:
        return _WithoutIds(self.link, topic=LEDGER)


async def begun(world: World, make: type[Process] = Process) -> Process:
    """A leader that has answered ten requests and parked one, and knows of a cancel that waits."""
    process = make(world, "a").start()
    await led(process)
    for number in range(10):
        world.submit(f"r{number}")
    await until(lambda: len(world.outcomes()) == 10)
    await parked(world, deadline=IN_TEN_MINUTES)
    world.cancel("cancelled")
    await until(lambda: len(process.core.identities.cancels) == 1)
    await asyncio.sleep(2)
    return process


async def deleted_and_made(world: World, *, for_s: float = 0.0) -> None:
    world.kafka.delete(LEDGER)
    await asyncio.sleep(for_s)
    world.kafka.create(LEDGER)


async def knows_all(world: World, process: Process, *others: str) -> None:
    """It leads, calls nothing again, and fails what does not come back."""
    for number in range(10):
        world.submit(f"r{number}")
    world.submit("cancelled")
    await asyncio.sleep(5)
    answered = [(name, 0, "completed") for name in (*(f"r{number}" for number in range(10)), *others)]
    assert sorted(ends(world)) == sorted([*answered, ("cancelled", 0, "cancelled")])
    await asyncio.sleep(600 + OVERDUE_AFTER_MS / 1_000 + 120)
    assert ("parked", 0, "deadline_exceeded") in ends(world)
    assert set(world.upstream.calls.values()) == {1}
    await process.end()


@pytest.mark.slow
@pytest.mark.parametrize("make", [Process, OnOldKafka])
@pytest.mark.parametrize("for_s", [0.0, 20.0])
@pytest.mark.parametrize("busy", [False, True])
async def test_what_a_leader_knows_stands_in_the_new_ledger(*, busy: bool, for_s: float, make: type[Process]) -> None:
    world = World(latency_s=0.1, script=shut)
    leader = await begun(world, make)
    others = ["later"] if busy or make is OnOldKafka else []  # without ids it shows with the next commit
    with structlog.testing.capture_logs() as logs:
        await deleted_and_made(world, for_s=for_s)
        for each in others:
            world.submit(each)
        await until(lambda: any(each["event"] == "ledger_made_anew" for each in logs), NOTICED_WITHIN_S)
    await led(leader)
    await asyncio.sleep(5)
    await leader.kill()
    successor = make(world, "b").start()
    await led(successor)
    await knows_all(world, successor, *others)


@pytest.mark.slow
async def test_a_standby_that_has_read_the_former_one_writes_it_again_when_it_leads() -> None:
    world = World(latency_s=0.1, script=shut)
    leader = await begun(world)
    standby = Process(world, "b").start()
    await standing_by(standby)
    await leader.kill()
    await deleted_and_made(world)
    await led(standby)
    await asyncio.sleep(5)
    await standby.kill()
    successor = Process(world, "c").start()
    await led(successor)
    assert world.claims()[-1] == (3, "c")
    await knows_all(world, successor)


async def test_a_call_under_way_is_paid_once() -> None:
    world = World(latency_s=30)
    leader = Process(world, "a").start()
    await led(leader)
    world.submit("long")
    await until(lambda: world.upstream.inflight == 1)
    await deleted_and_made(world, for_s=5)
    await until(lambda: len(world.outcomes()) == 1)
    assert set(world.upstream.calls.values()) == {1}
    await until(lambda: leader.health.role == "leader")
    late = Process(world, "late")
    await late.follower.catch_up()
    assert late.core.identities.knows(id_hash("long"))
    await leader.end()


async def test_a_leader_in_doubt_waits_for_the_ledger_also_while_redis_is_silent() -> None:
    """Before: the missing topic ended the process, and what it had paid for was paid again."""
    world = World(latency_s=30)
    leader = Process(world, "a").start()
    await led(leader)
    world.submit("long")
    await until(lambda: world.upstream.inflight == 1)
    world.leases.available = False
    await deleted_and_made(world, for_s=20)
    assert not leader.leading.done()
    await until(lambda: len(world.outcomes()) == 1, 60)
    assert set(world.upstream.calls.values()) == {1}
    world.leases.available = True
    await until(lambda: leader.health.role == "leader")
    await leader.end()


async def test_a_ledger_that_is_the_same_is_written_once() -> None:
    world = World(latency_s=0.1)
    leader = await begun_and_idle(world)
    lines = len(world.ledger())
    await asyncio.sleep(60)
    assert len(world.ledger()) == lines
    await leader.end()


async def begun_and_idle(world: World) -> Process:
    leader = Process(world, "a").start()
    await led(leader)
    world.submit("r0")
    await until(lambda: len(world.outcomes()) == 1)
    await asyncio.sleep(5)
    return leader
