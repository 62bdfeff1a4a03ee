"""The table of planted faults covers what is promised, each can be planted, and some are found at once.

All of them: `make sim-mutants`.
"""

import re
from pathlib import Path

import pytest

from tests.simulation.service.mutants.hunting import hunt
from tests.simulation.service.mutants.planting import MEMORY, ORDER, REFUSALS, WAITS
from tests.simulation.service.mutants.table import MUTANTS

GUARANTEES = (Path(__file__).parents[3] / "docs" / "guarantees.md").read_text()
PROMISES = {int(number) for number in re.findall(r"^(\d+)\. \*\*", GUARANTEES, re.MULTILINE)}
PLAYED = GUARANTEES.partition("The next rows are played in virtual time")[2].partition("\n## ")[0]
PLAYED_BY_OTHER_TESTS = ("OpenAI, a gateway or a proxy", "Kafka refuses a record", "a topic is deleted and made anew")
"""Rows of that table that no trouble of `make sim` plays: tests of their own do."""
ELSEWHERE = {ORDER, WAITS, REFUSALS, MEMORY}
AT_LEAST = 60


def _rows(text: str) -> list[str]:
    """The first cell of each row of the tables in a text."""
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    return [cell for cell in cells if cell not in {"what fails", "promise"} and not cell.startswith("---")]


def test_every_promise_has_a_planted_fault_that_breaks_it() -> None:
    assert len(PROMISES) >= 10
    broken = {number for each in MUTANTS.values() for number in each.breaks}
    assert sorted(PROMISES - broken) == []


def test_every_row_that_is_played_in_virtual_time_has_one() -> None:
    rows = _rows(PLAYED)
    rows = [row for row in rows if not row.startswith(PLAYED_BY_OTHER_TESTS)]
    assert len(rows) >= 7
    named = [row for each in MUTANTS.values() for row in each.breaks if isinstance(row, str)]
    assert [row for row in rows if not any(row.startswith(name) for name in named)] == []


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


def test_there_are_enough_planted_faults() -> None:
    assert len(MUTANTS) >= AT_LEAST


@pytest.mark.parametrize("name", ["progress runs ahead", "an outcome says an old term", "reset latest"])
def test_a_planted_fault_is_found(name: str) -> None:
    verdict = hunt(name, 5)
    assert verdict.seeds is not None, verdict.line()
    assert verdict.trace
    assert "caught after" in verdict.line()


def test_what_is_not_planted_is_not_found() -> None:
    with pytest.raises(KeyError):
        hunt("no such fault", 1)
