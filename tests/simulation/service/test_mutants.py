"""The table of planted faults covers what is promised, each can be planted, and some are found at once.

All of them: `make sim-mutants`.
"""

import re
from pathlib import Path

import pytest

from tests.simulation.service.mutants.hunting import hunt
from tests.simulation.service.mutants.planting import MEMORY, ORDER, REFUSALS, WAITS
from tests.simulation.service.mutants.sentences import TABLE, sentences, table
from tests.simulation.service.mutants.table import MUTANTS

GUARANTEES = (Path(__file__).parents[3] / "docs" / "guarantees.md").read_text()
PROMISES = {int(number) for number in re.findall(r"^(\d+)\. \*\*", GUARANTEES, re.MULTILINE)}
PLAYED = GUARANTEES.partition("The next rows are simulated in virtual time")[2].partition("\n## ")[0]
PLAYED_BY_OTHER_TESTS = ("a topic is deleted and created again",)
"""Rows of that table that no trouble of `make sim` plays: tests of their own do."""
BESIDE = table(TABLE.read_text())
ROOT = Path(__file__).parents[3]
PAPER = (ROOT / "docs" / "design" / "simulation.md").read_text(encoding="utf-8")
ELSEWHERE = {ORDER, WAITS, REFUSALS, MEMORY}
AT_LEAST = 60


def _rows(text: str) -> list[str]:
    """The first cell of each row of the tables in a text."""
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    return [cell for cell in cells if cell not in {"what fails", "promise"} and not cell.startswith("---")]


def test_every_promise_has_a_planted_fault_that_breaks_it() -> None:
    assert len(PROMISES) >= 11
    broken = {number for each in MUTANTS.values() for number in each.breaks}
    assert sorted(PROMISES - broken) == []


def test_the_page_counts_them_right() -> None:
    (counted,) = re.findall(r"`make sim-mutants` plants (\d+) faults", PAPER)
    assert int(counted) == len(MUTANTS)


def test_every_row_that_is_played_in_virtual_time_has_one() -> None:
    rows = _rows(PLAYED)
    rows = [row for row in rows if not row.startswith(PLAYED_BY_OTHER_TESTS)]
    assert len(rows) >= 7
    named = [row for each in MUTANTS.values() for row in each.breaks if isinstance(row, str)]
    assert [row for row in rows if not any(row.startswith(name) for name in named)] == []


def test_every_sentence_has_a_planted_fault_or_a_reason_why_a_simulation_cannot_show_it() -> None:
    promised = sentences(GUARANTEES)
    assert len(promised) > 100
    assert [sentence for sentence in promised if sentence not in BESIDE] == [], f"say in {TABLE.name} what breaks it"
    assert [sentence for sentence in BESIDE if sentence not in promised] == [], "no sentence of docs/guarantees.md"


@pytest.mark.parametrize("sentence", BESIDE)
def test_what_stands_beside_a_sentence_is_a_planted_fault_or_a_reason(sentence: str) -> None:
    beside = BESIDE[sentence]
    if beside.startswith("["):
        assert beside.endswith("]")
        named = re.findall(r"tests/[\w/]+\.py", beside)
        assert [path for path in named if not (ROOT / path).is_file()] == []
    else:
        assert [name for name in beside.split(", ") if name not in MUTANTS] == []


def test_an_edited_sentence_is_another_one() -> None:
    rows = "| what fails | what happens |\n|---|---|\n| a | b. C | d |\n"
    page = f"# Head\n\n1. **One.** It is so. It stays\n   so.\n\n{rows}"
    assert sentences(page) == ["One: It is so.", "It stays so.", "a: b.", "a: C"]
    assert table("One: It is\nso.\n= a fault,\nanother\n\na: C\n= [no]\n") == {
        "One: It is so.": "a fault, another",
        "a: C": "[no]",
    }


@pytest.mark.parametrize("name", MUTANTS)
def test_what_a_planted_fault_breaks_is_promised(name: str) -> None:
    mutant = MUTANTS[name]
    assert mutant.breaks
    for each in mutant.breaks:
        if isinstance(each, int):
            assert each in PROMISES
        elif each not in ELSEWHERE:
            assert sum(row.startswith(each) for row in _rows(GUARANTEES)) == 1, each
    assert mutant.tells.endswith(".")


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_fits_the_product(name: str) -> None:
    with MUTANTS[name].plant():
        pass


def test_there_are_enough_planted_faults_and_the_paper_says_how_many() -> None:
    assert len(MUTANTS) >= AT_LEAST
    assert f"`make sim-mutants` plants {len(MUTANTS)} faults" in PAPER


@pytest.mark.parametrize("name", ["progress runs ahead", "an outcome says an old term", "reset latest"])
def test_a_planted_fault_is_found(name: str) -> None:
    verdict = hunt(name, 5)
    assert verdict.seeds is not None, verdict.line()
    assert verdict.trace
    assert "caught after" in verdict.line()


def test_what_is_not_planted_is_not_found() -> None:
    with pytest.raises(KeyError):
        hunt("no such fault", 1)
