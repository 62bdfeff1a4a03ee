"""The waiting records: kept while there is room, else read again when they are due.

Records that wait for hours must not fill the memory, and most records wait for a minute only.
"""

from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import Fetched, LaneLog, UnreadableRange

READ_A_TIME = 200
_WAIT_MS = 100
_WAITS_MAX = 100
"""Ten seconds without the record; then Kafka is asked for its bounds."""


class RecordCache:
    """The failures topic by offset.

    Attributes:
        held_bytes: Size of the kept records.
        read_again: Number of records read a second time.
    """

    def __init__(self, log: LaneLog, *, held_bytes_max: int) -> None:
        """`log` is read at any offset; it has no other reader."""
        self._log = log
        self._held_bytes_max = held_bytes_max
        self._held: dict[tuple[int, int], Fetched] = {}
        self.held_bytes = 0
        self.read_again = 0

    def keep(self, partition: int, fetched: Fetched) -> None:
        """Keep a record, if there is room."""
        weight = fetched.record.bytes_max
        if self.held_bytes + weight <= self._held_bytes_max:
            self._held[partition, fetched.offset] = fetched
            self.held_bytes += weight

    def clear(self) -> None:
        """Drop all kept records."""
        self._held = {}
        self.held_bytes = 0

    async def of(self, partition: int, offsets: list[int]) -> dict[int, Fetched]:
        """Return the records at these offsets; one that is missing in the result can no longer be read.

        Raises:
            LogUnavailable: Kafka does not answer.
        """
        found = {offset: fetched for offset in offsets if (fetched := self._let_go(partition, offset)) is not None}
        missing = sorted(set(offsets) - found.keys())
        if missing:
            await self._read(partition, missing, found)
        return found

    def _let_go(self, partition: int, offset: int) -> Fetched | None:
        fetched = self._held.pop((partition, offset), None)
        if fetched is not None:
            self.held_bytes -= fetched.record.bytes_max
        return fetched

    async def _read(self, partition: int, missing: list[int], found: dict[int, Fetched]) -> None:
        """Read each from its offset on; adjacent ones arrive in one fetch."""
        await self._log.start({partition: missing[0]})
        for offset in missing:
            if offset in found:
                continue
            if self._log.position(partition) > offset:
                continue  # the reader has passed it: it no longer exists
            self._log.rewind(partition, offset)
            for fetched in await self._from(partition, offset):
                found[fetched.offset] = fetched
                self.read_again += 1

    async def _from(self, partition: int, offset: int) -> list[Fetched]:
        for _ in range(_WAITS_MAX):
            got = await self._log.take(partition, READ_A_TIME)
            if isinstance(got, UnreadableRange):
                return []
            if got:
                return list(got)
            await self._log.wait([partition], _WAIT_MS)
        start, end = (await self._log.bounds([partition]))[partition]
        if start <= offset < end:
            raise LogUnavailable(
                f"Offset {offset} of failures partition {partition} does not arrive, though it exists."
            )
        return []
