"""What counts as kept, how figures read, and that a file of figures says the same again."""

import json
from dataclasses import replace

import pytest

from benchmarks.lanes.findings import Check, Finding, amount, finding_of, quantile

P99 = Check("worst p99", 538.7, "ms", most=500.0)
USED = Check("used", 0.9913, "%", least=0.98)
TOLD = Check("longest", 1_316.0, "ms")
FLOOR = Check("standard", 0.12, "%", least=0.08, most=0.12)
ROW = Finding("urgent", "a bucket of a minute", "virtual", (USED, TOLD), "one queue: 144 s", {"seeds": 20})


@pytest.mark.parametrize(
    ("check", "kept"),
    [
        (P99, False),
        (replace(P99, value=500.0), True),
        (USED, True),
        (replace(USED, value=0.9799), False),
        (TOLD, None),
        (FLOOR, True),
        (replace(FLOOR, value=0.121), False),
        (replace(FLOOR, value=0.079), False),
    ],
)
def test_a_check_is_kept_within_both_bounds_and_neither_kept_nor_missed_without(
    *, check: Check, kept: bool | None
) -> None:
    assert check.kept is kept


def test_a_row_is_kept_if_all_that_it_promises_is() -> None:
    assert ROW.kept is True
    assert replace(ROW, checks=(USED, P99, TOLD)).kept is False
    assert replace(ROW, checks=(TOLD,)).kept is None


def test_a_check_says_what_is_promised_and_what_was_measured() -> None:
    assert P99.promised == "worst p99 ≤ 500 ms"
    assert FLOOR.promised == "standard ≥ 8 % and ≤ 12 %"
    assert TOLD.promised == ""
    assert [P99.measured, USED.measured, TOLD.measured] == ["worst p99 539 ms", "used 99.13 %", "longest 1,316 ms"]


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (3_596.4, "tokens", "3,596 tokens"),
        (0.957, "times", "0.957 times"),
        (0.99993, "", "1"),
        (3.95, "ms", "3.95 ms"),
        (0.0, "ms", "0 ms"),
        (0.002655, "%", "0.2655 %"),
    ],
)
def test_figures_read_as_people_write_them(value: float, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_a_file_of_figures_says_the_same_again() -> None:
    told = json.loads(json.dumps(ROW.as_json()))
    assert finding_of(told) == replace(ROW, checks=list(ROW.checks))
    assert told["kept"] is True


def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [quantile(values, part) for part in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert quantile([7.0], 0.01) == 7.0
