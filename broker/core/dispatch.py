"""The dispatcher's mind: from a record taken to the one outcome it ends in.

Three verbs and an explicit clock: `on(event, now_ms)` is the only way in, `commands(now_ms)` the only way out,
`wake_at()` says when silence itself becomes an event. Nothing is awaited and nothing read but the arguments, so the
same machine runs in the service, in the simulator and in the planner.

Roles. FOLLOWING reads the ledger and touches nothing. LEADING takes, calls and publishes. SUSPENDED has lost its
producer and does not know whether it still leads: it admits and publishes nothing and drops nothing, because calls in
flight and outcomes in memory are paid for. Promotion after a suspension publishes only what the stored maps call
incomplete and the ledger calls unanswered.

Rules of this file:
1. A ticket lives from Taken until the commit that settles it has returned, or until its record is somebody else's.
2. Money is reserved in the same breath in which the Call leaves; each reservation ends in exactly one Answered or
   Refused.
3. An identity is settled when the commit returns, never before: an index that runs ahead would lose requests.
4. Progress is finished when a transaction is built; should its commit be unknown, the next promotion starts from the
   stored maps.
"""

from collections.abc import Callable, Iterable
from typing import assert_never

from broker.core.alarms import Alarms
from broker.core.batches import Batches, entries
from broker.core.bounds import ACCOUNT_REST_MS, OUTCOME_BYTES_MAX
from broker.core.budget import Budget, Checkpoint
from broker.core.commands import (
    Bury,
    Call,
    CancelCall,
    Command,
    Complete,
    Decision,
    Discard,
    Fail,
    Forget,
    Publish,
    StartedEntry,
)
from broker.core.events import (
    Answered,
    Committed,
    Draining,
    Event,
    LedgerRead,
    Lost,
    PartitionFound,
    Promoted,
    Refused,
    Renewed,
    StoodBy,
    Suspended,
    Taken,
)
from broker.core.flights import Flights
from broker.core.identity import Identities, Judgement
from broker.core.limits import Limits
from broker.core.outbox import Decided, Outbox
from broker.core.reading import Metric
from broker.core.register import Register, Want
from broker.core.retry import Again, Failing, decide
from broker.core.rules import DispatchRules, Role
from broker.core.term import Trust
from broker.core.ticket import Candidate, Garbage, LanePartition, Source, State, Ticket
from broker.core.verdict import Meaning, Verdict

MakeBudget = Callable[[str, int, Checkpoint | None], Budget]
"""Makes the mirror of a limit by name, at an instant, from what a predecessor left."""


class Dispatch:
    """The machine. One task owns it."""

    def __init__(self, rules: DispatchRules, *, make_budget: MakeBudget, dice: Callable[[], float]) -> None:
        """Start as a follower; `dice` draws a number in [0, 1), the only chance the machine uses."""
        self.rules = rules
        self.role = Role.FOLLOWING
        self.term = 0
        self.identities = Identities(window_ms=rules.dedupe_window_ms, ids_max=rules.dedupe_ids_max)
        self.trust = Trust(rules.lease)
        self.register = Register(rules.lanes)
        self.limits = Limits(rules.lanes, self._budget)
        self.flights = Flights(inflight_max=rules.inflight_max, held_bytes_max=rules.held_bytes_max)
        self.outbox = Outbox()
        self._batches = Batches(self.outbox, self.register)
        self._make_budget = make_budget
        self._dice = dice
        self._first_lane = min(rules.lanes, key=lambda lane: lane.order).name
        self._checkpoints: dict[str, Checkpoint] = {}
        self._inherited: set[tuple[bytes, int]] = set()
        self._alarms = Alarms()
        self._commands: list[Command] = []
        self._wall_offset_ms = 0
        self._confirmed = False
        self._drain_until_ms: int | None = None

    # ------------------------------------------------------------------ the three verbs

    def on(self, event: Event, now_ms: int) -> None:  # noqa: C901, PLR0912 — a table of events, one line each
        """Take note of what happened at `now_ms`."""
        match event:
            case Taken():
                self._taken(event, now_ms)
            case Answered():
                self._answered(event, now_ms)
            case Refused():
                self._refused(event, now_ms)
            case Renewed():
                self.trust.renewed(event.sent_at_ms)
            case Committed():
                self._committed(event, now_ms)
            case LedgerRead():
                self._ledger_read(event)
            case Promoted():
                self._promoted(event, now_ms)
            case PartitionFound():
                self.register.progress.setdefault(event.partition, event.progress)
            case Lost():
                self._lost(event, now_ms)
            case Suspended():
                self._suspended()
            case StoodBy():
                self._stood_by(now_ms)
            case Draining():
                self._drain_until_ms = event.until_ms
            case _:
                assert_never(event)

    def commands(self, now_ms: int) -> list[Command]:
        """What is to be done now, in order; draining the list is the shell's promise to do it."""
        if self.role is Role.LEADING:
            for ticket in self._alarms.woken(now_ms):
                self._line_up(ticket, now_ms, front=True)
            for ticket in self._alarms.expired(now_ms):
                self._settle(ticket, _TOO_LATE, now_ms)
            self._admit(now_ms)
            due_ms = self._publish_at()
            if due_ms is not None and due_ms <= now_ms:
                self._commands.append(Publish(self._batches.begin(self.term, self.limits, now_ms)))
        commands, self._commands = self._commands, []
        return commands

    def wake_at(self) -> int | None:
        """When `commands` should be asked next if nothing happens before; valid after `commands`."""
        if self.role is not Role.LEADING:
            return None
        instants = (self._alarms.next_at(), self.limits.wake_at(), self._publish_at())
        return min((instant for instant in instants if instant is not None), default=None)

    # ------------------------------------------------------------------ what the shell may ask

    def want(self, source: Source) -> Want:
        """Whether the record there should be decoded and posted."""
        return self.register.want(source)

    def room(self, partition: LanePartition) -> int:
        """How many more records of a partition may be taken now; none unless leading."""
        return self.register.room(partition) if self.role is Role.LEADING else 0

    @property
    def idle(self) -> bool:
        """True when nothing is in flight and nothing waits to be committed: the end of a drain."""
        return not self.flights and not self.outbox

    def wall_ms(self, now_ms: int) -> int:
        """The wall clock at an instant, as the last promotion anchored it."""
        return now_ms + self._wall_offset_ms

    # ------------------------------------------------------------------ taking

    def _taken(self, event: Taken, now_ms: int) -> None:
        progress = self.register.progress.get(event.source.partition)
        if progress is None or not progress.take(event.source.offset, event.timestamp_ms):
            self._commands.append(Forget(event.number))
            return
        ticket = Ticket(event.number, event.source, event.bytes, now_ms, event.content)
        self.register.add(ticket)
        match event.content:
            case Candidate():
                self._recognise(ticket, now_ms)
            case Garbage():
                self._garbage(ticket, event.content, now_ms)

    def _recognise(self, ticket: Ticket, now_ms: int) -> None:
        candidate = ticket.candidate
        match self.identities.judge(candidate.identity, candidate.attempt):
            case Judgement.DONE:
                self._settle(ticket, Discard(), now_ms)
            case Judgement.CONFLICT:
                sentence = "The id is known with another tenant, endpoint or body; use a new id."
                self._settle(ticket, Bury("id_conflict", sentence), now_ms)
            case Judgement.JOIN | Judgement.WAIT:
                self.register.join(ticket)
            case Judgement.TAKE:
                self.identities.open(candidate.identity, candidate.attempt)
                self.register.open(ticket)
                ticket.charge = candidate.charge
                ticket.failures = candidate.attempt
                self._line_up(ticket, now_ms)

    def _garbage(self, ticket: Ticket, garbage: Garbage, now_ms: int) -> None:
        identity = garbage.identity
        if identity is None:
            self._settle(ticket, Bury(garbage.reason, garbage.sentence), now_ms)
        elif self.identities.knows(identity.id_hash):
            self._settle(ticket, Bury("invalid_request", garbage.sentence), now_ms)
        else:
            ticket.content = Candidate(identity, 0, "", "", 0, 0)
            self.identities.open(identity, 0)
            self.register.open(ticket)
            self._settle(ticket, Fail("invalid_request", garbage.sentence), now_ms)

    def _line_up(self, ticket: Ticket, now_ms: int, *, front: bool = False) -> None:
        candidate = ticket.candidate
        if candidate.refusal is not None:
            self._settle(ticket, Fail(*candidate.refusal), now_ms)
        elif candidate.deadline_ms <= now_ms:
            self._settle(ticket, _TOO_LATE, now_ms)
        elif not self.limits.desk(candidate.limit, now_ms).budget.fits(ticket.charge):
            sentence = f"One call charges {ticket.charge} tokens, more than limit {candidate.limit!r} holds when full."
            self._settle(ticket, Fail("too_large", sentence), now_ms)
        else:
            self.limits.enqueue(ticket, now_ms, front=front)
            if not front:
                self._alarms.watch(ticket, len(self.register))

    def _lost(self, event: Lost, now_ms: int) -> None:
        lost = self.register.progress[event.partition].lose_below(event.offset)
        if lost is None:
            self._commands.append(Forget(event.number))
            return
        sentence = f"Offsets {lost.start} to {lost.stop - 1} were removed by retention before they were taken."
        garbage = Garbage(None, sentence, "lost_by_retention")
        ticket = Ticket(event.number, Source(event.partition, lost.start), 0, now_ms, garbage)
        self.register.add(ticket)
        self._settle(ticket, Bury(garbage.reason, sentence), now_ms)

    # ------------------------------------------------------------------ admission

    def _admit(self, now_ms: int) -> None:
        while self._may_call(now_ms):
            ticket = self.limits.payable(now_ms)
            if ticket is None:
                return
            self._call(ticket, now_ms)

    def _may_call(self, now_ms: int) -> bool:
        if self._drain_until_ms is not None and now_ms + self.flights.expected_ms() > self._drain_until_ms:
            return False
        return self._confirmed and self.trust.holds(now_ms) and self.flights.room()

    def _call(self, ticket: Ticket, now_ms: int) -> None:
        candidate = ticket.candidate
        ticket.state = State.CALLING
        ticket.calls += 1
        self.limits.serve(ticket)
        call = self.flights.start(ticket, self.limits.desk(candidate.limit, now_ms).budget, now_ms)
        self._batches.started(StartedEntry(candidate.identity, candidate.attempt + ticket.calls))
        key = (candidate.identity.id_hash, candidate.identity.run)
        repeated = key in self._inherited
        self._inherited.discard(key)
        self._commands.append(Call(call, ticket.number, ticket.charge, ticket.calls, repeated))

    def _answered(self, event: Answered, now_ms: int) -> None:
        flight = self.flights.land(event.call, now_ms)
        ticket, budget, verdict = flight.ticket, flight.budget, event.verdict
        if verdict.meaning in _UNANSWERED:
            budget.abandoned(event.call, now_ms)
        else:
            budget.answered(event.call, now_ms, verdict)
        if verdict.meaning in _ACCOUNT:
            budget.pause_until(now_ms + (verdict.wait_ms or ACCOUNT_REST_MS))
        if ticket.state is not State.CALLING:
            return
        if verdict.meaning is not Meaning.OK:
            self._failed(ticket, verdict, now_ms)
        elif event.bytes > OUTCOME_BYTES_MAX:
            sentence = f"The answer weighs {event.bytes} bytes, more than the results topic takes."
            self._settle(ticket, Fail("too_large_for_topic", sentence), now_ms)
        else:
            self.flights.hold(ticket, event.bytes)
            self._settle(ticket, Complete(), now_ms)

    def _failed(self, ticket: Ticket, verdict: Verdict, now_ms: int) -> None:
        ticket.failures += verdict.counts_as_attempt
        if verdict.snapshot is not None and verdict.snapshot.metric is Metric.TOKENS and verdict.snapshot.requested:
            ticket.charge, ticket.stated = verdict.snapshot.requested, True  # the server's own word
        parkable = ticket.bytes <= self.rules.parked_bytes_max
        failing = Failing(verdict, ticket.failures, ticket.candidate.deadline_ms, parkable)
        decision = decide(failing, self.rules.retry, now_ms, self._dice())
        if isinstance(decision, Again):
            ticket.state = State.WAITING
            self._alarms.sleep(ticket, decision.not_before_ms)
        else:
            self._settle(ticket, decision, now_ms)

    def _refused(self, event: Refused, now_ms: int) -> None:
        flight = self.flights.land(event.call, now_ms)
        flight.budget.abandoned(event.call, now_ms)
        if flight.ticket.state is State.CALLING:
            flight.ticket.state = State.WAITING
            self._line_up(flight.ticket, now_ms, front=True)

    # ------------------------------------------------------------------ settling

    def _settle(self, ticket: Ticket, decision: Decision, now_ms: int) -> None:
        ticket.state = State.SETTLED
        self.limits.withdraw(ticket, now_ms)
        weight = ticket.held_bytes if isinstance(decision, Complete) else ticket.bytes
        at_once = ticket.source.partition.lane == self._first_lane
        self.outbox.add(Decided(ticket, decision, weight), now_ms, at_once=at_once)

    def _publish_at(self) -> int | None:
        return self._batches.due_at(active=bool(self.flights) or self.limits.waiting() > 0)

    def _committed(self, event: Committed, now_ms: int) -> None:
        self.trust.proved(event.begun_at_ms)
        self._confirmed = True
        for each in self._batches.end():
            for entry in entries((each,)):
                self.identities.settle(entry.identity, entry.attempt, entry.fate, self.wall_ms(now_ms))
            answered = self.register.is_answering(each.ticket)
            self._drop(each.ticket)
            if answered:
                self._judge_again(self.register.part(each.ticket.candidate.identity.id_hash), now_ms)
        self.identities.expire(self.wall_ms(now_ms))

    def _judge_again(self, joined: Iterable[Ticket], now_ms: int) -> None:
        """What they waited for is decided: what are these now?"""
        for ticket in joined:
            ticket.state = State.WAITING
            self._recognise(ticket, now_ms)

    def _drop(self, ticket: Ticket) -> None:
        self.flights.hold(ticket, 0)
        self.register.remove(ticket)
        self._commands.append(Forget(ticket.number))

    # ------------------------------------------------------------------ leadership

    def _ledger_read(self, event: LedgerRead) -> None:
        if self.role is Role.FOLLOWING:
            self._inherited.update((started.identity.id_hash, started.identity.run) for started in event.started)
        for entry in event.settled:
            self._inherited.discard((entry.identity.id_hash, entry.identity.run))
            self.identities.settle(entry.identity, entry.attempt, entry.fate, event.at_ms)
        self._checkpoints.update((checkpoint.limit, checkpoint) for checkpoint in event.levels)
        self.identities.expire(event.at_ms)

    def _budget(self, limit: str, now_ms: int) -> Budget:
        left = self._checkpoints.pop(limit, None)
        return self._make_budget(limit, now_ms, None if left is None else left.aged(self.wall_ms(now_ms)))

    def _promoted(self, event: Promoted, now_ms: int) -> None:
        if self.role is Role.FOLLOWING:
            self.limits = Limits(self.rules.lanes, self._budget)
        self.role = Role.LEADING
        self.term = event.term
        self._wall_offset_ms = event.wall_ms - now_ms
        self._confirmed = False
        self._batches.recommit(now_ms)
        for ticket in self.register.replace_progress(event.progress):
            self._give_up(ticket, now_ms)
        for ticket in self.register.tickets():
            if self.register.is_answering(ticket) and self._settled_elsewhere(ticket.candidate):
                self._withdraw(ticket, now_ms)
                self._settle(ticket, Discard(), now_ms)  # a leader in between has answered or parked it
        self._judge_again(self.register.part_orphans(), now_ms)

    def _settled_elsewhere(self, candidate: Candidate) -> bool:
        return self.identities.is_settled(candidate.identity, candidate.attempt)

    def _suspended(self) -> None:
        if self.role is Role.LEADING:
            self.role = Role.SUSPENDED
        self._batches.interrupt()

    def _stood_by(self, now_ms: int) -> None:
        self.role = Role.FOLLOWING
        self.trust.revoke(now_ms)
        self._batches.interrupt()
        for ticket in self.register.tickets():
            self._give_up(ticket, now_ms)
        self._batches.clear()
        self.register.clear()
        self._alarms.clear()

    def _give_up(self, ticket: Ticket, now_ms: int) -> None:
        """A ticket whose record is settled elsewhere, or no longer ours."""
        self._withdraw(ticket, now_ms)
        if self.register.is_answering(ticket):
            self.identities.forget_open(ticket.candidate.identity)
        self._drop(ticket)

    def _withdraw(self, ticket: Ticket, now_ms: int) -> None:
        """Take a ticket out of whatever it is in: its queue, its call, the outbox."""
        if ticket.state is State.CALLING:
            self._commands.extend(CancelCall(call) for call in self.flights.of(ticket))
        self.outbox.withdraw(ticket)
        ticket.state = State.SETTLED
        self.limits.withdraw(ticket, now_ms)


_TOO_LATE = Fail("deadline_exceeded", "The deadline passed before a call could start.")
_UNANSWERED = frozenset({Meaning.TIMEOUT, Meaning.CONNECTION})
_ACCOUNT = frozenset({Meaning.QUOTA, Meaning.AUTH})
