from collections import Counter
from random import Random
from typing import Any

import pytest

from headrace.broker.spending.sums import NAMED, SpendingSums
from headrace.broker.spending.totals import LastTotals
from headrace.broker.spending.window import CHANGING_HOURS, HOURS, NAMES_KEPT, SpendingWindow, largest
from headrace.schemas.record import Record
from headrace.schemas.spending import OTHERS, SpendingKey, SpendingTotal, encode_total

HOUR = 498_853


def record(hour: int = HOUR, series: str = "a", tenant: str = "acme", **sums: Any) -> Record:
    key = SpendingKey(hour, "bulk", "gpt-4", tenant, "welcome", "default")
    return encode_total(key, series, SpendingTotal(**({"outcomes": 1, "sizes": {105: 1}} | sums)))


def ended(window: SpendingWindow) -> None:
    """Have the hour end: it does when three later ones have begun."""
    for later in range(1, CHANGING_HOURS + 1):
        window.observe([record(HOUR + later, outcomes=0)], HOUR + later)


def outcomes(window: SpendingWindow, first: int = HOUR - HOURS, last: int = HOUR) -> int:
    return window.summed(first, last).everything.outcomes


def test_a_later_record_replaces_the_earlier_one_and_series_add_up() -> None:
    window = SpendingWindow()
    window.observe([record(outcomes=2, sizes={5: 2})], HOUR)
    window.observe([record(outcomes=5, sizes={5: 1, 6: 4}), record(series="b")], HOUR)
    summed = window.summed(HOUR, HOUR)
    assert summed.everything.outcomes == 6
    assert summed.everything.sizes == {5: 1, 6: 4, 105: 1}


def test_of_one_read_only_the_last_record_of_a_key_counts() -> None:
    window = SpendingWindow()
    window.observe([record(outcomes=1), record(outcomes=2), record(outcomes=3)], HOUR)
    assert (outcomes(window), window.version) == (3, 1)


def test_a_key_that_is_deleted_is_summed_no_more() -> None:
    window = SpendingWindow()
    window.observe([record(outcomes=2, sizes={5: 2}), record(series="b")], HOUR)
    window.observe([Record(record().key, None), Record(record(tenant="bolt").key, None)], HOUR)
    summed = window.summed(HOUR, HOUR)
    assert (summed.everything.outcomes, summed.everything.sizes) == (1, {105: 1})
    assert (set(summed.by["tenant"]), window.unreadable, window.too_late) == ({"acme"}, 0, 0)
    window.observe([record(outcomes=7)], HOUR)
    assert outcomes(window) == 8


def test_each_kind_of_name_adds_up_to_the_same() -> None:
    window = SpendingWindow()
    window.observe([record(tenant=f"t{number}", outcomes=number) for number in range(300)], HOUR)
    for _ in range(2):
        summed = window.summed(HOUR, HOUR)
        for kind in NAMED:
            assert sum(each.outcomes for each in summed.by[kind].values()) == sum(range(300)), kind
        ended(window)
    assert len(summed.by["tenant"]) == NAMES_KEPT + 1, "an hour that changes no longer keeps the largest"
    assert {"t299", OTHERS} <= summed.by["tenant"].keys()


def test_a_day_is_the_sum_of_its_hours_whichever_of_them_have_ended() -> None:
    window = SpendingWindow()
    for hour in range(HOUR - 40, HOUR + 1):
        window.observe([record(hour, outcomes=1, tenant=f"t{hour % 3}"), record(hour, tenant="all")], hour)
        hours = min(HOURS, hour - (HOUR - 40) + 1)
        for _ in range(2):  # what was handed out is the caller's
            day = window.summed(hour - 24, hour)
            assert day.everything.outcomes == day.by["tenant"]["all"].outcomes * 2 == hours * 2
            day.add(day)
        assert outcomes(window, hour - 5, hour) == min(hours, 6) * 2
        assert outcomes(window, hour - 24, hour - 4) == max(0, hours - 4) * 2


def test_an_hour_that_is_too_old_is_forgotten_and_never_begun() -> None:
    window = SpendingWindow()
    window.observe([record(), record(HOUR - HOURS)], HOUR)
    assert outcomes(window) == 1
    window.observe([], HOUR + HOURS)
    assert outcomes(window, HOUR - HOURS, HOUR + HOURS) == 0
    assert not window._hours
    assert not window._last
    assert window._kept == 0


def test_a_record_of_an_hour_that_changes_no_longer_is_left_out_and_counted() -> None:
    window = SpendingWindow()
    window.observe([record()], HOUR)
    ended(window)
    window.observe([record(outcomes=9)], HOUR + CHANGING_HOURS)
    assert (outcomes(window, HOUR, HOUR), window.too_late) == (1, 1)


def test_hours_of_the_past_that_take_several_reads_are_summed_as_a_whole() -> None:
    window = SpendingWindow()
    for hour in (HOUR - 20, HOUR - 19, HOUR - 5, HOUR):
        for read in range(3):
            window.observe([record(hour, tenant=f"t{read}"), record(hour, tenant="all", outcomes=read)], HOUR)
    assert [outcomes(window, hour, hour) for hour in (HOUR - 20, HOUR - 19, HOUR - 5, HOUR)] == [5] * 4
    assert window.too_late == 0
    assert window._final == {HOUR - 20}


def test_sums_that_a_leader_could_not_write_for_a_day_are_summed_as_a_whole_when_they_come() -> None:
    """A book holds its last three hours, however long ago they were."""
    window = SpendingWindow()
    for read in range(3):
        late = [record(hour, series="late", tenant=f"t{read}") for hour in (HOUR - 20, HOUR - 9)]
        window.observe([record(outcomes=read + 1), *late], HOUR)
    assert (outcomes(window), window.too_late) == (9, 0)


def test_an_hour_ahead_ends_no_hour_before_its_time() -> None:
    window = SpendingWindow()
    window.observe([record(HOUR + 1), record(HOUR - 2)], HOUR)
    window.observe([record(HOUR - 2, outcomes=4)], HOUR)
    assert (outcomes(window, HOUR - 2, HOUR - 2), window.too_late) == (4, 0)


def test_series_that_ended_long_ago_make_room_for_those_that_change() -> None:
    window = SpendingWindow(records_max=240)
    for number in range(30):
        window.observe([record(series=f"s{number}", tenant=f"t{each}") for each in range(10)], HOUR)
    assert window._kept == 240
    assert outcomes(window) == 300
    window.observe([record(series="s29", tenant="t1", outcomes=3), record(series="s0", tenant="t1", outcomes=3)], HOUR)
    assert (outcomes(window), window.too_late) == (302, 1)


def test_what_is_no_total_is_counted_and_left_out() -> None:
    window = SpendingWindow()
    window.observe([Record(b"x", b"y"), Record(b"[]", None), record()], HOUR)
    assert (outcomes(window), window.unreadable) == (1, 2)


def test_the_largest_are_ordered_by_money_then_tokens() -> None:
    named = {
        "cheap": SpendingSums(pico_usd=1, input_tokens=9),
        "dear": SpendingSums(pico_usd=5),
        OTHERS: SpendingSums(pico_usd=100),
        "free": SpendingSums(input_tokens=4),
    }
    assert list(largest(named, 3)) == ["dear", "cheap", "free", OTHERS]
    assert largest(named, 2)[OTHERS].pico_usd == 100
    assert largest(named, 2)[OTHERS].input_tokens == 4


@pytest.mark.parametrize("seed", range(4))
def test_a_day_in_status_is_what_a_report_from_totals_says_of_it(seed: int) -> None:
    """Two readers of one topic: one that follows it, and one that reads it once."""
    dice = Random(seed)
    window, totals, whole = SpendingWindow(), LastTotals(range(HOUR - HOURS + 1, HOUR + 1)), SpendingSums()
    sums: Counter[tuple[int, str, str]] = Counter()
    for hour in range(HOUR - HOURS + 1, HOUR + 1):
        for _ in range(6):
            read = []
            for _ in range(dice.randrange(1, 40)):
                of = max(HOUR - HOURS + 1, hour - dice.choice((0, 0, 0, 1, 2))), dice.choice("ab"), dice.choice("xyz")
                sums[of] += dice.randrange(1, 9)
                read.append(record(of[0], of[1], of[2], outcomes=sums[of], sizes={sums[of]: 1}))
            window.observe(read, HOUR)
            for each in read:
                for _, total in totals.put(each):
                    whole.add_total(total)
    for _, total in totals.rest():
        whole.add_total(total)
    assert window.summed(HOUR - HOURS + 1, HOUR).everything == whole
    assert whole.outcomes == sums.total()
    assert (window.too_late, totals.too_late) == (0, 0)
