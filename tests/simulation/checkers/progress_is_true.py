"""Progress never passes an incomplete record: what a stored map calls done was settled by then, or never was there.

Looked at after each transaction, since the next moment a successor may start from there. In the end nothing is left
open, and every map fits into an offset's metadata.
"""

from collections.abc import Iterator

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import LanePartition, Source
from tests.progress_seen import done_of, incomplete
from tests.simulation.history import History

METADATA_CHARS_MAX = 4_096


def check(history: History) -> Iterator[str]:
    """Every record that a map skips, every map too long, and what stays open."""
    offsets = {place: [record.source.offset for record in log] for place, log in history.kafka.logs.items()}
    settled: set[Source] = set(history.lost)
    for transaction in history.stored:
        settled.update(each.source for each in transaction.settled if each.record is not None)
        for place, stored in transaction.batch.offsets.items():
            who = f"{transaction.writer}'s batch {transaction.batch.serial} on {place}"
            if len(stored.metadata) > METADATA_CHARS_MAX:
                yield f"{who} has a map of {len(stored.metadata)} characters"
            progress = PartitionProgress.restore(stored.offset, stored.metadata)
            for offset in done_of(progress, offsets[place]):
                if Source(place, offset) not in settled:
                    yield f"{who} calls offset {offset} done, which nobody has settled"
    yield from _left_open(history, offsets)


def _left_open(history: History, offsets: dict[LanePartition, list[int]]) -> Iterator[str]:
    for place, progress in history.kafka.progress().items():
        if left := incomplete(progress):
            yield f"{place} ends with {left} records open"
        if offsets[place] and progress.next_offset <= offsets[place][-1]:
            yield f"{place} is read up to {progress.next_offset} only"
