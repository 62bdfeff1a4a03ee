"""Fetches drawn by seed: what is upcoming, and what is taken, beside a plain list of what the batches hold."""

import random
import struct
from dataclasses import dataclass, field

import pytest

from headrace.broker.adapters.kafka.batches import readable_batches
from headrace.broker.adapters.kafka.fetched_batches import FetchedBatches
from headrace.broker.ports import Fetched, UnreadableRange, Upcoming
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


def took(got: list[Fetched] | UnreadableRange) -> list[int]:
    """The offsets that are done with a take."""
    if isinstance(got, UnreadableRange):
        return [*range(got.first, got.last + 1)]
    return [each.offset for each in got]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_is_fetched_is_told_beforehand_and_comes_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    drawn = Drawn(dice)
    due = {*drawn.values, *(offset for damaged in drawn.damaged for offset in damaged)}
    fetched, begin, position = drawn.fetched(3), 3, 3
    for _ in range(60):
        if dice.random() < 0.15:
            position = dice.randint(begin, drawn.end)
            assert fetched.move(position) is True
        if dice.random() < 0.1:
            fetched, begin = drawn.fetched(position), position
        most = dice.randint(1, 9)
        told = fetched.upcoming(most)
        left = sorted(offset for offset in due if offset >= position)
        if told is None:
            assert left == []
            assert (fetched.position, fetched.take(most)) == (drawn.end, [])
            continue
        check(drawn, told, fetched, left, most)
        if dice.random() < 0.2:
            assert fetched.upcoming(most) == told, "it takes nothing away"
        done = took(fetched.take(len(told.offsets)))
        assert done == [] or done == left[: len(done)]
        position = fetched.position
        assert all(offset not in due or offset in done for offset in range(told.offsets.start, position))


def check(drawn: Drawn, told: Upcoming, fetched: FetchedBatches, left: list[int], most: int) -> None:
    """What is upcoming is as many adjacent offsets as there are, within what is dense; else one."""
    first = told.offsets.start
    assert first == fetched.position
    assert 1 <= len(told.offsets) <= most
    if first not in drawn.dense:
        assert len(told.offsets) == 1
        assert told.batch_end > first
        return
    assert left[: len(told.offsets)] == [*told.offsets]
    assert told.batch_end == drawn.dense[first].stop
    behind = told.offsets.stop
    assert len(told.offsets) == most or behind not in drawn.dense or behind not in left


def test_moving_is_only_within_what_was_fetched() -> None:
    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a"), one(b"b")]), 6, ()), 6)
    assert fetched.upcoming(9) == Upcoming(range(6, 7), 7)
    assert [fetched.move(offset) for offset in (5, 8, 7, 6)] == [False, False, True, True]
    got = fetched.take(9)
    assert isinstance(got, list)
    assert [(each.offset, each.record.value) for each in got] == [(6, b"b")]


def test_messages_of_an_older_format_are_one_range_that_cannot_be_read() -> None:
    old = struct.pack(">qiib", 7, 20, 0, 1) + bytes(15)
    fetched = FetchedBatches(*readable_batches(old + batch(8, [one(b"a")]), 5, ()), 5)
    assert fetched.upcoming(9) == Upcoming(range(5, 6), 8)
    assert fetched.take(1) == UnreadableRange(5, 7)
    assert fetched.upcoming(9) == Upcoming(range(8, 9), 9)


def test_a_defect_in_reading_costs_the_batch_and_not_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("headrace.broker.adapters.kafka.batches._records", defect)
    fetched = FetchedBatches(*readable_batches(batch(5, [one(b"a"), one(b"b")]), 5, ()), 5)
    assert fetched.take(1) == UnreadableRange(5, 6)
    assert (fetched.position, fetched.upcoming(1)) == (7, None)
