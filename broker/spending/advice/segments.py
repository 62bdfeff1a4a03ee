"""Segments of prompts: what stands in nearly all of them, and what stands in one of them more than once."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

CONSTANT_SHARE: Final = 0.9
BLOCK_BYTES: Final = 256
"""Shorter constant text, such as the label of a field, is not worth another order."""
REPEAT_BYTES: Final = 80
"""Shorter lines and sentences may well stand twice in a prompt, such as a name or a field of JSON."""
ROW_BYTES: Final = 320
"""Lines that stand more often may be equal rows of a table, so of those more must follow each other, and differ."""
_CLAUSE: Final = re.compile(r"[^\n.!?;,}\]。！？]*[\n.!?;,}\]。！？]+|[^\n.!?;,}\]。！？]+")  # noqa: RUF001 — ends of CJK sentences
_SENTENCE: Final = re.compile(r"[^\n.!?。！？]*[\n.!?。！？]+|[^\n.!?。！？]+")  # noqa: RUF001 — the same


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive text that stands in nearly all prompts, by its place in one of them."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """Parts of one prompt that stand in it before, and where the first repetition begins."""

    texts: tuple[str, ...]
    first_at: int


def clauses_of(text: str) -> set[str]:
    """Return the clauses of a prompt: its text between line breaks and punctuation."""
    return set(_CLAUSE.findall(text))


class ConstantText:
    """The clauses that stand in nearly all of some prompts."""

    def __init__(self, texts: list[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(clauses_of(text))
        least = CONSTANT_SHARE * len(texts)
        self._clauses = frozenset(clause for clause, count in counts.items() if count >= least)

    def blocks(self, text: str, after: int) -> list[Block]:
        """Return the blocks of a prompt that begin at a place or after it, without what stands in it before."""
        blocks: list[Block] = []
        seen: set[str] = set()
        start = end = after
        for match in _CLAUSE.finditer(text):
            clause = match.group()
            is_constant = match.start() >= after and clause in self._clauses and clause not in seen
            seen.add(clause)
            if is_constant and match.start() == end:
                end = match.end()
                continue
            _close(blocks, text, start, end)
            start, end = (match.start(), match.end()) if is_constant else (match.end(), match.end())
        _close(blocks, text, start, end)
        return blocks


def repeats_in(text: str, after: int = 0) -> Repeats:
    """Return the parts of a prompt that stand in it before: lines and sentences that follow each other there too.

    What lies before `after` is not looked at.
    """
    last_seen: dict[str, int] = {}
    parts: list[str] = []
    first_at = len(text)
    start = end = 0
    expected = -1
    times = Counter(match.group().strip() for match in _SENTENCE.finditer(text, after))
    for number, match in enumerate(_SENTENCE.finditer(text, after)):
        sentence = match.group().strip()
        before = last_seen.get(sentence, -1) if sentence else expected
        last_seen[sentence] = number
        if before >= 0 and before == expected:
            end, expected = match.end(), before + 1
            continue
        first_at = min(first_at, _take(parts, text, start, end, times))
        start, end, expected = (match.start(), match.end(), before + 1) if before >= 0 else (0, 0, -1)
    first_at = min(first_at, _take(parts, text, start, end, times))
    return Repeats(tuple(parts), first_at)


def _take(parts: list[str], text: str, start: int, end: int, times: Mapping[str, int]) -> int:
    """Take a repeated part that is long enough; return where it begins, or the end of the text."""
    part = text[start:end]
    if len(part.encode(errors="replace")) < REPEAT_BYTES:
        return len(text)
    sentences = {match.group().strip() for match in _SENTENCE.finditer(part)}
    if max(times[sentence] for sentence in sentences) > 2 and _bytes_in(sentences) < ROW_BYTES:
        return len(text)
    parts.append(part)
    return start


def _bytes_in(texts: Iterable[str]) -> int:
    return sum(len(text.encode(errors="replace")) for text in texts)


def _close(blocks: list[Block], text: str, start: int, end: int) -> None:
    if len(text[start:end].encode(errors="replace")) >= BLOCK_BYTES:
        blocks.append(Block(start, end))
