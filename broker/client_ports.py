"""Protocols between producers and readers on one side and Kafka on the other, and the shapes that pass through them.

`GenerationClient` and the readers of `consumers` reach Kafka only through these. The real doors are in
`headrace.broker.adapters`; those of a `MemoryBroker` pass the same contract suite, so a service can be tested without a
Kafka.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from headrace.broker.errors import HeadraceError
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome
from headrace.schemas.record import Record

Start = Literal["earliest", "latest"] | datetime
"""Where a group without a stored position starts; a group that has one continues there."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Position of an appended record, and its Kafka timestamp (ms)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record, its position, and the assignment of partitions in which it was read."""

    partition: int
    offset: int
    timestamp_ms: int
    record: Record
    assignment: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record and its position; `timestamp_ms` is its Kafka timestamp."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    record: Record


class Pending(Protocol):
    """A record on its way to Kafka."""

    async def wait(self, *, timeout_s: float) -> Appended:
        """Return the record's position once all replicas in sync have it; raises as `SubmitLog.append`."""


class SubmitLog(Protocol):
    """Appender of records. Use one per event loop; safe for many tasks at once."""

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        """Append one record and wait for its acknowledgement.

        Raises:
            MissingTopic: There is no such topic.
            LogUnavailable: No acknowledgement within `timeout_s`.
            InvalidRequest: The topic takes no record of this size.
            RightsError, AuthenticationError: Kafka denies us access.
        """

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        """Hand one record over, in the order of the calls; raises as `append`."""

    async def check(self, topic: str) -> None:
        """Make sure that the topic exists and may be written to.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def close(self) -> None:
        """Deliver what is on its way if Kafka answers within three seconds; never hangs."""


class AnswerLog(Protocol):
    """Results topic as seen by a client that waits, with the partitions that are added while it waits."""

    def waiting(
        self, expected: Expectation, *, connect_s: float
    ) -> AbstractAsyncContextManager["asyncio.Future[Outcome]"]:
        """Enter a future that is resolved by the first outcome published from now on for the request's id.

        The outcome may be that of another request with the same id: the caller compares.

        Raises:
            MissingTopic: There is no results topic.
            Unreachable: Kafka could not be reached within `connect_s`.
            RightsError, AuthenticationError: Kafka denies us access.
        """

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        """Return the awaited answer, or an earlier outcome of the id, whichever is found first.

        An earlier one is skipped unless `accepts` allows it: it may be another request's.
        """

    async def close(self) -> None:
        """Stop following; waits that are left are cancelled."""


@dataclass(frozen=True, slots=True)
class Home:
    """The one partition of a topic that a reader follows in any case, and the number of the topic's partitions."""

    partition: int
    partitions: int


class Follower(Protocol):
    """Receiver of the records of one key."""

    def deliver(self, record: StoredRecord) -> None:
        """Take a record of the key, in the order of its partition."""

    def fail(self, reason: HeadraceError) -> None:
        """Take note that the topic is followed no longer, and that records may be missed."""


class KeyedLog(Protocol):
    """One topic, followed for the records of chosen keys; only the partitions that can hold these are read."""

    async def home(self, *, connect_s: float) -> Home:
        """Return the partition that is followed in any case; chosen once, at random.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable: Kafka could not be reached within `connect_s`.
            RightsError, AuthenticationError: Kafka denies us access.
        """

    def partition_of(self, key: bytes) -> int:
        """Return the partition of a key's records; call it after `home`."""

    def following(self, key: bytes, follower: Follower, *, connect_s: float) -> AbstractAsyncContextManager[None]:
        """Enter the delivery of a key's records that are published from now on; raises as `home`."""

    async def close(self) -> None:
        """Stop following; never hangs."""


class HomeAnswers(AnswerLog, Protocol):
    """Answers that are read from one partition alone, and from others while an id there is waited for."""

    async def home(self, *, connect_s: float) -> Home:
        """See `KeyedLog.home`."""

    def partition_of(self, key: bytes) -> int:
        """See `KeyedLog.partition_of`."""

    async def earlier(self, request_id: str, *, connect_s: float) -> Outcome | None:
        """Return the outcome that an id has already, of its latest run; None if there is none that far back.

        Raises as `home`, and Unreachable if the search fails.
        """


class OutcomeLog(Protocol):
    """One topic, read by one member of a group, or by a reader without a group that commits nothing.

    A partition that is added meanwhile is read from its first record, within half a minute.
    """

    async def open(self) -> None:
        """Connect, and wait until partitions are assigned and every position is set.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def next(self, *, timeout_ms: int) -> Arrived | None:
        """Return the next record, or None if none came in time.

        Raises:
            RightsError: Kafka denies us reading.
            Unreachable: Kafka answers with an error; `open` again.
        """

    @property
    def buffered(self) -> int:
        """Number of records that `next` has without asking Kafka."""

    @property
    def made_anew(self) -> int:
        """Number of times the topic was deleted and recreated while it was read; it is then read from its beginning."""

    def mark_handled(self, arrived: Arrived) -> None:
        """Let the next `commit` cover this record; without effect if its partition was taken from us since."""

    async def commit(self) -> None:
        """Store the group's position. What cannot be stored now is stored later, or read again: at least once."""

    async def ends(self) -> dict[int, int]:
        """Return the present end of every partition, as a read_committed reader sees it."""

    async def is_past(self, ends: dict[int, int]) -> bool:
        """Whether nothing below these ends is left, neither in our partitions nor in the buffer."""

    async def close(self) -> None:
        """Commit what is handled and leave the group; never hangs."""


class ScanLog(Protocol):
    """A whole topic read once, up to its end at the time of opening.

    Attributes:
        partitions: Those of the topic, ascending; known once it is open.
        offsets: Number of offsets to go through; markers and aborted records count.
        firsts: First offset of each partition; nothing is left to read before it.
        ends: End of each partition: one above the last offset that a committed reader sees.
    """

    partitions: tuple[int, ...]
    offsets: int
    firsts: dict[int, int]
    ends: dict[int, int]

    @property
    def offsets_done(self) -> int:
        """Number of `offsets` already passed."""

    async def open(self) -> None:
        """Connect, and note where every partition begins and ends.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def take(self, partition: int) -> Sequence[StoredRecord]:
        """Return the next records of a partition; none: its end is reached, and stays reached.

        Raises:
            RightsError: Kafka denies us reading.
            Unreachable: Kafka is away.
        """

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """Continue from these offsets, in every partition; `offsets` and `offsets_done` count from there."""

    async def at(self, partition: int, offset: int) -> StoredRecord | None:
        """Return the record at exactly that position, or None if a committed reader sees none there.

        To read on, call `go_to` again.
        """

    async def close(self) -> None:
        """Leave; never hangs."""


@runtime_checkable
class ClientDoors(Protocol):
    """Maker of the doors of one cluster; making one connects nothing."""

    def submissions(self) -> SubmitLog:
        """Make the door of a producer."""

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        """Make the door of a producer that waits; earlier outcomes are found that far back."""

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> OutcomeLog:
        """Make the door of a service that acts on outcomes."""

    def scan(self, topic: str, *, since: datetime | None) -> ScanLog:
        """Make the door of a reader that searches a topic; `since` is compared with Kafka's timestamps."""


@runtime_checkable
class GatewayDoors(ClientDoors, Protocol):
    """Maker of a gateway's doors, which read only what may concern its own requests."""

    def home_answers(self, topic: str, *, read_back_s: float) -> HomeAnswers:
        """Make the door to the outcomes of this gateway's requests."""

    def keyed(self, topic: str) -> KeyedLog:
        """Make the door to a topic that is followed for single keys."""
