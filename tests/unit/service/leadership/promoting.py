"""A process that is promoted, and what a predecessor has left."""

from datetime import timedelta

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import LanePartition
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.service.leadership.promotion import RestoredState
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.schemas.ledger import encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import ledger_topic, requests_topic
from tests.unit.service.rig import PREFIX, Process, World

LEDGER = ledger_topic(PREFIX)
TOPIC = requests_topic(PREFIX, "standard")
PLACE = LanePartition("standard", 0)


async def yes() -> bool:
    return True


async def promoted(process: Process, own_term: int = 0) -> RestoredState:
    return await process.promotion.run(process.producer(), yes, own_term)


def claim(term: int, owner: str) -> Record:
    return Record(None, encode_ledger(claim_record(term, owner)))


async def stored(world: World, progress: PartitionProgress, term: int) -> None:
    """What a leader of that term left for the first partition of `standard`."""
    kept = progress.store(term)
    await put(world, StoredOffset(kept.offset, kept.metadata))


async def put(world: World, offset: StoredOffset) -> None:
    producer = Process(world, "predecessor").producer()
    await producer.open()
    await producer.transact([], {TopicPartition(TOPIC, 0): offset})


def filled(world: World, count: int, age: timedelta = timedelta()) -> None:
    at_ms = world.clock.utc_ms() - int(age.total_seconds() * 1_000)
    for number in range(count):
        world.kafka.append(TOPIC, Record(None, b"%d" % number), partition=0, at_ms=at_ms)
