from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from headrace.broker.spending.book import HOURS_MAX, LATE_A_TRANSACTION_MAX, SpendingBook
from headrace.broker.spending.hour_keys import TENANTS_MAX
from headrace.schemas.outcome import Completed, Cost, Failed, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.spending import OTHERS, Spent, SpentOutcome, decode_total, spent

AT = datetime(2026, 12, 1, 9, 59, 59, tzinfo=UTC)


def book() -> SpendingBook:
    numbers = count()
    return SpendingBook(lambda: f"s{next(numbers)}")


def outcome(at: datetime | None = AT, **given: Any) -> Spent:
    told: dict[str, Any] = {
        "id": "lead-1",
        "lane": "bulk",
        "tenant": "acme",
        "attempts": 1,
        "usage": Usage(input_tokens=300, output_tokens=100),
        "cost": Cost(micro_usd=15_000.5),
        "timings": Timings(finished_at=at),
    }
    return spent(Completed(**{**told, "response": {}, **given}))


def told(lines: list[Record]) -> Iterator[tuple[int, str, int]]:
    for line in lines:
        key, series, total = decode_total(line)
        yield key.hour, series, total.outcomes


def test_the_quick_form_of_an_outcome_has_the_fields_of_the_checked_one() -> None:
    for each in (
        Completed(id="x", response={}, lane="bulk", finish="length", charge_tokens=5, cost=Cost(micro_usd=1.5)),
        Failed(id="x", reason="rejected", model="gpt-4", usage=Usage(input_tokens=7), attempts=2),
    ):
        assert SpentOutcome.model_validate(each).model_dump() == SpentOutcome(**spent(each)._asdict()).model_dump()
    assert set(Spent._fields) == set(SpentOutcome.model_fields)


def test_a_transaction_writes_the_sum_of_all_so_far_once_for_each_key() -> None:
    held = book()
    assert len(held.lines([outcome(), outcome()], AT, written=True)) == 1
    held.committed()
    (line,) = held.lines([outcome()], AT, written=True)
    total = decode_total(line)[2]
    assert (total.outcomes, total.input_tokens, total.pico_usd) == (3, 900, 45_001_500_000)


def test_after_a_commit_that_is_unknown_the_sums_begin_anew_in_another_series() -> None:
    held = book()
    (first,) = told(held.lines([outcome()], AT, written=True))
    (second,) = told(held.lines([outcome()], AT, written=True))
    assert (first[2], second[2]) == (1, 1)
    assert first[1] != second[1]


def test_an_outcome_without_an_instant_counts_in_the_hour_of_its_publication() -> None:
    (line,) = book().lines([outcome(at=None)], AT, written=True)
    assert decode_total(line)[0].hour == int(AT.timestamp()) // 3_600


def test_an_outcome_that_finished_before_the_hour_was_full_counts_there() -> None:
    held = book()
    lines = held.lines([outcome(), outcome(AT + timedelta(seconds=1))], AT + timedelta(seconds=2), written=True)
    hours = [hour for hour, _, _ in told(lines)]
    assert hours == [hours[0], hours[0] + 1]


def test_an_hour_that_was_closed_and_comes_again_replaces_nothing() -> None:
    """A decision whose publication rested for hours."""
    held = book()
    (first,) = told(held.lines([outcome()], AT, written=True))
    for hours in range(1, HOURS_MAX + 2):
        held.committed()
        held.lines([outcome(AT + timedelta(hours=hours))], AT, written=True)
    held.committed()
    (again,) = told(held.lines([outcome()], AT, written=True))
    assert again[0] == first[0]
    assert again[1] != first[1]
    assert len(held._hours) <= HOURS_MAX + 1


def test_what_could_not_be_written_is_written_later_by_a_transaction_of_others() -> None:
    held = book()
    assert held.lines([outcome(), outcome()], AT, written=False) == []
    assert held.unwritten == 0, "its commit has not returned"
    held.committed()
    assert held.unwritten == 2
    live, late = told(held.lines([outcome()], AT, written=True))
    assert (live[2], late[2]) == (1, 2)
    assert live[1] != late[1]
    held.committed()
    assert held.unwritten == 0
    assert len(held.lines([outcome()], AT, written=True)) == 1


def test_late_sums_of_an_unknown_commit_are_written_again_under_the_same_key() -> None:
    held = book()
    held.lines([outcome()], AT, written=False)
    held.committed()
    (first,) = held.lines([], AT, written=True)
    held.begin()
    assert held.lines([], AT, written=True) == [first]


def test_late_sums_come_a_few_at_a_time() -> None:
    held = book()
    held.lines([outcome(tenant=f"t{number}") for number in range(LATE_A_TRANSACTION_MAX + 1)], AT, written=False)
    held.committed()
    assert len(held.lines([], AT, written=True)) == LATE_A_TRANSACTION_MAX
    held.committed()
    assert len(held.lines([], AT, written=True)) == 1


def test_what_is_never_written_is_forgotten_with_its_hour_and_counted() -> None:
    held = book()
    for hours in range(HOURS_MAX + 2):
        held.lines([outcome(AT + timedelta(hours=hours))], AT, written=False)
        held.committed()
    held.lines([], AT, written=False)
    assert (held.unwritten, held.forgotten) == (HOURS_MAX, 2)


def test_a_tenant_that_was_large_keeps_its_own_sum_in_the_next_hour_and_in_a_new_series() -> None:
    held = book()
    held.lines([outcome(tenant="large", usage=Usage(input_tokens=10_000))], AT, written=True)
    held.begin()
    later = AT + timedelta(hours=1)
    flood = [outcome(later, tenant=f"t{number}") for number in range(TENANTS_MAX + 1)]
    lines = held.lines([*flood, outcome(later, tenant="large")], later, written=True)
    tenants = [decode_total(line)[0].tenant for line in lines]
    assert "large" in tenants
    assert OTHERS in tenants


def test_the_largest_names_decay_when_an_hour_begins_and_not_when_an_earlier_one_is_opened() -> None:
    held = book()
    for at in (AT, AT - timedelta(hours=1), AT - timedelta(hours=2), AT + timedelta(hours=1)):
        held.lines([outcome(at)], at, written=True)
        held.committed()
    assert held._largest.tenants._weights == {"acme": 1_600 - 600}
