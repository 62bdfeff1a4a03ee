"""The command and its page: nothing is on it but the figures of a run, and a missed promise fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lanes.__main__ import main
from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.page import added, as_json, line, missed, page
from benchmarks.lanes.rows import ROWS

ON = {"date": "2026-01-02", "commit": "0123456789", "machine": "2 cores"}
LATER = {"date": "2026-01-03", "commit": "9876543210", "machine": "2 cores"}
GOOD = Finding("floors", "every lane waits", "virtual", [Check("bulk", 0.0498, "%", least=0.03, most=0.07)])
BAD = Finding("urgent-20x", "large bulk", "virtual", [Check("worst p99", 539.0, "ms", most=500.0)], "one queue: 144 s")


def told(*findings: Finding) -> dict[str, Any]:
    return dict(json.loads(json.dumps(as_json(findings, ON, 600.0))))


def test_the_page_says_what_the_figures_say() -> None:
    text = page(told(GOOD, BAD))
    for word in ("2026-01-02", "0123456789", "2 cores", "10 minutes", "bulk 4.98 %", "**worst p99 539 ms**", "144 s"):
        assert word in text
    assert text.endswith("Rows that miss a promise: urgent-20x.\n")
    assert page(told(GOOD)).endswith("Every promise is kept.\n")


def test_who_misses_is_told_by_how_much() -> None:
    assert missed(told(GOOD, BAD)) == ["urgent-20x misses: worst p99 539 ms, promised worst p99 ≤ 500 ms"]
    assert line(BAD) == "missed urgent-20x     worst p99 539 ms"


def test_a_row_that_was_measured_again_stands_in_the_place_of_the_earlier_one() -> None:
    better = Finding("urgent-20x", "large bulk", "virtual", [Check("worst p99", 400.0, "ms", most=500.0)])
    new = Finding("backlog", "memory", "real", [Check("grown by", 12.0, "MB", most=30.0)])
    both = added(as_json([better, new], LATER, 60.0), told(BAD, GOOD))
    assert [row["name"] for row in both["rows"]] == ["urgent-20x", "floors", "backlog"]
    assert missed(both) == []
    assert "commit 0123456789 and 9876543210" in page(both)


def test_the_page_in_docs_is_the_one_of_the_figures_beside_the_benchmark() -> None:
    root = Path(__file__).parents[3]
    figures = json.loads((root / "benchmarks/lanes/figures.json").read_text(encoding="utf-8"))
    assert (root / "docs/benchmarks-lanes.md").read_text(encoding="utf-8") == page(figures)
    assert {row["name"] for row in figures["rows"]} == {row.name for row in ROWS}


def test_figures_of_an_earlier_run_are_read_again_and_a_missed_promise_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, written = tmp_path / "figures.json", tmp_path / "page.md"
    for findings, code in (([GOOD], 0), ([GOOD, BAD], 1)):
        given.write_text(json.dumps(told(*findings)), encoding="utf-8")
        assert main(["--from", str(given), "--page", str(written)]) == code
        assert written.read_text(encoding="utf-8") == page(told(*findings))
    assert capsys.readouterr().out.startswith("urgent-20x misses")


def test_a_row_that_does_not_exist_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--only", "urgents"])
    assert left.value.code == 2
    assert "there is no row urgents: there are urgent-real" in capsys.readouterr().err
