import random
from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import accumulate
from zlib import crc32

import pytest

from headrace.broker.core.progress.offset_map import (
    MAP_BYTES_MAX,
    METADATA_CHARS_MAX,
    TIMESTAMP_UNKNOWN,
    Head,
    ProgressUnreadableError,
    decode,
    encode,
    varint_bytes,
    worst_bytes,
)
from headrace.broker.core.progress.open_offsets import OpenOffsets

HEAD = Head(term=7, timestamp_ms=1_760_000_000_123, base=1_000, window=500)


def encoded(head: Head, opened: Sequence[int]) -> str:
    """Ascending offsets, written."""
    return encode(head, OpenOffsets(opened))


def body_of(metadata: str, head: Head) -> bytes:
    """The bytes after the four numbers and the form."""
    numbers = sum(map(varint_bytes, (head.term, head.timestamp_ms + 1, head.base, head.window)))
    return b64decode(metadata.removeprefix("hr1:"))[numbers + 1 : -4]


@pytest.mark.parametrize(
    "opened",
    [
        pytest.param([], id="nothing open"),
        pytest.param([1_000], id="the base alone"),
        pytest.param(list(range(1_000, 1_500)), id="one run"),
        pytest.param([1_000, 1_499], id="far apart"),
        pytest.param(list(range(1_000, 1_500, 2)), id="every other one"),
        pytest.param([1_000, *random.Random(1).sample(range(1_001, 1_500), 200)], id="at random"),
    ],
)
def test_a_map_comes_back_as_it_was_written(opened: list[int]) -> None:
    assert decode(encoded(HEAD, sorted(opened))) == (HEAD, sorted(opened))


def test_the_limits_are_those_of_kafka_and_the_protocol() -> None:
    assert (METADATA_CHARS_MAX, MAP_BYTES_MAX, TIMESTAMP_UNKNOWN) == (4_096, 3_000, -1)


@pytest.mark.parametrize("number", [0, 126, 127, 128, 129, 16_383, 16_384, (1 << 63) - 1])
def test_numbers_around_the_edges_of_their_length_come_back(number: int) -> None:
    head = Head(term=number, timestamp_ms=number, base=number, window=number)
    assert decode(encoded(head, [number])) == (head, [number])


def test_a_bitmap_may_begin_with_what_is_done() -> None:
    opened = sorted(random.Random(6).sample(range(1_020, 1_500), 240))
    metadata = encoded(HEAD, opened)
    assert len(body_of(metadata, HEAD)) == -(-(opened[-1] + 1 - 1_000) // 8)
    assert decode(metadata)[1] == opened


def test_a_map_names_magic_and_codec_in_plain_sight() -> None:
    assert encoded(HEAD, [1_000]).startswith("hr1:")


def test_no_record_yet_is_written_as_an_unknown_timestamp() -> None:
    head = Head(term=0, timestamp_ms=TIMESTAMP_UNKNOWN, base=0, window=0)
    assert decode(encoded(head, [])) == (head, [])


def test_a_long_run_is_written_as_a_run_however_long() -> None:
    opened = list(range(1_000, 101_000))
    metadata = encoded(HEAD._replace(window=100_000), opened)
    assert len(metadata) < 50
    assert decode(metadata)[1] == opened


def test_holes_at_random_are_written_as_a_bitmap() -> None:
    opened = [1_000, *sorted(random.Random(2).sample(range(1_001, 1_500), 250))]
    assert len(body_of(encoded(HEAD, opened), HEAD)) == -(-(opened[-1] + 1 - 1_000) // 8)


@pytest.mark.parametrize("seed", range(40))
def test_a_body_is_never_longer_than_bitmap_or_runs(seed: int) -> None:
    chance = random.Random(seed)  # gaps around the break-even: 16 places for a run of two bytes, 24 for one of three
    gaps = [chance.randint(8, 22) if chance.random() < 0.95 else chance.randint(130, 300) for _ in range(150)]
    opened = list(accumulate(gaps, initial=1_000))
    bitmap = -(-(opened[-1] + 1 - 1_000) // 8)
    runs = 2 + sum(varint_bytes(gap - 1) + 1 for gap in gaps)
    head = HEAD._replace(window=10_000)
    assert len(body_of(encoded(head, opened), head)) <= min(bitmap, runs)
    assert decode(encoded(head, opened))[1] == opened


def test_a_repeating_pattern_is_deflated() -> None:
    opened = list(range(0, 24_000, 2))
    head = Head(term=7, timestamp_ms=0, base=0, window=24_000)
    assert len(encoded(head, opened)) < 100
    assert decode(encoded(head, opened))[1] == opened


@pytest.mark.parametrize(("runs", "deflated"), [(255, False), (256, True)])
def test_a_short_body_is_left_as_it_is_and_a_long_one_deflated(runs: int, *, deflated: bool) -> None:
    opened = list(range(1_000, 1_000 + 100 * runs, 100))
    head = HEAD._replace(window=100_000)
    assert (len(body_of(encoded(head, opened), head)) < 2 * runs) == deflated
    assert decode(encoded(head, opened))[1] == opened


def test_the_longest_map_and_the_largest_numbers_fit_into_a_commit() -> None:
    largest = (1 << 63) - 1
    window = 8 * MAP_BYTES_MAX
    base = largest - window
    places = random.Random(3).sample(range(1, window), window // 2)
    opened = sorted({base, base + window - 1, *(base + place for place in places)})
    metadata = encoded(Head(largest, largest - 1, base, window), opened)
    assert METADATA_CHARS_MAX - 60 < len(metadata) <= METADATA_CHARS_MAX
    assert decode(metadata)[1] == opened


def test_a_map_that_kafka_would_refuse_is_never_handed_out() -> None:
    opened = sorted({0, *random.Random(4).sample(range(40_000), 20_000)})
    with pytest.raises(AssertionError, match="would kill the producer"):
        encoded(Head(1, 0, 0, 40_000), opened)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("", "not written by Headrace"),
        ("my-tool", "not written by Headrace"),
        ("hr2:AAAA", "codec"),
        ("hr1:", "checksum"),
        ("hr1:AAAA", "checksum"),
        ("hr1:A", "base64"),
        ("hr1:\N{LATIN SMALL LETTER E WITH ACUTE}AAA", "base64"),
    ],
)
def test_what_is_not_ours_or_not_whole_is_refused(metadata: str, why: str) -> None:
    with pytest.raises(ProgressUnreadableError, match=why):
        decode(metadata)


def test_a_single_flipped_bit_is_noticed() -> None:
    data = bytearray(b64decode(encoded(HEAD, [1_000, 1_007]).removeprefix("hr1:")))
    for place in range(len(data)):
        damaged = bytes([*data[:place], data[place] ^ 0x10, *data[place + 1 :]])
        with pytest.raises(ProgressUnreadableError, match="checksum"):
            decode("hr1:" + b64encode(damaged).decode())


def test_the_written_form_is_fixed() -> None:
    # Two releases back are read (PROTOCOL 4). If this fails, a new codec is due, not a new expectation.
    payload = bytes([7, 1, 0xE8, 0x07, 10, 1, 0, 1, 8, 1])  # term, timestamp + 1, base 1000, window 10, runs
    written = "hr1:" + b64encode(payload + crc32(b"hr1:" + payload).to_bytes(4, "big")).decode()
    assert decode(written) == (Head(7, 0, 1_000, 10), [1_000, 1_009])
    assert encoded(Head(7, 0, 1_000, 10), [1_000, 1_003, 1_009]) == "hr1:BwHoBwoAkEBDTvhd"


@pytest.mark.parametrize(
    ("number", "size"), [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), ((1 << 63) - 1, 9), (1 << 63, 10)]
)
def test_a_number_takes_seven_bits_a_byte(number: int, size: int) -> None:
    assert varint_bytes(number) == size


def test_the_worst_body_is_the_smaller_of_bitmap_and_lonely_runs() -> None:
    assert worst_bytes(24_000, 24_000) == 3_000
    assert worst_bytes(1_000_000, 500) == 3_000
    assert worst_bytes(0, 0) == 0
