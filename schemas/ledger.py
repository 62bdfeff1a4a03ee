"""The leader's own log: claims, fates of ids, attempts started, budget levels. PROTOCOL §5 fixes its bytes.

One JSON object a record; ids are packed, since a busy hour holds two million of them and a cold start reads them all.
An id is stored as its exact 128-bit hash: a filter with false positives would lose a request.
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.schemas.ids import ID_LENGTH_MAX
from headrace.schemas.instants import Instant, to_wire

VERSION = 1
ATTEMPT_MAX = 255
"""Higher attempts are written as this number: a retry then looks newer than it is, and is taken, never lost."""

_SETTLED = struct.Struct(">16sHBB8s")
_STARTED = struct.Struct(">16sHB")
_CANCEL = struct.Struct(">16sQ")
_AWAITED = struct.Struct(">16sHBQB")
_MARK = struct.Struct(">8s")
_LEFT_OUT = [
    ("laws", {}),
    ("borne", 0),
    ("ceiling", None),
    ("project", False),
    ("measured", None),
    ("unshown", {}),
    ("factors", {}),
    ("sides", []),
]
_NO_MARK = b"\0" * _MARK.size
_OVERDUE = 1
DEADLINE_MAX_S = 0xFF_FFFF_FFFF
"""Five bytes of seconds: thirty thousand years."""


class LedgerUnreadable(ValueError):  # noqa: N818  # the state of the bytes, not of this process
    """Bytes of a version or kind this release does not know, or no ledger record. Nothing may be guessed."""


class LedgerKind(StrEnum):
    """Kind of a ledger record: a claim begins a term, steps follow, `left` ends it after a regular shutdown."""

    CLAIM = "claim"
    STEP = "step"
    LEFT = "left"


class LedgerState(IntEnum):
    """The fate of an (id, run). `WITHDRAWN`: Failed (`cancelled`) while parked; its copy is still to come back."""

    COMPLETED = 1
    FAILED = 2
    PARKED = 3
    WITHDRAWN = 4


class LedgerEntry(NamedTuple):
    """A fate. A named tuple, since a cold start creates two million of them."""

    id_hash: bytes
    run: int
    attempt: int
    state: LedgerState
    fingerprint: bytes


class StartedEntry(NamedTuple):
    """An attempt: its call was begun, or has ended and the request waits for another one."""

    id_hash: bytes
    run: int
    attempt: int


class WaitingCancel(NamedTuple):
    """A cancel that precedes its request, and the Kafka timestamp (ms) of its record.

    It answers records of the id up to a minute younger than that. For an id that has failed already it is written a
    minute older than it is: then it answers records submitted before it, a replay, and nothing younger. `tenant_mark`:
    hash of the intended request's tenant; empty: any tenant.
    """

    id_hash: bytes
    timestamp_ms: int
    tenant_mark: bytes = b""


class AwaitedEntry(NamedTuple):
    """A parked request with its copy on the way: the end of its deadline (s), and its id.

    The id is empty where only a line of an older release was read. `overdue`: it was Failed for its deadline since the
    copy did not come, and its fate is `WITHDRAWN`. `tenant_mark`: hash of its tenant; empty: not known.
    """

    id_hash: bytes
    run: int
    overdue: bool
    deadline_s: int
    name: str
    tenant_mark: bytes = b""


class SideLevel(BaseModel):
    """The level of a bucket that counts neither tokens nor requests; `kind` says what it counts."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    level: int
    capacity: Annotated[int, Field(ge=1)]
    period_ms: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Level:
    """Lower bound of a limit's level at an instant, after paying for calls in flight.

    `charged` are the tokens paid in the minute before, `pause_ms` the time from `at` on in which nothing may be paid,
    `markup_ppm` the server's charges over ours, in millionths, `laws` the charge law that was believed, by endpoint.
    `borne` is the amount that was spent at once beyond the steady rate without a refusal, `ceiling` the amount that
    must not be, where a refusal has shown it. `project`: the bucket is a project's. `measured` are the tokens a minute
    that were measured, where what the server says is not followed. `unshown` are the tokens of input that bodies do not
    show, by the kind of its reference. `factors` are the server's charges over the law's, in millionths, by
    endpoint. `sides` are the levels of the limit's buckets of input tokens and of images, at the first of its
    levels in a line.
    """

    limit: str
    metric: Literal["tokens", "requests"]
    level: int
    capacity: int
    period_ms: int
    at: datetime
    charged: int = 0
    pause_ms: int = 0
    markup_ppm: int = 1_000_000
    laws: Mapping[str, str] = field(default_factory=dict)
    borne: int = 0
    ceiling: int | None = None
    project: bool = False
    measured: int | None = None
    unshown: Mapping[str, int] = field(default_factory=dict)
    factors: Mapping[str, int] = field(default_factory=dict)
    sides: tuple[SideLevel, ...] = ()


def position(topic: str, partition: int, offset: int) -> str:
    """Format the position of a suspect."""
    return f"{topic}/{partition}/{offset}"


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One record of the ledger.

    `key` is the secret, in base64, by which the dispatchers of a prefix recognise their own grants (`headrace-grant`),
    and `key_since_s` the time since which every dead letter has one. `proved` is the digest of a base URL at which a
    call has been answered; empty: not stated. `suspects` are positions (`topic/partition/offset`): of a claim, the
    start of its term's reading in each partition that has a suspect, 500 at most; of a step, all single records about
    to be decoded at that moment.

    `cancels_of` and `awaited_of` (on the wire only) hold the tenant marks of `cancels` and `awaited`, 8 bytes each, in
    the same order; a former release ignores them.

    `topics` are Kafka's ids of topics by their names. A step with ids stores the progress of all their partitions; a
    claim hands on those under which the stored progress was written. A topic that has another id now was made anew, and
    its stored progress is meaningless.

    `totals` are the outcomes of all leaders, those of this line included: `completed`, or the reason of a failure.
    """

    kind: LedgerKind
    term: int
    owner: str
    levels: tuple[Level, ...] = ()
    settled: tuple[LedgerEntry, ...] = ()
    started: tuple[StartedEntry, ...] = ()
    cancels: tuple[WaitingCancel, ...] = ()
    suspects: tuple[str, ...] = ()
    ended: tuple[StartedEntry, ...] = ()
    topics: Mapping[str, str] = field(default_factory=dict)
    awaited: tuple[AwaitedEntry, ...] = ()
    key: str = ""
    key_since_s: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    proved: str = ""


class LevelValue(BaseModel):
    """A bucket's level in its wire format."""

    model_config = ConfigDict(extra="allow", frozen=True)

    limit: str
    metric: Literal["tokens", "requests"]
    level: int
    capacity: int
    period_ms: int
    at: Instant
    charged: int = 0
    pause_ms: int = 0
    markup_ppm: int = 1_000_000
    laws: dict[str, str] = Field(default_factory=dict)
    borne: int = 0
    ceiling: int | None = None
    project: bool = False
    measured: int | None = None
    unshown: dict[str, int] = Field(default_factory=dict)
    factors: dict[str, int] = Field(default_factory=dict)
    sides: tuple[SideLevel, ...] = ()


class LedgerValue(BaseModel):
    """A ledger record in its wire format; packed entries are base64."""

    model_config = ConfigDict(extra="allow", frozen=True, title="LedgerRecord")

    v: int
    kind: LedgerKind
    term: Annotated[int, Field(ge=0)]
    owner: str
    levels: tuple[LevelValue, ...] = ()
    settled: str = ""
    started: str = ""
    cancels: str = ""
    suspects: tuple[str, ...] = ()
    ended: str = ""
    topics: dict[str, str] = Field(default_factory=dict)
    awaited: str = ""
    key: str = ""
    key_since_s: int = 0
    totals: dict[str, int] = Field(default_factory=dict)
    proved: str = ""
    cancels_of: str = ""
    awaited_of: str = ""


def packed_bytes_max(*, settled: int, awaited: int, started: int, cancels: int) -> int:
    """Return the most bytes of a line's packed entries, as base64; `started` counts those that ended too."""
    sizes = (
        settled * _SETTLED.size,
        awaited * (_AWAITED.size + ID_LENGTH_MAX),
        awaited * _MARK.size,
        started * _STARTED.size,
        cancels * _CANCEL.size,
        cancels * _MARK.size,
    )
    return sum(4 * (size // 3 + 1) for size in sizes)


def _packed(layout: struct.Struct, entries: Iterable[tuple[Any, ...]]) -> str:
    return base64.b64encode(b"".join(layout.pack(*entry) for entry in entries)).decode()


def _packed_copies(entries: Iterable[AwaitedEntry]) -> str:
    packed = bytearray()
    for entry in entries:
        name = entry.name.encode()
        flags = _OVERDUE if entry.overdue else 0
        packed += _AWAITED.pack(entry.id_hash, entry.run, flags, entry.deadline_s, len(name)) + name
    return base64.b64encode(packed).decode()


def _packed_marks(entries: Iterable[WaitingCancel | AwaitedEntry]) -> str:
    """Pack the tenant marks of entries, in their order, zeros for none; empty if no entry has one."""
    marks = [entry.tenant_mark or _NO_MARK for entry in entries]
    return _packed(_MARK, ((mark,) for mark in marks)) if any(mark != _NO_MARK for mark in marks) else ""


def _level(level: Level) -> dict[str, Any]:
    """Encode a level; what it does not state, as most do not state a burst or a measured rate, is left out."""
    told = {each.name: getattr(level, each.name) for each in fields(level)}
    told |= {"at": to_wire(level.at), "laws": dict(level.laws), "sides": [each.model_dump() for each in level.sides]}
    return {name: value for name, value in told.items() if (name, value) not in _LEFT_OUT}


def encode_ledger(record: LedgerRecord) -> bytes:
    """Encode the value of a ledger record; empty fields are left out, except `levels`."""
    value: dict[str, Any] = {
        "v": VERSION,
        "kind": record.kind.value,
        "term": record.term,
        "owner": record.owner,
        "levels": [_level(level) for level in record.levels],
    }
    if record.settled:
        entries = (entry._replace(attempt=min(entry.attempt, ATTEMPT_MAX)) for entry in record.settled)
        value["settled"] = _packed(_SETTLED, entries)
    for name, calls in (("started", record.started), ("ended", record.ended)):
        if calls:
            bounded = (entry._replace(attempt=min(entry.attempt, ATTEMPT_MAX)) for entry in calls)
            value[name] = _packed(_STARTED, bounded)
    if record.cancels:
        value["cancels"] = _packed(_CANCEL, (entry[:2] for entry in record.cancels))
    if record.suspects:
        value["suspects"] = list(record.suspects)
    if record.topics:
        value["topics"] = dict(record.topics)
    if record.awaited:
        value["awaited"] = _packed_copies(record.awaited)
    if record.key:
        value |= {"key": record.key, "key_since_s": record.key_since_s}
    value |= {name: told for name, told in (("totals", dict(record.totals)), ("proved", record.proved)) if told}
    marks = (("cancels_of", _packed_marks(record.cancels)), ("awaited_of", _packed_marks(record.awaited)))
    value |= {name: packed for name, packed in marks if packed}
    return json.dumps(value, separators=(",", ":")).encode()


_STATES = {state.value: state for state in LedgerState}


def _unpacked(layout: struct.Struct, packed: str) -> Iterable[tuple[Any, ...]]:
    return layout.iter_unpack(base64.b64decode(packed, validate=True)) if packed else ()


def _key(packed: str) -> str:
    """Check that it is base64, else the line is not ours."""
    base64.b64decode(packed, validate=True)
    return packed


def _copies(packed: str) -> Iterable[AwaitedEntry]:
    content = base64.b64decode(packed, validate=True)
    place = 0
    while place < len(content):
        hashed, run, flags, deadline_s, length = _AWAITED.unpack_from(content, place)
        place += _AWAITED.size + length
        if place > len(content):
            raise struct.error("an id is cut off")
        yield AwaitedEntry(hashed, run, bool(flags & _OVERDUE), deadline_s, content[place - length : place].decode())


Entry = TypeVar("Entry", WaitingCancel, AwaitedEntry)


def _marks(packed: str, count: int) -> list[bytes]:
    """Unpack one mark for each of `count` entries; a line of an older release has none."""
    if not packed:
        return [b""] * count
    marks = [b"" if mark == _NO_MARK else mark for (mark,) in _unpacked(_MARK, packed)]
    if len(marks) != count:
        raise struct.error("marks and entries differ in number")
    return marks


def _marked(entries: Sequence[Entry], packed: str) -> tuple[Entry, ...]:
    """Return the entries, each with its tenant mark."""
    marked = zip(entries, _marks(packed, len(entries)), strict=True)
    return tuple(entry._replace(tenant_mark=mark) for entry, mark in marked)


def decode_ledger(value: bytes) -> LedgerRecord:
    """Decode the bytes of a ledger value.

    Raises:
        LedgerUnreadable: Unknown version or kind, or not a ledger record at all.
    """
    try:
        wire = LedgerValue.model_validate_json(value)
        if wire.v != VERSION:
            raise LedgerUnreadable(f"a ledger record has version {wire.v}; this release reads {VERSION}")
        return LedgerRecord(
            kind=wire.kind,
            term=wire.term,
            owner=wire.owner,
            levels=tuple(
                Level(**{name: getattr(item, name) for name in LevelValue.model_fields}) for item in wire.levels
            ),
            settled=tuple(
                LedgerEntry(hashed, run, attempt, _STATES[state], mark)
                for hashed, run, attempt, state, mark in _unpacked(_SETTLED, wire.settled)
            ),
            started=tuple(StartedEntry(*fields) for fields in _unpacked(_STARTED, wire.started)),
            cancels=_marked([WaitingCancel(*fields) for fields in _unpacked(_CANCEL, wire.cancels)], wire.cancels_of),
            suspects=wire.suspects,
            ended=tuple(StartedEntry(*fields) for fields in _unpacked(_STARTED, wire.ended)),
            topics=wire.topics,
            awaited=_marked([*_copies(wire.awaited)], wire.awaited_of),
            key=_key(wire.key),
            key_since_s=wire.key_since_s,
            totals=wire.totals,
            proved=wire.proved,
        )
    except (ValidationError, struct.error, binascii.Error, UnicodeDecodeError, KeyError) as reason:
        raise LedgerUnreadable(f"a ledger record cannot be read ({type(reason).__name__})") from reason
