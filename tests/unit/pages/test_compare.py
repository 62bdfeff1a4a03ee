"""docs/compare.md has no figure of its own: each stands in a row with its source, and is what the source says."""

import re
from functools import cache

import pytest

from tests.unit.pages.blocks import ROOT

PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
BENCHMARKS = ("benchmarks.md", "benchmarks-lanes.md")
NO_FIGURE = re.compile(r"\]\([^)]*\)|\[[\w./-]*#\d+(?=\])|`[^`]*`|\b429s?\b|\bp9[59]\b|\b[A-Z][a-z]+ 20\d\d\b")
"""Links' targets, numbers of issues, code, the status that all is about, names of quantiles, and dates."""


def figures(text: str) -> list[str]:
    """The numbers of a line that claim something, without the commas in them."""
    return [found.replace(",", "") for found in re.findall(r"\d[\d,]*(?:\.\d+)?", NO_FIGURE.sub(" ", text))]


def unsourced(text: str) -> list[str]:
    """Lines with a figure that are no row of a table with a link in its last cell."""
    return [line for line in text.splitlines() if figures(line) and not re.search(r"^\|.*\]\([^)]+\)[^|]*\|$", line)]


def test_every_figure_stands_in_a_row_with_a_link_to_its_source() -> None:
    assert unsourced(PAGE) == []


@pytest.mark.parametrize(
    "line", ["It is 30 % faster.", "| it is 30 % faster | by far |", "| it is [30 % faster](x.md) | by 7 |"]
)
def test_a_figure_without_a_source_would_be_found(line: str) -> None:
    assert unsourced(f"Some words.\n{line}\n") == [line]


def test_a_number_that_claims_nothing_is_no_figure() -> None:
    assert figures("`max_retries=2` after a 429 ([BerriAI/litellm#18730](https://x.org/18730)): p95") == []
    assert figures("1,850.4 of 36%, 99.6") == ["1850.4", "36", "99.6"]


@cache
def rows_of(page: str) -> dict[str, str]:
    """Rows of a page of benchmarks, by the name in their first cell."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^\| `([^`]+)`.*$", text, re.MULTILINE)}


MEASURED = [
    (page, line)
    for line in PAGE.splitlines()
    for page in BENCHMARKS
    if line.startswith("|") and f"]({page})" in line and figures(line)
]


@pytest.mark.parametrize(("page", "line"), MEASURED, ids=[line[:40] for _, line in MEASURED])
def test_a_measured_figure_is_the_one_of_the_benchmarks_page(page: str, line: str) -> None:
    [name] = [each for each in re.findall(r"`([^`]+)`", line) if each in rows_of(page)]
    told = {found.replace(",", "") for found in re.findall(r"\d[\d,]*(?:\.\d+)?", rows_of(page)[name])}
    assert set(figures(line)) <= told, f"docs/{page} has other figures: copy them"


def test_figures_of_both_benchmarks_are_compared() -> None:
    assert {page for page, _ in MEASURED} == set(BENCHMARKS)


def test_each_way_has_a_part_that_says_what_it_does_better() -> None:
    ways = re.findall(r"^\| \[([^\]]+)\]\(#", PAGE, re.MULTILINE)
    parts = dict(re.findall(r"^## ([^\n]+)\n\n(.+?)(?=\n## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert len(ways) == 6
    for way in ways:
        assert parts[way].startswith("Better: ")
        assert "It leaves to you: " in parts[way]
