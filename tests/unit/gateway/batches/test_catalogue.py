import asyncio

import pytest

from headrace.broker.gateway.batches.catalogue import Catalogue, CatalogueFollower
from headrace.broker.gateway.batches.names import answers_file_id
from headrace.broker.gateway.batches.records import BatchFinished, FileCreated, FileDeleted, StoredParts, encode
from headrace.broker.testing.batch_doors import MemoryBatchDoors, MemorySeekable
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.record import Record
from tests.unit.gateway.batches.batches import created
from tests.unit.gateway.batches.test_records import AT

TOPIC = "t.batches"
OUTPUT, ERRORS = (answers_file_id("batch_1", is_output=is_output) for is_output in (True, False))


def file(file_id: str = "file-1", **fields: object) -> FileCreated:
    usual = {"tenant": "acme", "filename": "a", "purpose": "batch", "created_s": 1, "parts": StoredParts(partition=1)}
    return FileCreated(id=file_id, **{**usual, **fields})


def finished(batch_id: str = "batch_1", **fields: object) -> BatchFinished:
    about = {"status": "completed", "completed_at": 5_000}
    usual = {"tenant": "acme", "batch": about, "end": 9, "output_bytes": 10}
    return BatchFinished(id=batch_id, **{**usual, **fields})


def of(*records: FileCreated | FileDeleted | BatchFinished) -> Catalogue:
    catalogue = Catalogue()
    for record in records:
        catalogue.apply(record)
    return catalogue


def ids(catalogue: Catalogue, tenant: str = "acme", now_s: int = 10) -> list[str]:
    return [each.id for each in catalogue.files(tenant, now_s)]


def test_a_file_is_there_from_its_record_until_it_is_deleted() -> None:
    catalogue = of(file(), file("file-2"))
    assert ids(catalogue) == ["file-1", "file-2"]
    catalogue.apply(FileDeleted(id="file-1", tenant="acme"))
    assert ids(catalogue) == ["file-2"]
    assert catalogue.file("acme", "file-1", 10) is None
    assert catalogue.files_of("acme") == 1


def test_another_tenant_neither_sees_nor_deletes_it() -> None:
    catalogue = of(file(), FileDeleted(id="file-1", tenant="other"))
    assert ids(catalogue, "other") == []
    assert catalogue.file("other", "file-1", 10) is None
    assert catalogue.file("acme", "file-1", 10) is not None
    assert (catalogue.file("stranger", "file-1", 10), catalogue.files_of("stranger")) == (None, 0)


def test_a_file_is_gone_once_it_has_expired() -> None:
    catalogue = of(file(expires_s=100))
    assert ids(catalogue, now_s=99) == ["file-1"]
    assert ids(catalogue, now_s=100) == []


def test_a_batch_is_unfinished_until_its_end_is_noted_and_its_files_are_there_then() -> None:
    catalogue = Catalogue()
    catalogue.apply(created(output_s=3_600))
    catalogue.apply(created())  # appended twice, as after an acknowledgement that was lost
    assert [batch.created.id for batch in catalogue.unfinished([8])] == ["batch_1"]
    assert catalogue.unfinished([7]) == []
    assert (catalogue.batches_of("acme"), ids(catalogue)) == (1, [])
    catalogue.apply(finished())
    catalogue.apply(finished(error_bytes=7))  # another run has noted it too
    assert (catalogue.unfinished([8]), catalogue.batches_of("acme")) == ([], 0)
    assert ids(catalogue) == [OUTPUT]
    found = catalogue.file("acme", OUTPUT, 10)
    assert found is not None
    assert (found.about["bytes"], found.about["purpose"], found.about["created_at"]) == (10, "batch_output", 5_000)
    assert (found.is_output, found.parts) == (True, None)
    assert catalogue.file("acme", OUTPUT, 5_000 + 3_600) is None
    catalogue.apply(FileDeleted(id=OUTPUT, tenant="acme"))
    assert ids(catalogue) == []


def test_both_files_are_there_if_both_have_lines() -> None:
    catalogue = Catalogue()
    catalogue.apply(created())
    catalogue.apply(finished(error_bytes=3, batch={"status": "cancelled", "cancelled_at": 7}))
    assert ids(catalogue) == [OUTPUT, ERRORS]
    found = catalogue.file("acme", ERRORS, 10)
    assert found is not None
    assert (found.about["bytes"], found.about["created_at"], found.is_output) == (3, 7, False)


def test_the_end_of_a_batch_that_is_not_known_is_skipped() -> None:
    catalogue = of(finished())
    assert ids(catalogue) == []
    assert catalogue.batch("acme", "batch_1") is None
    assert (catalogue.batches("acme"), catalogue.batches("stranger")) == ([], [])


class Counting(MemorySeekable):
    """A log that counts its reads, each of which takes a while."""

    reads = 0

    async def read(self, topic: str, partition: int, offset: int):  # type: ignore[no-untyped-def]  # as the door
        self.reads += 1
        await asyncio.sleep(0)
        return await super().read(topic, partition, offset)


async def append(kafka: MemoryKafka, record: FileCreated) -> None:
    log = MemoryBatchDoors(kafka, KafkaLink(kafka)).seekable()
    await log.append(TOPIC, 0, encode(record, record.id, record.tenant, at=AT), timeout_s=1)


@pytest.fixture
def kafka() -> MemoryKafka:
    kafka = MemoryKafka(lambda: 0)
    kafka.create(TOPIC, 3)
    return kafka


async def test_a_follower_reads_on_and_skips_what_it_does_not_know(kafka: MemoryKafka) -> None:
    follower = CatalogueFollower(MemorySeekable(KafkaLink(kafka)), TOPIC)
    assert ids(await follower.refresh()) == []
    await append(kafka, file())
    kafka.append(TOPIC, Record(None, b"?"), partition=0)
    await append(kafka, file("file-2"))
    assert ids(await follower.refresh()) == ["file-1", "file-2"]


async def test_tasks_that_ask_at_once_share_a_reading_that_began_after_they_asked(kafka: MemoryKafka) -> None:
    log = Counting(KafkaLink(kafka))
    follower = CatalogueFollower(log, TOPIC)
    await append(kafka, file())
    found = await asyncio.gather(*(follower.refresh() for _ in range(50)))
    assert all(ids(each) == ["file-1"] for each in found)
    assert log.reads <= 4, "one reading for the first that asked, and one for all others"


async def test_what_was_there_before_the_call_is_found_though_another_task_is_reading(kafka: MemoryKafka) -> None:
    follower = CatalogueFollower(Counting(KafkaLink(kafka)), TOPIC)
    first = asyncio.create_task(follower.refresh())
    await asyncio.sleep(0)
    await append(kafka, file())
    assert ids(await follower.refresh()) == ["file-1"]
    await first


async def test_a_topic_that_was_made_anew_or_trimmed_is_read_from_where_it_begins(kafka: MemoryKafka) -> None:
    follower = CatalogueFollower(MemorySeekable(KafkaLink(kafka)), TOPIC)
    for number in range(3):
        await append(kafka, file(f"file-{number}"))
    await follower.refresh()
    kafka.delete(TOPIC)
    kafka.create(TOPIC, 3)
    await append(kafka, file("file-new"))
    assert ids(await follower.refresh()) == ["file-new"]
