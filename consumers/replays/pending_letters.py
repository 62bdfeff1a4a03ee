"""Dead letters that a job has not considered yet, oldest first, and its progress in each partition.

Partitions are merged by time, and each is read in its own order. So a stored offset never passes a dead letter that was
not considered.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from headrace.broker.client_ports import ClientDoors, ScanLog, StoredRecord
from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.consumers.oldest_first import OldestFirstReader
from headrace.consumers.replays.job import Pass
from headrace.consumers.replays.job_offsets import Mark

CLOCKS_APART: Final = timedelta(minutes=1)
"""A record is written after the event it describes; Kafka's clock may lag the dispatcher's by this much."""


class PendingLetters(OldestFirstReader):
    """One pass, from the marks of a job to where the topic ends when it is opened."""

    def __init__(self, clients: ClientDoors, topic: str, pass_: Pass, marks: Mapping[int, Mark]) -> None:
        since = None if pass_.since is None else pass_.since - CLOCKS_APART
        super().__init__(clients.scan(topic, since=since))
        self._topic = topic
        self._pass = pass_
        self._marks = marks
        self._next: dict[int, int] = {}
        self._last = {number: mark.last for number, mark in marks.items()}

    def _go_to_start(self) -> None:
        firsts = self._scan.firsts
        self._next = {
            number: max(first, self._marks[number].offset) if number in self._marks else first
            for number, first in firsts.items()
        }
        self._scan.go_to(self._next)

    def consider(self, standing: StoredRecord) -> None:
        """Mark the record that `next` returned last as considered."""
        self._next[standing.partition] = standing.offset + 1
        self._last[standing.partition] = (standing.offset, standing.timestamp_ms)

    def stored(self, *, is_done: bool) -> dict[TopicPartition, StoredOffset]:
        """Return the job's progress as the group stores it: every partition, so that their notes agree."""
        return {
            TopicPartition(self._topic, number): Mark(
                offset, self._pass, self._last.get(number), is_done=is_done
            ).stored()
            for number, offset in self._next.items()
        }


async def check_same_topic(scan: ScanLog, marks: Mapping[int, Mark], group: str) -> None:
    """Ensure that the marks belong to this topic; the scan is open, and needs a `go_to` before the next read.

    Raises:
        ProgressUnreadable: The topic was deleted and made anew since.
    """
    for number, mark in marks.items():
        there = None
        if mark.last is not None:
            there = await scan.at(number, mark.last[0])
        is_other = there is not None and mark.last is not None and there.timestamp_ms != mark.last[1]
        if is_other or mark.offset > scan.ends.get(number, 0):
            raise ProgressUnreadable(
                f"The topic of dead letters was recreated since this replay last ran: delete the group {group} to "
                "start the replay over."
            )
