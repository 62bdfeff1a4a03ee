"""Each sentence of `docs/guarantees.md`, and the planted faults that break it, or why a simulation cannot show it.

`sentences.txt` has a paragraph for each: the sentence, and a line that begins with `=`: names of faults, or a reason in
brackets. An edit of the page leaves a sentence without its paragraph, which a test names.
"""

import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "guarantees.md"
TABLE = Path(__file__).with_name("sentences.txt")
_ENDS = re.compile(r"(?<=[.!?])(?<!\be\.g\.) +(?=[A-Z`\"(])")
_HEAD = re.compile(r"\*\*([^*]+?)\.?\*\*\.? ?")
_HEADINGS = frozenset({"promise", "what fails", "what comes"})


def sentences(page: str) -> list[str]:
    """Every sentence of the page in order; one in a table begins with what its row is about."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", page):
        for unit in _units(block):
            found += _row(unit) if unit.startswith("|") else _split(_HEAD.sub(r"\1: ", unit, count=1))
    return found


def _units(block: str) -> Iterator[str]:
    """Rows, items of lists, paragraphs; without headings."""
    text = ""
    for line in block.splitlines():
        begins = re.match(r"(\||\d+\. |- |#)", line)
        if begins:
            if text:
                yield text
            text = ""
        if not line.startswith("#"):
            text += " " * bool(text) + re.sub(r"^(\d+\.|-) ", "", line.strip())
    if text:
        yield text


def _row(line: str) -> Iterator[str]:
    """What happens in one row; figures and what shows them are left out."""
    first, second, *_ = (cell.strip() for cell in line.strip("|").split("|"))
    if first not in _HEADINGS and not first.startswith("---"):
        yield from (f"{first}: {each}" for each in _split(second))


def _split(text: str) -> list[str]:
    return [each.strip() for each in _ENDS.split(text) if each.strip()]


def table(text: str) -> dict[str, str]:
    """What stands beside each sentence: names of faults, or a reason in brackets."""
    found: dict[str, str] = {}
    for paragraph in text.strip().split("\n\n"):
        sentence, _, beside = paragraph.partition("\n= ")
        found[" ".join(sentence.split())] = " ".join(beside.split())
    return found
