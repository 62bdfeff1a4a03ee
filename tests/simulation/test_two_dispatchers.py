"""Two whole dispatchers on one Kafka and one Redis: whatever befalls the first, each request has one outcome."""

import asyncio

import pytest

from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.upstream import Asked, Said, completion
from tests.unit.service.rig import Process, World, led, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LANES = ("urgent", "standard", "bulk")


def _in_another_order(asked: Asked) -> Said:
    """Answers that come in another order than the calls left: the maps get holes."""
    return Said(body=completion(asked), after_s=0.5 + asked.number * 7 % 11)


async def test_a_hundred_requests_survive_a_killed_leader() -> None:
    world = World(script=_in_another_order)
    for number in range(100):
        world.submit(f"r{number}", LANES[number % 3])
    first = Process(world, "first").start()
    await led(first)
    second = Process(world, "second").start()
    await until(lambda: second.health.role == "standby" and world.upstream.inflight >= 50)
    await asyncio.sleep(4)  # some have been answered
    assert 10 < len(world.outcomes()) < 90
    for number in range(100, 120):
        world.submit(f"r{number}", LANES[number % 3])
    await asyncio.sleep(1)
    await first.kill()
    took_s = await led(second)
    assert took_s < 4, "ttl and a little"
    await until(lambda: len(world.outcomes()) == 120)
    await asyncio.sleep(10)
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 120
    assert world.claims() == [(1, "first"), (2, "second")]
    assert {outcome["status"] for outcome in world.outcomes()} == {"completed"}
    assert {outcome["term"] for outcome in world.outcomes()} == {1, 2}
    repeated = sum(count - 1 for count in world.upstream.calls.values())
    assert second.metric("headrace_repeated_calls_total") == repeated > 0
    assert not second.hold.cargo, "nothing is kept of what is done"
    await second.end()


@pytest.mark.parametrize("fault", list(CommitFault))
async def test_a_leader_that_dies_with_an_unknown_commit_leaves_one_outcome_each(fault: CommitFault) -> None:
    world = World(latency_s=1)
    world.kafka.offsets_lag = True
    first = Process(world, "first").start()
    await led(first)
    second = Process(world, "second").start()
    await until(lambda: second.health.role == "standby")
    await warmed(world)
    for number in range(20):
        world.submit(f"r{number}")
    await until(lambda: world.upstream.inflight == 20)
    await asyncio.sleep(0.5)
    world.kafka.commit_faults.extend([fault] * 3)
    await until(lambda: len(world.kafka.commit_faults) < 3)
    await first.kill()
    world.kafka.commit_faults.clear()
    await led(second)
    await until(lambda: len(world.outcomes()) == 21)
    await asyncio.sleep(10)
    assert set(world.counts().values()) == {1}
    await second.end()


async def test_a_dispatcher_that_leaves_hands_over_at_once_and_nothing_is_called_twice() -> None:
    world = World(latency_s=2)
    first = Process(world, "first").start()
    await led(first)
    second = Process(world, "second").start()
    await until(lambda: second.health.role == "standby")
    await warmed(world)
    for number in range(30):
        world.submit(f"r{number}", "standard")
    await until(lambda: world.upstream.inflight == 30)
    first.leadership.leave()
    await until(first.leading.done)
    first.leading.result()
    assert [line.kind.value for line in world.ledger() if line.owner == "first"][-1] == "left"
    assert world.holder() in {"released", "second"}
    assert await led(second) < 1
    world.submit("after", "bulk")
    await until(lambda: len(world.outcomes()) == 32)
    assert set(world.upstream.calls.values()) == {1}
    await second.end()
    await first.end()
