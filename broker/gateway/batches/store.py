"""The batches topic as a store: records appended, batches folded, contents streamed from them in bounded memory."""

import random
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Final

from headrace.broker.batch_ports import RecordStretch, SeekableLog
from headrace.broker.client_ports import Appended
from headrace.broker.errors import PositionGone
from headrace.broker.gateway.batches.catalogue import CATALOGUE
from headrace.broker.gateway.batches.records import (
    AnswersPiece,
    BatchCancelAsked,
    BatchCreated,
    BatchEnded,
    BatchProgress,
    BatchRecord,
    BatchValidated,
    CatalogueRecord,
    StoredParts,
    decode,
    encode,
    encode_part,
    is_part_of,
    subject_of,
)
from headrace.broker.gateway.batches.state import BatchState
from headrace.schemas.topics import batches_topic

APPEND_S: Final = 10.0
PART_BYTES: Final = 512 * 1024


class BatchStore:
    """Reader and writer of the batches topic.

    Attributes:
        log: The topic's door.
        topic: Its name.
        utc_now: The wall clock, for the records' headers.
    """

    def __init__(self, log: SeekableLog, prefix: str, utc_now: Callable[[], datetime]) -> None:
        """It reads nothing yet."""
        self.log = log
        self.topic = batches_topic(prefix)
        self.utc_now = utc_now

    async def place_for_file(self) -> int:
        """Choose the partition of a new file; files and batches have different ones where there are enough."""
        count = len(await self.log.ends(self.topic))
        return random.randint(1, max(1, count // 2)) if count > 1 else CATALOGUE  # noqa: S311  # spreads the load

    async def place_for_batch(self) -> tuple[int, int]:
        """Choose the partition of a new batch, and return it with its present end."""
        ends = await self.log.ends(self.topic)
        count = len(ends)
        first = min(count // 2 + 1, count - 1)
        partition = random.randint(first, count - 1) if count > 1 else CATALOGUE  # noqa: S311  # same
        return partition, ends[partition]

    async def list_in_catalogue(self, record: CatalogueRecord) -> None:
        """Append a record to the catalogue."""
        await self._append(CATALOGUE, record, record.id, record.tenant)

    async def append(self, created: BatchCreated, record: BatchRecord) -> None:
        """Append a record of a batch.

        Raises:
            InvalidRequest: The topic takes no record of this size.
            LogUnavailable, MissingTopic, RightsError, AuthenticationError: As Kafka says.
        """
        await self._append(created.partition, record, created.id, created.tenant)

    async def _append(
        self, partition: int, record: CatalogueRecord | BatchRecord, subject: str, tenant: str
    ) -> Appended:
        encoded = encode(record, subject, tenant, at=self.utc_now())
        return await self.log.append(self.topic, partition, encoded, timeout_s=APPEND_S)

    async def append_part(self, partition: int, file_id: str, tenant: str, content: bytes) -> int:
        """Append a part of a file; return its offset."""
        record = encode_part(file_id, tenant, content, at=self.utc_now())
        return (await self.log.append(self.topic, partition, record, timeout_s=APPEND_S)).offset

    async def parts(self, parts: StoredParts, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the content of an uploaded file, part by part.

        Raises:
            PositionGone: A part is no longer there.
        """
        stretch = RecordStretch((), -1)
        for offset in parts.offsets:
            found = next((each for each in stretch.records if each.offset == offset), None)
            if found is None:
                stretch = await self.log.read(self.topic, parts.partition, offset)
                found = next((each for each in stretch.records if each.offset == offset), None)
            if found is None or not is_part_of(found.record, file_id):
                raise PositionGone(f"A part of {file_id} is no longer in {self.topic}.")
            yield found.record.value or b""

    async def answers(self, created: BatchCreated, end: int, *, is_output: bool) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a finished batch's output or error file; `end` is the offset of its last record."""
        folded = FoldedBatch(self, created)
        while folded.position <= end and folded.state.ended is None:
            was = folded.position
            async for piece in folded.step(is_output=is_output):
                yield piece
            if folded.position == was:
                raise PositionGone(f"The answers of {created.id} are no longer in {self.topic}.")


class FoldedBatch:
    """A batch's state, read on when it is asked for; use it from one task at a time.

    Attributes:
        state: As of the last `refresh`.
        position: Offset at which the next record is read.
    """

    def __init__(self, store: BatchStore, created: BatchCreated) -> None:
        """It reads nothing yet."""
        self.state = BatchState(created)
        self.position = created.start
        self._store = store

    async def refresh(self) -> BatchState:
        """Apply the records up to the partition's end.

        Raises:
            PositionGone: Records of the batch are no longer there.
        """
        while self.state.ended is None:
            was = self.position
            async for _ in self.step():
                pass
            if self.position == was:
                break
        return self.state

    async def step(self, *, is_output: bool | None = None) -> AsyncGenerator[bytes, None]:
        """Apply the next records; yield the lines of the output or error file among them."""
        created = self.state.created
        stretch = await self._store.log.read(self._store.topic, created.partition, self.position)
        for stored in stretch.records:
            if subject_of(stored.record) != created.id:
                continue
            record = decode(stored.record)
            if isinstance(record, BatchValidated | BatchProgress | AnswersPiece | BatchCancelAsked | BatchEnded):
                fresh = self.state.apply(record, stored.timestamp_ms, stored.offset)
                lines = [line.text for line in fresh if line.is_output is is_output]
                if lines:
                    yield b"\n".join(lines) + b"\n"
        self.position = stretch.next_offset
