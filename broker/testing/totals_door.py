"""The totals topic of a `MemoryKafka`, as a follower reads it."""

from collections.abc import Sequence
from typing import Final

from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.ports import UnreadableRange
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_log import PartitionLog
from headrace.schemas.record import Record

_ROWS_A_READ: Final = 2_000


class MemoryTotals:
    """A `headrace.broker.status_ports.TotalsLog`."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._next: dict[int, int] = {}

    async def open(self, from_wall_ms: int) -> None:
        """See `headrace.broker.status_ports.TotalsLog.open`."""
        try:
            await self._link.reach()
        except TimeoutError as error:
            raise LogUnavailable(f"The topic {self._topic} cannot be reached: Kafka is away.") from error
        for number, log in enumerate(self._link.kafka.logs(self._topic)):
            young = (offset for offset in range(log.start, log.end) if log.slots[offset].at_ms >= from_wall_ms)
            self._next[number] = next(young, log.stable_end)

    async def read(self, timeout_ms: int) -> Sequence[Record]:
        """See `headrace.broker.status_ports.TotalsLog.read`."""
        await self._link.until(lambda: any(map(self._has_more, self._next)), timeout_ms / 1_000)
        records: list[Record] = []
        for number, position in self._next.items() if self._link.is_up else ():
            rows, self._next[number] = self._log(number).read(position, _ROWS_A_READ)
            assert not isinstance(rows, UnreadableRange)  # noqa: S101 — programmer error: no test damages it
            records.extend(row.record for row in rows)
        return records

    async def is_at_end(self) -> bool:
        """See `headrace.broker.status_ports.TotalsLog.is_at_end`."""
        return self._link.is_up and not any(map(self._has_more, self._next))

    def _has_more(self, number: int) -> bool:
        return self._log(number).has_more(self._next[number])

    def _log(self, number: int) -> PartitionLog:
        try:
            return self._link.kafka.logs(self._topic)[number]
        except MissingTopic as error:
            raise LogUnavailable(f"The topic {self._topic} cannot be read: {error}") from error

    async def close(self) -> None:
        """See `headrace.broker.status_ports.TotalsLog.close`."""
        self._next = {}
