"""Records that wait are kept while there is room, and read again where there was none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.consumers.retries.record_cache import READ_A_TIME, RecordCache
from headrace.schemas.record import Record

WAITED_MS = 10_000
WAITED_TIMES = 100


def fetched(offset: int) -> Fetched:
    return Fetched(offset, 0, Record(None, b"x" * 10))


WEIGHT = fetched(0).record.bytes_max


@dataclass
class Log:
    """A `LaneLog` of one partition: records at some offsets, given out in bites."""

    offsets: list[int]
    bite: int = READ_A_TIME
    silent: int = 0
    rotten: range = range(0)
    bounded: tuple[int, int] = (0, 10_000)
    starts: list[Mapping[int, int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)
    topic_id: str | None = None

    async def partitions(self) -> list[int]:
        return [7]

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(partitions, self.bounded)

    async def first_timestamp_ms(self, partition: int) -> int | None:
        raise NotImplementedError

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        raise NotImplementedError

    async def start(self, positions: Mapping[int, int]) -> None:
        self.starts.append(positions)
        self.place = dict(positions)

    async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
        assert partitions == [7]
        self.waits.append(timeout_ms)

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        at = self.place[partition]
        if at in self.rotten:
            self.place[partition] = self.rotten.stop
            return UnreadableRange(self.rotten.start, self.rotten.stop - 1, removed=False)
        if self.silent:
            self.silent -= 1
            return []
        got = [each for each in self.offsets if each >= at][: min(records_max, self.bite)]
        if got:
            self.place[partition] = got[-1] + 1
        return [fetched(each) for each in got]

    def rewind(self, partition: int, offset: int) -> None:
        assert partition in self.place, "it is read already"
        self.place[partition] = offset

    def position(self, partition: int) -> int:
        return self.place[partition]

    def is_at_end(self, partition: int) -> bool:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def bodies(log: Log, records_max: int = 2) -> RecordCache:
    return RecordCache(log, held_bytes_max=records_max * WEIGHT)


async def test_a_record_that_is_kept_is_not_read_again() -> None:
    log = Log([])
    kept = bodies(log)
    kept.keep(7, fetched(3))
    kept.keep(7, fetched(4))
    assert kept.held_bytes == 2 * WEIGHT
    assert await kept.of(7, [3, 4]) == {3: fetched(3), 4: fetched(4)}
    assert (log.starts, kept.held_bytes, kept.read_again) == ([], 0, 0)


async def test_what_does_not_fit_is_read_again_and_what_left_makes_room() -> None:
    log = Log([*range(10)], bite=1)
    kept = bodies(log)
    for offset in range(3):
        kept.keep(7, fetched(offset))
    assert kept.held_bytes == 2 * WEIGHT
    assert await kept.of(7, [0, 2]) == {0: fetched(0), 2: fetched(2)}
    assert (log.starts, kept.held_bytes, kept.read_again) == ([{7: 2}], WEIGHT, 1)
    kept.keep(7, fetched(3))
    assert await kept.of(7, [1, 3]) == {1: fetched(1), 3: fetched(3)}
    assert (len(log.starts), kept.held_bytes) == (1, 0)


async def test_what_is_cleared_is_read_again() -> None:
    log = Log([*range(10)], bite=1)
    kept = bodies(log)
    kept.keep(7, fetched(3))
    kept.clear()
    assert kept.held_bytes == 0
    assert await kept.of(7, [3]) == {3: fetched(3)}
    assert log.starts == [{7: 3}]
    assert (kept.held_bytes, kept.read_again) == (0, 1)


async def test_records_far_apart_are_each_read_from_their_own_place() -> None:
    log = Log([*range(1_000)], bite=5)
    kept = bodies(log)
    found = await kept.of(7, [900, 0, 2])
    assert {0, 2, 900} <= found.keys()
    assert all(offset == each.offset for offset, each in found.items())
    assert log.place == {7: 905}
    assert kept.read_again == 10, "0 to 4 came in one go"


async def test_what_the_reader_has_passed_is_not_there_any_more_and_is_not_read_for() -> None:
    log = Log([0, 1, 2, 900])
    kept = bodies(log)
    assert (await kept.of(7, [0, 500, 900])).keys() == {0, 1, 2, 900}
    assert kept.read_again == 4


async def test_what_cannot_be_read_is_missing_and_the_next_is_found() -> None:
    log = Log([0, 20], bite=1, rotten=range(5, 9))
    found = await bodies(log).of(7, [0, 5, 20])
    assert found == {0: fetched(0), 20: fetched(20)}


@pytest.mark.parametrize(("bounds", "is_there"), [((3, 4), True), ((0, 3), False), ((4, 9), False)])
async def test_a_record_that_does_not_come_for_ten_seconds_is_missing_only_outside_the_bounds(
    bounds: tuple[int, int], *, is_there: bool
) -> None:
    log = Log([], bounded=bounds)
    if is_there:
        with pytest.raises(LogUnavailable):
            await bodies(log).of(7, [3])
    else:
        assert await bodies(log).of(7, [3]) == {}
    assert sum(log.waits) == WAITED_MS


async def test_a_record_that_comes_at_the_last_moment_is_taken() -> None:
    log = Log([3], silent=WAITED_TIMES - 1)
    assert await bodies(log).of(7, [3]) == {3: fetched(3)}
