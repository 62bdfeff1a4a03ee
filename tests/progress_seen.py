"""What tests ask of a partition's progress, beyond what a dispatcher does."""

from collections.abc import Iterable

from headrace.broker.core.progress.partition_progress import PartitionProgress


def incomplete(progress: PartitionProgress) -> int:
    """Number of open offsets."""
    return len(progress.store(0).opened)


def window(progress: PartitionProgress) -> int:
    """The distance between base and next_offset."""
    return progress.next_offset - progress.base


def done_of(progress: PartitionProgress, offsets: Iterable[int]) -> list[int]:
    """Those of the offsets that were finished, jumped over or lost."""
    opened = progress.store(0).opened
    return [offset for offset in offsets if offset < progress.next_offset and offset not in opened]


def holds(progress: PartitionProgress, offset: int) -> bool:
    """Whether something in memory will finish this offset."""
    return offset in progress.store(0).opened and not progress.awaits(offset)


def finish(progress: PartitionProgress, offset: int) -> None:
    """Close an offset that is held."""
    assert progress.close(offset), f"offset {offset} is not held"
