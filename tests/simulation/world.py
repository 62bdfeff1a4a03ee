"""Everything around the dispatchers, in virtual time: Kafka, OpenAI, producers, and what carries words between them.

Once producers and trouble have ended, all that was sent must end too, without further help: then the world is quiet,
and the checkers look at what has become of it.
"""

from dataclasses import replace
from random import Random

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.commands import Batch, Call
from headrace.broker.core.config import Role
from headrace.broker.core.ticket import CONTROL, CallNumber, LanePartition, Source
from tests.simulation.agenda import Agenda
from tests.simulation.election import Election
from tests.simulation.history import CallMade, History, Remains
from tests.simulation.inspection import charge, unfinished_beside
from tests.simulation.kafka import Fate, Kafka, LaneRecord, LedgerRow, Request, Transaction
from tests.simulation.process import CANCELLED, WALL_MS, Process
from tests.simulation.producers import Producers
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace
from tests.simulation.upstream import Reply, Upstream
from tests.simulation.words import words_of_content, words_of_decision

HORIZON_MS = 7_200_000
"""A world that is not quiet by then never will be: no deadline lies further ahead."""

SLOW_COMMIT = 0.05
"""The share of transactions that take up to a second and a half, trouble or not."""


class SimulatedWorld:
    """One run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.agenda = Agenda()
        self.kafka = Kafka(self._stored)
        self.history = History(self.kafka, tenants=scenario.rules.tenants, lanes=scenario.rules.lanes)
        self.trace = Trace()
        self._chance = Random(f"world {scenario.seed}")
        self._upstream = Upstream(scenario, Random(f"upstream {scenario.seed}"))
        chance = Random(f"producers {scenario.seed}")
        self._producers = Producers(scenario, self.agenda, self.kafka, chance, self._arrived)
        self._election = Election(self, Random(f"election {scenario.seed}"))
        self._stirs: dict[str, int] = {}
        self._reads: set[str] = set()
        self._made: dict[tuple[str, CallNumber], CallMade] = {}

    @property
    def now_ms(self) -> int:
        """The world's clock."""
        return self.agenda.now_ms

    def run(self) -> History:
        """Let it happen."""
        for rule in self.scenario.rules.lanes:
            for number in range(self.scenario.partitions):
                self.kafka.add_partition(LanePartition(rule.name, number))
        self.kafka.add_partition(LanePartition(CONTROL, 0))
        self._producers.begin()
        self.agenda.plan(self._chance.randint(0, self.scenario.span_ms), self._grow)
        self._election.begin()
        while not self.history.defects and not self._quiet() and self.now_ms < HORIZON_MS:
            self.agenda.next()
        self.history.quiet = self._quiet()
        self.history.silence_ms = self.trace.silence_ms
        self.history.remains = [Remains(each.name, each.remains()) for each in self._election.processes]
        return self.history

    def _quiet(self) -> bool:
        """Nothing is planned, unread or under way, and nobody holds a ticket or waits for a call."""
        leader = self._election.leader
        if self.agenda.work or leader is None or leader.behind():
            return False
        return not any(
            len(each.core.registry) or each.core.flights or each.transaction for each in self._election.processes
        )

    # ------------------------------------------------------------------ what everybody may say

    def note(self, *words: object) -> None:
        """A line of the trace."""
        self.trace.note(self.now_ms, *words)

    def defect(self, sentence: str) -> None:
        """Something broke; the run ends here."""
        self.note("DEFECT", sentence)
        self.history.defects.append(sentence)

    # ------------------------------------------------------------------ time and lanes

    def stir(self, process: Process, at_ms: int) -> None:
        """Ask the process for its commands then, and not before."""
        self._plan_turn(process, at_ms, work=at_ms <= self.now_ms)

    def _plan_turn(self, process: Process, at_ms: int, *, work: bool) -> None:
        self._stirs[process.name] = at_ms
        self.agenda.plan(at_ms, lambda: self._turn(process, at_ms), work=work)

    def _turn(self, process: Process, at_ms: int) -> None:
        if process.alive and self._stirs.get(process.name) == at_ms:
            if self.now_ms < process.stalled_until_ms:
                self._plan_turn(process, process.stalled_until_ms, work=True)
                return
            del self._stirs[process.name]
            process.turn()

    def read_soon(self, process: Process) -> None:
        """Let it read its lanes in a moment."""
        if process.name not in self._reads:
            self._reads.add(process.name)
            self.agenda.plan(self.now_ms + self._chance.randint(1, 30), lambda: self._read(process))

    def _read(self, process: Process) -> None:
        if process.alive and self.now_ms < process.stalled_until_ms:
            self.agenda.plan(process.stalled_until_ms, lambda: self._read(process))
            return
        self._reads.discard(process.name)
        if process.alive:
            process.read_lanes(self._chance)

    def _arrived(self, record: LaneRecord) -> None:
        self.history.records.append(record)
        self.note("arrives", *where(record.source), *words_of_content(record.content))
        for process in self._election.processes:
            self.read_soon(process)

    def _grow(self) -> None:
        """A lane gets one more partition; the leader finds out."""
        lane = self._chance.choice(self.scenario.rules.lanes).name
        place = LanePartition(lane, self.scenario.partitions)
        self.kafka.add_partition(place)
        for process in self._election.processes:
            self.agenda.plan(self.now_ms + self._chance.randint(0, 2_000), process.find_partitions)

    # ------------------------------------------------------------------ calls

    def send_call(self, process: Process, call: Call, record: LaneRecord) -> None:
        """Carry a call to OpenAI, after a moment in which trust may end."""
        request = record.content
        assert isinstance(request, Request)
        self.note(process.name, "calls", call.call, *where(record.source), "again" if call.repeated else "")
        delay_ms = self._chance.randint(0, 3)
        if self._chance.random() < self.scenario.faults.sent_late:
            delay_ms = self._chance.randint(200, 2_500)
        made = CallMade(
            at_ms=self.now_ms,
            writer=process.name,
            name=request.name,
            run=request.run,
            known=process.knows_answered(request),
            cancelled=process.knows_cancelled(record),
            late=WALL_MS + self.now_ms >= request.deadline_ms,
            trusted=process.may_send(),
            beside=unfinished_beside(process.core, call.number),
            life=process.life,
            source=record.source,
            tenant=request.tenant,
            limit=request.model,
            charge=charge(process.core, call.number),
        )
        self.history.calls.append(made)
        self._made[process.name, call.call] = made

        def arrive() -> None:
            if self.now_ms < process.stalled_until_ms:
                self.agenda.plan(process.stalled_until_ms, arrive)
            elif process.alive and call.call in process.calls:
                self._arrive(process, call.call, record, made)

        self.agenda.plan(self.now_ms + delay_ms, arrive)

    def end_call(self, process: Process, call: CallNumber) -> None:
        """A call that was cancelled ends a moment later, when its task is asked next."""

        def end() -> None:
            if process.alive:
                process.land(call, CANCELLED, 0)

        self.agenda.plan(self.now_ms + self._chance.randint(0, 2), end)

    def call_ended(self, process: Process, call: CallNumber) -> None:
        """A call is in flight no more."""
        self._made.pop((process.name, call)).ended_ms = self.now_ms

    def _arrive(self, process: Process, call: CallNumber, record: LaneRecord, made: CallMade) -> None:
        request = record.content
        assert isinstance(request, Request)
        if not process.may_send():
            self.note(process.name, "does not send", call)
            process.refuse(call)
            return
        reply = self._upstream.call(request, self.now_ms)
        made.ending = reply.ending
        self.note("OpenAI gets", call, reply.ending.value, reply.verdict.meaning.value, reply.after_ms)
        self.agenda.plan(self.now_ms + reply.after_ms, lambda: self._land(process, call, record.source, reply))

    def _land(self, process: Process, call: CallNumber, source: Source, reply: Reply) -> None:
        if process.alive and call in process.calls:
            if reply.verdict.meaning is Meaning.OK:
                self.history.answered.add((process.name, source))
            process.land(call, reply.verdict, reply.size)

    # ------------------------------------------------------------------ transactions

    def send_batch(self, process: Process, batch: Batch) -> None:
        """Carry a transaction to Kafka; it may never be heard of again."""
        wall_ms = WALL_MS + self.now_ms
        levels = [replace(each, at_ms=wall_ms) for each in batch.levels]
        transaction = Transaction(
            epoch=process.epoch,
            writer=process.name,
            life=process.life,
            clock_ms=process.clock_ms,
            batch=batch,
            settled=process.settled(batch),
            row=LedgerRow(wall_ms, batch.settled, batch.started, levels, batch.cancels),
            begun_loop_ms=process.now_ms,
            fate=self._fate(),
        )
        said = [(*where(each.source), *words_of_decision(each.decision)) for each in transaction.settled]
        self.note(process.name, "commits", batch.serial, transaction.fate.value, said)
        process.transaction = transaction
        self.kafka.begin(transaction)
        stored_ms = self.now_ms + self._chance.randint(2, 20)
        if self._chance.random() < SLOW_COMMIT:
            stored_ms += self._chance.randint(100, 1_500)
        self.agenda.plan(stored_ms, lambda: self.kafka.decide(transaction))
        self.agenda.plan(stored_ms + self._chance.randint(1, 20), lambda: self._replied(process, transaction))

    def _fate(self) -> Fate:
        faults = self.scenario.faults
        draw = self._chance.random() if self.now_ms < self.scenario.span_ms else 1.0
        if draw < faults.commit_lost:
            return Fate.LOST
        return Fate.UNKNOWN if draw < faults.commit_lost + faults.commit_unknown else Fate.COMMITTED

    def _stored(self, transaction: Transaction) -> None:
        self.note("stored", transaction.writer, transaction.batch.serial)
        self._producers.stored(transaction)
        for process in self._election.processes:
            at_ms = self.now_ms + self._chance.randint(1, 400)
            self.agenda.plan(at_ms, process.follow_if_standby)

    def _replied(self, process: Process, transaction: Transaction) -> None:
        if not process.alive or process.transaction is not transaction:
            return
        process.transaction = None
        if transaction.stored and transaction.fate is Fate.COMMITTED:
            process.committed(transaction)
        elif process.core.role is Role.LEADING:
            self._election.doubt(process)


def where(source: Source) -> tuple[str, int, int]:
    """A place, for the trace."""
    return source.partition.lane, source.partition.number, source.offset
