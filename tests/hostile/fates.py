"""Whether each hostile record ended once, and as its kind says: by an outcome, by a dead letter, or by both."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.hostile.records import ANSWERED, DEAD_LETTER, FAILED

BROKEN_BATCH: Final = "broken batch"
"""A raw batch: what no client can read of it is one dead letter, the good record beside it is answered."""

_WANTED: Final[Mapping[str, tuple[int, int, int]]] = {
    ANSWERED: (1, 0, 0),
    FAILED: (0, 1, 1),
    DEAD_LETTER: (0, 0, 1),
    BROKEN_BATCH: (1, 0, 1),
}
"""Outcomes Completed and Failed of its id, and dead letters whose origin is its position."""


@dataclass(frozen=True, slots=True)
class Sown:
    """A hostile record that Kafka has taken.

    Attributes:
        kind: What is odd about it.
        fate: How it must end: one of `records.FATES`, or `BROKEN_BATCH`.
        id: Of its request, or of the good record beside it; None if none can be told.
    """

    kind: str
    fate: str
    id: str | None


@dataclass
class Fates:
    """How hostile records ended.

    Attributes:
        kept: How many ended as their kind says, by fate.
        lost: Of these something is missing: an outcome, or a dead letter.
        doubled: Of these an outcome, or a dead letter, came more than once.
        wrong: These ended once, and otherwise than their kind says.
        unknown: Ids that have an outcome, and whose record Kafka has not taken.
    """

    kept: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Everything that did not end as its kind says."""
        return [*self.lost, *self.doubled, *self.wrong, *self.unknown]


def fates(sown: Mapping[str, Sown], outcomes: Counter[tuple[str, str]], letters: Counter[str]) -> Fates:
    """The fate of each hostile record.

    Args:
        sown: By position (`topic/partition/offset`).
        outcomes: How many there are of each (id, status).
        letters: How many dead letters have each position as their origin.
    """
    found = Fates()
    known = {odd.id for odd in sown.values()}
    found.unknown += sorted({name for name, _ in outcomes} - known)
    for position, odd in sown.items():
        came_to = outcomes[odd.id or "", "completed"], outcomes[odd.id or "", "failed"], letters[position]
        wanted = _WANTED[odd.fate]
        if came_to == wanted:
            found.kept[odd.fate] += 1
            continue
        completed, failed, buried = came_to
        said = f"{odd.kind} at {position}: {completed} completed, {failed} failed, {buried} dead letters"
        if completed + failed > 1 or buried > 1:
            found.doubled.append(said)
        elif all(came <= due for came, due in zip(came_to, wanted, strict=True)):
            found.lost.append(said)
        else:
            found.wrong.append(said)
    return found
