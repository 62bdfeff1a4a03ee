"""Record intake: one task per lane while this process leads, its partitions in turn; likewise for the control topic.

It takes no more than the core has room for, and rewinds to what the core could not take. A partition without room is
not asked; only those read with caution are not fetched ahead. A halted intake has returned all it took: a new term
starts from the stored maps without gap.

What may have ended former leaders is taken by `cautious_intake`; `handover` takes a fetched record to the core.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog

from headrace.broker.core.events import PartitionFound
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.on_demand_ports import OnDemandLog
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.cautious_intake import CautiousIntake
from headrace.broker.service.intake.entry import Entry, Reader, is_large
from headrace.broker.service.intake.handover import Handover
from headrace.broker.service.intake.lane_room import CLOSED_WAIT_MS, LaneRoom
from headrace.broker.service.offload import Offload, at_once
from headrace.broker.tasks import ended, set_within

RECORDS_A_TAKE = 50
IDLE_WAIT_MS = 1_000
"""Wait of a lane with room in all partitions for its next record, which ends the wait at once."""
PARTITIONS_LOOKED_UP_EVERY_MS = 10_000
RETRY_S = 0.5
LAST_OF_FORMER_MS = 60_000
"""Time in which the requests of a deleted topic may still be answered before its successor is read."""

_log = structlog.get_logger("intake")


class TopicMadeAnewError(Exception):
    """The lane's topic was deleted and recreated: no offset taken or stored before has any meaning in it."""


class LaneIntake:
    """Intake of one lane, or of the control topic: its records from Kafka to the core."""

    def __init__(  # noqa: PLR0913 — offload has a default
        self, lane: str, topic: str, log: OnDemandLog, driver: Driver, reader: Reader, *, offload: Offload = at_once
    ) -> None:
        """`log` is the lane's door, opened by the first query. `offload` reads large values."""
        self.lane = lane
        self.topic = topic
        self.log = log
        self._driver = driver
        self._room = LaneRoom(lane, driver)
        self._handover = Handover(topic, Entry(reader, offload, driver.contained), driver)
        self._caution = CautiousIntake(lane, log, driver, self._room, self._handover)
        self._task: asyncio.Task[None] | None = None
        self._turn = 0
        self._looked_up_ms: int | None = None
        self._topic_id: str | None = None
        self._partitions: list[int] = []

    @property
    def read_ahead_max(self) -> int:
        """See `headrace.broker.core.requests.registry.TicketRegistry.read_ahead_max`."""
        return self._driver.core.registry.read_ahead_max(self.lane)

    async def begin(self, positions: dict[int, int], cautions: Mapping[int, CautiousRead] | None = None) -> None:
        """Take from these offsets on; the core has been promoted with progress that starts there.

        Partitions with a caution may hold a record that has ended former leaders.
        """
        cautions = cautions or {}
        await self.log.start(positions, on_demand=cautions.keys())
        self._caution.begin(cautions)
        self._looked_up_ms = self._driver.clock.now_ms()
        self._topic_id = self.log.topic_id
        self._partitions = sorted(positions)
        self._task = asyncio.create_task(self._run(self._partitions), name=f"intake {self.lane}")

    async def halt(self) -> None:
        """Stop taking; afterwards no record is between Kafka and the core."""
        task, self._task = self._task, None
        if task is not None:
            await ended(task)
        self._caution.halt()

    @property
    def takes(self) -> bool:
        """Whether the lane is being read."""
        return self._task is not None

    async def lag(self) -> int | None:
        """Return how many offsets the readable end of the log is ahead of what was taken; None while nothing is taken.

        Raises:
            headrace.broker.errors.LogUnavailable: Kafka does not say.
        """
        if not self.takes:
            return None
        bounds = await self.log.bounds(self._partitions)
        if not self.takes:  # halted in the meantime
            return None
        return sum(max(0, end - self.log.position(partition)) for partition, (_, end) in bounds.items())

    def failure(self) -> BaseException | None:
        """Return what ended the task, if it ended by itself: a defect, never the absence of Kafka."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _run(self, partitions: list[int]) -> None:
        while True:
            try:
                partitions = self._partitions = await self._look_up(partitions)
                took = await self._round(partitions)
            except (LogUnavailable, MissingTopic) as error:
                _log.warning("lane_unreadable", lane=self.lane, reason=str(error))
                await self._caution.strike_off()
                await asyncio.sleep(RETRY_S)
                self._looked_up_ms = None  # the topic may have been recreated: check before anything is taken
                continue
            if self._caution.is_naming and not took:
                await self._caution.strike_off()
            elif not took:
                await self._idle(partitions)

    async def _round(self, partitions: Sequence[int]) -> bool:
        """Run one turn over all partitions, starting one partition later than in the turn before."""
        self._turn += 1
        took_any = False
        for step in range(len(partitions)):
            partition = partitions[(self._turn + step) % len(partitions)]
            room = self._room.of(partition)
            if room <= 0:
                continue
            if self._caution.covers(partition):
                took = await self._caution.take(partition)
            elif self._driver.cautious:
                if self.log.is_at_end(partition):
                    continue  # otherwise each look would cost a transaction that strikes off what is named elsewhere
                async with self._driver.naming:  # a named record must not be blamed for what is read elsewhere
                    await self._driver.name()
                    took = await self._took(partition, room)
            else:
                took = await self._took(partition, room)
            if took:
                took_any = True
                await asyncio.sleep(0)  # decoding is CPU work: let answers and timers run between two partitions
        return took_any

    async def _took(self, partition: int, room: int) -> bool:
        return await self._posted(partition, await self.log.take(partition, min(room, RECORDS_A_TAKE)))

    async def _idle(self, partitions: Sequence[int]) -> None:
        open_now = [one for one in partitions if self._room.of(one) > 0 and not self._caution.covers(one)]
        if open_now:
            await self.log.wait(open_now, IDLE_WAIT_MS if len(open_now) == len(partitions) else CLOSED_WAIT_MS)
            return
        self._driver.room_changed.clear()
        await set_within(self._driver.room_changed, CLOSED_WAIT_MS / 1_000)

    async def _posted(self, partition: int, got: Sequence[Fetched] | UnreadableRange) -> bool:
        if isinstance(got, UnreadableRange):
            self._handover.lose_batch(LanePartition(self.lane, partition), got)
            return True
        for fetched in got:
            source = Source(LanePartition(self.lane, partition), fetched.offset)
            want = self._driver.core.want(source)
            if want is Want.TAKE:
                hand_over = await self._handover.read(source, fetched)
                want = self._driver.core.want(source)  # reading a large record takes time: the term may have ended
                if want is Want.TAKE:
                    hand_over()
                    if is_large(fetched.record) and fetched is not got[-1] and self._room.of(partition) <= 0:
                        self.log.rewind(partition, fetched.offset + 1)
                        break
            if want is Want.FULL:
                self.log.rewind(partition, fetched.offset)
                self._room.close(partition)
                break
        return bool(got)

    def lose(self, partition: int, offset: int, *, removed: bool = True, crashed: bool = False) -> None:
        """Report that the records below `offset` are unreadable: removed by retention, in a corrupt batch, or fatal."""
        self._handover.lose(LanePartition(self.lane, partition), offset, removed=removed, crashed=crashed)

    async def _look_up(self, partitions: list[int]) -> list[int]:
        """Find added partitions, which start at their first record. Assigning forgets positions: all are set again."""
        now_ms = self._driver.clock.now_ms()
        if self._looked_up_ms is not None and now_ms - self._looked_up_ms < PARTITIONS_LOOKED_UP_EVERY_MS:
            return partitions
        found = await self.log.partitions()
        self._looked_up_ms = now_ms
        if self._topic_id is not None and self.log.topic_id not in {None, self._topic_id}:
            await self._answer_last_of_former()
            raise TopicMadeAnewError(f"{self.topic} was deleted and recreated: it is taken from its beginning.")
        new = [number for number in found if number not in partitions]
        if not new:
            return partitions
        for number in new:
            self._driver.post(PartitionFound(LanePartition(self.lane, number), PartitionProgress(0)))
        positions = {number: 0 if number in new else self.log.position(number) for number in found}
        await self.log.start(positions, on_demand=self._caution.partitions)
        return found

    async def _answer_last_of_former(self) -> None:
        """Wait, for a limited time, until what was taken from the former topic has its outcomes; take nothing more."""
        _log.error("lane_made_anew", lane=self.lane, topic=self.topic)
        driver = self._driver
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_OF_FORMER_MS / 1_000):
                while any(each.source.partition.lane == self.lane for each in driver.hold.cargo.values()):
                    driver.room_changed.clear()
                    await driver.room_changed.wait()
