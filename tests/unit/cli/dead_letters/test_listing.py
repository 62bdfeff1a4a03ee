"""The newest so many, last; or all, a page at a time; and the count of all by reason."""

import json

import pytest

from headrace.broker.cli.dead_letters.listing import PAGE_ROWS, ColumnPrinter, Listing, object_lines
from headrace.broker.cli.dead_letters.row import LetterRow, row_of
from tests.unit.cli.dead_letters.specimens import found, request


def row(number: int, reason: str = "rejected") -> LetterRow:
    each = found(request(id=f"lead-{number}"), reason=reason)
    return row_of(each, each.original())


def listed(limit: int, count: int) -> tuple[list[list[str | None]], Listing]:
    shown: list[list[str | None]] = []
    listing = Listing(limit, show=lambda rows: shown.append([each.id for each in rows]))
    for number in range(count):
        listing.add(row(number))
    listing.end()
    return shown, listing


def test_the_newest_are_kept_and_stay_in_order() -> None:
    assert listed(2, 5)[0] == [["lead-3", "lead-4"]]
    assert listed(9, 2)[0] == [["lead-0", "lead-1"]]


def test_all_are_shown_a_page_at_a_time_and_none_is_kept() -> None:
    shown, _ = listed(0, PAGE_ROWS + 1)
    assert [len(page) for page in shown] == [PAGE_ROWS, 1]


def test_the_summary_counts_by_reason_what_was_chosen() -> None:
    listing = Listing(2, show=lambda rows: None)
    for number, reason in enumerate(("rejected", "exhausted", "rejected")):
        listing.add(row(number, reason))
    assert listing.summary(0, "t") == (
        "3 dead letters in t: 2 rejected, 1 exhausted. Shown: the newest 2; --limit 0 shows all."
    )
    one = listed(9, 1)[1].summary(1, "t")
    assert one == "1 dead letter in t: 1 rejected. 1 record in it is not a dead letter: skipped."
    assert listed(9, 0)[1].summary(2, "t") == "0 dead letters in t. 2 records in it are not dead letters: skipped."


def test_columns_have_their_titles_once(capsys: pytest.CaptureFixture[str]) -> None:
    show = ColumnPrinter()
    show([])
    show([row(1)])
    show([row(2)])
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("FAILED AT")
    assert [line.split()[1] for line in others] == ["lead-1", "lead-2"]


def test_a_machine_gets_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    object_lines([row(1), row(2)])
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["lead-1", "lead-2"]
