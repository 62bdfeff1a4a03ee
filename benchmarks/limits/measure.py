"""From the simulated OpenAI's record to the figures of a row."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.limits.calls import Asked
from benchmarks.limits.enforced import oracle_of
from benchmarks.limits.rows import Row
from benchmarks.limits.world import Record


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run: its share of what an omniscient dispatcher gets in it from the same state, and its 429s."""

    share: float
    refused: int
    calls: int
    seconds: float

    @property
    def refused_per_1000(self) -> float:
        """429s for 1,000 calls that were admitted."""
        return self.refused * 1_000 / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One client under one behaviour; `ideal_s` is the least time in which its admitted calls could have been."""

    whole: Phase
    first: Phase
    after: Phase | None
    ideal_s: float
    lost: int

    @property
    def slower(self) -> float:
        """Its time divided by the ideal."""
        return self.whole.seconds / self.ideal_s if self.ideal_s else 1.0


def figures(row: Row, asked: Sequence[Asked], record: Record) -> Figures:
    """Compare a record with the oracle, whole, in its first phase and after that."""
    start_us, end_us = record.first_us, record.last_us
    split_us = min(end_us, start_us + round(row.first_s * 1_000_000))
    whole = oracle_of(row, asked, 0, start_us).charged_until(end_us)
    first = oracle_of(row, asked, 0, start_us).charged_until(split_us)
    before = [entry for entry in record.admitted if entry[0] <= split_us]
    charged_before = sum(tokens for _, tokens, _ in before)
    early = sum(at_us <= split_us for at_us in record.refused)
    admitted_before = sum(calls for _, _, calls in before)
    after = None
    if split_us < end_us:
        later = oracle_of(row, asked, 0, start_us)
        later.replay(before)
        after = Phase(
            share=(record.charged - charged_before) / max(1, later.charged_until(end_us)),
            refused=len(record.refused) - early,
            calls=record.calls - admitted_before,
            seconds=(end_us - split_us) / 1_000_000,
        )
    seconds = (end_us - start_us) / 1_000_000
    return Figures(
        whole=Phase(record.charged / max(1, whole), len(record.refused), record.calls, seconds),
        first=Phase(charged_before / max(1, first), early, admitted_before, (split_us - start_us) / 1_000_000),
        after=after,
        ideal_s=(oracle_of(row, asked, 0, start_us).admitted_at(record.calls) - start_us) / 1_000_000,
        lost=record.lost,
    )
