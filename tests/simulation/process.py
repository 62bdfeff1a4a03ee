"""A dispatcher process: the machine and the least shell that keeps its promises to it.

Its clock starts anywhere, as a machine's boot time does; only the wall is common. It reads lanes where the machine has
room, makes its calls, sends its transactions, and tells it what came of them. What it is told to drop, it drops.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.commands import AttemptEntry, Batch, Call, CancelCall, Command, Contained, Forget, Publish
from headrace.broker.core.config import Role
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import (
    Answered,
    CallNotSent,
    Committed,
    Draining,
    Event,
    LedgerRead,
    Lost,
    PartitionFound,
    Promoted,
    Renewed,
    StoodBy,
    Suspended,
    Taken,
)
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import CallNumber, Candidate, Garbage, LanePartition, Source, State, TicketNumber
from tests.simulation.history import Held, History, Lined
from tests.simulation.inspection import held, inspect, turns
from tests.simulation.kafka import Kafka, LaneRecord, LedgerRow, Request, Rubbish, Settled, Transaction, Wish
from tests.simulation.scenario import Scenario

RECORDS_A_TAKE = 20
LEASE_PROVES_MS = 1_600
COMMIT_PROVES_MS = 1_500
WALL_MS = 1_700_000_000_000
CANCELLED = Verdict(Meaning.CONNECTION, True, None, (), None, False, "The call was cancelled.")


class World(Protocol):
    """What a process can ask of everything around it."""

    kafka: Kafka
    history: History

    @property
    def now_ms(self) -> int:
        """The world's clock."""

    def stir(self, process: "Process", at_ms: int) -> None:
        """Ask the process for its commands then."""

    def read_soon(self, process: "Process") -> None:
        """Let it read its lanes when their turn comes."""

    def send_call(self, process: "Process", call: Call, record: LaneRecord) -> None:
        """Carry a call to OpenAI."""

    def end_call(self, process: "Process", call: CallNumber) -> None:
        """Let a call that was cancelled end in a moment."""

    def call_ended(self, process: "Process", call: CallNumber) -> None:
        """A call is in flight no more."""

    def send_batch(self, process: "Process", batch: Batch) -> None:
        """Carry a transaction to Kafka."""

    def note(self, *words: object) -> None:
        """A line of the trace."""

    def defect(self, sentence: str) -> None:
        """Something broke."""


@dataclass(slots=True)
class Cargo:
    """A record in the shell's hands."""

    record: LaneRecord | None
    place: Source


class Process:
    """One of them."""

    def __init__(self, name: str, world: World, scenario: Scenario, chance: Random) -> None:
        self.name = name
        self.world = world
        self.alive = True
        self.epoch = 0
        self.clock_ms = chance.randint(10_000, 10_000_000)  # what its clock shows at the world's zero
        self.calls: dict[CallNumber, TicketNumber] = {}
        self.ending: set[CallNumber] = set()
        self.hold: dict[TicketNumber, Cargo] = {}
        self.answered_ids: set[tuple[bytes, int]] = set()
        self.cancelled_ids: dict[bytes, int] = {}
        self.life = 0
        self.leaving = False
        self.transaction: Transaction | None = None
        self.stalled_until_ms = 0
        self._trusted_until_ms = 0
        self._scenario = scenario
        self._positions: dict[LanePartition, int] = {}
        self._ledger_at = 0
        self._number = 0
        self.core = Dispatch(scenario.rules, make_budget=self._budget, dice=chance.random)

    def _budget(self, limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        tokens = self._scenario.tokens_per_minute if self._scenario.believed else None
        requests = self._scenario.requests_per_minute if self._scenario.believed else None
        return Budget(LimitBeliefs(limit, tokens, requests), now_ms, checkpoint)

    # ------------------------------------------------------------------ clocks

    @property
    def now_ms(self) -> int:
        """This machine's own clock."""
        return self.world.now_ms + self.clock_ms

    @property
    def leads(self) -> bool:
        """Whether it believes so."""
        return self.alive and self.core.role is Role.LEADING

    # ------------------------------------------------------------------ the driver

    def post(self, event: Event) -> None:
        """Tell the machine; its commands are asked for in a moment, as a driver does."""
        self.core.on(event, self.now_ms)
        self.world.stir(self, self.world.now_ms)

    def turn(self) -> None:
        """Carry out what the machine wants, and find out when to ask again."""
        history = self.world.history
        calls_before = len(history.calls)
        for command in self.core.commands(self.now_ms):
            self._carry_out(command)
        history.turns.extend(turns(self.name, self.core, history.calls[calls_before:]))
        for sentence in inspect(self.core, self.calls.keys() - self.ending, self.now_ms):
            self.world.defect(f"{self.name}: {sentence}")
        wake_ms = self.core.wake_at()
        if wake_ms is not None:
            if wake_ms <= self.now_ms:
                self.world.defect(f"{self.name} wants to be woken at {wake_ms}, which is not after {self.now_ms}")
            self.world.stir(self, wake_ms - self.clock_ms)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Call():
                record = self.hold[command.number].record
                assert record is not None
                self.calls[command.call] = command.number
                self.world.send_call(self, command, record)
            case Publish():
                self.world.send_batch(self, command.batch)
            case CancelCall():
                if command.call in self.calls:
                    self.ending.add(command.call)
                    self.world.end_call(self, command.call)
            case Contained():
                self.world.defect(f"{self.name}: {command.error!r} at {command.step}")
            case Forget():
                del self.hold[command.number]
                self.world.read_soon(self)

    def land(self, call: CallNumber, verdict: Verdict, size: int) -> None:
        """A call ended, one way or another."""
        self.ending.discard(call)
        if self.calls.pop(call, None) is not None:
            self.world.call_ended(self, call)
            self.post(Answered(call, verdict, size))

    def refuse(self, call: CallNumber) -> None:
        """The door did not send it."""
        del self.calls[call]
        self.world.call_ended(self, call)
        self.post(CallNotSent(call))

    def cancel_calls(self) -> None:
        """End all of them."""
        for call in list(self.calls):
            self.land(call, CANCELLED, 0)

    # ------------------------------------------------------------------ the lanes

    def read_lanes(self, chance: Random) -> None:
        """Take what there is room for, the partitions in any order."""
        places = list(self._positions)
        chance.shuffle(places)
        for place in places:
            room = self.core.room(place)
            if self.leads and room > 0:
                self._read(place, min(room, RECORDS_A_TAKE))

    def _read(self, place: LanePartition, records_max: int) -> None:
        weight = 0
        for record in self.world.kafka.read(place, self._positions[place], records_max):
            want = self.core.want(record.source)
            if want is Want.FULL:
                return
            self._positions[place] = record.source.offset + 1
            if want is Want.TAKE:
                number = self._stow(Cargo(record, record.source))
                content = self._decode(record)
                if isinstance(content, CancelRecord):
                    self._note_ended(content)
                self.post(Taken(number, record.source, record.timestamp_ms, _size(record), content))
                weight += _size(record)
                self._note_taken(record, content, weight)
        if self.world.kafka.ends[place] > self._positions[place]:
            self.world.read_soon(self)

    def _note_taken(self, record: LaneRecord, content: Candidate | Garbage | CancelRecord, weight: int) -> None:
        """What the checkers of lanes ask about: who waits for its call from now on, and what the lane holds."""
        history, registry, lane = self.world.history, self.core.registry, record.source.partition.lane
        first = None if not isinstance(content, Candidate) else registry.answering(content.identity.id_hash)
        waits = first is not None and first.source == record.source and first.state is State.WAITING
        if waits and isinstance(record.content, Request) and record.content.order:
            history.lined.append(Lined(len(history.calls), self.name, self.life, record.source, record.content.order))
        count, size = registry._held[lane], registry._held_bytes[lane]
        history.note_held(Held(self.name, registry._rules[lane], count, size, weight))

    def _note_ended(self, cancel: CancelRecord) -> None:
        first = self.core.registry.answering(cancel.id_hash)
        if first is not None and first.state is not State.SETTLED:
            self.world.history.ended.add((self.name, self.life, first.source))

    def behind(self) -> bool:
        """Whether a lane holds something that it has not read."""
        return any(self.world.kafka.ends[place] > position for place, position in self._positions.items())

    def find_partitions(self) -> None:
        """Look whether a lane has grown."""
        if not self.leads:
            return
        for place in sorted(self.world.kafka.logs.keys() - self._positions.keys()):
            self.post(PartitionFound(place, PartitionProgress(0)))
            self._positions[place] = 0
            self.world.read_soon(self)

    def _stow(self, cargo: Cargo) -> TicketNumber:
        self._number += 1
        self.hold[TicketNumber(self._number)] = cargo
        return TicketNumber(self._number)

    def _decode(self, record: LaneRecord) -> Candidate | Garbage | CancelRecord:
        content = record.content
        if isinstance(content, Wish):
            return CancelRecord(_hash(content.name), record.timestamp_ms)
        if isinstance(content, Rubbish):
            known = None if content.name is None else _identity(content.name, 0, content.body)
            return Garbage(known, "It cannot be decoded.", "invalid_request" if known else "undecodable")
        return Candidate(
            identity=_identity(content.name, content.run, content.body),
            attempt=content.attempt,
            model=content.model,
            limit=content.model,
            prices=Prices.flat(content.estimate),
            deadline_ms=content.deadline_ms - WALL_MS + self.clock_ms,
            refusal=("rejected", "Not on the list.") if content.refused else None,
            failures=content.failures,
            tenant=content.tenant,
            order=content.order.encode(),
            tier=content.tier,
        )

    # ------------------------------------------------------------------ leadership

    def follow(self) -> None:
        """Read the ledger to its end."""
        rows = self.world.kafka.ledger[self._ledger_at :]
        self._ledger_at += len(rows)
        for row in rows:
            started = [AttemptEntry(replace(each.identity, fingerprint=bytes(8)), each.attempt) for each in row.started]
            self.post(LedgerRead(row.at_ms, row.settled, started, row.levels, row.cancels))
            self._know(row)

    def follow_if_standby(self) -> None:
        """A leader does not read what it writes."""
        if self.alive and self.core.role is Role.FOLLOWING:
            self.follow()

    def promote(self, progress: Mapping[LanePartition, PartitionProgress]) -> None:
        """The claim stands and all maps are read."""
        self._positions = {place: each.base for place, each in progress.items()}
        self.renew()
        self.post(Promoted(progress, self.epoch, WALL_MS + self.world.now_ms))
        for place, base in list(self._positions.items()):
            start = self.world.kafka.starts[place]
            if start > base:
                self.post(Lost(self._stow(Cargo(None, Source(place, start))), place, start))
                self._positions[place] = start
        self.world.read_soon(self)

    def renew(self) -> None:
        """Redis says that the lease is ours; who trusts itself already is not stirred by that."""
        renewed = Renewed(self.now_ms)
        if self.may_send():
            self.core.on(renewed, self.now_ms)
        else:
            self.post(renewed)
        self._trusted_until_ms = max(self._trusted_until_ms, self.now_ms + LEASE_PROVES_MS)

    def revoke(self) -> None:
        """Redis names another holder."""
        self.core.trust.revoke(self.now_ms)
        self._trusted_until_ms = 0

    def may_send(self) -> bool:
        """Whether the door lets a call through, by its own book."""
        return self.now_ms < self._trusted_until_ms

    def suspend(self) -> None:
        """The producer is gone."""
        self.post(Suspended())

    def stand_by(self) -> None:
        """Somebody else leads, or will."""
        self._positions = {}
        self._trusted_until_ms = 0
        self.life += 1
        self.post(StoodBy())

    def drain(self, span_ms: int) -> None:
        """The process is told to leave."""
        self.leaving = True
        self.post(Draining(self.now_ms + span_ms))

    def committed(self, transaction: Transaction) -> None:
        """A commit returned."""
        self._know(transaction.row)
        if self._trusted_until_ms:
            proved_until_ms = transaction.begun_loop_ms + COMMIT_PROVES_MS
            self._trusted_until_ms = max(self._trusted_until_ms, proved_until_ms)
        self.post(Committed(transaction.batch.serial, transaction.begun_loop_ms))

    def _know(self, row: LedgerRow) -> None:
        for entry in row.settled:
            if entry.fate.name in {"COMPLETED", "FAILED", "WITHDRAWN"}:
                self.answered_ids.add((entry.identity.id_hash, entry.identity.run))
        for cancel in row.cancels:
            known_ms = self.cancelled_ids.get(cancel.id_hash, 0)
            self.cancelled_ids[cancel.id_hash] = max(known_ms, cancel.at_ms)

    def knows_answered(self, request: Request) -> bool:
        """Whether it has heard of this outcome."""
        return (_identity(request.name, request.run, request.body).id_hash, request.run) in self.answered_ids

    def knows_cancelled(self, record: LaneRecord) -> bool:
        """Whether it has heard of a cancel that waits for this record."""
        assert isinstance(record.content, Request)
        at_ms = self.cancelled_ids.get(_hash(record.content.name))
        return at_ms is not None and record.timestamp_ms <= at_ms + CANCEL_SLACK_MS

    def settled(self, batch: Batch) -> list[Settled]:
        """What a batch says, with the records it speaks of."""
        found = []
        for each in batch.settlements:
            cargo = self.hold[each.number]
            found.append(Settled(cargo.place, each.decision, cargo.record))
        return found

    # ------------------------------------------------------------------ what is left

    def remains(self) -> dict[str, int]:
        """Everything it holds; all zero when nothing is to be done."""
        core = self.core
        return held(core) | {
            "open ids": len(core.identities._open),
            "parked ids": core.identities.parked_count if self.leads and not self.world.history.lost else 0,
            "cargo": len(self.hold),
            "calls": len(self.calls),
        }


def _hash(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def _identity(name: str, run: int, body: str) -> Identity:
    return Identity(_hash(name), run, body.encode().ljust(8, b"."))


def _size(record: LaneRecord) -> int:
    return record.content.size if isinstance(record.content, Request) else 50
