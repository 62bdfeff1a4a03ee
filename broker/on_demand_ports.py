"""A lane's log that is also read on demand: what comes next is known before any of it is unpacked.

Only an intake reads so, with caution. Its contract suite is that of `headrace.broker.ports.LaneLog`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.broker.ports import LaneLog, UnreadableRange


@dataclass(frozen=True, slots=True)
class Upcoming:
    """Offsets of records that have been fetched but not unpacked.

    Attributes:
        offsets: Ascending, each that of a record; offsets between them hold none. The first is the position of the
            partition. Empty at the end of the log. Of a batch in which compaction has left gaps one offset alone, which
            may hold no record.
        batch_end: The offset behind the batch that holds the first: it is unpacked as a whole.
    """

    offsets: Sequence[int]
    batch_end: int


class OnDemandLog(LaneLog, Protocol):
    """Records of one lane, of which some partitions may be read on demand."""

    async def start(self, positions: Mapping[int, int], *, on_demand: Collection[int] = ()) -> None:
        """Read these partitions from these offsets on; replaces what was read before.

        Records of the partitions in `on_demand` are neither fetched ahead nor unpacked: `upcoming` fetches them, and
        only the `take` that follows unpacks them. Such a `take` returns nothing that `upcoming` did not announce.
        """

    async def upcoming(self, partition: int, records_max: int) -> Upcoming | UnreadableRange | None:
        """Fetch from a partition that is read on demand; return the offsets of its next records, at most that many.

        The position passes markers and aborted records. None: Kafka has not answered yet; it is asked in the
        background, so ask again.

        Raises:
            headrace.broker.errors.LogUnavailable: Kafka does not say what comes next.
        """

    def read_ahead(self, partition: int) -> None:
        """Read a partition that was read on demand as all others from here on."""
