"""Port through which many records of a topic are read once, for sums over them: parts of it, in any order.

A part is a range of offsets of one partition: what a topic holds of a time, without a group and without commits.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol, runtime_checkable

from headrace.schemas.record import Headers

LONE_MS: Final = 3_600_000
"""A record dated this much behind the end of a time may be of a clock that was wrong: earlier ones may follow."""
LOOK_UPS_MAX: Final = 5


class RangeRecord(NamedTuple):
    """A record without its place; `timestamp_ms` is Kafka's."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets of one partition, from `first` to before `end`."""

    partition: int
    first: int
    end: int

    @property
    def offsets(self) -> int:
        """Their number; markers and aborted records count."""
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class RangePiece:
    """The next records of a range; `position` is behind them, `lost` the number of offsets that cannot be read."""

    records: Sequence[RangeRecord]
    position: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class TopicRanges:
    """What a topic holds of a time: a range of each partition that has any.

    Attributes:
        ranges: The ranges.
        reach_back_to: Where the oldest record begins if retention has removed earlier ones that may belong to the time;
            None: it has not.
        begins_at: Where the oldest record begins, if there is none before the time; None: there is.
        is_emptied: A partition has had records, of which none is left, so their time is not known: only retention tells
            how old they were at least.
    """

    ranges: tuple[OffsetRange, ...]
    reach_back_to: datetime | None = None
    begins_at: datetime | None = None
    is_emptied: bool = False


class RangeLog(Protocol):
    """One topic, for reading ranges of it."""

    async def open(self) -> None:
        """Connect.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """

    async def ranges(self, since: datetime, until: datetime | None) -> TopicRanges:
        """Return the range of each partition from the first record not before `since`.

        It ends at the first record not before `until`, or where the partition ends now. Times are compared with Kafka's
        timestamps, which need not ascend: other records may be among them. If that first record is dated `LONE_MS`
        later, the range goes on to the first one behind its date, and so on, `LOOK_UPS_MAX` times: else one record
        with a date in the future would hide all that follows it.

        Raises:
            Unreachable, RightsError: As Kafka says.
        """

    def read(self, part: OffsetRange) -> AsyncIterator[RangePiece]:
        """Yield the committed records of a range, as far as retention has left them.

        Raises:
            Unreachable: Kafka is away.
            RightsError: Kafka denies us reading.
        """

    async def close(self) -> None:
        """Leave; never hangs."""


@runtime_checkable
class RangeDoors(Protocol):
    """Maker of such doors; making one connects nothing."""

    def range_log(self, topic: str) -> RangeLog:
        """Make the door to one topic."""
