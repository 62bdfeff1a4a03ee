"""Records that end whoever reads them: they end in few deaths, and nobody else waits for them longer than that."""

import asyncio
import json

import pytest

from headrace.broker.core.bounds import (
    CAUTIOUS_BATCH_MAX,
    DEATHS_BEFORE_CAUTION,
    DEATHS_BY_DECODING,
    DEATHS_BY_TAKING,
)
from headrace.broker.core.ticket import Garbage
from headrace.broker.service.intake.control import ControlReader
from headrace.broker.testing.upstream import Said
from headrace.schemas.ledger import LedgerKind, LedgerState
from headrace.schemas.record import Record
from headrace.schemas.request_codec import InputLimits, Undecodable
from tests.unit.service.mortal import (
    BOMB,
    CONTROL,
    DEATHS,
    POISON,
    STANDARD,
    Mortal,
    _either,
    letters,
    lived_through,
    named,
    poison,
)
from tests.unit.service.rig import Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@pytest.mark.slow
async def test_a_record_that_ends_its_readers_fails_after_five_deaths_and_the_rest_is_served() -> None:
    world = World()
    for name in ("a", "b"):
        world.submit(name, "standard", partition=0)
    offset = poison(world, "x")
    for name in ("c", "d"):
        world.submit(name, "standard", partition=0)
    for number in range(5):
        world.submit(f"other-{number}", "standard", partition=1)
    deaths, process = await lived_through(world, lambda: len(world.outcomes()) == 10)
    assert deaths == DEATHS
    assert set(world.counts().values()) == {1}
    failed = [(one["id"], one["reason"]) for one in world.outcomes() if one["status"] == "failed"]
    assert failed == [("x", "crashed")]
    (letter,) = letters(world)
    assert letter[:2] == (b"crashed", f"{STANDARD}/0/{offset}".encode())
    assert POISON.encode() in (letter[2] or b"")
    assert named(world, offset) == 4
    await process.end()


async def test_a_second_one_costs_two_deaths_more_and_none_is_lost() -> None:
    world = World()
    poison(world, "x")
    world.submit("a", "standard", partition=0)
    poison(world, "y")
    world.submit("b", "standard", partition=0)
    deaths, process = await lived_through(world, lambda: len(world.outcomes()) == 4)
    assert deaths == DEATHS + DEATHS_BY_DECODING
    assert {one["id"]: one.get("reason") for one in world.outcomes()} == {
        "x": "crashed",
        "y": "crashed",
        "a": None,
        "b": None,
    }
    await process.end()


@pytest.mark.parametrize("markers", [1, 3])
async def test_a_record_behind_markers_is_named_by_its_own_offset_in_its_batch_and_alone(markers: int) -> None:
    """No call ends, so that each term begins with the whole batch."""
    world = World(latency_s=1_000)
    for number in range(CAUTIOUS_BATCH_MAX - 1):
        world.submit(f"a{number}", "standard", partition=0)
    for _ in range(markers):
        world.kafka.logs(STANDARD)[0].append(None, 0)
    offset = poison(world, "x")
    deaths, process = await lived_through(world, lambda: bool(letters(world)))
    assert deaths == DEATHS
    assert named(world, offset) == 4
    assert [named(world, offset - 1 - marker) for marker in range(markers)] == [0] * markers
    assert letters(world)[0][:2] == (b"crashed", f"{STANDARD}/0/{offset}".encode())
    await process.end()


async def test_one_whose_headers_name_no_id_is_a_dead_letter_only() -> None:
    world = World()
    offset = poison(world, "x", subject=False)
    world.submit("a", "standard", partition=0)
    deaths, process = await lived_through(world, lambda: len(world.outcomes()) == 1)
    assert deaths == DEATHS
    assert world.counts() == {("a", 0): 1}
    assert [letter[:2] for letter in letters(world)] == [(b"crashed", f"{STANDARD}/0/{offset}".encode())]
    await process.end()


async def test_one_that_ends_who_unpacks_it_is_passed_over_untouched() -> None:
    world = World()
    world.submit("a", "standard", partition=0)
    offset = poison(world, "x", value=BOMB)
    world.submit("b", "standard", partition=0)
    deaths, process = await lived_through(world, lambda: len(world.outcomes()) == 2)
    assert deaths == DEATHS + DEATHS_BY_TAKING - DEATHS_BY_DECODING
    assert world.counts() == {("a", 0): 1, ("b", 0): 1}
    assert letters(world) == [(b"crashed", f"{STANDARD}/0/{offset}".encode(), b"")]
    await process.end()


async def test_a_deadly_cancel_is_a_dead_letter_and_later_cancels_are_heard() -> None:
    world = World(latency_s=1_000)
    world.kafka.append(CONTROL, Record(b"x", BOMB))
    world.submit("a", "standard", partition=0)
    world.cancel("a")
    deaths, process = await lived_through(world, lambda: len(world.outcomes()) == 1)
    assert deaths == DEATHS + DEATHS_BY_TAKING - DEATHS_BY_DECODING
    assert [one["reason"] for one in world.outcomes()] == ["cancelled"]
    assert [letter[:2] for letter in letters(world)] == [(b"crashed", f"{CONTROL}/0/0".encode())]
    await process.end()


async def test_who_is_given_up_is_struck_off_by_the_line_that_settles_it() -> None:
    """Else a death in between would forget its former ones."""
    world = World()
    offset = poison(world, "x")
    _, process = await lived_through(world, lambda: len(world.outcomes()) == 1)
    lines = [line for line in world.ledger() if line.kind is LedgerKind.STEP and line.owner == process.owner]
    at = max(place for place, line in enumerate(lines) if line.suspects == (f"{STANDARD}/0/{offset}",))
    assert [entry.state for entry in lines[at + 1].settled] == [LedgerState.FAILED]
    await process.end()


async def test_what_is_done_is_neither_named_nor_taken_again() -> None:
    world = World(script=lambda asked: Said(after_s=10_000) if asked.request_id.startswith("slow") else None)
    world.submit("slow", "standard", partition=0)
    for number in range(5):
        world.submit(f"r{number}", "standard", partition=0)
    for owner in "abcdef":
        process = Process(world, owner).start()
        await led(process)
        await until(lambda: len(world.outcomes()) == 5)
        await asyncio.sleep(1)
        await process.kill()
    assert [named(world, offset) for offset in range(6)] == [4, 0, 0, 0, 0, 0]


async def test_a_deadly_cancel_answers_for_nobody_whatever_its_headers_say() -> None:
    world = World()
    value = json.dumps({"type": "cancel", "id": "a"}).encode()
    world.kafka.append(CONTROL, Record(b"a", value, (("ce_subject", b"a"),)))

    class Hater(Mortal):
        """Dies of reading any cancel."""

        def __init__(self, world: World, owner: str) -> None:
            super().__init__(world, owner)
            self.intakes["control"]._handover._entry._reader = self

        def read(self, *_: object) -> tuple[Undecodable, Garbage]:
            self.die()
            raise asyncio.CancelledError

        def unread(self, record: Record) -> tuple[Undecodable, Garbage]:
            return ControlReader(InputLimits()).unread(record)

        def defect(self, record: Record) -> tuple[Undecodable, Garbage]:
            return ControlReader(InputLimits()).defect(record)

    for number in range(DEATHS_BEFORE_CAUTION + DEATHS_BY_DECODING):  # it stands alone, and so is named alone
        hater = Hater(world, f"p{number}")
        hater.start()
        await until(_either(hater, lambda: False))
        await hater.kill()
    last = Hater(world, "last")
    last.start()
    await until(lambda: len(world.dead_letters()) == 1)
    await asyncio.sleep(1)
    assert [letter[:2] for letter in letters(world)] == [(b"crashed", f"{CONTROL}/0/0".encode())]
    assert world.outcomes() == []
    world.submit("a", "standard")
    await until(lambda: [one["status"] for one in world.outcomes()] == ["completed"])
    await last.end()
