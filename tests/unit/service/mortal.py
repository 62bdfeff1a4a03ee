"""Processes that die of certain records, one after the other, and what they leave behind."""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import count

from headrace.broker.core.bounds import DEATHS_BEFORE_CAUTION, DEATHS_BY_DECODING
from headrace.broker.ports import Fetched, TokenCounter, UnreadableRange
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.schemas import topics
from headrace.schemas.ledger import LedgerKind
from headrace.schemas.record import Record
from tests.unit.service.rig import PREFIX, Process, World, request, until

DEATHS = DEATHS_BEFORE_CAUTION + 1 + DEATHS_BY_DECODING
"""Of the first deadly record: without caution, in its batch, and alone. One that cannot be unpacked costs one more."""
STANDARD, CONTROL = topics.requests_topic(PREFIX, "standard"), topics.control_topic(PREFIX)
POISON, BOMB = "whoever counts this dies", b"whoever unpacks this dies"


class Mortal(Process):
    """Dies of counting what says POISON, and of taking what says BOMB."""

    lane_of: type[MemoryLane] = MemoryLane

    def counter(self) -> TokenCounter:
        mortal = self

        class Counter(RoughCounter):
            def count(self, model: str, text: str) -> int | None:
                if POISON in text:
                    mortal.die()
                    raise asyncio.CancelledError
                return super().count(model, text)

        return Counter()

    def lane(self, topic: str) -> MemoryLane:
        mortal = self

        class Lane(self.lane_of):  # type: ignore[name-defined,misc]
            async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
                got: Sequence[Fetched] | UnreadableRange = await super().take(partition, records_max)
                if not isinstance(got, UnreadableRange) and any(BOMB in (one.record.value or b"") for one in got):
                    mortal.die()
                    raise asyncio.CancelledError
                return got

            async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
                """Kafka's client unpacks to find out whether something is there."""
                got = [self._read(number, 1)[0] for number in partitions]
                if any(isinstance(one, list) and one and BOMB in (one[0].record.value or b"") for one in got):
                    mortal.die()
                    raise asyncio.CancelledError
                await super().wait(partitions, timeout_ms)

        return Lane(self.link, topic=topic)

    @property
    def is_dead(self) -> bool:
        return self.lease.is_cut


POISONED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": POISON}]}


def poison(world: World, name: str, *, value: bytes | None = None, subject: bool = True) -> int:
    value = json.dumps(request(name, body=POISONED)).encode() if value is None else value
    headers = (("ce_subject", name.encode()),) if subject else ()
    return world.kafka.append(STANDARD, Record(None, value, headers), partition=0)


async def lived_through(world: World, is_over: Callable[[], bool], make: type[Mortal] = Mortal) -> tuple[int, Process]:
    """One process after the other, until one has come so far; how many died, and who did not."""
    for deaths in count():
        process = make(world, f"p{deaths}")
        process.start()
        await until(_either(process, is_over))
        if not process.is_dead:
            return deaths, process
        await process.kill()
        assert deaths < 30
    raise AssertionError


def _either(process: Mortal, is_over: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: process.is_dead or is_over()


def letters(world: World) -> list[tuple[bytes, bytes, bytes | None]]:
    """Reason, origin and value of each dead letter."""
    given = [(dict(letter.headers), letter.value) for letter in world.dead_letters()]
    return [(one["headrace-reason"], one["headrace-origin"], value) for one, value in given]


def named(world: World, offset: int) -> int:
    """How many terms have named the record there."""
    position = f"{STANDARD}/0/{offset}"
    return len({line.term for line in world.ledger() if line.kind is LedgerKind.STEP and position in line.suspects})
