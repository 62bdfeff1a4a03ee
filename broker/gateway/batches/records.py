"""Records of the batches topic: shapes and codec. Their headers are those of CloudEvents, as everywhere on the wire.

The catalogue has `FileCreated`, `FileDeleted`, `BatchCreated` and `BatchFinished`. A data partition has parts of files,
and of batches `BatchValidated`, `BatchProgress`, `AnswersPiece`, `BatchCancelAsked` and `BatchEnded`. A reader tells
them apart by `ce_type`, skips what it does not know, and keeps unknown fields.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.broker.submission import new_id
from headrace.schemas import headers as names
from headrace.schemas.cloudevents import event_headers, json_bytes
from headrace.schemas.record import Record

SOURCE: Final = "headrace.gateway"
TYPE_PART: Final = "headrace.gateway.file-part.v1"
TYPE_ANSWERS: Final = "headrace.gateway.batch-answers.v1"

Ending = Literal["completed", "failed", "cancelled", "expired"]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class StoredParts(_Shape):
    """Where a file's content lies: one record at each of the offsets, in order."""

    partition: int
    offsets: tuple[int, ...] = ()
    size: int = 0


class FileCreated(_Shape):
    """An uploaded file. `expires_s` is the second after which it is gone; None: it goes with the topic's retention."""

    id: str
    tenant: str
    filename: str
    purpose: str
    created_s: int
    parts: StoredParts
    sha256: str = ""
    expires_s: int | None = None


class FileDeleted(_Shape):
    """A file that a client deleted, uploaded or made by a batch."""

    id: str
    tenant: str


class ResultsPlace(_Shape):
    """The results topic when a batch was created.

    `home` is the partition for which the ids of the batch's requests are chosen, `ends` the end of each partition: its
    outcomes are published behind these.
    """

    home: int
    ends: tuple[int, ...]


class BatchCreated(_Shape):
    """A batch, with all that its run needs, so that any replica at any later time takes the same steps.

    Attributes:
        key: Name of the key that created it.
        models: Models that the key allows; None: any.
        partition, start: Where its records begin.
        source: Content of the input file, which may be deleted meanwhile.
        window: `completion_window` as it was given.
        expires_s: The second at which lines without an answer expire.
        output_s: Seconds for which the files with its answers are kept; None: the topic's retention.
    """

    id: str
    tenant: str
    key: str
    lane: str
    models: tuple[str, ...] | None = None
    endpoint: str
    input_file_id: str
    source: StoredParts
    window: str
    created_s: int
    expires_s: int
    output_s: int | None = None
    metadata: dict[str, Any] | None = None
    partition: int
    start: int
    results: ResultsPlace


class BatchFinished(_Shape):
    """A batch that has ended, as the catalogue keeps it: OpenAI's object, and where its answers lie.

    `end` is the offset of its last record; answers lie between `BatchCreated.start` and this one.
    """

    id: str
    tenant: str
    batch: dict[str, Any]
    end: int
    output_bytes: int = 0
    error_bytes: int = 0


class BatchValidated(_Shape):
    """The input file is valid and has so many requests; `model` is theirs, if they name one alone."""

    lines: int
    model: str | None = None


class BatchProgress(_Shape):
    """Requests below `done` are on their lane, those below `upto` may be. `seen` is as in `AnswersPiece`."""

    done: int
    upto: int
    seen: dict[int, int] = Field(default_factory=dict)


class BatchCancelAsked(_Shape):
    """A client asked that the batch be cancelled."""


class LineComplaint(_Shape):
    """What is wrong with an input file; `line` is a physical line, from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchEnded(_Shape):
    """The last record of a batch; those behind it count for nothing."""

    status: Ending
    errors: tuple[LineComplaint, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens billed for one line or several."""

    input: int = 0
    output: int = 0
    total: int = 0
    cached: int = 0
    reasoning: int = 0

    def plus(self, other: "Tokens") -> "Tokens":
        """Return the sum of both."""
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.total + other.total,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One line of the output or error file: JSON without a line break. `number` counts requests, from 0.

    `is_expired` says that its batch expired before it had an answer.
    """

    number: int
    is_output: bool
    text: bytes
    tokens: Tokens = Tokens()
    is_expired: bool = False


@dataclass(frozen=True, slots=True)
class AnswersPiece:
    """Lines of the output and error files; `seen` says up to which offsets of the results outcomes were looked at."""

    lines: tuple[AnswerLine, ...]
    seen: Mapping[int, int] = field(default_factory=dict)


CatalogueRecord = FileCreated | FileDeleted | BatchCreated | BatchFinished
BatchRecord = BatchValidated | BatchProgress | AnswersPiece | BatchCancelAsked | BatchEnded

_TYPES: Final[Mapping[str, type[BaseModel]]] = {
    "headrace.gateway.file-created.v1": FileCreated,
    "headrace.gateway.file-deleted.v1": FileDeleted,
    "headrace.gateway.batch-created.v1": BatchCreated,
    "headrace.gateway.batch-finished.v1": BatchFinished,
    "headrace.gateway.batch-validated.v1": BatchValidated,
    "headrace.gateway.batch-progress.v1": BatchProgress,
    "headrace.gateway.batch-cancel-asked.v1": BatchCancelAsked,
    "headrace.gateway.batch-ended.v1": BatchEnded,
}
_OUTPUT, _ERROR, _EXPIRED = "o", "e", "x"
_NAMES: Final = {shape: name for name, shape in _TYPES.items()}


def encode_part(file_id: str, tenant: str, content: bytes, *, at: datetime) -> Record:
    """Encode a part of a file's content."""
    headers = event_headers(TYPE_PART, new_id(), file_id, at, SOURCE)
    return Record(tenant.encode(), content, tuple(headers))


def encode(record: CatalogueRecord | BatchRecord, subject: str, tenant: str, *, at: datetime) -> Record:
    """Encode a record about the file or batch `subject`."""
    if isinstance(record, AnswersPiece):
        event_type, value = TYPE_ANSWERS, _piece_bytes(record)
    else:
        event_type, value = _NAMES[type(record)], record.model_dump_json(exclude_none=True).encode()
    return Record(tenant.encode(), value, tuple(event_headers(event_type, new_id(), subject, at, SOURCE)))


def subject_of(record: Record) -> str:
    """Return the id of the file or batch that a record is about; empty if it names none."""
    return dict(record.headers).get(names.CE_SUBJECT, b"").decode(errors="replace")


def is_part_of(record: Record, file_id: str) -> bool:
    """Whether it is a part of this file's content."""
    return dict(record.headers).get(names.CE_TYPE) == TYPE_PART.encode() and subject_of(record) == file_id


def decode(record: Record) -> CatalogueRecord | BatchRecord | None:
    """Decode a record; None if it is a part of a file, of a later version, or none of ours."""
    event_type = dict(record.headers).get(names.CE_TYPE, b"").decode(errors="replace")
    try:
        if event_type == TYPE_ANSWERS:
            return _piece(record.value or b"")
        shape = _TYPES.get(event_type)
        return None if shape is None else shape.model_validate_json(record.value or b"")  # type: ignore[return-value]  # the table has these alone
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _piece_bytes(piece: AnswersPiece) -> bytes:
    """One line of JSON with `seen`, then one for each answer: number, file and tokens, a tab, the answer's own JSON."""
    rows = [json_bytes({"seen": {str(number): offset for number, offset in piece.seen.items()}})]
    for line in piece.lines:
        spent = line.tokens
        tokens = [spent.input, spent.output, spent.total, spent.cached, spent.reasoning]
        kind = _OUTPUT if line.is_output else _EXPIRED if line.is_expired else _ERROR
        rows.append(json_bytes([line.number, kind, *tokens]) + b"\t" + line.text)
    return b"\n".join(rows)


def _piece(value: bytes) -> AnswersPiece:
    head, *rows = value.split(b"\n")
    lines = []
    for row in rows:
        facts, _, text = row.partition(b"\t")
        number, kind, *tokens = json.loads(facts)
        spent = Tokens(*map(int, tokens))
        lines.append(AnswerLine(int(number), kind == _OUTPUT, text, spent, is_expired=kind == _EXPIRED))
    seen = {int(number): int(offset) for number, offset in json.loads(head)["seen"].items()}
    return AnswersPiece(tuple(lines), seen)
