"""Caution after deaths that no record and no call has caused: outcomes come as fast as before them."""

import asyncio

import pytest

from tests.unit.service.rig import Process, World, led, settings_of
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

PLACES, LATENCY_S = 500, 1.0
"""500 outcomes a second at most."""
COMMIT_TAKES_S = 0.036
BACKLOG = 16_000
MEASURED_S = 2.0


@pytest.mark.slow
async def test_three_deaths_in_a_row_slow_nothing_down() -> None:
    """Each batch of records takes one transaction then, not two: 450 outcomes a second before."""
    world = World(latency_s=LATENCY_S)
    settings = settings_of(dispatcher={"inflight_max": PLACES}, lanes={"bulk": {"order": 2, "buffer_max": 4_000}})
    for number in range(BACKLOG):
        world.submit(f"r{number}", "bulk", partition=number % 2)
    world.kafka.commit_takes_s = COMMIT_TAKES_S

    async def rate(process: Process) -> float:
        await led(process)
        await asyncio.sleep(3 * LATENCY_S)
        begun = len(world.outcomes())
        await asyncio.sleep(MEASURED_S)
        return (len(world.outcomes()) - begun) / MEASURED_S

    process = Process(world, "a", settings=settings).start()
    before = await rate(process)
    for owner in "bcd":
        await process.kill()
        process = Process(world, owner, settings=settings).start()
        if owner != "d":
            await led(process)
            await asyncio.sleep(1)
    after = await rate(process)
    assert any(process.intakes["bulk"]._caution.covers(partition) for partition in (0, 1)), (
        "all of it was measured with caution"
    )
    assert before > 0.9 * PLACES / LATENCY_S
    assert after >= 0.95 * before
    await process.end()
