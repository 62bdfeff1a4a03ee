"""While a lane reads many records in a row, the loop goes on: it renews the lease, and answers come in."""

import asyncio

import pytest

from headrace.broker.ports import TokenCounter
from headrace.broker.service.intake.handover import READ_AT_ONCE_BYTES
from headrace.broker.service.intake.lane_intake import RECORDS_A_TAKE
from headrace.broker.testing.counter import RoughCounter
from tests.unit.service.rig import Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

CHARS = 40_000


class Slow(RoughCounter):
    """Notes how many texts are counted in one turn of the loop."""

    def __init__(self) -> None:
        self.in_turns: list[int] = []
        self._in_turn = False

    def count(self, model: str, text: str) -> int | None:
        if len(text) == CHARS:
            if not self._in_turn:
                self._in_turn = True
                self.in_turns.append(0)
                asyncio.get_running_loop().call_soon(self._over)
            self.in_turns[-1] += 1
        return super().count(model, text)

    def _over(self) -> None:
        self._in_turn = False


class Counting(Process):
    def counter(self) -> TokenCounter:
        self.slow = Slow()
        return self.slow


def submit(world: World) -> None:
    for number in range(RECORDS_A_TAKE):
        messages = [{"role": "user", "content": "a" * CHARS}]
        world.submit(f"r{number}", partition=0, body={"model": "gpt-4o-mini", "messages": messages})


@pytest.mark.parametrize("deaths", [0, 2])
async def test_a_take_of_long_prompts_is_read_in_many_turns_of_the_loop(deaths: int) -> None:
    """Also where records are named before they are read, after two leaders have died."""
    world = World()
    for number in range(deaths):
        dead = Process(world, f"dead{number}").start()
        await led(dead)
        await dead.kill()
    submit(world)
    process = Counting(world, "p")
    process.start()
    await until(lambda: sum(process.slow.in_turns) == RECORDS_A_TAKE)
    assert max(process.slow.in_turns) <= 1 + -(-READ_AT_ONCE_BYTES // CHARS)
    await until(lambda: len(world.outcomes()) == RECORDS_A_TAKE)
    await process.end()
