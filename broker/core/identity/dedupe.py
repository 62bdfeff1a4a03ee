"""Identity of a request: the table that tells duplicates, retries and replays apart.

A producer that does not know whether its request arrived sends it again; the retrier puts parked requests back; an
operator replays dead letters. All three look alike and must end differently: an unnoticed duplicate is paid twice, a
swallowed retry or replay is lost (holes 31, 32). So identity is (id, run), and an attempt tells a retry from a
duplicate.

| arriving         | unknown | open                      | parked (attempt n)        | answered                    |
|------------------|---------|---------------------------|---------------------------|-----------------------------|
| first submission | TAKE    | JOIN                      | DONE                      | DONE                        |
| retry, attempt m | TAKE    | JOIN                      | m > n TAKE, else DONE     | DONE                        |
| replay, run r    | TAKE    | same run JOIN, other WAIT | same run DONE, other WAIT | Completed, or run >= r DONE |
|                  |         |                           |                           | else TAKE                   |
| other content    | TAKE    | CONFLICT                  | CONFLICT                  | CONFLICT                    |

Where two rows meet: a retry of a replay is judged as a retry by its own run and as a replay by other runs. A first
submission, or its retry, that finds a *later* run parked is DONE: that run exists only because this one was answered.

Open ids are kept here and die with the process; settled ids are kept in `outcome_index`, and in the ledger.
"""

from enum import Enum

from headrace.broker.core.bounds import CANCEL_PATIENCE_MS, COPY_WITHIN_MS, OVERDUE_MAX
from headrace.broker.core.identity.outcome_index import (
    ATTEMPT_MAX,
    Awaited,
    Fate,
    Identity,
    KnownFate,
    OutcomeIndex,
    Overdue,
)
from headrace.broker.core.identity.pending_cancels import CancelRecord, PendingCancels

__all__ = ["Awaited", "DedupeDecision", "DedupeTable", "Fate", "Identity", "Overdue"]


class DedupeDecision(Enum):
    """What to do with an arriving record."""

    TAKE = "take"  # open it: this record is to be answered
    JOIN = "join"  # the same request is open: judge it again when that one is settled
    WAIT = "wait"  # another run is under way: judge it again when that one is settled
    DONE = "done"  # publish nothing, its offset is done
    CONFLICT = "conflict"  # the id belongs to another request: this one fails under a substitute id


class DedupeTable:
    """Ids open here, and the fate of every id within the window. Instants are wall-clock milliseconds."""

    def __init__(
        self,
        *,
        window_ms: int,
        ids_max: int,
        patience_ms: int = CANCEL_PATIENCE_MS,
        copy_within_ms: int = COPY_WITHIN_MS,
    ) -> None:
        """`patience_ms`: how long a cancel waits for its request, and a request may be parked: the longest deadline.

        `copy_within_ms` after its deadline no copy of a parked request comes any more.
        """
        self.cancels = PendingCancels(window_ms=window_ms, patience_ms=patience_ms)
        self._open: dict[bytes, tuple[Identity, int]] = {}
        self._failing: dict[bytes, Identity] = {}  # overdue: the transaction under way fails them
        self._fates = OutcomeIndex(
            window_ms=window_ms, ids_max=ids_max, patience_ms=patience_ms, copy_within_ms=copy_within_ms
        )
        self._kept_max = ids_max // 2

    def __len__(self) -> int:
        return len(self._fates)

    @property
    def parked_count(self) -> int:
        """Number of ids with a copy on its way: parked, or withdrawn while parked."""
        return self._fates.kept

    @property
    def kept(self) -> int:
        """Number of entries that age never removes, so that the ledger repeats them: parked ids and waiting cancels."""
        return self._fates.kept + len(self.cancels)

    @property
    def may_park(self) -> bool:
        """Whether one more may park: parked requests are kept until answered, hence bounded in number (PROTOCOL 5)."""
        return self._fates.kept + len(self.cancels) < self._kept_max

    @property
    def evicted(self) -> int:
        """Number of answers that `ids_max` has pushed out before their time."""
        return self._fates.evicted

    def judge(self, identity: Identity, attempt: int) -> DedupeDecision:
        """Judge by the table. `attempt` is 0 for a submission or a replay, above 0 for the retrier's record."""
        opened = self._open.get(identity.id_hash)
        if opened is None:
            return _judge_settled(identity, attempt, self._fates.find(identity.id_hash))
        answering, _ = opened
        if answering.fingerprint != identity.fingerprint:
            return DedupeDecision.CONFLICT
        return DedupeDecision.JOIN if identity.run in (0, answering.run) else DedupeDecision.WAIT

    def judge_and_open(self, identity: Identity, attempt: int) -> DedupeDecision:
        """Judge by the table; if it says TAKE, the id is open from now on."""
        decision = self.judge(identity, attempt)
        if decision is DedupeDecision.TAKE:
            self._open[identity.id_hash] = identity, attempt if attempt < ATTEMPT_MAX else ATTEMPT_MAX
        return decision

    def knows(self, id_hash: bytes) -> bool:
        """Whether the id is open, parked or answered."""
        return id_hash in self._open or id_hash in self._fates

    def knows_run(self, id_hash: bytes, run: int) -> bool:
        """Whether that run of the id, or a later one, is open, parked or answered."""
        opened, known = self._open.get(id_hash), self._fates.find(id_hash)
        return (opened is not None and opened[0].run >= run) or (known is not None and known.run >= run)

    def fate(self, id_hash: bytes) -> tuple[Fate, int, int] | None:
        """Return fate, run and attempt as last settled; the id can be open besides (a retry, a replay)."""
        known = self._fates.find(id_hash)
        return known and (known.fate, known.run, known.attempt)

    def parked(self, id_hash: bytes) -> tuple[Identity, int] | None:
        """Return the run of this id that is parked, and the attempts made for it; None if none is."""
        known = self._fates.find(id_hash)
        if known is None or known.fate is not Fate.PARKED:
            return None
        return Identity(id_hash, known.run, known.fingerprint), known.attempt

    def tenant_of_parked(self, id_hash: bytes) -> bytes:
        """Return the mark of the tenant whose request is parked under this id; empty: not known, or none is parked."""
        awaited = self._fates.awaited(id_hash)
        return b"" if awaited is None else awaited.tenant_mark

    def is_returning_copy(self, identity: Identity, attempt: int) -> bool:
        """Whether this is the copy of a request withdrawn while parked: the copy is DONE, and no other will come."""
        known = self._fates.find(identity.id_hash)
        if known is None or known.fate is not Fate.WITHDRAWN:
            return False
        return identity.run == known.run and attempt > known.attempt

    def fail_overdue(self, now_ms: int) -> list[Overdue]:
        """Open and return parked requests to fail in the next transaction: their copies should have come long ago.

        They are open until that is committed, so that a copy which comes meanwhile joins them.
        """
        overdue = [parked for parked in self._fates.overdue(now_ms) if parked.identity.id_hash not in self._open]
        for parked in overdue[:OVERDUE_MAX]:
            self._failing[parked.identity.id_hash] = parked.identity
            self.open(parked.identity, parked.attempts + 1)
        return overdue[:OVERDUE_MAX]

    def is_failing(self, id_hash: bytes) -> bool:
        """Whether the transaction under way fails this id since its copy did not come back."""
        return id_hash in self._failing

    def forget_expected(self) -> None:
        """Forget what was expected to be committed: that commit is unknown, or another leader's business."""
        self.cancels.forget_expected()
        for identity in self._failing.values():
            self.forget_open(identity)
        self._failing.clear()

    def was_overdue(self, id_hash: bytes) -> bool:
        """Whether the request parked under this id was Failed for its deadline while its copy was away."""
        awaited = self._fates.awaited(id_hash)
        return awaited is not None and awaited.overdue

    def record_awaited(self, awaited: Awaited) -> None:
        """Record what a ledger line, ours or another leader's, says about a copy that is on its way."""
        self._fates.record_awaited(awaited)

    def awaited(self, id_hash: bytes) -> Awaited | None:
        """Return what is known of the copy of this id that is on its way."""
        return self._fates.awaited(id_hash)

    def open(self, identity: Identity, attempt: int) -> None:
        """Open the id of a record that was taken, as `judge` said."""
        decision = self.judge_and_open(identity, attempt)
        assert decision is DedupeDecision.TAKE

    def open_ids(self) -> list[bytes]:
        """Return the ids that are open."""
        return list(self._open)

    def forget_open(self, identity: Identity) -> None:
        """Close an id without a fate: its record is dropped, as leadership is lost or the offset another leader's."""
        opened = self._open.get(identity.id_hash)
        if opened is not None and opened[0].run == identity.run:
            del self._open[identity.id_hash]

    def settle(self, identity: Identity, attempt: int, fate: Fate, at_ms: int) -> None:
        """Record a committed fate: our own, or one from the ledger, in any order and any number of times.

        PARKED carries at least the attempt of the record that it parks: a lower one is old news to an open retry.
        """
        opened = self._open.get(identity.id_hash)
        if opened is not None and opened[0].run == identity.run and (fate is not Fate.PARKED or attempt >= opened[1]):
            del self._open[identity.id_hash]
            self._failing.pop(identity.id_hash, None)
        self._fates.record(identity, attempt, fate, at_ms)

    def record_cancel(self, cancel: CancelRecord, at_ms: int) -> None:
        """Record a ledger line that states a waiting cancel.

        Cancels yield to what is parked: the oldest cancel is removed, and counted.
        """
        self.cancels.record(cancel, at_ms)
        self.cancels.shrink(self._kept_max - self._fates.kept)

    def expire(self, now_ms: int) -> None:
        """Forget the answers that have left the window."""
        self._fates.expire(now_ms)

    def window_reached_ms(self, now_ms: int) -> int:
        """Return how far back every answer is known: the window, or less where `ids_max` cut it short."""
        return self._fates.window_reached_ms(now_ms)

    @property
    def rewrites(self) -> bool:
        """Whether anything must be recorded again since the ledger is gone, so that a transaction must be made."""
        return bool(self._fates.unwritten)

    def rewrite_all(self, now_ms: int) -> None:
        """Mark everything as to be written to the new ledger, since the former one is gone."""
        self._fates.rewrite_all(now_ms)
        self.cancels.rewrite_all()

    def renewals(self, now_ms: int) -> list[tuple[Identity, int, Fate]]:
        """Return what the ledger must say once more: ids with a copy on its way, twice a window, in batches.

        `settle` them when they are committed; until then each call names them again.
        """
        return self._fates.renewals(now_ms)


def _judge_settled(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
    """Judge a record by the table without its column "open"."""
    if known is None:
        return DedupeDecision.TAKE
    if known.fingerprint != identity.fingerprint:
        return DedupeDecision.CONFLICT
    if known.fate is not Fate.PARKED:
        is_answered = known.fate is Fate.COMPLETED or known.run >= identity.run
        return DedupeDecision.DONE if is_answered else DedupeDecision.TAKE
    if known.run == identity.run:
        return DedupeDecision.TAKE if attempt > known.attempt else DedupeDecision.DONE
    return DedupeDecision.WAIT if identity.run else DedupeDecision.DONE
