"""Fetches drawn by seed: what is upcoming, and what is taken, beside a plain list of what the batches hold."""

import random
import struct
from dataclasses import dataclass, field
from itertools import takewhile

import pytest

from headrace.broker.adapters.kafka.batches import readable_batches
from headrace.broker.adapters.kafka.fetched_batches import FetchedBatches
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from tests.unit.adapters.raw_batches import GZIP, ZSTD, batch, one

TRANSACTIONAL, CONTROL = 0x10, 0x20
PRODUCERS = (5, 6)
ABORT, COMMIT = 0, 1


def marker(offset: int, producer_id: int, kind: int) -> bytes:
    key = struct.pack(">hh", 0, kind)
    attributes = TRANSACTIONAL | CONTROL
    return batch(offset, [one(struct.pack(">hi", 0, 0), key=key)], attributes=attributes, producer_id=producer_id)


@dataclass
class Drawn:
    """A partition, and what a reader gets of it: values by offset, and the offsets of damaged batches."""

    dice: random.Random
    end: int = 3
    batches: list[tuple[int, bytes]] = field(default_factory=list)  # each with the offset behind it
    aborted: list[tuple[int, int, int]] = field(default_factory=list)  # producer, first offset, marker
    values: dict[int, bytes] = field(default_factory=dict)
    damaged: list[range] = field(default_factory=list)
    dense: dict[int, range] = field(default_factory=dict)

    def __post_init__(self) -> None:
        begun: dict[int, tuple[int, int]] = {}  # producer: its first offset, and the marker that will end it
        for _ in range(self.dice.randint(0, 14)):
            match self.dice.choice(["plain", "plain", "sparse", "damaged", "transactional", "transactional", "marker"]):
                case "transactional":
                    producer = self.dice.choice(PRODUCERS)
                    begun.setdefault(producer, (self.end, self.dice.choice([ABORT, COMMIT])))
                    self._append(producer, is_read=begun[producer][1] == COMMIT)
                case "marker" if begun:
                    self._mark(begun, self.dice.choice([*begun]))
                case "marker":
                    pass
                case kind:
                    self._append(-1, is_sparse=kind == "sparse", is_damaged=kind == "damaged")
        for producer in [*begun]:
            self._mark(begun, producer)

    def _mark(self, begun: dict[int, tuple[int, int]], producer: int) -> None:
        first, kind = begun.pop(producer)
        if kind == ABORT:
            self.aborted.append((producer, first, self.end))
        self.batches.append((self.end + 1, marker(self.end, producer, kind)))
        self.end += 1

    def _append(
        self, producer: int, *, is_read: bool = True, is_sparse: bool = False, is_damaged: bool = False
    ) -> None:
        first, count = self.end, self.dice.randint(1, 6)
        values = [b"%d" % (first + delta) for delta in range(count)]
        beyond = self.dice.randint(1, 4) if is_sparse else 0  # compaction took the last ones away
        raw = batch(
            first,
            [one(value) for value in values],
            codec=self.dice.choice([0, 0, GZIP, ZSTD]),
            attributes=TRANSACTIONAL if producer >= 0 else 0,
            producer_id=producer,
            last_offset_delta=count - 1 + beyond,
        )
        self.end += count + beyond
        self.batches.append((self.end, raw[:-1] + bytes([raw[-1] ^ 1]) if is_damaged else raw))
        offsets = range(first, self.end)
        if is_damaged:
            self.damaged.append(offsets)
        elif is_read:
            self.values |= {first + delta: value for delta, value in enumerate(values)}
        if is_read and not is_sparse:
            self.dense |= dict.fromkeys(offsets, offsets)

    def fetched(self, first: int) -> FetchedBatches:
        """What Kafka sends for a fetch from there on."""
        data = b"".join(raw for end, raw in self.batches if end > first)
        aborted = [(producer, begun) for producer, begun, marked in self.aborted if marked >= first]
        return FetchedBatches(*readable_batches(data, first, aborted), first)


def offsets_of(got: list[Fetched] | UnreadableRange) -> list[int]:
    """The offsets that a take is done with."""
    if isinstance(got, UnreadableRange):
        return [*range(got.first, got.last + 1)]
    return [each.offset for each in got]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_is_fetched_is_announced_and_comes_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    drawn = Drawn(dice)
    due = {*drawn.values, *(offset for damaged in drawn.damaged for offset in damaged)}
    fetched, begin, position = drawn.fetched(3), 3, 3
    for _ in range(60):
        if dice.random() < 0.15:
            position = dice.randint(begin, drawn.end)
            assert fetched.move(position) is True
            assert fetched.take(9) == [], "it was not asked for"
        if dice.random() < 0.1:
            fetched, begin = drawn.fetched(position), position
        if dice.random() < 0.1:
            fetched.release()
        records_max = dice.randint(1, 9)
        announced = fetched.upcoming(records_max)
        left = sorted(offset for offset in due if offset >= position)
        if announced is None:
            assert left == []
            assert (fetched.position, fetched.take(records_max)) == (drawn.end, [])
            continue
        check(drawn, announced, fetched, left, records_max)
        if dice.random() < 0.2:
            assert fetched.upcoming(records_max) == announced, "it takes nothing away"
        asked = dice.randint(1, len(announced.offsets))
        done = offsets_of(fetched.take(asked))
        position = fetched.position
        assert done == [] or done == left[: len(done)]
        assert all(offset not in due or offset in done for offset in range(announced.offsets[0], position))
        if announced.offsets[0] in drawn.dense:
            assert done, "what is announced is there"
            assert len(done) <= asked or len({drawn.dense[offset] for offset in done}) == 1, "or one range is lost"
        else:
            assert all(offset < announced.batch_end for offset in done), "no batch is unpacked behind what is named"


def check(drawn: Drawn, announced: Upcoming, fetched: FetchedBatches, left: list[int], records_max: int) -> None:
    """What is announced is as much as there is before the next batch with gaps; of such a batch, one offset."""
    first = announced.offsets[0]
    assert first == fetched.position
    if first not in drawn.dense:
        assert len(announced.offsets) == 1
        assert announced.batch_end > first
        return
    dense = list(takewhile(drawn.dense.__contains__, left))
    assert announced.offsets[: len(dense)] == dense[:records_max]
    assert announced.batch_end == drawn.dense[first].stop


def test_moving_is_only_within_what_was_fetched() -> None:
    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a"), one(b"b")]), 6, ()), 6)
    assert fetched.upcoming(9) == Upcoming([6], 7)
    assert [fetched.move(offset) for offset in (5, 8, 7, 6)] == [False, False, True, True]
    assert fetched.upcoming(9) == Upcoming([6], 7)
    got = fetched.take(9)
    assert isinstance(got, list)
    assert [(each.offset, each.record.value) for each in got] == [(6, b"b")]


def test_messages_of_an_older_format_are_one_range_that_cannot_be_read() -> None:
    old = struct.pack(">qiib", 7, 20, 0, 1) + bytes(15)
    fetched = FetchedBatches(*readable_batches(old + batch(8, [one(b"a")]), 5, ()), 5)
    assert fetched.upcoming(9) == Upcoming([5], 8)
    assert fetched.take(1) == UnreadableRange(5, 7)
    assert fetched.upcoming(9) == Upcoming([8], 9)


def test_a_defect_in_reading_costs_the_batch_and_not_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("headrace.broker.adapters.kafka.batches._records", defect)
    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a"), one(b"b")]), 5, ()), 5)
    assert fetched.upcoming(1) == Upcoming([5], 7)
    assert fetched.take(1) == UnreadableRange(5, 6)
    assert (fetched.position, fetched.upcoming(1)) == (7, None)


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_where_there_is_no_memory_nothing_is_lost(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise error

    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a")]), 5, ()), 5)
    assert fetched.upcoming(1) == Upcoming([5], 6)
    with monkeypatch.context() as patched:
        patched.setattr("headrace.broker.adapters.kafka.batches._records", full)
        with pytest.raises(error):
            fetched.take(1)
    assert offsets_of(fetched.take(1)) == [5]


def test_empty_batches_and_the_tails_of_compacted_ones_announce_no_other_batch() -> None:
    compacted = batch(5, [one(b"a")], last_offset_delta=3)
    empty = batch(9, [], last_offset_delta=2)
    fetched = FetchedBatches(*readable_batches(compacted + empty + batch(12, [one(b"b")]), 6, ()), 6)
    assert fetched.upcoming(9) == Upcoming([6], 9)
    assert (fetched.take(1), fetched.position) == ([], 9)
    assert fetched.upcoming(9) == Upcoming([12], 13)
    assert offsets_of(fetched.take(1)) == [12]


def test_what_is_held_unpacked_is_known_and_can_be_released() -> None:
    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a" * 1_000), one(b"b")], codec=ZSTD), 5, ()), 5)
    fetched.upcoming(1)
    assert fetched.unpacked_bytes == 0
    assert offsets_of(fetched.take(1)) == [5]
    assert 1_000 < fetched.unpacked_bytes < 2_000
    fetched.release()
    assert fetched.unpacked_bytes == 0
    fetched.upcoming(1)
    assert offsets_of(fetched.take(1)) == [6]
