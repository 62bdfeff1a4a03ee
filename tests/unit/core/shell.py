"""A shell around the machine, driven by hand: it takes records, answers calls and commits batches when told to."""

from collections.abc import Mapping
from dataclasses import replace

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.bounds import COMMIT_PATIENCE_MS
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.commands import (
    AttemptEntry,
    Batch,
    Call,
    CancelCall,
    Command,
    Contained,
    Decision,
    Forget,
    Publish,
    SettledEntry,
)
from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import (
    Answered,
    Committed,
    Event,
    LedgerRead,
    Promoted,
    Renewed,
    StoodBy,
    Suspended,
    Taken,
)
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress, Stored
from headrace.broker.core.requests.triage import Apart, nameless
from headrace.broker.core.ticket import CONTROL, CallNumber, Candidate, Garbage, LanePartition, Source, TicketNumber
from tests.unit.core.specimens import LANES, budget, candidate, identity, place, rules, verdict

WALL_MS = 1_700_000_000_000
"""The wall clock where the core's clock stands at zero."""

STORED_AFTER_MS = COMMIT_PATIENCE_MS - 1
"""A Kafka as slow as one may be that nobody takes for one out of reach."""

Content = Candidate | Garbage | CancelRecord


class Shell:
    """The machine, its clock, and everything it has asked for and not got yet."""

    def __init__(
        self,
        *,
        lanes: tuple[LaneRule, ...] = LANES,
        tokens: int | None = 60_000,
        believed: bool = True,
        inflight_max: int = 1_000,
        in_place_max_ms: int = 60_000,
        ids_max: int = 10_000,
        apart: Apart = nameless,
        tenants: Mapping[str, TenantRule] | None = None,
    ) -> None:
        def make(limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
            return budget(limit, now_ms, checkpoint, tokens=tokens, believed=believed)

        settings = rules(lanes=lanes, inflight_max=inflight_max, in_place_max_ms=in_place_max_ms, ids_max=ids_max)
        settings = replace(settings, tenants={} if tenants is None else tenants)
        self.core = Dispatch(settings, make_budget=make, dice=lambda: 0.5, apart=apart)
        self.now_ms = 10_000
        self.hangs = False
        self.containing = False
        self.contained: list[Contained] = []
        self._begun_ms = 0
        self.calls: dict[TicketNumber, Call] = {}
        self.batch: Batch | None = None
        self.committed: list[Batch] = []
        self.cancelled: list[CallNumber] = []
        self.forgotten: list[TicketNumber] = []
        self.stored: dict[LanePartition, Stored] = {}
        self._number = 0
        self._offsets: dict[LanePartition, int] = {}

    # ------------------------------------------------------------------ the world

    def post(self, event: Event) -> None:
        """Tell the machine, and carry out what it asks for at once."""
        self.core.on(event, self.now_ms)
        self.carry_out()

    def carry_out(self) -> list[Command]:
        """Ask for commands now and note them."""
        commands = self.core.commands(self.now_ms)
        for command in commands:
            match command:
                case Call():
                    self.calls[command.number] = command
                case Publish():
                    assert self.batch is None, "one transaction at a time"
                    self.batch, self._begun_ms = command.batch, self.now_ms
                case CancelCall():
                    self.cancelled.append(command.call)
                case Contained():
                    self.contained.append(command)
                    if not self.containing:
                        raise command.error
                case Forget():
                    self.forgotten.append(command.number)
        return commands

    def wait(self, span_ms: int) -> None:
        """Let time pass, asking whenever the machine has said it wants to be asked; the lease is renewed meanwhile.

        Kafka stores in the end what nobody has committed by hand, unless it `hangs`.
        """
        until_ms = self.now_ms + span_ms
        while True:
            at_ms = self.core.wake_at()
            assert at_ms is None or at_ms > self.now_ms, "asked to be woken at once, again and again"
            if self.batch is not None and not self.hangs:
                stored_ms = max(self.now_ms, self._begun_ms + STORED_AFTER_MS)
                if stored_ms <= until_ms and (at_ms is None or stored_ms <= at_ms):
                    self.now_ms = stored_ms
                    self.renew()
                    self.commit()
                    continue
            if at_ms is None or at_ms > until_ms:
                break
            self.now_ms = at_ms
            self.renew()
            self.carry_out()
        self.now_ms = until_ms
        self.renew()
        self.carry_out()

    def renew(self) -> None:
        """Redis confirms the lease now."""
        self.core.on(Renewed(self.now_ms), self.now_ms)

    # ------------------------------------------------------------------ leadership

    def lead(self, progress: Mapping[LanePartition, PartitionProgress] | None = None) -> "Shell":
        """Be promoted, by default with three empty partitions, and have the first transaction behind it."""
        self.promote(progress)
        self.commit()
        return self

    def promote(
        self, progress: Mapping[LanePartition, PartitionProgress] | None = None, *, ledger_is_new: bool = False
    ) -> None:
        """The claim stands."""
        if progress is None:
            progress = {place(rule.name): PartitionProgress(0) for rule in LANES}
            progress[place(CONTROL)] = PartitionProgress(0)
        self.renew()
        self.post(Promoted(progress, self.core.term + 1, WALL_MS + self.now_ms, ledger_is_new))

    def suspend(self) -> None:
        """The producer is gone; whatever was under way is unknown."""
        self.batch = None
        self.post(Suspended())

    def stand_by(self) -> None:
        """Somebody else leads."""
        self.batch = None
        self.post(StoodBy())

    def restored(self) -> dict[LanePartition, PartitionProgress]:
        """Progress as it stands in Kafka."""
        return {place: PartitionProgress.restore(each.offset, each.metadata) for place, each in self.stored.items()}

    def read(
        self,
        *settled: SettledEntry,
        started: tuple[AttemptEntry, ...] = (),
        levels: tuple[Checkpoint, ...] = (),
        cancels: tuple[CancelRecord, ...] = (),
    ) -> None:
        """A line of the ledger comes in."""
        self.post(LedgerRead(WALL_MS + self.now_ms, settled, started, levels, cancels))

    # ------------------------------------------------------------------ records, answers, commits

    def take(
        self,
        content: Content | str = "x",
        *,
        partition: LanePartition | None = None,
        size: int = 10,
        timestamp_ms: int = WALL_MS,
    ) -> TicketNumber:
        """The next record of a partition; a string is the id of an ordinary request."""
        partition = place() if partition is None else partition
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        return self.take_at(Source(partition, offset), content, size=size, timestamp_ms=timestamp_ms)

    def cancel(self, name: str = "x", *, at_ms: int = WALL_MS, tenant_mark: bytes = b"") -> TicketNumber:
        """The next record of the control topic."""
        return self.take(CancelRecord(identity(name).id_hash, at_ms, tenant_mark), partition=place(CONTROL))

    def take_at(
        self, source: Source, content: Content | str = "x", *, size: int = 10, timestamp_ms: int = WALL_MS
    ) -> TicketNumber:
        """One record, wherever it stands."""
        self._number += 1
        number = TicketNumber(self._number)
        content = candidate(content) if isinstance(content, str) else content
        self.post(Taken(number, source, timestamp_ms, size, content))
        return number

    def answer(self, number: TicketNumber, meant: Verdict | None = None, *, size: int = 1_000) -> None:
        """The call of a ticket comes back."""
        call = self.calls.pop(number)
        self.post(Answered(call.call, verdict() if meant is None else meant, size))

    def begun(self) -> Batch:
        """The transaction under way, begun by waiting if need be."""
        if self.batch is None:
            self.wait(60)
        assert self.batch is not None, "nothing to commit"
        return self.batch

    def commit(self) -> Batch:
        """Kafka stores the transaction and says so."""
        batch = self.store()
        self.batch = None
        self.post(Committed(batch.serial, self.now_ms))
        return batch

    def store(self) -> Batch:
        """Kafka stores the transaction; nobody hears of it."""
        batch = self.begun()
        self.committed.append(batch)
        self.stored.update(batch.offsets)
        return batch

    def settle_all(self) -> None:
        """Answer every call and commit until there is nothing left to do."""
        for _ in range(1_000):
            for number in list(self.calls):
                self.answer(number)
            if not self.core.outbox and self.batch is None:
                return
            self.commit()
        raise AssertionError("it never ends")

    # ------------------------------------------------------------------ what came of it

    def decisions(self, number: TicketNumber) -> list[Decision]:
        """Every decision on a ticket that Kafka has stored."""
        return [each.decision for batch in self.committed for each in batch.settlements if each.number == number]

    def fates(self, name: str, *, run: int = 0, body: str = "body") -> list[Fate]:
        """Every fate of an (id, run) in the ledger."""
        sought = identity(name, run=run, body=body)
        return [each.fate for batch in self.committed for each in batch.settled if each.identity == sought]

    def waiting_cancels(self) -> list[CancelRecord]:
        """Every cancel that Kafka has been told to keep."""
        return [cancel for batch in self.committed for cancel in batch.cancels]

    def is_empty(self) -> bool:
        """Whether the machine holds nothing at all."""
        core = self.core
        return not (
            len(core.registry)
            or core.registry._open
            or core.registry._joined
            or core.flights
            or core.flights.held_bytes
            or core.flights._wanted
            or core.outbox
            or core.limits.waiting()
            or core.identities._open
            or any(core.registry._held.values())
            or any(core.registry._held_bytes.values())
        )


def leading(**settings: int) -> Shell:
    """A leader of three lanes with one partition each, confirmed by its first commit."""
    return Shell(**settings).lead()  # type: ignore[arg-type]  # whole numbers, all of them
