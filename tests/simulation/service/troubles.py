"""What befalls the world while it is not calm: once a second each trouble may strike, at any instant of that second."""

import json
from collections.abc import Callable
from random import Random
from typing import Protocol

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.testing.kafka import MemoryKafka
from headrace.broker.testing.lease import MemoryLeaseStore
from headrace.schemas import topics
from headrace.schemas.headers import CE_SUBJECT
from headrace.schemas.record import Record
from tests.progress_seen import done_of
from tests.simulation.service.history import LEDGER, History, Removed
from tests.simulation.service.loops import Conductor
from tests.simulation.service.process import Process
from tests.simulation.service.scenario import LANES, PREFIX, Scenario

CALLBACKS_MAX = 300
"""A killed process runs so many callbacks more at most: so that the end comes at any of its awaits."""

SETTLED_S = 3
"""By then somebody leads, and all who started have seen so."""


class Stricken(Protocol):
    """What troubles strike."""

    scenario: Scenario
    conductor: Conductor
    chance: Random
    kafka: MemoryKafka
    leases: MemoryLeaseStore
    processes: list[Process]
    history: History
    is_calm: bool

    def note(self, *words: object) -> None: ...

    def kill(self, process: Process) -> None: ...

    def mend(self, process: Process) -> None: ...

    def start_dispatcher(self) -> None: ...

    def start_retrier(self) -> None: ...


class Troubles:
    """Plans them all."""

    def __init__(self, world: Stricken) -> None:
        self._world = world
        self._chance = Random(f"troubles {world.scenario.seed}")

    def begin(self) -> None:
        """Draw what will strike, and when."""
        faults, world = self._world.scenario.faults, self._world
        strikes: dict[Callable[[], None], float] = {
            self._crash_dispatcher: faults.crash,
            self._crash_retrier: faults.crash_retrier,
            self._stall: faults.stall,
            self._drain: faults.drain,
            self._cut_from_kafka: faults.cut_from_kafka,
            self._cut_from_redis: faults.cut_from_redis,
            self._kafka_away: faults.kafka_away,
            self._redis_away: faults.redis_away,
            self._redis_emptied: faults.redis_emptied,
            self._redis_restored: faults.redis_restored,
            self._producer_expires: faults.producer_expires,
            self._retention: faults.retention,
        }
        first = SETTLED_S if faults.leave_leaders_alone else 0
        for second in range(first, int(world.scenario.span_s)):
            for strike, probability in strikes.items():
                if self._chance.random() < probability:
                    world.conductor.plan(second + self._chance.random(), strike)
        if self._chance.random() < 0.3:
            world.conductor.plan(self._chance.uniform(0, world.scenario.span_s), self._grow)
        self._plan_later_ones()

    def _plan_later_ones(self) -> None:
        """Troubles with a chance of their own, so that older seeds are still the runs they were."""
        faults, chance = self._world.scenario.faults, Random(f"later troubles {self._world.scenario.seed}")
        strikes: dict[Callable[[], None], float] = {
            lambda: self._ledger_removed(chance): faults.ledger_removed,
            lambda: self._coordinators_away(chance): faults.coordinators_away,
            lambda: self._isolate(chance): faults.isolate,
            lambda: self._freeze(chance): faults.freeze,
        }
        for second in range(int(self._world.scenario.span_s)):
            for strike, probability in strikes.items():
                if chance.random() < probability:
                    self._world.conductor.plan(second + chance.random(), strike)

    # ------------------------------------------------------------------ processes

    def _one(self, role: str | None = None) -> Process | None:
        """Any of them; of dispatchers more often the leader."""
        found = [process for process in self._world.processes if role in {None, process.role}]
        leaders = [process for process in found if process.health.role == "leader"]
        if leaders and self._chance.random() < 0.7:
            found = leaders
        return self._chance.choice(found) if found else None

    def _crash_dispatcher(self) -> None:
        self._crash(self._one("dispatcher"), self._world.start_dispatcher)

    def _crash_retrier(self) -> None:
        self._crash(self._one("retrier"), self._world.start_retrier)

    def _crash(self, process: Process | None, again: Callable[[], None]) -> None:
        if process is None:
            return
        world = self._world
        callbacks = self._chance.choice((0, self._chance.randint(0, 10), self._chance.randint(0, CALLBACKS_MAX)))
        world.note("will be killed", process.name, callbacks)
        world.conductor.doom(process.loop, callbacks, lambda: world.kill(process))
        world.conductor.after(self._chance.choice((0.05, 1.0, 4.0)), again)

    def _stall(self) -> None:
        process = self._one()
        if process is not None:
            seconds = self._chance.choice((0.3, 1.0, 2.5, 6.0))
            self._world.note("stopped", process.name, seconds)
            self._world.conductor.stop(process.loop, seconds)

    def _freeze(self, chance: Random) -> None:
        """It stands still at any of its callbacks, so also between a decision and what follows from it."""
        process, conductor = self._one("dispatcher"), self._world.conductor
        if process is not None and not conductor.is_doomed(process.loop):
            seconds = chance.choice((1.0, 2.5, 6.0))
            self._world.note("will freeze", process.name, seconds)
            callbacks = chance.randint(0, CALLBACKS_MAX)
            conductor.doom(process.loop, callbacks, lambda: conductor.stop(process.loop, seconds))

    def _isolate(self, chance: Random) -> None:
        """It reaches neither Kafka nor Redis for a while, and OpenAI all the time."""
        process, world = self._one("dispatcher"), self._world
        if process is not None:
            world.note("isolated", process.name)
            process.link.cut()
            process.lease.is_cut = True
            world.conductor.after(chance.choice((1.0, 2.0, 3.0, 5.0)), lambda: world.mend(process))

    def _drain(self) -> None:
        process, world = self._one(), self._world
        if process is not None and not process.task.done():
            world.note("leaves", process.name)
            process.leave()
            again = world.start_dispatcher if process.role == "dispatcher" else world.start_retrier
            world.conductor.after(self._chance.choice((0.0, 1.0)), again)
            if self._chance.random() < 0.3:
                world.conductor.after(self._chance.uniform(0, 4), lambda: self._hasten(process))

    def _hasten(self, process: Process) -> None:
        if process in self._world.processes and not process.task.done():
            process.leave()

    # ------------------------------------------------------------------ links and servers

    def _for_a_while(self, begin: Callable[[], None], end: Callable[[], None], *seconds: float) -> None:
        begin()
        self._world.conductor.after(self._chance.choice(seconds), end)

    def _cut_from_kafka(self) -> None:
        process = self._one()
        if process is not None:
            self._world.note("cut from Kafka", process.name)
            self._for_a_while(process.link.cut, process.link.mend, 0.5, 2.0, 5.0, 20.0)

    def _cut_from_redis(self) -> None:
        process = self._one()
        if process is not None:
            self._world.note("cut from Redis", process.name)
            process.lease.is_cut = True
            self._world.conductor.after(self._chance.choice((0.5, 2.0, 5.0)), lambda: self._world.mend(process))

    def _kafka_away(self) -> None:
        self._world.note("Kafka away")
        self._for_a_while(self._world.kafka.stop, self._world.kafka.start_again, 0.5, 3.0, 12.0)

    def _redis_away(self) -> None:
        self._world.note("Redis away")
        self._for_a_while(self._redis(available=False), self._redis(available=True), 0.5, 3.0, 8.0)

    def _redis(self, *, available: bool) -> Callable[[], None]:
        def put() -> None:
            self._world.leases.available = available

        return put

    def _redis_emptied(self) -> None:
        self._world.note("Redis emptied")
        self._world.leases.empty()

    def _redis_restored(self) -> None:
        """It fails over to a replica that is behind."""
        leases = self._world.leases
        known = dict(leases._entries)

        def restore() -> None:
            self._world.note("Redis is what it was")
            leases._entries = known

        self._world.conductor.after(self._chance.choice((0.3, 2.0, 10.0)), restore)

    def _producer_expires(self) -> None:
        group = self._chance.choice((f"{PREFIX}.dispatcher", f"{PREFIX}.retrier"))
        self._world.note("given up by the coordinator", group)
        self._world.kafka.expire(group)

    # ------------------------------------------------------------------ records

    def _retention(self) -> None:
        """The oldest records of a partition go; of whatever was not answered by then nothing is promised."""
        world = self._world
        topic = topics.requests_topic(PREFIX, self._chance.choice(LANES))
        number = self._chance.randrange(len(world.kafka.logs(topic)))
        group = world.kafka.groups.get(f"{PREFIX}.dispatcher")
        if group is None or TopicPartition(topic, number) not in group.stored:
            return  # where nothing was ever taken, a start asks the operator
        log = world.kafka.logs(topic)[number]
        offset = self._chance.randint(log.start, log.end)
        answered = {outcome["id"] for _, outcome in world.history.outcomes()}
        progress = PartitionProgress.restore(*_of(group.stored[TopicPartition(topic, number)]))
        gone = [
            Removed(topic, number, each.offset, named_in(each.record))
            for each in log.committed()
            if each.offset < offset and not done_of(progress, [each.offset])
        ]
        ids = {named_in(slot.record) for slot in log.slots[log.start : offset] if slot.record is not None}
        world.history.removed += gone
        world.note("retention", topic, offset)
        world.history.excused |= {name for name in ids if name is not None} - answered
        world.history.trimmed = True
        log.trim(offset)
        world.kafka.stir()

    def _ledger_removed(self, chance: Random) -> None:
        """Whoever leads has led for longer than the ledger is kept: of its lines the last one stands, or some more."""
        log = self._world.kafka.logs(LEDGER)[0]
        lines = [fetched.offset for fetched in log.committed()]
        if lines:
            offset = chance.choice((lines[-1], chance.choice(lines)))
            self._world.note("retention", LEDGER, offset)
            self._world.history.forgotten_s.append(self._world.conductor.now_s)
            log.trim(offset)
            self._world.kafka.stir()

    def _coordinators_away(self, chance: Random) -> None:
        self._world.note("coordinators away")
        self._world.kafka.coordinates = False
        self._world.conductor.after(chance.choice((0.5, 3.0, 12.0, 20.0)), self._coordinators_back)

    def _coordinators_back(self) -> None:
        self._world.kafka.coordinates = True
        self._world.kafka.stir()

    def _grow(self) -> None:
        topic = topics.requests_topic(PREFIX, self._chance.choice(LANES))
        self._world.kafka.create(topic, len(self._world.kafka.logs(topic)) + 1)


def _of(place: StoredOffset) -> tuple[int, str]:
    return place.offset, place.metadata


def id_in(record: Record) -> str | None:
    """The id that a record names, if that can be read."""
    try:
        found = json.loads(record.value or b"")["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def named_in(record: Record) -> str | None:
    """The id that a record or its headers name."""
    return id_in(record) or (dict(record.headers).get(CE_SUBJECT) or b"").decode(errors="replace") or None
