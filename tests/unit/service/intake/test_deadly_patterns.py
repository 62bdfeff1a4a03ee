"""Deadly records among good ones, markers and aborted records, in orders drawn by seed: each has its promised cost.

A pattern is read from offset 0 on: `g` is a good request, `X` a record that ends the process that decodes it, `B` one
that ends the process that unpacks it, `m` a marker, `M` and `L` many markers in a row, `a` an aborted record.
"""

import asyncio
import random
from collections import Counter

import pytest

from headrace.broker.core.bounds import DEATHS_BY_DECODING, DEATHS_BY_TAKING
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import UnreadableRange
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.broker.testing.kafka_log import Transaction, TransactionState
from headrace.schemas.record import Record
from tests.long_proofs import with_long
from tests.unit.service.mortal import BOMB, DEATHS, STANDARD, Mortal, letters, lived_through, poison
from tests.unit.service.rig import World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

MARKERS = {"m": 1, "M": 60, "L": 4_100}
"""60 are more than are named together, 4,100 more than a term reads ahead."""
KNOWN = "gLX gLgX LX XmgMX XmgMXgg mB gmB mmmmmB gMmBmX XaaaB gaXaX BB BmB XLXLB"
DRAWN, EACH_TIME = 120, 20
"""So many of the drawn ones belong to every `make test`; the others, to `make test-long`."""


def drawn() -> list[str]:
    dice = random.Random(20_261_129)
    patterns = dict[str, None]()
    while len(patterns) < DRAWN:
        signs = "".join(dice.choices("gmaMXBL", (6, 5, 3, 2, 3, 2, 1), k=dice.randint(2, 12)))
        if 1 <= signs.count("X") + signs.count("B") <= 3:
            patterns[signs] = None
    return list(patterns)


def written(world: World, pattern: str) -> dict[str, str]:
    """Write the records; return what each of the deadly ones is, by its place."""
    log, deadly = world.kafka.logs(STANDARD)[0], dict[str, str]()
    for number, sign in enumerate(pattern):
        match sign:
            case "g":
                world.submit(f"r{number}", "standard", partition=0)
            case "a":
                log.append(Record(None, BOMB), 0, Transaction(TransactionState.ABORTED))
            case "X" | "B":
                offset = poison(world, f"r{number}", value=BOMB if sign == "B" else None)
                deadly[f"{STANDARD}/0/{offset}"] = sign
            case _:
                for _ in range(MARKERS[sign]):
                    log.append(None, 0)
    return deadly


def deaths_of(deadly: dict[str, str]) -> int:
    """Two before caution, one in its batch, and those that convict it; a further record costs only those."""
    convicting = {"X": DEATHS_BY_DECODING, "B": DEATHS_BY_TAKING}
    return DEATHS - DEATHS_BY_DECODING + sum(convicting[sign] for sign in deadly.values())


async def lived(world: World, pattern: str, make: type[Mortal] = Mortal) -> None:
    deadly = written(world, pattern)
    good = {f"r{number}" for number, sign in enumerate(pattern) if sign == "g"}
    failed = {f"r{number}" for number, sign in enumerate(pattern) if sign == "X"}

    def is_over() -> bool:
        return len(letters(world)) >= len(deadly) and len(world.outcomes()) >= len(good | failed)

    deaths, process = await lived_through(world, is_over, make)
    await asyncio.sleep(20)  # virtual: a further outcome or death would come within it
    assert deaths <= deaths_of(deadly)
    assert Counter(letter[:2] for letter in letters(world)) == {(b"crashed", place.encode()): 1 for place in deadly}
    assert sorted(one["id"] for one in world.outcomes()) == sorted(good | failed)
    assert {one["id"] for one in world.outcomes() if one["status"] == "failed"} == failed
    assert not process.driver.cautious
    await process.end()


@pytest.mark.parametrize("pattern", KNOWN.split())
async def test_each_costs_its_deaths_and_one_dead_letter_and_all_others_are_answered(pattern: str) -> None:
    await lived(World(partitions=1), pattern)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", with_long(drawn(), EACH_TIME))
async def test_so_does_each_in_orders_drawn_by_seed(pattern: str) -> None:
    await lived(World(partitions=1), pattern)


@pytest.mark.parametrize("pattern", ["gX", "gBg", "XmgMX", "gLX", "mB"])
@pytest.mark.parametrize("takes_s", [0.7, 1.5, 6.0])
async def test_a_kafka_that_is_slow_to_send_records_and_quick_to_answer_all_else_ends_no_caution(
    pattern: str, takes_s: float
) -> None:
    """As a quota of the cluster does."""

    class Lane(MemoryLane):
        async def upcoming(self, partition: int, records_max: int) -> Upcoming | UnreadableRange | None:
            await asyncio.sleep(takes_s)
            return await super().upcoming(partition, records_max)

    class Slowed(Mortal):
        lane_of = Lane

    await lived(World(partitions=1), pattern, Slowed)


async def test_a_batch_that_must_not_be_unpacked_is_given_up_whole_in_one_dead_letter() -> None:
    class Lane(MemoryLane):
        """Offsets 1 to 3 are one batch."""

        async def upcoming(self, partition: int, records_max: int) -> Upcoming | UnreadableRange | None:
            found = await super().upcoming(partition, records_max)
            assert isinstance(found, Upcoming)
            return Upcoming(found.offsets, 4 if found.batch_end in range(2, 5) else found.batch_end)

    class Whole(Mortal):
        lane_of = Lane

    world = World(partitions=1)
    written(world, "gBggg")
    deaths, process = await lived_through(world, lambda: bool(letters(world)) and len(world.outcomes()) == 2, Whole)
    assert deaths == deaths_of({"": "B"})
    assert letters(world) == [(b"crashed", f"{STANDARD}/0/1".encode(), b"")]
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-message"] == b"Offsets 1 to 3 ended every process that took them."
    assert sorted(one["id"] for one in world.outcomes()) == ["r0", "r4"]
    await process.end()


async def test_a_lost_range_longer_than_a_buffer_ends_no_caution() -> None:
    world = World(partitions=1)
    log = world.kafka.logs(STANDARD)[0]
    for number in range(4_200):
        world.submit(f"lost-{number}", "standard", partition=0)
    log.damage(0, log.end - 1)
    offset = poison(world, "x")
    deaths, process = await lived_through(world, lambda: len(letters(world)) == 2)
    assert deaths == DEATHS - 1, "it was never named among others"
    assert {letter[:2] for letter in letters(world)} == {
        (b"undecodable", f"{STANDARD}/0/0".encode()),
        (b"crashed", f"{STANDARD}/0/{offset}".encode()),
    }
    await process.end()


async def test_a_damaged_batch_behind_markers_is_told_by_its_own_offsets() -> None:
    world = World(partitions=1)
    log = world.kafka.logs(STANDARD)[0]
    poison(world, "x")
    for _ in range(2):
        log.append(None, 0)
    for name in "yz":
        world.submit(name, "standard", partition=0)
    log.damage(3, 4)
    _, process = await lived_through(world, lambda: len(letters(world)) == 2)
    assert {letter[1] for letter in letters(world)} == {f"{STANDARD}/0/{offset}".encode() for offset in (0, 3)}
    await process.end()
