"""Translation between the core's view of the ledger and its wire format.

The core knows identities, fates and checkpoints; `headrace.schemas.ledger` knows bytes. This module imports both, so
that neither imports the other.
"""

from collections.abc import Mapping
from datetime import datetime

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.commands import AttemptEntry, Batch, SettledEntry
from headrace.broker.core.endpoints import Law
from headrace.broker.core.events import LedgerRead
from headrace.broker.core.identity.dedupe import Awaited, Fate, Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.service.intake.grants import NO_KEY, GrantKey
from headrace.schemas import ledger

_LAWS = {law.value: law for law in Law}  # a newer release may write others


def claim_record(  # noqa: PLR0913 — three of them keyword-only
    term: int,
    owner: str,
    stands: tuple[str, ...] = (),
    topic_ids: Mapping[str, str] | None = None,
    *,
    key: GrantKey = NO_KEY,
    proved: str = "",
    totals: Mapping[str, int] | None = None,
) -> ledger.LedgerRecord:
    """Make the line that begins a term; it states the position of each suspected partition, and the ids of the topics.

    It carries the `totals` that its writer knows, so that terms that only claim pass them on.
    """
    return ledger.LedgerRecord(
        ledger.LedgerKind.CLAIM,
        term,
        owner,
        suspects=stands,
        topics=topic_ids or {},
        key=key.key,
        key_since_s=key.since_s,
        proved=proved,
        totals=totals or {},
    )


def left_record(term: int, owner: str) -> ledger.LedgerRecord:
    """Make the line that ends a term in an orderly way."""
    return ledger.LedgerRecord(ledger.LedgerKind.LEFT, term, owner)


def step_record(  # noqa: PLR0913 — two of them keyword-only
    batch: Batch, term: int, owner: str, now: datetime, *, suspects: tuple[str, ...] = (), key: GrantKey = NO_KEY
) -> ledger.LedgerRecord:
    """Make the line of one transaction; `suspects` are the batch's, as positions; `key` is given only at intervals."""
    return ledger.LedgerRecord(
        ledger.LedgerKind.STEP,
        term,
        owner,
        levels=tuple(level for checkpoint in batch.levels for level in _levels(checkpoint, now)),
        settled=tuple(_settled(entry) for entry in batch.settled),
        started=tuple(_started(entry) for entry in batch.started),
        cancels=tuple(
            ledger.WaitingCancel(cancel.id_hash, cancel.at_ms, cancel.tenant_mark) for cancel in batch.cancels
        ),
        suspects=suspects,
        ended=tuple(_started(entry) for entry in batch.ended),
        awaited=tuple(_awaited(each) for each in batch.awaited),
        key=key.key,
        key_since_s=key.since_s,
    )


def ledger_read(record: ledger.LedgerRecord, at_ms: int) -> LedgerRead:
    """Translate a line for the core; `at_ms` is the wall clock at its append."""
    return LedgerRead(
        at_ms=at_ms,
        settled=[
            SettledEntry(Identity(entry.id_hash, entry.run, entry.fingerprint), entry.attempt, Fate(entry.state))
            for entry in record.settled
        ],
        started=[_attempt(entry) for entry in record.started],
        levels=_checkpoints(record.levels),
        cancels=[CancelRecord(*entry) for entry in record.cancels],
        ended=[_attempt(entry) for entry in record.ended],
        term=record.term,
        owner=record.owner,
        left=record.kind is ledger.LedgerKind.LEFT,
        named=record.kind is ledger.LedgerKind.STEP and bool(record.suspects),
        awaited=[
            Awaited(
                Identity(entry.id_hash, entry.run, b"\0" * 8),
                entry.deadline_s,
                entry.name,
                entry.overdue,
                entry.tenant_mark,
            )
            for entry in record.awaited
        ],
    )


def _attempt(entry: ledger.StartedEntry) -> AttemptEntry:
    return AttemptEntry(Identity(entry.id_hash, entry.run, b"\0" * 8), entry.attempt)


def _settled(entry: SettledEntry) -> ledger.LedgerEntry:
    identity = entry.identity
    attempt = min(entry.attempt, ledger.ATTEMPT_MAX)
    state = ledger.LedgerState(entry.fate)
    return ledger.LedgerEntry(identity.id_hash, identity.run, attempt, state, identity.fingerprint)


def _awaited(each: Awaited) -> ledger.AwaitedEntry:
    deadline_s = min(max(0, each.deadline_s), ledger.DEADLINE_MAX_S)
    identity = each.identity
    return ledger.AwaitedEntry(identity.id_hash, identity.run, each.overdue, deadline_s, each.name, each.tenant_mark)


def _started(entry: AttemptEntry) -> ledger.StartedEntry:
    return ledger.StartedEntry(entry.identity.id_hash, entry.identity.run, min(entry.attempt, ledger.ATTEMPT_MAX))


def _levels(checkpoint: Checkpoint, now: datetime) -> list[ledger.Level]:
    return [
        ledger.Level(
            limit=checkpoint.limit,
            metric="tokens" if level.metric is LimitMetric.TOKENS else "requests",
            level=level.low,
            capacity=level.capacity,
            period_ms=level.period_ms,
            at=now,
            charged=checkpoint.charged_last_minute,
            pause_ms=checkpoint.pause_ms,
            markup_ppm=checkpoint.markup_ppm,
            laws={endpoint: law.value for endpoint, law in checkpoint.laws.items()},
            borne=checkpoint.tolerated_burst_tokens,
            ceiling=checkpoint.burst_ceiling_tokens,
            project=level.project,
            measured=checkpoint.measured_tokens_per_minute,
            unshown=checkpoint.unshown,
            factors=checkpoint.factors,
            sides=() if number else tuple(_side(side) for side in checkpoint.sides),
        )
        for number, level in enumerate(checkpoint.levels)
    ]


def _checkpoints(levels: tuple[ledger.Level, ...]) -> list[Checkpoint]:
    """Return the checkpoints of a line, one per limit; their instants are wall clock."""
    of_limit: dict[str, list[ledger.Level]] = {}
    for level in levels:
        of_limit.setdefault(level.limit, []).append(level)
    return [
        Checkpoint(
            limit=name,
            at_ms=int(several[0].at.timestamp() * 1_000),
            levels=tuple(
                LevelBounds(
                    LimitMetric(one.metric), one.level, one.level, one.capacity, one.period_ms, project=one.project
                )
                for one in several
            ),
            charged_last_minute=several[0].charged,
            pause_ms=several[0].pause_ms,
            markup_ppm=several[0].markup_ppm,
            laws={endpoint: _LAWS[law] for endpoint, law in several[0].laws.items() if law in _LAWS},
            tolerated_burst_tokens=several[0].borne,
            burst_ceiling_tokens=several[0].ceiling,
            measured_tokens_per_minute=several[0].measured,
            unshown=several[0].unshown,
            factors=several[0].factors,
            sides=tuple(_bounds_of(side) for side in several[0].sides),
        )
        for name, several in of_limit.items()
    ]


def _side(level: LevelBounds) -> ledger.SideLevel:
    return ledger.SideLevel(kind=level.kind, level=level.low, capacity=level.capacity, period_ms=level.period_ms)


def _bounds_of(side: ledger.SideLevel) -> LevelBounds:
    return LevelBounds(LimitMetric.TOKENS, side.level, side.level, side.capacity, side.period_ms, kind=side.kind)
