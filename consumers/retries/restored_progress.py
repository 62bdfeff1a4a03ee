"""Restored progress of a retrier that was just elected: each partition's, checked against Kafka's actual state.

Nothing is guessed. An offset that may have expired, a progress that is not ours, a topic that was made anew: each ends
the start with a sentence, since reading from the beginning would put back requests that were put back and answered long
ago. Each stored progress holds the number of partitions at the time when all were stored: one beyond them was added
since, and is read from offset 0, however old its records are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.broker.clock import WallClock
from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import FIRST_RECORD_YOUNG_MS, NO_OFFSET, LaneLog, OffsetStore, StoredOffset, TopicPartition
from headrace.consumers.retries.releases import Releases, ReleasesUnreadableError, progress_in


def _known(stored: Mapping[TopicPartition, StoredOffset]) -> dict[TopicPartition, StoredOffset]:
    """Keep those that have an offset."""
    return {place: each for place, each in stored.items() if each.offset != NO_OFFSET}


@dataclass(slots=True)
class RestoredRetries:
    """Restored progress: `term` is ours from the claim on; `lost` are offsets removed before they were put back."""

    term: int = 1
    partitions: dict[int, Releases] = field(default_factory=dict)
    lost: dict[int, range] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restorer:
    """Reader of the stored progress.

    Attributes:
        from_start: The operator allows missing offsets to be read as zero.
        former_id: Id of the topic that this process has read under the same lease. Another id now means that the topic
            was made anew since, and that no stored offset belongs to it.
    """

    topic: str
    log: LaneLog
    offsets: OffsetStore
    clock: WallClock
    from_start: bool = False
    former_id: str | None = None

    async def restore(self) -> RestoredRetries:
        """Read the progress of all partitions.

        Raises:
            LogUnavailable: Kafka gives no complete answer.
            MissingTopic: There is no such topic.
            ProgressUnreadable: A stored progress cannot be trusted; an operator must look.
        """
        numbers = await self.log.partitions()
        stored = await self.offsets.read([TopicPartition(self.topic, number) for number in numbers])
        bounds = await self.log.bounds(numbers)
        found = {place.partition: self._stored(place.partition, each) for place, each in _known(stored).items()}
        told = [progress_in(each.metadata) for each in _known(stored).values()]
        known = max((each.partitions for each in told), default=0)
        standing = RestoredRetries(max((each.term for each in told), default=0) + 1)
        if self.former_id is not None and self.log.topic_id not in {None, self.former_id}:
            found = {number: Releases(bounds[number][0]) for number in numbers}
        for number in numbers:
            start, end = bounds[number]
            if number in found:
                releases = found[number]
            else:
                releases = Releases(0) if 0 < known <= number else await self._fresh(number, start)
            if releases.seen > end:
                raise ProgressUnreadable(
                    f"{self.topic}/{number} ends at {end}, but offset {releases.seen - 1} was read from it: the "
                    "topic was recreated. Delete the offsets of the retrier's group for it, then start with "
                    "--from-start."
                )
            if start > releases.next_offset:
                standing.lost[number] = range(releases.next_offset, start)
                releases.lose_below(start)
            standing.partitions[number] = releases
        return standing

    def _stored(self, number: int, place: StoredOffset) -> Releases:
        try:
            return Releases.restore(place.offset, place.metadata)
        except ReleasesUnreadableError as error:
            raise ProgressUnreadable(
                f"The progress stored for {self.topic}/{number} is not Headrace's or is damaged ({error}); another "
                "client may have written to the retrier's group. Nothing was put back from it."
            ) from error

    async def _fresh(self, number: int, start: int) -> Releases:
        """Start a partition without a stored offset: none was ever put back, unless the offset has expired."""
        first_ms = await self.log.first_timestamp_ms(number)
        young = first_ms is None or self.clock.utc_ms() - first_ms < FIRST_RECORD_YOUNG_MS
        if self.from_start or (start == 0 and young):
            return Releases(start)
        raise ProgressUnreadable(
            f"No progress is stored for {self.topic}/{number}, yet it holds records older than a day: its offsets may "
            "have expired. Start with --from-start to put back everything it still holds; what was answered within the "
            "dedupe window is recognised."
        )
