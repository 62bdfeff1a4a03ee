"""One dead letter as a row: ids, names, places and reasons; never any part of a prompt, an answer or metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from headrace.broker.amounts import spoken_bytes, spoken_id
from headrace.broker.cli.columns import Column, Cut, Line
from headrace.broker.cli.dead_letters.reasons import explained
from headrace.broker.cli.terminal import safe, short
from headrace.consumers.dead_letters import Found, Original
from headrace.schemas.instants import to_wire

_TITLES: Final = ("FAILED AT", "ID", "REASON", "ORIGIN", "CALLS", "WHY")
TERMINAL_COLUMNS: Final = (
    Column("FAILED (UTC)"),
    Column("ID", cut=Cut.LAST),
    Column("REASON", cut=Cut.LAST),
    Column("MODEL", cut=Cut.FIRST),
    Column("CALLS", right=True),
    Column("ORIGIN", from_width=120),
)
_REASON: Final = 2
_CHARS_MAX: Final = 128
_SENTENCE_CHARS_MAX: Final = 600


@dataclass(frozen=True, slots=True)
class LetterRow:
    """All fields of a dead letter that a listing may show."""

    place: str
    failed_at: str
    id: str | None
    run: int
    reason: str
    origin: str
    attempts: int
    tenant: str | None
    model: str | None
    endpoint: str | None
    bytes: int | None
    cut: bool
    sentence: str

    def as_object(self) -> dict[str, Any]:
        """Return the row as an object for JSON."""
        return asdict(self)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells for a pipe or a file."""
        name = spoken_id(self.id or "-", self.run)
        words = (self.failed_at, name, self.reason, self.origin, str(self.attempts))
        return *(safe(short(word, _CHARS_MAX)) for word in words), safe(short(self.sentence, _SENTENCE_CHARS_MAX))

    @property
    def line(self) -> Line:
        """The row for a terminal; a dead letter without an id is identified by its place."""
        when = self.failed_at[5:19].replace("T", " ")
        name = "-" if self.id is None else spoken_id(self.id, self.run)
        below = short(self.sentence, _SENTENCE_CHARS_MAX)
        words = (when, name, self.reason, self.model or "-", str(self.attempts), self.origin)
        cells = [short(word, _CHARS_MAX) for word in words]
        return Line(cells, below if self.id else f"{self.place}: {below}", _REASON, "red")


def row_of(found: Found, original: Original) -> LetterRow:
    """Return the row of one dead letter."""
    letter = found.letter
    size = letter.original_length
    if size is None and letter.value is not None:
        size = len(letter.value)
    return LetterRow(
        place=str(found.place),
        failed_at=to_wire(letter.failed_at),
        id=original.id,
        run=letter.run,
        reason=letter.reason,
        origin=str(letter.origin),
        attempts=letter.attempts,
        tenant=original.tenant,
        model=original.model,
        endpoint=original.endpoint,
        bytes=size,
        cut=letter.original_length is not None,
        sentence=_sentence(found, size),
    )


def _sentence(found: Found, size: int | None) -> str:
    letter = found.letter
    sentence = letter.message or explained(letter.reason, attempts=letter.attempts).sentence
    if letter.original_length is not None:
        sentence += f" {spoken_bytes(len(letter.value or b''))} of {spoken_bytes(letter.original_length)} are kept."
    elif size is None and letter.reason not in {"lost_by_retention", "undecodable"}:
        sentence += " It has no value."
    return sentence


def lines(rows: Sequence[LetterRow], *, title: bool = True) -> Iterator[str]:
    """Yield the rows as aligned columns, the sentence last."""
    table = [_TITLES, *(row.cells for row in rows)] if title else [row.cells for row in rows]
    widths = [max(len(cells[number]) for cells in table) for number in range(len(_TITLES) - 1)]
    for cells in table:
        aligned = (
            cell.rjust(width) if name == "CALLS" else cell.ljust(width)
            for name, cell, width in zip(_TITLES, cells, widths, strict=False)
        )
        yield "  ".join((*aligned, cells[-1]))
