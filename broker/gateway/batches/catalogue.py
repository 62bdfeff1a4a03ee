"""Catalogue of files and batches: the first partition of the topic, folded in the memory of each replica.

Its records are small, so all of them are held as long as the topic keeps them. An answer about an id or a list is given
after the partition was read to its end, so a client that was told of a file or batch finds it at any replica.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.broker.batch_ports import SeekableLog
from headrace.broker.errors import PositionGone
from headrace.broker.gateway.batches.batch_object import file_object, uploaded_object
from headrace.broker.gateway.batches.names import answers_file_id
from headrace.broker.gateway.batches.records import (
    BatchCreated,
    BatchFinished,
    FileCreated,
    FileDeleted,
    StoredParts,
    decode,
)

CATALOGUE: Final = 0
"""The partition."""


@dataclass(slots=True)
class CataloguedBatch:
    """A batch, and its end once it has ended."""

    created: BatchCreated
    finished: BatchFinished | None = None


@dataclass(frozen=True, slots=True)
class CataloguedFile:
    """A file that exists: OpenAI's object of it, and where its content lies.

    Either it was uploaded and has `parts`, or it holds the answers of `batch`.
    """

    about: dict[str, Any]
    parts: StoredParts | None = None
    batch: CataloguedBatch | None = None
    is_output: bool = False

    @property
    def id(self) -> str:
        """Id of the file."""
        return str(self.about["id"])


@dataclass(slots=True)
class _TenantsObjects:
    files: dict[str, FileCreated] = field(default_factory=dict)
    batches: dict[str, CataloguedBatch] = field(default_factory=dict)
    answers: dict[str, tuple[str, bool]] = field(default_factory=dict)  # by file: whose answers, and which


class Catalogue:
    """Fold of the catalogue's records. An object of another tenant does not exist."""

    def __init__(self) -> None:
        """At first it is empty."""
        self._tenants: dict[str, _TenantsObjects] = {}
        self._unfinished: dict[str, CataloguedBatch] = {}

    def apply(self, record: FileCreated | FileDeleted | BatchCreated | BatchFinished) -> None:
        """Apply one record, in the order of the partition."""
        mine = self._tenants.setdefault(record.tenant, _TenantsObjects())
        match record:
            case FileCreated():
                mine.files.setdefault(record.id, record)
            case FileDeleted():
                mine.files.pop(record.id, None)
                mine.answers.pop(record.id, None)
            case BatchCreated():
                if record.id not in mine.batches:
                    mine.batches[record.id] = self._unfinished[record.id] = CataloguedBatch(record)
            case BatchFinished():
                batch = mine.batches.get(record.id)
                if batch is not None and batch.finished is None:
                    self._finish(mine, batch, record)

    def _finish(self, mine: _TenantsObjects, batch: CataloguedBatch, finished: BatchFinished) -> None:
        batch.finished = finished
        self._unfinished.pop(finished.id, None)
        for is_output, size in ((True, finished.output_bytes), (False, finished.error_bytes)):
            if size:
                mine.answers[answers_file_id(finished.id, is_output=is_output)] = finished.id, is_output

    def unfinished(self, partitions: Iterable[int]) -> list[CataloguedBatch]:
        """List the batches without an end whose records lie in these partitions, the oldest first."""
        wanted = frozenset(partitions)
        return [batch for batch in self._unfinished.values() if batch.created.partition in wanted]

    def batch(self, tenant: str, batch_id: str) -> CataloguedBatch | None:
        """Return a tenant's batch."""
        mine = self._tenants.get(tenant)
        return None if mine is None else mine.batches.get(batch_id)

    def batches(self, tenant: str) -> list[CataloguedBatch]:
        """List a tenant's batches, the newest first."""
        mine = self._tenants.get(tenant)
        return [] if mine is None else list(reversed(mine.batches.values()))

    def file(self, tenant: str, file_id: str, now_s: int) -> CataloguedFile | None:
        """Return a tenant's file, unless it was deleted or has expired."""
        mine = self._tenants.get(tenant)
        if mine is None:
            return None
        if (uploaded := mine.files.get(file_id)) is not None:
            found: CataloguedFile | None = CataloguedFile(uploaded_object(uploaded), parts=uploaded.parts)
        else:
            found = self._answers(mine, file_id)
        return found if found is not None and _is_kept(found, now_s) else None

    def files(self, tenant: str, now_s: int) -> Iterator[CataloguedFile]:
        """Yield a tenant's files in the order in which they were created, those of batches behind the others."""
        mine = self._tenants.get(tenant)
        for file_id in () if mine is None else (*mine.files, *mine.answers):
            if (found := self.file(tenant, file_id, now_s)) is not None:
                yield found

    def files_of(self, tenant: str) -> int:
        """Return the number of a tenant's uploaded files."""
        mine = self._tenants.get(tenant)
        return 0 if mine is None else len(mine.files)

    def batches_of(self, tenant: str) -> int:
        """Return the number of a tenant's batches that have not ended."""
        return sum(batch.created.tenant == tenant for batch in self._unfinished.values())

    def _answers(self, mine: _TenantsObjects, file_id: str) -> CataloguedFile | None:
        if file_id not in mine.answers:
            return None
        batch_id, is_output = mine.answers[file_id]
        batch = mine.batches[batch_id]
        finished = batch.finished
        if finished is None:
            return None
        ended_s = next(
            (at for status in ("completed", "cancelled", "expired") if (at := finished.batch.get(f"{status}_at"))),
            batch.created.created_s,
        )
        kept_s = batch.created.output_s
        about = file_object(
            file_id,
            size=finished.output_bytes if is_output else finished.error_bytes,
            created_s=ended_s,
            filename=f"{batch_id}_{'output' if is_output else 'error'}.jsonl",
            purpose="batch_output",
            expires_s=None if kept_s is None else ended_s + kept_s,
        )
        return CataloguedFile(about, batch=batch, is_output=is_output)


def _is_kept(file: CataloguedFile, now_s: int) -> bool:
    expires_s = file.about["expires_at"]
    return expires_s is None or now_s < expires_s


class CatalogueFollower:
    """The catalogue, read on when it is asked for. Safe for many tasks at once.

    Attributes:
        catalogue: As of the last `refresh`.
    """

    def __init__(self, log: SeekableLog, topic: str) -> None:
        """It reads at the first `refresh`."""
        self.catalogue = Catalogue()
        self._log = log
        self._topic = topic
        self._next: int | None = None
        self._begun = 0
        self._reading = asyncio.Lock()

    async def refresh(self) -> Catalogue:
        """Read up to the partition's end, and return the catalogue as of a moment after the call.

        Raises:
            MissingTopic, LogUnavailable, Unreachable, RightsError, AuthenticationError: As Kafka says.
        """
        begun = self._begun
        async with self._reading:
            if self._begun == begun:  # else another task has read to the end since the call
                self._begun += 1
                await self._read()
        return self.catalogue

    async def _read(self) -> None:
        if self._next is None:
            self._next = (await self._log.begins(self._topic))[CATALOGUE]
        while True:
            try:
                stretch = await self._log.read(self._topic, CATALOGUE, self._next)
            except PositionGone:  # retention was faster, or the topic was made anew
                self.catalogue = Catalogue()
                self._next = (await self._log.begins(self._topic))[CATALOGUE]
                continue
            if stretch.next_offset == self._next:
                return
            for stored in stretch.records:
                record = decode(stored.record)
                if isinstance(record, FileCreated | FileDeleted | BatchCreated | BatchFinished):
                    self.catalogue.apply(record)
            self._next = stretch.next_offset
