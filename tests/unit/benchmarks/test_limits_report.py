"""The table, the figures for machines, the page, and who is said to miss a promise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.limits.__main__ import main
from benchmarks.limits.measure import Figures, Phase
from benchmarks.limits.page import page
from benchmarks.limits.report import WIDTH, Measured, as_json, head, kept, legend, line, missed
from benchmarks.limits.rows import DESCRIBED, HIDDEN, ROWS, Row

ON = {"date": "2026-01-02", "commit": "0123456789", "machine": "2 cores"}


def phase(share: float, refused: int, calls: int = 2_000, seconds: float = 60.0) -> Phase:
    return Phase(share, refused, calls, seconds)


def found(whole: Phase, after: Phase | None = None, lost: int = 0) -> Figures:
    first = phase(0.7, 40, 1_000)
    return Figures(whole, first, after, ideal_s=50.0, lost=lost)


GOOD = found(phase(0.99, 1), phase(0.991, 0))
HEADERS = Row("bucket", ("bucket",), DESCRIBED)
SILENT = Row("fixed-window", ("fixed-window",), HIDDEN)


def told(row: Row, own: Figures) -> dict[str, object]:
    rival = found(phase(0.7, 0), None, lost=500)
    return as_json([Measured(row, own, rival, rival)], ON, 600.0)


@pytest.mark.parametrize(
    ("row", "own", "keeps"),
    [
        (HEADERS, GOOD, True),
        (HEADERS, found(phase(0.979, 0)), False),
        (HEADERS, found(phase(0.99, 3)), False),
        (HEADERS, replace(GOOD, lost=1), False),
        (SILENT, found(phase(0.5, 900), phase(0.94, 9)), True),
        (SILENT, found(phase(0.99, 0), phase(0.92, 0)), False),
        (SILENT, found(phase(0.99, 0), phase(0.99, 11)), False),
        (SILENT, found(phase(0.9, 0)), False),
        (replace(HEADERS, promise=None), found(phase(0.1, 900)), None),
    ],
)
def test_a_promise_is_kept_by_the_phase_it_speaks_of(*, row: Row, own: Figures, keeps: bool | None) -> None:
    assert kept(row, own) is keeps
    assert len(missed(told(row, own))) == (keeps is False)


def test_who_misses_is_told_by_how_much() -> None:
    assert missed(told(SILENT, found(phase(0.99, 0), phase(0.921, 12), lost=7))) == [
        "fixed-window misses: 92.1% and 6.0 429s per 1,000 calls, promised 93% and 5; 7 calls were never admitted"
    ]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_no_line_is_wider_than_a_terminal(row: Row) -> None:
    worst = found(phase(1.0, 80_000, 2_000), phase(1.0, 19_999, 2_000), lost=2_000)
    lines = [*head().splitlines(), line(Measured(row, worst, worst, worst)), *legend().splitlines()]
    assert max(map(len, lines)) <= WIDTH
    assert row.name in lines[3]


def test_the_page_says_what_the_figures_say_and_nothing_of_the_machine_but_words() -> None:
    figures = json.loads(json.dumps(told(HEADERS, found(phase(0.975, 3), phase(0.981, 1)))))
    text = page(figures)
    for word in ("97.5%", "98.1%", "1.5", "2026-01-02", "0123456789", "2 cores", "20%", "300", "**missed**"):
        assert word in text
    assert "Rows that miss their promise: bucket." in text
    assert page(json.loads(json.dumps(told(HEADERS, GOOD)))).endswith("Every promise is kept.\n")


def test_the_page_in_docs_is_the_one_of_the_figures_beside_the_benchmark() -> None:
    root = Path(__file__).parents[3]
    figures = json.loads((root / "benchmarks/limits/figures.json").read_text(encoding="utf-8"))
    assert (root / "docs/benchmarks.md").read_text(encoding="utf-8") == page(figures)


def test_a_row_is_named_by_itself_and_told_with_what_it_plays_if_that_has_another_name() -> None:
    figures = json.loads(json.dumps(told(HEADERS, GOOD)))
    (row,) = figures["rows"]
    row |= {"name": "bucket", "plays": ["bucket:size=3"]}
    assert "\n| `bucket:size=3` |" in page(figures)
    row |= {"name": "own-cap", "plays": ["bucket", "latency-wide"]}
    assert "\n| `own-cap` (`bucket`, `latency-wide`) |" in page(figures)


def test_figures_of_an_earlier_run_are_read_again_and_a_missed_promise_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, written = tmp_path / "figures.json", tmp_path / "page.md"
    for own, code in ((GOOD, 0), (found(phase(0.9, 0)), 1)):
        given.write_text(json.dumps(told(HEADERS, own)), encoding="utf-8")
        assert main(["--from", str(given), "--page", str(written)]) == code
        assert written.read_text(encoding="utf-8") == page(told(HEADERS, own))
    assert capsys.readouterr().out.startswith("bucket misses: 90.0%")


def test_a_row_that_does_not_exist_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--only", "buckets"])
    assert left.value.code == 2
    assert "there is no row buckets: there are bucket, bucket-6s" in capsys.readouterr().err
