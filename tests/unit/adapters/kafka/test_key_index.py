"""Where keys stand is remembered without a gap, within a bound, and forgotten from the oldest on."""

import random

import pytest

from headrace.broker.adapters.kafka.key_index import _BLOCK, KeyIndex
from tests.long_proofs import with_long

P = 3


def key(number: int) -> bytes:
    return b"lead-%d" % number


def test_what_is_added_and_what_is_read_backwards_is_found_the_latest_first() -> None:
    index = KeyIndex()
    index.begin(P, 100)
    index.add(P, 100, key(1))
    index.add(P, 103, key(2))
    assert index.add_before(P, 90, [(90, key(1)), (95, key(3))])
    assert (index.find(P, key(1)), index.find(P, key(2)), index.find(P, key(3))) == ([100, 90], [103], [95])
    assert (index.find(P, key(4)), index.find(P + 1, key(1))) == ([], [])
    assert (index.low(P), index.low(P + 1), len(index)) == (90, None, 4)


def test_a_partition_that_begins_again_knows_nothing_of_before() -> None:
    index = KeyIndex()
    index.begin(P, 0)
    index.add(P, 0, key(1))
    index.begin(P, 50)
    assert (index.find(P, key(1)), index.low(P), len(index)) == ([], 50, 0)
    index.add(P, 50, key(1))
    index.clear()
    assert (index.find(P, key(1)), index.low(P), len(index)) == ([], None, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", with_long(range(5), 2))
def test_of_many_each_is_found_at_its_offsets_or_lies_below_what_is_covered(seed: int) -> None:
    dice = random.Random(seed)
    index = KeyIndex(entries_max=20_000)
    where: dict[tuple[int, bytes], list[int]] = {}
    ends = {0: 1_000_000, 1: 1_000_000}
    for partition, end in ends.items():
        index.begin(partition, end)
    for _ in range(60_000):
        partition, name = dice.randrange(2), key(dice.randrange(5_000))
        ends[partition] += dice.randint(1, 3)
        index.add(partition, ends[partition], name)
        where.setdefault((partition, name), []).insert(0, ends[partition])
    assert len(index) <= 20_000 + 2 * _BLOCK
    for (partition, name), offsets in where.items():
        low = index.low(partition)
        assert low is not None
        assert index.find(partition, name) == [offset for offset in offsets if offset >= low]
    assert all((index.low(partition) or 0) < end - 10_000 for partition, end in ends.items())


def test_what_is_read_backwards_finds_no_room_where_younger_records_have_it() -> None:
    index = KeyIndex(entries_max=3)
    index.begin(P, 10)
    index.add(P, 10, key(1))
    assert not index.add_before(P, 5, [(5, key(2)), (6, key(2)), (7, key(2))])
    assert (index.low(P), index.find(P, key(2))) == (10, [])
    assert index.add_before(P, 5, [(5, key(2))])
    assert (index.low(P), index.find(P, key(2))) == (5, [5])


def test_what_is_too_young_to_be_sorted_is_not_forgotten() -> None:
    index = KeyIndex(entries_max=0)
    index.begin(P, 0)
    index.add(P, 0, key(1))
    assert index.find(P, key(1)) == [0]
