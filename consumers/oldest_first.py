"""One pass over a topic, its partitions merged by time: what the readers of past records have in common.

No group: nothing is stored and no other reader is disturbed. It holds a fetch of each partition at most.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from headrace.broker.client_ports import ScanLog, StoredRecord
from headrace.consumers.opening import Opened


class OldestFirst:
    """Merge of several partitions, each in its own order, into one sequence by time."""

    def __init__(self, partitions: Sequence[int], take: Callable[[int], Awaitable[Sequence[StoredRecord]]]) -> None:
        """`take` returns the next records of a partition, none at its end."""
        self._take = take
        self._heads: dict[int, deque[StoredRecord]] = {number: deque() for number in partitions}

    async def next(self) -> StoredRecord | None:
        """Return the oldest record among the partitions' next ones; None when all are at their end."""
        for number in [number for number, head in self._heads.items() if not head]:
            self._heads[number].extend(await self._take(number))
            if not self._heads[number]:
                del self._heads[number]
        if not self._heads:
            return None
        return min(self._heads.values(), key=lambda head: (head[0].timestamp_ms, head[0].partition)).popleft()

    def leave(self, partition: int) -> None:
        """Take no more records of this partition."""
        self._heads.pop(partition, None)


class OldestFirstReader(Opened):
    """Reader of a scan, to where its topic ended when it was opened."""

    def __init__(self, scan: ScanLog) -> None:
        self._scan = scan
        self._order: OldestFirst | None = None

    async def open(self) -> None:
        """Connect, and note where the topic ends. `async with` does so, too.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        if self._order is None:
            await self._scan.open()
            self._go_to_start()
            self._order = OldestFirst(self._scan.partitions, self._scan.take)

    def _go_to_start(self) -> None:
        """Seek, where the pass does not start at the scan's own first offsets."""

    async def close(self) -> None:
        """Close the connection; never hangs."""
        self._order = None
        await self._scan.close()

    @property
    def offsets(self) -> int:
        """Number of offsets to go through."""
        return self._scan.offsets

    @property
    def offsets_done(self) -> int:
        """Number of offsets read so far."""
        return self._scan.offsets_done

    async def next(self) -> StoredRecord | None:
        """Return the next record; None at the end, and while it is not open. Raises as `ScanLog.take`."""
        return None if self._order is None else await self._order.next()
