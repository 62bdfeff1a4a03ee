import pytest

from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, SpendingTotal, TotalUnreadable, decode_total, encode_total

KEY = SpendingKey(495_541, "bulk", "gpt-4", "Grüße & Söhne", "welcome", "flex", ">272000")
TOTAL = SpendingTotal(outcomes=2, calls=3, input_tokens=600, pico_usd=30_001_000_000, sizes={105: 2})


def test_a_total_is_read_back_as_it_was_written() -> None:
    assert decode_total(encode_total(KEY, "7-a1b2", TOTAL)) == (KEY, "7-a1b2", TOTAL)


def test_series_and_hours_have_records_of_their_own() -> None:
    keys = {encode_total(KEY, series, TOTAL).key for series in ("7-a1b2", "8-a1b2")}
    assert len(keys) == 2


def test_a_field_of_a_later_release_is_kept() -> None:
    record = encode_total(KEY, "7", TOTAL)
    later = Record(record.key, (record.value or b"").replace(b'{"v":1', b'{"v":1,"audio_tokens":5'))
    assert decode_total(later)[2].model_extra == {"audio_tokens": 5}


IMPOSSIBLE = (
    b'"outcomes":-1',
    b'"pico_usd":1' + b"0" * 31,
    b'"input_tokens":1' + b"0" * 400,
    b'"sizes":{"5":-3}',
    b'"sizes":{"-1":3}',
    b'"sizes":{"1001":3}',
    b'"sizes":{"5":1' + b"0" * 400 + b"}",
)
"""Sums that no dispatcher writes, and that a status, or a quantile, could not be computed from."""


@pytest.mark.parametrize(
    "record",
    [
        Record(None, None),
        Record(b"[]", b"{}"),
        Record(b'[1,"","","","","","","s"]', b'{"v":2}'),
        Record(b'["1","","","","","","","s"]', b'{"v":1}'),
        Record(b'[1,"","","","","","",7]', b'{"v":1}'),
        Record(b'[1,"","","","","","","","","s"]', b'{"v":1}'),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"outcomes":"many"}'),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"outcomes":-1}'),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"pico_usd":1' + b"0" * 400 + b"}"),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"sizes":{"30":-7}}'),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"sizes":{"100000":1}}'),
        Record(b"5", b"[]"),
        Record(b'[1,"","","","","","","s"]', b"\xff"),
        Record(b"[" * 9_000, b'{"v":1}'),
        Record(b'[1,"","","","","","","s"]', b'{"v":1,"later":' + b"[" * 9_000),
        *(Record(b'[1,"","","","","","","s"]', b'{"v":1,' + sums + b"}") for sums in IMPOSSIBLE),
    ],
)
def test_what_is_no_total_is_refused_in_one_way(record: Record) -> None:
    with pytest.raises(TotalUnreadable):
        decode_total(record)


def test_a_record_that_deletes_a_key_says_that_nothing_is_summed_under_it() -> None:
    assert decode_total(Record(encode_total(KEY, "7", TOTAL).key, None)) == (KEY, "7", SpendingTotal())
    with pytest.raises(TotalUnreadable):
        decode_total(Record(b"odd", None))


def test_the_largest_sums_and_sizes_are_read() -> None:
    largest = SpendingTotal(outcomes=1, pico_usd=10**30, sizes={1_000: 10**30, 0: 1})
    assert decode_total(encode_total(KEY, "7", largest))[2] == largest
