"""Transactions: when one begins, and its content (outcomes, the maps that they change, and a ledger line).

An empty transaction also begins where silence would be worse:
- once a second while calls are in flight or wait, or while Redis does not confirm the lease, since a transaction proves
  leadership and carries the attempts started and the levels;
- now and then while anything is parked, since what is parked must not age out of the ledger;
- hourly for every partition, since stored offsets of a group without members expire, or twice a window, so that the
  ledger never looks as if no dispatcher led;
- at once where a record must be named as a suspect, or is none any more;
- at once while the process leaves and no call is under way, as long as attempts or levels stand in no committed line;
- 50 ms after the last one began where a call waits for the line that says it begins.

After a line that has named records the next transaction waits, up to 100 ms, until they are read: so the line that
strikes them off is in that transaction, and not in a second one.

Where even a transaction without any decision is refused, the ledger line leaves out for a minute what can wait: levels,
renewals, attempts that started or ended. What is left is bounded: 200 decisions, 100 overdue requests, and 100 attempts
that wait to start. Once the process has no more to publish and no call under way, it tries one whole line before it
leaves; if Kafka refuses that too, the successor does without.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from headrace.broker.core import bounds, commands
from headrace.broker.core.identity.dedupe import Awaited, Fate, Overdue
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.progress.poison_records import NamedRecord
from headrace.broker.core.requests.ledger_notes import LedgerNotes
from headrace.broker.core.requests.level_turns import LevelTurns
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Ticket, TicketNumber


@dataclass(frozen=True, slots=True)
class Ended:
    """What a commit has made final: ledger entries, and tickets that are done."""

    settled: Sequence[commands.SettledEntry]
    cancels: Sequence[CancelRecord]
    tickets: Sequence[Ticket]
    calls: Sequence[commands.AttemptEntry] = ()
    awaited: Sequence[Awaited] = ()
    overdue: Sequence[Overdue] = ()


REFUSED_BY_KAFKA = commands.Fail(
    "unpublishable", "Kafka refuses the record of what became of this request, whenever it is sent."
)


class TransactionBuilder:
    """Builder of the transactions of one process, of which one at a time is under way.

    Attributes:
        suspects: The record that the ledger names.
    """

    def __init__(self, outbox: Outbox, registry: TicketRegistry, *, window_ms: int) -> None:
        """`window_ms` is how long the ledger must know an id."""
        self._window_ms = window_ms
        self._outbox = outbox
        self._registry = registry
        self._serial = 0
        self._started: list[commands.AttemptEntry] = []
        self._started_under_way: list[commands.AttemptEntry] = []
        self._noted = 0  # attempts started so far; they are written in order
        self._written = 0  # how many of them stand in the ledger
        self._awaited_line = 0  # the last of them whose call waits for its line
        self._awaited_line_of: dict[bytes, int] = {}  # the same, by ordering key
        self._turned_back: dict[bytes, list[tuple[int, int]]] = {}  # by ordering key: turn, and `_noted` at that time
        self._ended: list[commands.AttemptEntry] = []
        self._ended_under_way: list[commands.AttemptEntry] = []
        self._settled_under_way: tuple[commands.SettledEntry, ...] = ()
        self._awaited_under_way: tuple[Awaited, ...] = ()
        self._overdue_under_way: tuple[Overdue, ...] = ()
        self._cancels_under_way: tuple[CancelRecord, ...] = ()
        self.suspects = NamedRecord()
        self._begun_at_ms, self._ended_at_ms = 0, 0
        self._levels = LevelTurns()
        self._recommit_at_ms = 0
        self._lean_until_ms = 0
        self._bare = False
        self._owed = False
        self._given_up = False  # whether Kafka has refused a line that was owed and said nothing else

    def add_start(self, entry: commands.AttemptEntry, *, awaited: bool = False, order: bytes = b"") -> int:
        """Note a call that starts, for the next ledger line; return the line for `has_written` (0: leave at once).

        An `awaited` call leaves only once that line is committed. So does a call while another one of its ordering key
        waits for its own line.
        """
        self._started.append(entry)
        self._noted += 1
        if not awaited and self._awaited_line_of.get(order, 0) <= self._written:
            return 0
        self._awaited_line = self._noted
        if order:
            self._awaited_line_of[order] = self._noted
        return self._noted

    @property
    def awaits_line(self) -> bool:
        """Whether any call waits for the ledger to say that it begins."""
        return self._awaited_line > self._written

    def has_written(self, line: int) -> bool:
        """Whether the ledger says that this call was started."""
        return line <= self._written

    def add_end(self, entry: commands.AttemptEntry) -> None:
        """Note, for the next ledger line, that a call has ended and that its request waits for another one."""
        self._ended.append(entry)

    def add_unsent(self, ticket: Ticket) -> None:
        """Note, for the next ledger line, that a call has ended: it was not sent, and no longer counts."""
        candidate = ticket.candidate
        self.add_end(commands.AttemptEntry(candidate.identity, candidate.calls_before + ticket.calls + 1))
        if candidate.order and self.awaits_line:
            self._turned_back.setdefault(candidate.order, []).append((ticket.turn, self._noted))

    def overtakes(self, line: int, ticket: Ticket) -> bool:
        """Whether an earlier ticket of its ordering key was turned back while this call waited for `line`, now written.

        The earlier ticket may have been called again since, and wait for a later line.
        """
        turned_back = self._turned_back.get(ticket.candidate.order, ())
        return any(turn < ticket.turn and 0 < line <= noted for turn, noted in turned_back)

    def recommit(self, at_ms: int) -> None:
        """Store every partition no later than that instant."""
        self._recommit_at_ms = at_ms

    def owes_line(self, limits: Scheduler) -> bool:
        """Whether attempts or levels stand in no committed line.

        False once Kafka has refused a line that said only this.
        """
        attempts = self._started or self._started_under_way or self._ended or self._ended_under_way
        return not self._given_up and (bool(attempts) or self._levels.owes(limits))

    def due_at(self, *, active: bool, parked: bool, owed: bool = False) -> int | None:
        """Return when the next transaction begins; None: one is under way.

        Args:
            active: Calls are in flight or wait, or only a transaction can prove that this process leads.
            parked: Something is parked, or a cancel waits: neither may age out of the ledger.
            owed: The process may leave once the ledger has the line that it owes (`owes_line`).
        """
        if self._outbox.busy:
            return None
        due_ms = self._recommit_at_ms
        if active or self._started or self._ended:
            probe_ms = self._begun_at_ms + bounds.PROBE_EVERY_MS
            due_ms = probe_ms if probe_ms < due_ms else due_ms
        elif parked:
            looked_for_ms = min(self._window_ms // bounds.RENEWALS_LOOKED_FOR_PARTS, bounds.OVERDUE_LOOKED_FOR_MS)
            due_ms = min(due_ms, self._begun_at_ms + looked_for_ms)
        if self.suspects.due or owed:
            due_ms = min(due_ms, self._begun_at_ms)
        elif self.awaits_line:
            due_ms = min(due_ms, self._begun_at_ms + bounds.LINGER_MS)
        decided_ms = self._outbox.due_at()
        if decided_ms is not None and decided_ms < due_ms:
            due_ms = decided_ms
        return max(due_ms, self._ended_at_ms + bounds.NAMED_READ_MS) if self.suspects.are_read else due_ms

    def begin(  # noqa: PLR0913 — the particulars of one transaction
        self,
        term: int,
        limits: Scheduler,
        notes: LedgerNotes,
        now_ms: int,
        *,
        wall_offset_ms: int = 0,
        owed: bool = False,
    ) -> commands.Batch:
        """Build the next transaction; its records are closed in the maps that it stores.

        Args:
            term: The term that writes it.
            limits: The limits whose levels the ledger should know.
            notes: What the ledger line says beside the decisions.
            now_ms: Now.
            wall_offset_ms: The wall clock minus the core's clock.
            owed: See `due_at`.
        """
        if self._recommit_at_ms <= now_ms:
            self._registry.touch_all()
            self._recommit_at_ms = now_ms + min(bounds.RECOMMIT_EVERY_MS, self._window_ms // 2)
        self._begun_at_ms = now_ms
        decisions = [self._reduced(decided) for decided in self._outbox.begin(now_ms)]
        for decided in decisions:
            self._registry.finish(decided.ticket.source)
        self._serial += 1
        self._bare, self._owed = not decisions and not notes.overdue, owed
        lean = now_ms < self._lean_until_ms and not (owed and self._bare)
        if lean:
            notes = LedgerNotes(overdue=notes.overdue)  # these are open until they are committed
        count = 0 if lean else bounds.STARTED_A_LINE_MAX
        started = bounds.LEAN_STARTED_MAX if lean and self.awaits_line else count
        self._started_under_way, self._started = self._started[:started], self._started[started:]
        self._ended_under_way, self._ended = self._ended[:count], self._ended[count:]
        self._settled_under_way = (*entries(decisions), *notes.settled, *notes.withdrawn())
        self._awaited_under_way = (*_awaited(decisions, wall_offset_ms), *notes.awaited, *notes.failed())
        self._overdue_under_way = notes.overdue
        new = (decided.decision.cancel for decided in decisions if isinstance(decided.decision, commands.Remember))
        self._cancels_under_way = (*new, *notes.cancels)
        return commands.Batch(
            serial=self._serial,
            settlements=tuple(
                [
                    commands.Settlement(decided.ticket.number, decided.decision, self._outbox.form(decided.ticket))
                    for decided in decisions
                ]
            ),
            offsets=self._registry.stored(term),
            settled=self._settled_under_way,
            started=tuple(self._started_under_way),
            levels=() if lean else self._levels.begin(limits, now_ms, owed=owed),
            cancels=self._cancels_under_way,
            suspects=self.suspects.begin(),
            ended=tuple(self._ended_under_way),
            awaited=self._awaited_under_way,
            overdue=self._overdue_under_way,
        )

    def _reduced(self, decided: Decided) -> Decided:
        """Replace an answer or a copy to be tried again, where Kafka refuses it, by a Failed outcome that says so."""
        whole = self._outbox.form(decided.ticket) in commands.WITH_CONTENT
        if whole or not isinstance(decided.decision, commands.Complete | commands.Park):
            return decided
        return Decided(decided.ticket, REFUSED_BY_KAFKA, decided.bytes)

    def end(self, serial: int, now_ms: int, crashed: Collection[TicketNumber] = ()) -> Ended | None:
        """End the batch whose commit returned; None if the commit was called unknown in the meantime.

        `crashed`: these tickets were published as Failed, since the record that was decided could not be made.
        """
        if serial != self._serial or not self._outbox.busy:
            return None
        self._ended_at_ms = now_ms
        self._forget_orders()
        self._written += len(self._started_under_way)
        calls, self._started_under_way, self._ended_under_way = self._ended_under_way, [], []
        self.suspects.end()
        self._levels.end()
        tickets = [decided.ticket for decided in self._outbox.end()]
        settled = self._settled_under_way
        if crashed:
            failed = {ticket.candidate.identity for ticket in tickets if ticket.number in crashed}
            settled = failed_instead(settled, {(identity.id_hash, identity.run) for identity in failed})
        cancels, awaited, overdue = self._cancels_under_way, self._awaited_under_way, self._overdue_under_way
        return Ended(settled, cancels, tickets, calls, awaited, overdue)

    def _forget_orders(self) -> None:
        """Forget what earlier commits have said: each call that waited for one of their lines has asked `overtakes`."""
        written = self._written
        self._awaited_line_of = {order: line for order, line in self._awaited_line_of.items() if line > written}
        self._turned_back = {order: turns for order, turns in self._turned_back.items() if turns[-1][1] > written}

    def is_hanging(self, now_ms: int) -> bool:
        """Whether the commit takes so long that Kafka may be out of reach: a successor would pay for calls again."""
        return self._outbox.busy and now_ms - self._begun_at_ms >= bounds.COMMIT_PATIENCE_MS

    def interrupt(self, setback: Setback = Setback.UNKNOWN) -> None:
        """Return the content of the transaction under way to the queues: its commit is unknown, or has failed."""
        if self._outbox.busy and self._bare and setback is Setback.REFUSED:
            self._lean_until_ms = self._begun_at_ms + bounds.LEAN_MS
            self._given_up = self._given_up or self._owed
        self._outbox.interrupt(setback)
        self._levels.interrupt()
        self.suspects.clear()
        self._started = self._started_under_way + self._started
        self._started_under_way = []
        self._ended = self._ended_under_way + self._ended
        self._ended_under_way = []

    def clear(self) -> None:
        """Forget the attempts to be written: another leader writes the ledger, and no call waits for a line of ours."""
        self._started, self._started_under_way = [], []
        self._written = self._noted
        self._ended, self._ended_under_way = [], []


def failed_instead(
    settled: Iterable[commands.SettledEntry], crashed: Collection[tuple[bytes, int]]
) -> tuple[commands.SettledEntry, ...]:
    """Return the entries, with the fate FAILED for these ids (hash and run), whatever was decided."""
    return tuple(
        commands.SettledEntry(entry.identity, entry.attempt, Fate.FAILED)
        if (entry.identity.id_hash, entry.identity.run) in crashed
        else entry
        for entry in settled
    )


def entries(decisions: Iterable[Decided]) -> Iterable[commands.SettledEntry]:
    """Yield the ledger entries of decisions, one for each fate; a record without a fate has none."""
    for decided in decisions:
        entry = _entry(decided.decision, decided.ticket)
        if entry is not None:
            yield entry


def _awaited(decisions: Iterable[Decided], wall_offset_ms: int) -> Iterator[Awaited]:
    """Yield, for each request parked now, what a successor needs to fail it if its copy does not come back."""
    for decided in decisions:
        if isinstance(decided.decision, commands.Park):
            candidate = decided.ticket.candidate
            deadline_s = -(-(candidate.deadline_ms + wall_offset_ms) // 1_000)
            yield Awaited(candidate.identity, deadline_s, candidate.name, tenant_mark=candidate.tenant_mark)


def _entry(decision: commands.Decision, ticket: Ticket) -> commands.SettledEntry | None:
    """Return the fate that a decision gives, and the attempt at which it is met; None if it gives none."""
    match decision:
        case commands.Complete():
            candidate = ticket.candidate
            return commands.SettledEntry(candidate.identity, candidate.attempt, Fate.COMPLETED)
        case commands.Fail() | commands.Discard(returned=True):
            candidate = ticket.candidate
            return commands.SettledEntry(candidate.identity, candidate.attempt, Fate.FAILED)
        case commands.Park():
            return commands.SettledEntry(ticket.candidate.identity, decision.attempts, Fate.PARKED)
        case commands.Withdraw():
            return commands.SettledEntry(ticket.candidate.identity, decision.attempts, Fate.WITHDRAWN)
        case commands.DeadLetterOnly() | commands.Discard() | commands.Remember():
            return None
        case _:
            assert_never(decision)
