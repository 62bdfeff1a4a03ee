"""Retriers that die at any instant, on doubles, in virtual time: what was parked comes back, and once."""

import asyncio
import random

import pytest

from headrace.broker.testing.kafka import CommitFault
from tests.unit.consumers.rig import Process, World
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_dies_each_comes_back_once(seed: int) -> None:
    chance = random.Random(seed)
    world = World()
    names = [f"r{number}" for number in range(120)]
    process = Process(world, "p0", held_bytes_max=chance.choice((1_500, 1_000_000))).start()
    await until(lambda: process.health.role == "leader")
    for stretch in range(1, 7):
        for name in names[(stretch - 1) * 20 : stretch * 20]:
            world.park(name, chance.uniform(-1, 25), lane=chance.choice(("urgent", "bulk")))
        world.kafka.commit_takes_s = chance.choice((0.0, 0.02, 0.3))
        await asyncio.sleep(chance.uniform(0.5, 6))
        world.kafka.commit_faults.extend(chance.choices(tuple(CommitFault), k=chance.randint(0, 2)))
        if chance.random() < 0.6:
            await process.kill()
            process = Process(world, f"p{stretch}", held_bytes_max=1_500).start()
    await until(lambda: len(world.all_back()) == 120, 120)
    await asyncio.sleep(5)
    assert world.all_back() == dict.fromkeys(names, 1)
    await process.end()
