"""One pass over a topic, its partitions merged by time: what the readers of past records have in common.

No group: nothing is stored and no other reader is disturbed. It holds a fetch of each partition at most.
"""

from collections import deque

from headrace.broker.client_ports import ScanLog, StoredRecord
from headrace.consumers.opening import Opened


class OldestFirstReader(Opened):
    """Reader of a scan, to where its topic ended when it was opened: each partition in its own order."""

    def __init__(self, scan: ScanLog) -> None:
        self._scan = scan
        self._heads: dict[int, deque[StoredRecord]] | None = None  # next records of each partition with more of them

    async def open(self) -> None:
        """Connect, and note where the topic ends. `async with` does so, too.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        if self._heads is None:
            await self._scan.open()
            self._go_to_start()
            self._heads = {number: deque() for number in self._scan.partitions}

    def _go_to_start(self) -> None:
        """Seek, where the pass does not start at the scan's own first offsets."""

    async def close(self) -> None:
        """Close the connection; never hangs."""
        self._heads = None
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
        """Return the oldest record among the partitions' next ones; None at the end, and while it is not open.

        Raises as `ScanLog.take`.
        """
        heads = self._heads or {}
        for number in [number for number, head in heads.items() if not head]:
            heads[number].extend(await self._scan.take(number))
            if not heads[number]:
                del heads[number]
        if not heads:
            return None
        return min(heads.values(), key=lambda head: (head[0].timestamp_ms, head[0].partition)).popleft()

    def leave(self, partition: int) -> None:
        """Leave the record that `next` returned last, and all behind it in its partition."""
        if self._heads is not None:
            self._heads.pop(partition, None)
