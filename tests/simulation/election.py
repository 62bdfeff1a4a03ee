"""Who leads, and the trouble with it: crashes, dead producers, usurpers, a silent Redis, leavers, and retention.

One process holds the lease at a time, though another may still believe that it does: it finds out when a commit is
fenced, or when Redis says so. A process in doubt goes on if nobody else holds the lease, even if somebody did in
between: the machine claims to stand that.
"""

from collections.abc import Callable
from random import Random
from typing import Protocol

from headrace.broker.core.config import Role
from tests.progress_seen import done_of
from tests.simulation.agenda import Agenda
from tests.simulation.history import History
from tests.simulation.kafka import Kafka
from tests.simulation.process import Process
from tests.simulation.process import World as ProcessWorld
from tests.simulation.scenario import Scenario

RENEW_EVERY_MS = 400
VACANT_MS = 1_500
"""How long a lease lies about before a standby takes it."""

LEAVES_WITHIN_MS = 5_000
LEASE_MS = 2_000


class World(ProcessWorld, Protocol):
    """What an election needs of the world."""

    scenario: Scenario
    agenda: Agenda
    history: History
    kafka: Kafka


class Election:
    """The processes and the lease."""

    def __init__(self, world: World, chance: Random) -> None:
        self._world = world
        self._chance = chance
        self._processes: list[Process] = []
        self._made = 0
        self._holder: Process | None = None
        self._vacant_since_ms = 0
        self._redis_away_until_ms = 0

    @property
    def processes(self) -> list[Process]:
        """Those alive."""
        return [process for process in self._processes if process.alive]

    @property
    def leader(self) -> Process | None:
        """Who holds the lease and leads."""
        holder = self._holder
        return holder if holder is not None and holder.leads else None

    def begin(self) -> None:
        """Two processes, one of them the first leader, and the trouble to come."""
        self._start()
        self._start()
        self._take(self._processes[0])
        self._renewals()
        for at_ms in range(1_000, self._world.scenario.span_ms, 1_000):
            self._later(at_ms, self._trouble)

    def _start(self) -> None:
        self._made += 1
        self._processes.append(Process(f"p{self._made}", self._world, self._world.scenario, self._chance))

    def _later(self, after_ms: int, action: Callable[[], None], *, work: bool = True) -> None:
        self._world.agenda.plan(self._world.now_ms + after_ms, action, work=work)

    # ------------------------------------------------------------------ the lease

    def _renewals(self) -> None:
        holder, now_ms = self._holder, self._world.now_ms
        if holder is not None and holder.alive:
            if now_ms >= max(self._redis_away_until_ms, holder.stalled_until_ms):
                holder.renew()
        elif now_ms - self._vacant_since_ms >= VACANT_MS:
            standbys = [process for process in self.processes if not process.leaving]
            if standbys:
                self._take(self._chance.choice(standbys))
        self._later(RENEW_EVERY_MS, self._renewals, work=False)

    def _vacate(self) -> None:
        self._holder = None
        self._vacant_since_ms = self._world.now_ms

    def _take(self, process: Process) -> None:
        self._holder = process
        self._world.note(process.name, "takes the lease")
        self._later(self._chance.randint(0, 50), lambda: self._fence(process))

    # ------------------------------------------------------------------ promotion

    def _fence(self, process: Process) -> None:
        """The producer is started: nobody else can commit from here on."""
        if not process.alive or self._holder is not process or process.leads:
            return
        process.transaction = None
        process.epoch = self._world.kafka.start_producer(settles=self._chance.random() < 0.5)
        self._world.note(process.name, "starts producer", process.epoch)
        epoch = process.epoch
        self._later(self._chance.randint(1, 300), lambda: self._claim(process, epoch))

    def _claim(self, process: Process, epoch: int) -> None:
        """The claim is committed, the ledger read up to it, and then the maps; then it leads."""
        if not process.alive or process.epoch != epoch:
            return  # it has begun anew since
        if self._holder is not process or epoch != self._world.kafka.epoch:
            self._settle_doubt(process)
            return
        if self._chance.random() < self._world.scenario.faults.retention:
            self._retain()
        process.follow()
        progress = self._world.kafka.progress()

        def lead() -> None:
            if process.alive and process.epoch == epoch:
                self._world.note(process.name, "leads", process.epoch)
                process.promote(progress)
                self._later(self._chance.randint(0, 2_000), process.find_partitions)

        self._later(self._chance.randint(1, 100), lead)

    def _retain(self) -> None:
        """Retention removes records that were not taken, or taken and not done."""
        kafka = self._world.kafka
        place = self._chance.choice(list(kafka.logs))
        below = self._chance.randint(kafka.starts[place], kafka.ends[place])
        progress = kafka.progress()[place]
        for record in kafka.logs[place]:
            if record.source.offset < below and not done_of(progress, [record.source.offset]):
                self._world.history.lost.add(record.source)
        kafka.lose_below(place, below)
        self._world.note("retention", place.lane, place.number, below)

    # ------------------------------------------------------------------ doubt

    def doubt(self, process: Process) -> None:
        """Its producer has died and it does not know whether it leads."""
        self._suspend(process, self._chance.randint(20, 2_500))

    def _suspend(self, process: Process, span_ms: int) -> None:
        self._world.note(process.name, "is in doubt for", span_ms)
        process.transaction, process.epoch = None, 0
        process.suspend()
        self._later(span_ms, lambda: self._settle_doubt(process))

    def _settle_doubt(self, process: Process) -> None:
        if not process.alive or process.leads:
            return
        if self._holder is None:
            self._holder = process
        if self._holder is process:
            self._fence(process)
        elif process.core.role is not Role.FOLLOWING:
            self._step_down(process)

    def _step_down(self, process: Process) -> None:
        self._world.note(process.name, "stands by")
        process.transaction, process.epoch = None, 0
        process.stand_by()
        if self._holder is process:
            self._vacate()

    # ------------------------------------------------------------------ trouble

    def _trouble(self) -> None:
        """Once a second while trouble lasts."""
        faults, chance = self._world.scenario.faults, self._chance
        leader = self._holder  # who is in doubt can be overthrown and can crash
        if chance.random() < faults.redis_away:
            self._redis_away_until_ms = self._world.now_ms + chance.randint(1_000, 6_000)
            self._world.note("Redis is away")
        if leader is None:
            return
        if chance.random() < faults.crash:
            self._crash(leader)
        elif chance.random() < faults.stall:
            self._stall(leader)
        elif chance.random() < faults.producer_dies and leader.leads:
            self.doubt(leader)
        elif chance.random() < faults.interregnum and leader.leads:
            self._interregnum(leader)
        elif chance.random() < faults.overthrown:
            self._overthrow(leader)
        elif chance.random() < faults.drain and leader.leads and not leader.leaving:
            self._drain(leader)

    def _crash(self, process: Process) -> None:
        self._world.note(process.name, "crashes")
        process.alive = False
        if self._holder is process:
            self._vacate()
        self._later(self._chance.randint(200, 4_000), self._start)

    def _stall(self, process: Process) -> None:
        """Its loop stands still; after two seconds its lease has run out."""
        span_ms = self._chance.randint(300, 6_000)
        self._world.note(process.name, "stands still", span_ms)
        process.stalled_until_ms = self._world.now_ms + span_ms
        if span_ms > LEASE_MS:
            self._later(LEASE_MS, lambda: self._overthrow(process))

    def _overthrow(self, process: Process) -> None:
        """Somebody else gets the lease while the leader thinks it is its own."""
        others = [other for other in self.processes if other is not process and not other.leaving]
        if not others or self._holder is not process:
            return
        self._take(self._chance.choice(others))

        def notice() -> None:
            if self._holder is not process and process.leads:
                process.revoke()
                self._later(self._chance.randint(0, 500), give_way)

        def give_way() -> None:
            if process.alive and self._holder is not process and process.core.role is not Role.FOLLOWING:
                self._step_down(process)

        self._later(self._chance.randint(0, 2_500), notice)

    def _interregnum(self, process: Process) -> None:
        """Somebody leads and dies while the leader is in doubt; then it finds the lease free and goes on."""
        span_ms = self._chance.randint(500, 8_000)
        self._suspend(process, span_ms + self._chance.randint(0, VACANT_MS))
        self._overthrow(process)

        def die() -> None:
            usurper = self._holder
            if usurper is not None and usurper is not process:
                self._crash(usurper)

        self._later(span_ms, die)

    def _drain(self, process: Process) -> None:
        """The process leaves by its ladder."""
        span_ms = self._chance.randint(500, 8_000)
        self._world.note(process.name, "drains", span_ms)
        process.drain(span_ms)
        until_ms = self._world.now_ms + span_ms

        def look() -> None:
            if not process.alive:
                return
            now_ms = self._world.now_ms
            if now_ms >= until_ms:
                process.cancel_calls()
            if process.core.idle or now_ms >= until_ms + LEAVES_WITHIN_MS:
                self._step_down(process)
                self._world.note(process.name, "leaves")
                process.alive = False
                self._start()
            else:
                self._later(100, look)

        look()
