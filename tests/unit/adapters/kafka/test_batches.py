"""Batches that break aiokafka, read record by record within bounds."""

import struct
from collections import deque
from typing import Any

import cramjam
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.adapters.kafka.batches import Pieces, first_batch, screened
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.schemas.record import Record
from tests.unit.adapters.raw_batches import GZIP, LZ4, SNAPPY, ZSTD, batch, one, record_bytes

BAD_NAME = one(b"bad", headers=[(b"\xff\xfe", b"x")])
CODECS = [0, GZIP, SNAPPY, LZ4, ZSTD]


def read(data: bytes, first: int = 0, *, aborted: Any = (), bytes_max: int = 1 << 20) -> Pieces:
    pieces = first_batch(data, first, aborted, bytes_max=bytes_max)
    assert pieces is not None
    return pieces


def shown(pieces: Pieces) -> list[Any]:
    return [each if isinstance(each, UnreadableRange) else (each.offset, each.record.value) for each in pieces.found]


def aiokafka_reads(data: bytes) -> list[tuple[int, bytes | None]]:
    made = DefaultRecordBatch(data)
    assert made.validate_crc()
    return [(record.offset, record.value) for record in made]


@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_no_utf8_costs_nothing(codec: int) -> None:
    data = batch(100, [one(b"a"), BAD_NAME, one(b"c")], codec=codec)
    with pytest.raises((CorruptRecordException, UnicodeDecodeError)):
        aiokafka_reads(data)
    pieces = read(data, 100)
    assert shown(pieces) == [(100, b"a"), (101, b"bad"), (102, b"c")]
    assert pieces.next_offset == 103
    assert [each.record.headers for each in pieces.found if isinstance(each, Fetched)][1] == (("\ufffd\ufffd", b"x"),)


@pytest.mark.parametrize("codec", CODECS)
def test_what_aiokafka_reads_is_read_alike(codec: int) -> None:
    records = [
        one(b"a", key=b"k", headers=[(b"x", b"y"), ("ü".encode(), None), (b"", b"")]),
        one(None),
        one(b"", key=b""),
    ]
    data = batch(7, records, codec=codec, first_timestamp=1_700_000_000_000)
    theirs = list(DefaultRecordBatch(data))
    ours = [each for each in read(data, 7).found if isinstance(each, Fetched)]
    assert [(each.offset, each.timestamp_ms) for each in ours] == [(each.offset, each.timestamp) for each in theirs]
    expected = [Record(each.key, each.value, tuple((n, v or b"") for n, v in each.headers)) for each in theirs]
    assert [each.record for each in ours] == expected


def test_one_broken_record_is_lost_alone() -> None:
    broken = record_bytes(1, b"\x01\x01\x7f")
    pieces = read(batch(10, [one(b"a"), broken, one(b"c")]), 10)
    assert shown(pieces) == [(10, b"a"), UnreadableRange(11, 11), (12, b"c")]


def test_neighbours_that_are_lost_are_one_range() -> None:
    broken = [record_bytes(number, b"\x01\x01\x7f") for number in (1, 2)]
    assert shown(read(batch(10, [one(b"a"), *broken, one(b"d")]), 10)) == [
        (10, b"a"),
        UnreadableRange(11, 12),
        (13, b"d"),
    ]
    assert shown(read(batch(10, [one(b"a"), *broken]), 10)) == [(10, b"a"), UnreadableRange(11, 12)]


def test_reading_goes_on_in_the_middle_of_a_batch() -> None:
    data = batch(10, [record_bytes(0, b"\x7f"), one(b"b"), one(b"c")])
    assert shown(read(data, 11)) == [(11, b"b"), (12, b"c")]
    assert shown(read(data, 12)) == [(12, b"c")]


@pytest.mark.parametrize("count", [0, 1, 2, 4, 2**31 - 1, -1])
def test_a_wrong_count_costs_only_what_it_hides(count: int) -> None:
    data = batch(0, [one(b"a"), one(b"b"), one(b"c")], count=count)
    pieces = read(data)
    known = max(0, min(count, 3))
    assert shown(pieces)[:known] == [(0, b"a"), (1, b"b"), (2, b"c")][:known]
    assert shown(pieces)[known:] == ([UnreadableRange(known, 2)] if known < 3 else [])
    assert pieces.next_offset == 3


def test_a_wrong_checksum_costs_the_batch_and_the_next_one_is_untouched() -> None:
    rotten = bytearray(batch(0, [one(b"a"), one(b"b")]))
    rotten[-3] ^= 0x10
    data = bytes(rotten) + batch(2, [one(b"c")])
    assert shown(read(data)) == [UnreadableRange(0, 1)]
    assert shown(read(data, 2)) == [(2, b"c")]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 5, 7])
def test_compressed_garbage_costs_its_batch(codec: int) -> None:
    data = batch(5, [b"garbage" * 20], codec=codec, packed=b"garbage" * 20, count=3, last_offset_delta=2)
    assert shown(read(data, 5)) == [UnreadableRange(5, 7)]
    assert screened(data) != data


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_bomb_is_never_unpacked_beyond_the_bound_and_what_fits_is_served(codec: int) -> None:
    data = batch(0, [one(b"a"), one(b"\0" * 300_000), one(b"c")], codec=codec)
    assert len(data) < 20_000
    assert screened(data, bytes_max=400_000) == data
    marked = screened(data, bytes_max=100_000)
    assert not DefaultRecordBatch(marked).validate_crc(), "aiokafka refuses it before it unpacks"
    found = shown(read(data, bytes_max=100_000))
    assert found == ([UnreadableRange(0, 2)] if codec == SNAPPY else [(0, b"a"), UnreadableRange(1, 2)])


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_batches_that_unpack_to_too_much_together_end_with_those_that_do_not(codec: int) -> None:
    each = [batch(number, [one(b"\0" * 60_000)], codec=codec) for number in range(5)]
    plain, bomb = batch(5, [one(b"x" * 60_000)]), batch(6, [one(b"\0" * 600_000)], codec=codec)
    assert screened(b"".join(each), bytes_max=400_000) == b"".join(each)
    assert screened(b"".join(each), bytes_max=150_000) == b"".join(each[:2])
    assert screened(b"".join(each), bytes_max=70_000) == each[0]
    assert screened(plain + each[0], bytes_max=70_000) == plain
    assert screened(each[0] + bomb, bytes_max=100_000) == each[0]
    alone = screened(bomb + each[0], bytes_max=100_000)
    assert len(alone) == len(bomb)
    assert not DefaultRecordBatch(alone).validate_crc()


def test_a_batch_that_is_cut_off_stays_behind_the_whole_ones() -> None:
    packed = batch(0, [one(b"a")], codec=ZSTD)
    assert screened(packed + packed[:-1]) == packed + packed[:-1]


def test_a_batch_that_only_ends_beyond_the_bound_is_served_up_to_there_and_no_record_is_cut() -> None:
    texts = [bytes([65 + number]) * 1_000 for number in range(20)]
    found = shown(read(batch(0, [one(text) for text in texts], codec=ZSTD), bytes_max=5_500))
    assert found == [*enumerate(texts[:5]), UnreadableRange(5, 19)]


def test_javas_snappy_frames_are_understood() -> None:
    plain = b"".join(
        record_bytes(number, one_body) for number, one_body in enumerate([b"\x01\x02a\x00", b"\x01\x02b\x00"])
    )
    blocks = [bytes(cramjam.snappy.compress_raw(part)) for part in (plain[:4], plain[4:])]
    framed = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    data = batch(0, [b""], codec=SNAPPY, packed=framed, count=2, last_offset_delta=1)
    assert shown(read(data)) == [(0, b"a"), (1, b"b")]
    assert screened(data) == data
    cut = batch(0, [b""], codec=SNAPPY, packed=framed[:-1], count=2, last_offset_delta=1)
    assert shown(read(cut)) == [UnreadableRange(0, 1)]


def test_control_batches_and_aborted_ones_are_passed_over() -> None:
    assert shown(read(batch(5, [one(b"x")], attributes=0x20))) == []
    ours = batch(5, [one(b"x")], attributes=0x10, producer_id=9)
    assert (shown(read(ours, 5, aborted=[(9, 5)])), read(ours, 5, aborted=[(9, 5)]).next_offset) == ([], 6)
    assert shown(read(ours, 5, aborted=[(9, 6), (8, 0)])) == [(5, b"x")]


def test_a_message_of_an_older_format_is_lost_alone() -> None:
    old = struct.pack(">qiIbbiii", 4, 22, 0, 1, 0, 0, -1, -1) + b"\0" * 4
    assert shown(read(old, 3)) == [UnreadableRange(3, 4)]
    assert first_batch(old, 5, ()) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 10, b"\0" * 100, batch(0, [one(b"a")])[:-1], b"\xff" * 200])
def test_what_is_no_whole_batch_is_none(data: bytes) -> None:
    assert first_batch(data, 0, ()) is None
    assert screened(data) == data


def test_a_short_batch_is_no_batch() -> None:
    short = struct.pack(">qi", 0, 20) + b"\0\0\0\0\x02" + b"\0" * 15
    assert first_batch(short, 0, ()) is None
    assert screened(short) == short


def test_pieces_are_taken_in_order_and_at_most_so_many() -> None:
    records = [Fetched(number, 0, Record(None, b"x")) for number in range(4)]
    pieces = Pieces(deque([records[0], records[1], UnreadableRange(2, 2), records[3]]), 9)
    assert (pieces.take(1), pieces.position) == ([records[0]], 1)
    assert (pieces.take(5), pieces.position) == ([records[1]], 2)
    assert (pieces.take(5), pieces.position) == (UnreadableRange(2, 2), 3)
    assert (pieces.take(5), pieces.position) == ([records[3]], 9)
    assert pieces.take(5) == []


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(data=st.data(), codec=st.sampled_from(CODECS))
def test_no_bytes_make_it_raise_nor_invent_an_offset(data: st.DataObject, codec: int) -> None:
    body = data.draw(st.binary(max_size=80))
    records: list[tuple[bytes, ...] | bytes] = [one(b"a"), body, one(b"b")]
    whole = batch(50, records, codec=codec, count=3, last_offset_delta=2)
    pieces = read(whole, 50, bytes_max=10_000)
    expected = 50
    for each in pieces.found:
        first, last = (each.first, each.last) if isinstance(each, UnreadableRange) else (each.offset, each.offset)
        assert expected <= first <= last <= 52
        expected = last + 1
    assert pieces.next_offset == 53
