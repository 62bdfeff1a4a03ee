"""State machine of the dispatcher, from a record taken to its one outcome.

It has three verbs: `on(event, now_ms)` takes note of what happened, `commands(now_ms)` says what to do now, `wake_at()`
when to ask for commands next. Nothing is awaited and no clock read, so service, simulator and planner run the same
machine.

Its role, and what a change of role does to requests in memory, is `headrace.broker.core.requests.role_transitions`.

Rules of this file:
1. A ticket lives from Taken until the commit that settles it has returned, or until its record is another leader's.
2. Tokens are reserved as the Call leaves. One Answered, CallNotSent or Crashed ends that, whatever has become of its
   ticket.
3. An identity is settled when the commit returns, never before: an index that runs ahead would lose requests.
4. Progress is finished when a transaction is built; after an unknown commit a promotion starts from the stored maps.
"""

from collections.abc import Callable
from typing import assert_never

from headrace.broker.core.answers.verdict import OK
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.commands import (
    AttemptEntry,
    Call,
    Command,
    Complete,
    Contained,
    DeadLetterOnly,
    Forget,
    Publish,
)
from headrace.broker.core.config import LEADING, DispatchRules, Pause, Role
from headrace.broker.core.events import (
    Answered,
    CallNotSent,
    Committed,
    Crashed,
    Draining,
    Event,
    LedgerRead,
    Lost,
    PartitionFound,
    Promoted,
    Renewed,
    StoodBy,
    Suspected,
    Suspended,
    Taken,
)
from headrace.broker.core.identity.dedupe import DedupeTable
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.lease import Trust
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.attempts import Attempts, closings
from headrace.broker.core.requests.due import DueTickets
from headrace.broker.core.requests.eviction import Eviction
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.ledger_notes import gather, observe
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.requests.parking import ParkingPolicy
from headrace.broker.core.requests.predecessor import MakeBudget, PredecessorState
from headrace.broker.core.requests.recall import RecallPolicy
from headrace.broker.core.requests.registry import TicketRegistry, Want
from headrace.broker.core.requests.retry import Again
from headrace.broker.core.requests.role_transitions import RoleTransitions, TermState
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.requests.succession import Succession
from headrace.broker.core.requests.timers import Timers
from headrace.broker.core.requests.transactions import TransactionBuilder
from headrace.broker.core.requests.triage import CALL_CRASHED, Apart, Triage, nameless
from headrace.broker.core.ticket import CALLING, SETTLED, WAITING, Garbage, LanePartition, Source, Ticket


class Dispatch:
    """State machine of the dispatcher, owned by one task."""

    def __init__(
        self, rules: DispatchRules, *, make_budget: MakeBudget, dice: Callable[[], float], apart: Apart = nameless
    ) -> None:
        """Start as a follower; `dice` draws a number in [0, 1); `apart`: see `headrace.broker.core.requests.triage`."""
        self.rules = rules
        self.identities = DedupeTable(
            window_ms=rules.dedupe_window_ms,
            ids_max=rules.dedupe_ids_max,
            patience_ms=rules.cancel_patience_ms,
            copy_within_ms=rules.copy_within_ms,
        )
        self.trust = Trust(rules.lease)
        self.registry = TicketRegistry(rules.lanes)
        self.limits = Scheduler(rules.lanes, self._budget, Tenants(rules.tenants, rules.other_tenants))
        tenants = self.limits.tenants
        on_call_ended, give_back = (tenants.record_end, tenants.give_back) if tenants.capping else (None, None)
        self.flights = CallsInFlight(
            inflight_max=rules.inflight_max, held_bytes_max=rules.held_bytes_max, on_call_ended=on_call_ended
        )
        self.outbox = Outbox()
        self.batches = TransactionBuilder(self.outbox, self.registry, window_ms=rules.dedupe_window_ms)
        self._attempts = Attempts(self.flights, rules, dice, give_back)
        self._predecessor = PredecessorState(make_budget)
        self._timers = Timers()
        self._settling = Settling(self.registry, self.limits, self.flights, self.outbox, first_lane=rules.first_lane)
        self._recall = RecallPolicy(self.limits, self._timers, self._settling)
        self._triage = Triage(self.registry, self.identities, self.limits, self._timers, self._settling, apart)
        self._eviction = Eviction(self._settling, self.identities, self._triage)
        succession = Succession(self.registry, self.identities, self._triage, self._settling)
        self._due_tickets = DueTickets(self.registry, self.limits, self._timers, self._settling, self._triage)
        self._parking = ParkingPolicy(self.registry, self.limits, self._settling, rules, decided=self.outbox.__len__)
        state = TermState(self.registry, self.limits, self.flights, self.batches, self._recall, self._timers)
        self._roles = RoleTransitions(self.trust, state, self.identities, self._predecessor, succession)
        self._drain_until_ms: int | None = None
        self._wake_at_ms: int | None = None

    # ------------------------------------------------------------------ the three verbs

    def on(self, event: Event, now_ms: int) -> None:  # noqa: C901, PLR0912 — a table of events, one line each
        """Process an event that happened at `now_ms`."""
        match event:
            case Taken():
                self._taken(event, now_ms)
            case Answered() | CallNotSent() | Crashed():
                if self._end_call(event, now_ms):
                    return
            case Renewed():
                self.trust.extend_by_renewal(event.sent_at_ms)
            case Committed():
                self._committed(event, now_ms)
            case LedgerRead():
                self._roles.record_line(event)
            case Promoted():
                self._roles.promote(event, now_ms)
            case PartitionFound():
                if self._roles.role is LEADING:
                    self.registry.progress.setdefault(event.partition, event.progress)
            case Lost():
                self._lost(event, now_ms)
            case Suspected():
                if self._roles.role is LEADING:
                    self.batches.suspects.name(event.sources)
                    if event.sources:
                        self._recall.restart_quiet_time(now_ms)
            case Suspended():
                self._roles.suspend(event)
            case StoodBy():
                self._roles.stand_by(now_ms)
            case Draining():
                if self._drain_until_ms is None:
                    self.outbox.end_rests()
                self._drain_until_ms = event.until_ms
            case _:
                assert_never(event)
        self._wake_at_ms = now_ms

    def commands(self, now_ms: int) -> list[Command]:
        """Return the commands due now, in order; the caller must carry out all of them."""
        if self._roles.role is LEADING:
            self._due_tickets.process(now_ms)
            self._settling.commands += self._attempts.believe_silence(self.limits.account, now_ms)
            self.limits.forget_idle_tiers(now_ms)
            self.limits.sort(now_ms)
            self._due_tickets.fail_unreachable(now_ms)
            has_waiting = self.limits.waiting() > 0
            self._parking.relieve(now_ms, may_park=has_waiting and self.identities.may_park)
            if has_waiting:
                self._admit(now_ms)
                if self._due_tickets.fail_unreachable(now_ms):  # enqueued after another one of their ordering key
                    self._admit(now_ms)
            else:
                self.limits.cancel_wake_up()
            publish_at_ms = self._publish_at()
            if publish_at_ms is not None and publish_at_ms <= now_ms:
                publish_at_ms = None  # the next one not before this one is committed
                self._settling.commands.append(self._publish(now_ms))
            self._wake_at_ms = self._next_at(publish_at_ms)
        self._settling.commands += closings(self.limits.take_forgotten(), now_ms)
        return self._settling.take_commands()

    def _publish(self, now_ms: int) -> Publish:
        roles, notes = self._roles, gather(self.identities, self.wall_ms(now_ms))
        offset_ms, owed = roles.wall_offset_ms, self._owes_line()
        return Publish(self.batches.begin(roles.term, self.limits, notes, now_ms, wall_offset_ms=offset_ms, owed=owed))

    def wake_at(self) -> int | None:
        """Return when to call `commands` next if no event comes first: as a rule now, if one just has."""
        return self._wake_at_ms if self._roles.role is LEADING else None

    def _next_at(self, publish_at_ms: int | None) -> int | None:
        """Return when the next time-out is due."""
        instants = (publish_at_ms, self.limits.wake_at(), self.limits.look_at(), self._attempts.silence_at())
        earliest_ms = min((each for each in instants if each is not None), default=None)
        alarm_ms = self._timers.next_at(earliest_ms)
        return earliest_ms if alarm_ms is None else alarm_ms

    # ------------------------------------------------------------------ what the shell may ask

    @property
    def role(self) -> Role:
        """What this process may do."""
        return self._roles.role

    @property
    def term(self) -> int:
        """The number of the last term that this process has led."""
        return self._roles.term

    def want(self, source: Source) -> Want:
        """Return whether the record there should be decoded and posted."""
        return self.registry.want(source)

    def room(self, partition: LanePartition) -> int:
        """Return how many more records of a partition may be taken now; none unless leading."""
        return self.registry.room(partition) if self._roles.role is LEADING else 0

    @property
    def idle(self) -> bool:
        """Whether a drain is complete: nothing is in flight, and all but decisions set aside is committed."""
        return not self.flights and not self.outbox.not_resting and not self._owes_line()

    def wall_ms(self, now_ms: int) -> int:
        """Return the wall-clock time of an instant, as anchored by the last promotion."""
        return now_ms + self._roles.wall_offset_ms

    def sleeps_until(self, ticket: Ticket) -> int | None:
        """Return when a ticket that waits for another attempt may be enqueued again; None if it does not sleep."""
        return self._timers.sleeps_until(ticket)

    def pauses_for(self, now_ms: int) -> Pause | None:
        """Return why no call starts now, whatever the limits can pay; None if calls may start."""
        if self._roles.role is not LEADING:
            return Pause.SUSPENDED
        if self._drain_until_ms is not None and now_ms + self.flights.fastest_ms() > self._drain_until_ms:
            return Pause.LEAVING
        proved = self._roles.confirmed and self.trust.holds(now_ms) and not self.batches.is_hanging(now_ms)
        return None if proved else Pause.UNPROVED

    # ------------------------------------------------------------------ taking

    def _taken(self, event: Taken, now_ms: int) -> None:
        progress = self._progress_of(event.source.partition)
        if progress is not None and progress.take(event.source.offset, event.timestamp_ms):
            ticket = Ticket(event.number, event.source, event.bytes, now_ms, event.content)
            ticket.timestamp_ms, ticket.buffer_bytes = event.timestamp_ms, event.buffer_bytes or event.bytes
            self._parking.request_check()
            try:
                self._triage.triage(ticket, now_ms)
            except Exception as error:  # noqa: BLE001 — one request must not end all: see headrace.broker.core.requests.eviction
                self._contain(ticket, "take", error, now_ms)
        else:
            self._settling.commands.append(Forget(event.number))

    def _progress_of(self, partition: LanePartition) -> PartitionProgress | None:
        """Return a partition's progress if leading; the next promotion reads again what no leader has noted."""
        return self.registry.progress.get(partition) if self._roles.role is LEADING else None

    def _lost(self, event: Lost, now_ms: int) -> None:
        progress = self._progress_of(event.partition)
        offsets = None if progress is None else progress.lose_below(event.offset, event.first)
        if offsets is None:
            self._settling.commands.append(Forget(event.number))
            return
        garbage = Garbage.lost(offsets, removed=event.removed, crashed=event.crashed)
        ticket = Ticket(event.number, Source(event.partition, offsets.start), 0, now_ms, garbage, SETTLED)
        self.registry.add(ticket)
        # the map stored in its transaction closes the lost offsets
        self.outbox.add(Decided(ticket, DeadLetterOnly.of(garbage), 0), now_ms, at_once=True, front=True)

    # ------------------------------------------------------------------ admission

    def _admit(self, now_ms: int) -> None:
        """Call the tickets that their limits can pay while there is room; no call changes whether calls may start."""
        if self.pauses_for(now_ms) is None:
            payable = self.limits.payable(now_ms, self.flights.has_room)
            while self.flights.has_room():
                ticket = next(payable, None)
                if ticket is None:
                    return
                try:
                    if self._ends_in_time(ticket, now_ms) and self._recall.may_call(ticket, now_ms):
                        self._call(ticket, now_ms)
                except Exception as error:  # noqa: BLE001 — see above
                    self._contain(ticket, "call", error, now_ms, sent=False)
                    payable = self.limits.payable(now_ms, self.flights.has_room)
        self.limits.cancel_wake_up()

    def _ends_in_time(self, ticket: Ticket, now_ms: int) -> bool:
        """Whether a call of the ticket's service tier should end before the process leaves; if not, it is put off."""
        until_ms = self._drain_until_ms
        if until_ms is None or now_ms + self.flights.expected_ms(ticket.candidate.tier) <= until_ms:
            return True
        self.limits.rest_tier(ticket, until_ms, now_ms)
        self.limits.put_off(ticket)
        self._timers.sleep(ticket, max(until_ms, now_ms + 1))
        return False

    def _call(self, ticket: Ticket, now_ms: int) -> None:
        ticket.move(CALLING)
        candidate, ticket.called_ms = ticket.candidate, now_ms
        budget = self.limits.serve(ticket, now_ms)
        call = self._attempts.start(ticket, budget, now_ms, account=self.limits.account)
        entry = AttemptEntry(candidate.identity, candidate.calls_before + ticket.calls)
        awaited = self._recall.is_cautious(now_ms)
        line = self.flights.find(call).line = self.batches.add_start(entry, awaited=awaited, order=candidate.order)
        repeated = self._predecessor.repeats(candidate.identity)
        self._settling.commands.append(Call(call, ticket.number, budget.paid(call), ticket.calls, repeated, line))

    def _end_call(self, event: Answered | CallNotSent | Crashed, now_ms: int) -> bool:
        """Handle the end of a call; return whether the follow-up can wait for the next batch."""
        flight = self.flights.find(event.call)
        wanted = flight.wanted
        if wanted and type(event) is not CallNotSent:
            self._predecessor.record_call(flight.ticket.candidate.identity)
        try:
            match event:
                case Answered():
                    return self._answered(event, now_ms)
                case CallNotSent():
                    self._not_sent(event, now_ms)
                case _:
                    self._crashed(event, now_ms)
        except Exception as error:  # noqa: BLE001 — see above
            self._attempts.close_reservation(event.call, flight, now_ms)
            if wanted:
                self._contain(flight.ticket, "answer", error, now_ms)
            else:
                self._eviction.inspect(error)
        finally:
            self._settling.commands += self._attempts.breaker_changes()
        return False

    def _contain(self, ticket: Ticket, step: str, error: Exception, now_ms: int, *, sent: bool = True) -> None:
        self._eviction.evict(ticket, error, now_ms, sent=sent)
        self._settling.commands.append(Contained(ticket.number, step, error))

    def _answered(self, event: Answered, now_ms: int) -> bool:
        """Handle an answer; return whether it can wait for the next batch: no request waits for its slot or tokens."""
        self._parking.request_check()
        may_park = event.verdict.meaning is not OK and self.identities.may_park  # an answer is not parked
        sequel = self._attempts.end(event, now_ms, account=self.limits.account, may_park=may_park)
        if sequel is None:
            return False
        ticket, decision = sequel
        if isinstance(decision, Again):
            ticket.move(WAITING)
            self.batches.add_end(AttemptEntry(ticket.candidate.identity, ticket.candidate.calls_before + ticket.calls))
            self._timers.sleep(ticket, decision.not_before_ms)
            return False
        if isinstance(decision, Complete):
            self.limits.record_duration(ticket, now_ms)
        self._settling.settle(ticket, decision, now_ms)
        if self._settling.commands or self._attempts.has_breaker_changes or self.limits.waiting() > 0:
            return False
        due_ms = self.outbox.due_at()
        if due_ms is not None and (self._wake_at_ms is None or due_ms < self._wake_at_ms):
            self._wake_at_ms = due_ms
        return True

    def _not_sent(self, event: CallNotSent, now_ms: int) -> None:
        ticket = self._attempts.take_back(event, now_ms)
        if ticket is not None:
            ticket.move(WAITING)
            self.batches.add_unsent(ticket)
            self._triage.requeue(ticket, now_ms)

    def _crashed(self, event: Crashed, now_ms: int) -> None:
        """Fail a request whose call crashed: what has crashed once would crash again, and each call is paid."""
        ticket = self._attempts.end_crashed(event.call, now_ms)
        if ticket is not None:
            self._settling.settle(ticket, CALL_CRASHED, now_ms)

    # ------------------------------------------------------------------ settling

    def _publish_at(self) -> int | None:
        busy = self.limits.waiting() > 0 or len(self.flights) > 0 or self.trust.needs_proof or self.identities.rewrites
        return self.batches.due_at(active=busy, parked=not busy and self.identities.kept > 0, owed=self._owes_line())

    def _owes_line(self) -> bool:
        """Whether this process leaves, no call is under way, and its successor lacks what the ledger should say."""
        leaves = self._drain_until_ms is not None and self._roles.role is LEADING
        return leaves and not self.flights and self.batches.owes_line(self.limits)

    def _committed(self, event: Committed, now_ms: int) -> None:
        ended = self.batches.end(event.serial, now_ms, event.crashed)
        if ended is None:
            return  # its commit was already declared unknown: the next promotion finds out
        self._roles.confirm(event.begun_at_ms)
        self._parking.request_check(committed=True)
        wall_ms = self.wall_ms(now_ms)
        observe(self.identities, ended.settled, ended.awaited, ended.cancels, wall_ms)
        self._predecessor.remove_settled(ended.settled)
        self._recall.record_commit(ended.settled, ended.calls)
        for ticket in ended.tickets:
            id_hash = self._settling.drop(ticket)
            if id_hash is not None and (waited := self.registry.take_joined(id_hash)):
                self._triage.judge_again(waited, now_ms)
        for request in ended.overdue:
            self._triage.judge_again(self.registry.take_joined(request.identity.id_hash), now_ms)
        self.identities.expire(wall_ms)

    def _budget(self, limit: str, now_ms: int) -> Budget:
        return self._predecessor.make_budget(limit, now_ms, self.wall_ms(now_ms))
