"""Fold of a batch's records: how far it is, whatever processes wrote them, in whatever order they took turns.

Each line counts once, by the first record that answers it; behind the last record nothing counts. So two replicas that
run one batch at once do no harm, and each reader of the records comes to the same state.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from headrace.broker.gateway.batches.records import (
    AnswerLine,
    AnswersPiece,
    BatchCancelAsked,
    BatchCreated,
    BatchEnded,
    BatchProgress,
    BatchRecord,
    BatchValidated,
    Tokens,
)


@dataclass(slots=True)
class LineSet:
    """Set of line numbers, one bit each."""

    bits: bytearray = field(default_factory=bytearray)
    count: int = 0

    def __contains__(self, number: int) -> bool:
        place, bit = divmod(number, 8)
        return place < len(self.bits) and bool(self.bits[place] >> bit & 1)

    def add(self, number: int) -> bool:
        """Add a number; return whether it is new."""
        if number < 0 or number in self:
            return False
        place, bit = divmod(number, 8)
        if place >= len(self.bits):
            self.bits.extend(bytes(place + 1 - len(self.bits)))
        self.bits[place] |= 1 << bit
        self.count += 1
        return True

    def missing(self, first: int, end: int) -> Iterator[int]:
        """Yield the numbers from `first` below `end` that are not in the set."""
        return (number for number in range(first, end) if number not in self)


@dataclass(slots=True)
class BatchState:
    """State of one batch after the records applied so far. Instants are Kafka's, in milliseconds.

    Attributes:
        lines: Number of requests; None until the input file was validated.
        done: Requests below it are on their lane.
        upto: Requests below it may be on their lane.
        seen: By partition of the results, the offset up to which outcomes were looked at.
        output_bytes, error_bytes: Sizes of the two files.
    """

    created: BatchCreated
    lines: int | None = None
    model: str | None = None
    done: int = 0
    upto: int = 0
    answered: LineSet = field(default_factory=LineSet)
    completed: int = 0
    failed: int = 0
    expired: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    output_bytes: int = 0
    error_bytes: int = 0
    seen: dict[int, int] = field(default_factory=dict)
    validated_ms: int | None = None
    answered_ms: int | None = None
    cancel_ms: int | None = None
    ended: BatchEnded | None = None
    ended_ms: int | None = None
    end: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether each line has its answer."""
        return self.lines is not None and self.answered.count >= self.lines

    def apply(self, record: BatchRecord, at_ms: int, offset: int) -> list[AnswerLine]:
        """Apply one record of the batch, in the order of the partition; return the answers that count."""
        if self.ended is not None:
            return []
        match record:
            case BatchValidated():
                if self.lines is None:
                    self.lines, self.model, self.validated_ms = record.lines, record.model, at_ms
            case BatchProgress():
                self.done, self.upto = max(self.done, record.done), max(self.upto, record.upto)
                self._see(record.seen)
            case AnswersPiece():
                self._see(record.seen)
                return self._answer(record, at_ms)
            case BatchCancelAsked():
                if self.cancel_ms is None and not self.is_answered:
                    self.cancel_ms = at_ms
            case BatchEnded():
                self.ended, self.ended_ms, self.end = record, at_ms, offset
            case _:
                assert_never(record)
        return []

    def _see(self, seen: Mapping[int, int]) -> None:
        for number, offset in seen.items():
            self.seen[number] = max(offset, self.seen.get(number, 0))

    def _answer(self, piece: AnswersPiece, at_ms: int) -> list[AnswerLine]:
        if self.lines is None:
            return []
        was_answered = self.is_answered
        fresh = [line for line in piece.lines if line.number < self.lines and self.answered.add(line.number)]
        for line in fresh:
            size = len(line.text) + 1
            if line.is_output:
                self.completed += 1
                self.output_bytes += size
            else:
                self.failed += 1
                self.expired += line.is_expired
                self.error_bytes += size
            self.tokens = self.tokens.plus(line.tokens)
        if self.is_answered and not was_answered:
            self.answered_ms = at_ms
        return fresh
