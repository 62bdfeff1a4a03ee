"""How much parking delays outcomes, and what happens to a partition whose map is full."""

from dataclasses import replace

import pytest

from headrace.broker.core.bounds import (
    CRAMPED_BELOW,
    PARKS_AHEAD_MAX,
)
from headrace.broker.core.progress.offset_map import MAP_BYTES_MAX
from headrace.broker.core.progress.partition_progress import PartitionProgress
from tests.unit.core.requests.test_parking import LANES, Bench, parks
from tests.unit.core.specimens import place


@pytest.mark.slow
def test_an_outcome_waits_behind_a_bounded_number_of_parkings() -> None:
    bench = Bench((LANES[0], replace(LANES[1], buffer_max=2_000, buffer_bytes_max=1 << 30)))
    bench.enqueue(1_000 + PARKS_AHEAD_MAX + 7)
    bench.pause()
    assert len(bench.relieve()) == PARKS_AHEAD_MAX
    assert bench.relieve() == []
    bench.outbox._waiting.clear()
    bench.holding.request_check(committed=True)
    assert len(bench.relieve()) == 7


# A partition whose map is nearly used up


def cramped(bench: Bench) -> None:
    """A partition in which the first of many open records is far behind the last one taken."""
    progress = PartitionProgress(0)
    for offset in (*range(600), 8 * MAP_BYTES_MAX - CRAMPED_BELOW):
        progress.take(offset, 0)
    assert 0 < progress.room() < CRAMPED_BELOW
    bench.registry.progress[place()] = progress


def test_whoever_waits_in_vain_leaves_a_partition_whose_map_is_full() -> None:
    bench = Bench()
    cramped(bench)
    bench.enqueue(2)
    bench.enqueue(1, "open")
    bench.enqueue(1, lane="urgent")
    asleep = bench.enqueue(1)[0]
    bench.limits.withdraw(asleep, 0)
    bench.pause()
    assert bench.relieve() == [], "looked at when a transaction is through"
    bench.holding.request_check(committed=True)
    assert len(parks(bench.relieve())) == 2
    assert (bench.waiting(), bench.waiting("urgent"), bench.waiting(limit="open")) == (0, 1, 1)


def test_a_partition_with_room_keeps_them() -> None:
    bench = Bench()
    bench.registry.progress[place()] = PartitionProgress(0)
    bench.enqueue(3)
    bench.pause()
    bench.holding.request_check(committed=True)
    assert bench.relieve() == []


def test_a_full_partition_too_is_cleared_in_bounded_steps() -> None:
    bench = Bench((LANES[0], replace(LANES[1], buffer_max=2_000, buffer_bytes_max=1 << 30)))
    cramped(bench)
    bench.enqueue(PARKS_AHEAD_MAX + 5)
    bench.pause()
    bench.holding.request_check(committed=True)
    assert len(bench.relieve()) == PARKS_AHEAD_MAX
