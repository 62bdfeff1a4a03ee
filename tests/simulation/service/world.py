"""Everything around the processes, in virtual time, and the troubles that befall them.

Once producers and trouble have ended, all that was sent must end too, without further help: then the world is quiet,
and the checkers look at what has become of it.
"""

import gc
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from random import Random

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.setback import Setback
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.testing.kafka import MemoryKafka
from headrace.broker.testing.lease import MemoryLeaseStore
from headrace.schemas import topics
from headrace.schemas.headers import CE_SUBJECT
from headrace.schemas.record import Record
from tests.progress_seen import done_of
from tests.simulation.service.history import DEAD_LETTERS, FAILURES, LEDGER, RESULTS, TOTALS, Commit, History, Lived
from tests.simulation.service.loops import Conductor
from tests.simulation.service.openai import OpenAI
from tests.simulation.service.process import DispatcherProcess, Process, RetryingProcess
from tests.simulation.service.producers import Producers
from tests.simulation.service.scenario import DEADLY_CALL, LANES, POISON, PREFIX, WALL, Scenario
from tests.simulation.service.troubles import Troubles
from tests.simulation.trace import Trace

_WALL_MS = round(WALL.timestamp() * 1_000)
PATIENCE_S = 90.0
"""No request waits longer than that for an answer, once trouble is over and what was parked is back."""
A_POISON_TAKES_S = 40.0
"""But for those behind records that end who reads them: five deaths, each with a start and the end of a lease."""

REPLAYED_WITHIN_S = 40.0
"""Once trouble is over, operators soon replay no more."""
SETTLING_S = 30.0
"""What is stored is known to its writer by then, also if it never heard so and had to ask."""

LATE_S = 12.0
"""Whatever was planned has happened by then: who was stopped goes on, markers stand, Redis is back."""

FLAWED_STEPS = ("read", "call")
"""Where requests that show a defect of ours show it."""
TOTALS_REFUSING, SUMS_REFUSED = 0.2, 0.05
"""The share of summing runs in which the totals topic refuses records, and the share of these."""
Committed = Callable[[str, dict[str, list[Record]], Mapping[TopicPartition, StoredOffset]], None]


class WatchedKafka(MemoryKafka):
    """Tells of every transaction that stands."""

    def __init__(self, utc_ms: Callable[[], int], committed: Committed) -> None:
        super().__init__(utc_ms)
        self._committed = committed
        self._begun: dict[str, dict[str, list[Record]]] = {}

    def begin(self, transactional_id: str, outgoing: Iterable[tuple[str, Record, int | None]]) -> list[int]:
        """See `MemoryKafka.begin`."""
        listed = list(outgoing)
        offsets = super().begin(transactional_id, listed)
        by_topic = self._begun.setdefault(transactional_id, {})
        for topic, record, _ in listed:
            by_topic.setdefault(topic, []).append(record)
        return offsets

    def commit(self, transactional_id: str, group: str, offsets: dict[TopicPartition, StoredOffset]) -> None:
        """See `MemoryKafka.commit`."""
        super().commit(transactional_id, group, offsets)
        self._committed(group, self._begun.pop(transactional_id, {}), offsets)

    def abort(self, transactional_id: str) -> None:
        """See `MemoryKafka.abort`."""
        super().abort(transactional_id)
        self._begun.pop(transactional_id, None)


class World:
    """One run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.chance = Random(f"world {scenario.seed}")
        self.conductor = Conductor(Random(f"conductor {scenario.seed}"))
        self.kafka: MemoryKafka = WatchedKafka(self.utc_ms, self._committed)
        self.kafka.commit_takes_s = 0.004
        self.kafka.markers_later = self._mark_later
        self.leases = MemoryLeaseStore(self.utc_ms)
        self.openai = OpenAI(scenario)
        self.trace = Trace()
        self.history = History(scenario, self.kafka)
        self.processes: list[Process] = []
        self.is_calm = False
        self.graves: list[Process] = []
        self._producers = Producers(scenario, self.conductor, self.kafka, self.utc_now)
        self._born = 0

    def utc_now(self) -> datetime:
        """True time."""
        return WALL + timedelta(seconds=self.conductor.now_s)

    def utc_ms(self) -> int:
        """True time in milliseconds."""
        return _WALL_MS + int(self.conductor.now_s * 1_000)

    def note(self, *words: object) -> None:
        """A line of the trace."""
        self.trace.note(round(self.conductor.now_s * 1_000), *words)

    # ------------------------------------------------------------------ one run

    def run(self) -> History:
        """Let it happen."""
        self._create()
        self._refuse()
        self._producers.begin()
        Troubles(self).begin()
        for number in range(self.scenario.dispatchers):
            self.conductor.plan(number * 0.3, self.start_dispatcher)
        self.conductor.plan(0.1, self.start_retrier)
        self.history.sent, self.history.calls = self._producers.sent, self.openai.arrivals
        self.history.begun, self.history.flawed = self.openai.begun, self.openai.flawed
        self.conductor.run(self.scenario.span_s)
        self.calm()
        patience_s = PATIENCE_S + 3 * self.scenario.refused_for_s
        until_s = self.conductor.now_s + patience_s + A_POISON_TAKES_S * self._poisons()
        while self.conductor.now_s < until_s and not self.history.defects:
            self.conductor.run(self.conductor.now_s + 0.5)
            self._look_for_the_dead()
            if self._is_quiet():
                self.history.quiet_s = self.history.quiet_s or self.conductor.now_s
                settled_s = self.history.quiet_s + SETTLING_S + self.scenario.longest_refusal_s
                if self._is_settled() or self.conductor.now_s > settled_s:
                    break
        self.history.undone = self.undone()
        self._let_all_happen(self.conductor.now_s + LATE_S)
        self._finish()
        return self.history

    def _let_all_happen(self, until_s: float) -> None:
        """A last second, and what was planned for later: what was committed last can be read then."""
        self.conductor.run(self.conductor.now_s + 1)
        while self.conductor.now_s < until_s and not self.conductor.is_left_alone:
            self.conductor.run(self.conductor.now_s + 0.1)

    def _create(self) -> None:
        for lane in LANES:
            self.kafka.create(topics.requests_topic(PREFIX, lane), self.scenario.partitions)
        self.kafka.create(RESULTS, 2)
        self.kafka.create(FAILURES, 2)
        for topic in (topics.control_topic(PREFIX), DEAD_LETTERS, LEDGER):
            self.kafka.create(topic)

    def _refuse(self) -> None:
        """A policy of the results topic refuses the answers to some ids, each time and until the end."""
        chance, share = Random(f"refused {self.scenario.seed}"), self.scenario.faults.refused
        names = [f"id-{number}" for number in range(self.scenario.requests)]
        refused = self.history.refused = frozenset(name for name in names if share and chance.random() < share)

        def policy(topic: str, record: Record) -> Setback | None:
            if topic != RESULTS or dict(record.headers).get(CE_SUBJECT, b"").decode() not in refused:
                return None
            return Setback.REFUSED if json.loads(record.value or b"{}")["status"] == "completed" else None

        if refused:
            self.kafka.policy = policy

    def _poisons(self) -> int:
        """Records that end whoever reads them."""
        logs = (log for lane in LANES for log in self.kafka.logs(topics.requests_topic(PREFIX, lane)))
        values = [slot.record.value or b"" for log in logs for slot in log.slots if slot.record is not None]
        return sum(POISON.encode() in value or DEADLY_CALL.encode() in value for value in values)

    def calm(self) -> None:
        """Trouble is over: everything works, and enough processes live."""
        self.note("calm")
        self.is_calm = self.openai.is_calm = self.leases.available = True
        self.kafka.coordinates = True
        self.kafka.start_again()
        for process in self.processes:
            self.mend(process)
        if not any(process.role == "dispatcher" for process in self.processes):
            self.start_dispatcher()
        if not any(process.role == "retrier" for process in self.processes):
            self.start_retrier()

    def mend(self, process: Process) -> None:
        """It reaches everything again."""
        process.wires.is_calm = self.is_calm
        process.lease.is_cut = False
        process.link.mend()

    def _finish(self) -> None:
        self._look_for_the_dead()
        for process in list(self.processes):
            self._part_with(process, "lives")
        for process in self.graves:
            process.bury()
        gc.collect()  # a task says that nobody saw its failure when it is collected
        for process in self.graves:
            self.history.defects += [f"{process.name}: {context}" for context in process.loop.broken]
            excused = FLAWED_STEPS if self.scenario.faults.flaw else ()
            self.history.defects += [
                f"{process.name}: an exception was contained at {step}"
                for step in process.contained
                if step not in excused
            ]

    # ------------------------------------------------------------------ processes

    def start_dispatcher(self) -> None:
        """One more."""
        self._start(DispatcherProcess)

    def start_retrier(self) -> None:
        """One more."""
        self._start(RetryingProcess)

    def _start(self, make: type[Process]) -> None:
        self._born += 1
        name = f"{make.role}-{self._born}"
        chance = Random(f"clock of {name} {self.scenario.seed}")
        wrong = not self.is_calm and chance.random() < self.scenario.faults.wrong_clock
        process = make(self, name, chance.choice((-3_600.0, -1.5, 1.5, 3_600.0)) if wrong else 0.0)
        process.wires.is_calm = self.is_calm
        self.processes.append(process)
        self.note("starts", process.name)

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        if process in self.processes:
            self.note("killed", process.name)
            self._part_with(process, "killed")

    def _part_with(self, process: Process, ending: str) -> None:
        self.processes.remove(process)
        process.kill()
        repeated = 0
        if isinstance(process, DispatcherProcess):
            repeated = process.repeated
            if ending == "lives" and self._leads(process):
                self.history.remains = held(process)
        self.history.starts += process.wires.starts
        self.history.stepped_down += [(at_s, process.name) for at_s in process.wires.stepped_down_s]
        self.history.lived.append(
            Lived(process.name, process.role, process.born_s, self.conductor.now_s, ending, repeated)
        )
        self.graves.append(process)

    def _look_for_the_dead(self) -> None:
        """Whoever has ended by itself."""
        for process in list(self.processes):
            if process.task.done():
                error = None if process.task.cancelled() else process.task.exception()
                if error is not None:
                    self.history.defects.append(f"{process.name} ended: {error!r}")
                self.note("ended", process.name)
                self._part_with(process, "ended")

    # ------------------------------------------------------------------ what is stored

    def _mark_later(self, complete: Callable[[], None]) -> None:
        late = not self.is_calm and self.chance.random() < self.scenario.faults.markers_late
        self.conductor.after(self.chance.choice((0.05, 0.5, 4.0)) if late else 0.001, complete)

    def _committed(
        self, group: str, records: dict[str, list[Record]], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> None:
        commit = Commit.of(self.conductor.now_s, group, records, offsets)
        self.history.commits.append(commit)
        if self.conductor.now_s < self.scenario.span_s + REPLAYED_WITHIN_S:
            for outcome in commit.outcomes:
                self._producers.answered(outcome)
            for failure in commit.parked:
                self._producers.parked(failure)
        said = [f"{outcome['id']}/{outcome['run']}:{outcome['status']}" for outcome in commit.outcomes]
        said += [f"parks {failure['id']}" for failure in commit.parked]
        lines = [f"{line.kind.value} {line.term} of {line.owner}" for line in commit.lines]
        self.note("commit", group, lines, said)

    def _is_quiet(self) -> bool:
        """Everything that was sent has ended, and every record is done."""
        return not self._producers.to_come and not self.history.waiting() and not self.undone()

    def _is_settled(self) -> bool:
        """Whether the leader holds nothing, and everything parked is back, also what was answered meanwhile."""
        return self._is_idle() and not self.history.parked() - self.history.put_back().keys()

    def _is_idle(self) -> bool:
        """Whether a process leads and holds nothing."""
        dispatchers = [each for each in self.processes if isinstance(each, DispatcherProcess)]
        return any(self._leads(each) and not any(held(each).values()) for each in dispatchers)

    def _leads(self, process: DispatcherProcess) -> bool:
        """Whether it leads in the newest term; one that was frozen or cut off may not know yet that it was deposed."""
        newest = max((term for _, term, _ in self.history.claims()), default=0)
        return process.leads and process.health.term == newest

    def undone(self) -> list[str]:
        """Every record that is not done, by what is stored."""
        stored = self.kafka.groups.get(f"{PREFIX}.dispatcher")
        left = []
        for topic in [topics.requests_topic(PREFIX, lane) for lane in LANES] + [topics.control_topic(PREFIX)]:
            for number, log in enumerate(self.kafka.logs(topic)):
                place = None if stored is None else stored.stored.get(TopicPartition(topic, number))
                progress = PartitionProgress(0) if place is None else restored(place)
                there = [each.offset for each in log.committed()]
                done = set(done_of(progress, there))
                left += [f"{topic}/{number}/{offset}" for offset in there if offset not in done]
        return left


def restored(place: StoredOffset) -> PartitionProgress:
    """The progress that is stored."""
    return PartitionProgress.restore(place.offset, place.metadata)


def held(process: DispatcherProcess) -> dict[str, int]:
    """What a leader has in memory."""
    core = process.made.core
    return {
        "tickets": len(core.registry),
        "calls": len(core.flights),
        "cargo": len(process.made.hold.cargo),
        "held bytes": core.flights.held_bytes,
        "tasks": len(process.made.driver._calls),
    }


class SummingWorld(World):
    """A world with a topic for sums over outcomes, which in some runs refuses a record now and then.

    It is a world of its own, since records of sums shift all that happens by chance: in the plain one the seeds that
    have shown a fault still show it.
    """

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self._dice = Random(f"totals {scenario.seed}")

    def _create(self) -> None:
        super()._create()
        self.kafka.create(TOTALS)

    def _refuse(self) -> None:
        super()._refuse()
        policy, kinds = self.kafka.policy, (Setback.REFUSED, Setback.DENIED, Setback.UNKNOWN)
        if self.scenario.faults.leave_leaders_alone or self._dice.random() >= TOTALS_REFUSING:
            return

        def refusing(topic: str, record: Record) -> Setback | None:
            if topic == TOTALS:
                return self._dice.choice(kinds) if self._dice.random() < SUMS_REFUSED else None
            return policy(topic, record)

        self.kafka.policy = refusing
