"""A claim of a leader with thousands of partitions: it must fit one record of the ledger."""

import pytest

from headrace.schemas.ledger import LedgerKind, encode_ledger
from tests.unit.service.rig import Process, World, led
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [2, 1_500])
async def test_its_size_does_not_grow_with_them(partitions: int) -> None:
    world = World(partitions=partitions)
    process = Process(world, "a").start()
    await led(process)
    await process.end()
    [claim] = [line for line in world.ledger() if line.kind is LedgerKind.CLAIM]
    assert len(encode_ledger(claim)) < 1_000
