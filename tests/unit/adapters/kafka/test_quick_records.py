"""Records by the compiled parser: the same as by the careful one, whatever the batch."""

from collections.abc import Sequence

import pytest

from headrace.broker.adapters.kafka.batches import readable_batches, unpacked
from headrace.broker.adapters.kafka.quick_records import records_of
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.range_ports import RangePiece, RangeRecord
from headrace.schemas.record import present
from tests.unit.adapters.raw_batches import GZIP, LZ4, SNAPPY, ZSTD, batch, one

RECORDS = [
    one(b"a", key=b"k", headers=[(b"name", b"text"), (b"null", None)]),
    one(None),
    one(b"c" * 500, key=b""),
]
BAD_NAME = one(b"bad name", headers=[(b"\xff\xfe", b"x")])


def piece_of(data: bytes, wanted: range, **bound: int) -> RangePiece:
    [read], _ = readable_batches(data, wanted.start, ())
    found = records_of(read, wanted, **bound)
    records = [RangeRecord(each.timestamp_ms, each.key, each.value, present(each.headers)) for each in found.records]
    return RangePiece(records, found.position, found.lost)


def careful(data: bytes, first: int) -> list[RangeRecord]:
    [read], _ = readable_batches(data, first, ())
    found: Sequence[Fetched | UnreadableRange] = [*unpacked(read, first).found]
    return [
        RangeRecord(each.timestamp_ms, each.record.key, each.record.value, each.record.headers)
        for each in found
        if isinstance(each, Fetched)
    ]


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
@pytest.mark.parametrize("attributes", [0, 0x08])
def test_both_parsers_read_the_same(codec: int, attributes: int) -> None:
    data = batch(7, RECORDS, codec=codec, attributes=attributes)
    found = piece_of(data, range(7, 100))
    assert found == RangePiece(careful(data, 7), 10)
    assert [each.value for each in found.records] == [b"a", None, b"c" * 500]


def test_only_wanted_offsets_are_read() -> None:
    found = piece_of(batch(7, RECORDS), range(8, 9))
    assert ([each.value for each in found.records], found.position) == ([None], 9)


@pytest.mark.parametrize("codec", [0, ZSTD])
def test_a_record_that_breaks_the_compiled_parser_costs_no_other(codec: int) -> None:
    found = piece_of(batch(0, [*RECORDS, BAD_NAME], codec=codec), range(100))
    assert ([each.value for each in found.records][-1], len(found.records), found.lost) == (b"bad name", 4, 0)


def test_a_batch_with_a_wrong_checksum_is_lost_and_counted() -> None:
    data = bytearray(batch(7, RECORDS))
    data[-1] ^= 0xFF
    found = piece_of(bytes(data), range(8, 100))
    assert (found.records, found.lost, found.position) == ([], 2, 10)


def test_a_bomb_is_not_unpacked_and_what_fits_before_it_is_read() -> None:
    found = piece_of(batch(0, [one(b"a"), one(b"\0" * 100_000), one(b"b")], codec=ZSTD), range(100), bytes_max=50_000)
    assert ([each.value for each in found.records], found.lost) == ([b"a"], 2)


def test_a_batch_of_an_older_format_is_lost_and_counted() -> None:
    data = bytearray(batch(0, RECORDS))
    data[16] = 1
    assert piece_of(bytes(data), range(100)).lost >= 1
