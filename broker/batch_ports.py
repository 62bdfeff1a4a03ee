"""Protocols between the gateway's batches and Kafka: a log that is read and written by position, and a group's share.

The real doors are in `headrace.broker.adapters.kafka`; those of a `MemoryKafka` pass the same contract suites.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.broker.client_ports import Appended, StoredRecord, SubmitLog
from headrace.schemas.record import Record


@dataclass(frozen=True, slots=True)
class RecordStretch:
    """Records of one partition that were read at once.

    Attributes:
        records: As a `read_committed` reader sees them, in order; those that cannot be decoded are left out.
        next_offset: Where to read on. Equal to the offset that was asked for: nothing is there yet.
    """

    records: Sequence[StoredRecord]
    next_offset: int


class SeekableLog(Protocol):
    """Topics, read from any position and appended to by partition. Use one per event loop; safe for many tasks."""

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the present end of every partition, as a `read_committed` reader sees it.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def begins(self, topic: str) -> dict[int, int]:
        """Return the first offset of every partition; raises as `ends`."""

    async def read(self, topic: str, partition: int, offset: int) -> RecordStretch:
        """Return the records from an offset on, about a mebibyte of them; it does not wait for any.

        Raises:
            PositionGone: The partition no longer holds this offset, or does not hold it yet.
            LogUnavailable, Unreachable, RightsError, AuthenticationError: As Kafka says.
        """

    async def append(self, topic: str, partition: int, record: Record, *, timeout_s: float) -> Appended:
        """Append one record to a partition and wait for its acknowledgement; raises as `SubmitLog.append`."""

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Return the partition to which producers append a key's records, of a topic with so many partitions."""

    async def close(self) -> None:
        """Deliver what is on its way if Kafka answers within three seconds; never hangs."""


class GroupShare(Protocol):
    """Share of a topic's partitions that one member of a consumer group has. It reads no record."""

    async def open(self) -> None:
        """Join the group.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions of this member now; each belongs to one member, but for moments in which the group changes."""

    async def close(self) -> None:
        """Leave the group; never hangs."""


class BatchDoors(Protocol):
    """Maker of the doors that batches need; making one connects nothing."""

    def submissions(self) -> SubmitLog:
        """Make the door of a producer of requests."""

    def seekable(self) -> SeekableLog:
        """Make the door to topics that are read by position."""

    def share(self, topic: str, *, group: str) -> GroupShare:
        """Make the door of a member of a group."""
