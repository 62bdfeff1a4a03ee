"""Protocols between producers and readers on one side and Kafka on the other, and the shapes that pass through them.

`GenerationClient` and the readers of `consumers` meet Kafka only by these. The real doors are in `broker.adapters`;
those of a `MemoryBroker` pass the same contract suite, so a service tests itself without a Kafka.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from schemas.expectation import Expectation
from schemas.outcome import Outcome
from schemas.record import Record

Start = Literal["earliest", "latest"] | datetime
"""Where a group that never read starts; a group that did goes on where it was."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a record stands, and since when (Kafka timestamp, ms)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record, where it stood, and in which assignment of partitions it was read."""

    partition: int
    offset: int
    timestamp_ms: int
    record: Record
    assignment: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record and where it stands; `timestamp_ms` is its Kafka timestamp."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    record: Record


class Pending(Protocol):
    """A record on its way."""

    async def wait(self, *, timeout_s: float) -> Appended:
        """Where it stands, once all replicas in sync have it; raises as `SubmitLog.append`."""


class SubmitLog(Protocol):
    """Appends records. One for each event loop; safe for many tasks at once."""

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        """Append one record and wait for its acknowledgement.

        Raises:
            MissingTopic: There is no such topic.
            LogUnavailable: No acknowledgement within `timeout_s`.
            InvalidRequest: The topic takes no record of this size.
            RightsError, AuthenticationError: Kafka does not let us.
        """

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        """Hand one record over, in the order of the calls; raises as `append`."""

    async def check(self, topic: str) -> None:
        """Be sure that the topic is there and may be written to.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def close(self) -> None:
        """Deliver what is on its way if Kafka answers within three seconds; never hangs."""


class AnswerLog(Protocol):
    """The results topic, as a client that waits sees it: with the partitions that are added while it waits."""

    def waiting(
        self, expected: Expectation, *, connect_s: float
    ) -> AbstractAsyncContextManager["asyncio.Future[Outcome]"]:
        """A future that the first outcome published from now on that concerns the request resolves.

        It may be another request's with the same id: the caller compares.

        Raises:
            MissingTopic: There is no results topic.
            Unreachable: Kafka could not be reached within `connect_s`.
            RightsError, AuthenticationError: Kafka does not let us.
        """

    async def or_earlier(
        self, request_id: str, answer: "asyncio.Future[Outcome]", *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        """The answer that is waited for, or an earlier outcome of the id, whichever is there first.

        An earlier one is passed over unless `accepts` says otherwise: it may be another request's.
        """

    async def close(self) -> None:
        """Stop following; waits that are left are cancelled."""


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
        """The next record, or None if none came in time.

        Raises:
            RightsError: Kafka does not let us read.
            Unreachable: Kafka answers with an error; `open` again.
        """

    @property
    def buffered(self) -> int:
        """Records that `next` has without asking Kafka."""

    @property
    def made_anew(self) -> int:
        """How often the topic was deleted and made anew while it was read; it is then read from its beginning."""

    def mark_handled(self, arrived: Arrived) -> None:
        """The next `commit` covers this record; without effect if its partition has been taken from us since."""

    async def commit(self) -> None:
        """Store how far the group is. What cannot be stored now is stored later, or read again: at least once."""

    async def ends(self) -> dict[int, int]:
        """The end of every partition now, as a read_committed reader sees it."""

    async def is_past(self, ends: dict[int, int]) -> bool:
        """True if nothing below these ends is left in the partitions that are ours, nor in the buffer."""

    async def close(self) -> None:
        """Commit what is handled and leave the group; never hangs."""


class ScanLog(Protocol):
    """A whole topic read once, to where it ended when it was opened.

    Attributes:
        partitions: Those of the topic, ascending; known once it is open.
        offsets: How many there are to go through; markers and aborted records count.
        firsts: Where it begins in each partition; nothing is left to read before.
        ends: Where it ends in each: one above the last offset that a committed reader sees.
    """

    partitions: tuple[int, ...]
    offsets: int
    firsts: dict[int, int]
    ends: dict[int, int]

    @property
    def offsets_done(self) -> int:
        """How many of `offsets` lie behind."""

    async def open(self) -> None:
        """Connect, and note where every partition begins and ends.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def take(self, partition: int) -> Sequence[StoredRecord]:
        """The next records of a partition; none: its end is reached, and stays reached.

        Raises:
            RightsError: Kafka does not let us read.
            Unreachable: Kafka is away.
        """

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """Go on from there, in every partition; `offsets` and `offsets_done` count from there."""

    async def at(self, partition: int, offset: int) -> StoredRecord | None:
        """The record at that very place, or None if there is none that a committed reader sees.

        Whoever reads on must `go_to` again.
        """

    async def close(self) -> None:
        """Leave; never hangs."""


@runtime_checkable
class ClientDoors(Protocol):
    """Makes the doors of one cluster; nothing is connected by making one."""

    def submissions(self) -> SubmitLog:
        """For a producer."""

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        """For a producer that waits; earlier outcomes are found as far back as that."""

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> OutcomeLog:
        """For a service that acts on outcomes."""

    def scan(self, topic: str, *, since: datetime | None) -> ScanLog:
        """For who looks through a topic; `since` is compared with Kafka's timestamps."""
