from headrace.broker.spending.totals import LastTotals
from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, SpendingTotal, encode_total

HOUR = 498_853
HOURS = range(HOUR, HOUR + 100)


def total(hour: int, outcomes: int, *, series: str = "s1", lane: str = "bulk") -> Record:
    return encode_total(SpendingKey(hour, lane), series, SpendingTotal(outcomes=outcomes))


def counted(last: LastTotals, *records: Record) -> list[tuple[int, int]]:
    """Hour and outcomes of all that comes of these records."""
    found = [each for record in records for each in last.put(record)]
    return [(key.hour, told.outcomes) for key, told in [*found, *last.rest()]]


def test_of_each_key_and_series_the_last_record_counts() -> None:
    records = (total(HOUR, 1), total(HOUR, 4, series="s2"), total(HOUR, 3), total(HOUR, 9, lane="urgent"))
    assert sorted(counted(LastTotals(HOURS), *records)) == [(HOUR, 3), (HOUR, 4), (HOUR, 9)]


def test_a_key_that_is_deleted_counts_no_more() -> None:
    deleted = Record(total(HOUR, 1).key, None)
    assert counted(LastTotals(HOURS), total(HOUR, 1), total(HOUR, 4, series="s2"), deleted) == [(HOUR, 4)]
    assert counted(LastTotals(HOURS), deleted, total(HOUR, 3)) == [(HOUR, 3)]


def test_an_hour_is_complete_a_day_later() -> None:
    last = LastTotals(HOURS)
    assert not [*last.put(total(HOUR, 1)), *last.put(total(HOUR + 24, 1))]
    assert [key.hour for key, _ in last.put(total(HOUR + 25, 1))] == [HOUR]
    assert not [*last.put(total(HOUR, 7))]
    assert last.too_late == 1


def test_records_of_other_hours_unreadable_ones_and_deleted_keys_do_not_count() -> None:
    last = LastTotals(HOURS)
    others = (total(HOUR - 1, 1), total(HOUR + 100, 1), Record(b"k", None))
    keys = (b"[]", b"{}", b"7", b"", None, b'["now"]', b"[" * 9_000)
    strange = [*(Record(key, b"{}") for key in keys), Record(total(HOUR, 1).key, b"{}")]
    assert counted(last, *others, *strange) == []
    assert (last.unreadable, last.too_late) == (8, 0)
