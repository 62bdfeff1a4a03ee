"""One process: the real dispatcher or the real retrier, on its own event loop, with its own wires to everything."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from prometheus_client import Counter as Counters
from prometheus_client.samples import Sample

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.core.events import Event
from headrace.broker.ports import ReplyTopic, RetryDoors, TransactionLog
from headrace.broker.service.driver import Driver
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.clock_check import ByTheLeader
from headrace.broker.service.leadership.lease_only import Elected, KafkaWatch
from headrace.broker.service.retrier import RetrierProcess
from headrace.broker.service.wiring import DispatcherDoors, assemble, dispatcher_name
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.kafka import MemoryKafka
from headrace.broker.testing.kafka_doors import (
    MemoryChunks,
    MemoryCoordinators,
    MemoryLane,
    MemoryLedger,
    MemoryOffsets,
    MemoryReplyTopics,
)
from headrace.broker.testing.lease import MemoryLeaseStore
from headrace.broker.testing.prices import MemoryPrices
from headrace.consumers.retries.retrier import Retrier
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.consumers.retries.rules import RetrierRules
from headrace.schemas import topics
from tests.simulation.service.history import TOTALS, Deadly, History
from tests.simulation.service.loops import Conductor
from tests.simulation.service.openai import OpenAI
from tests.simulation.service.scenario import FLAW_IN_READING, LANES, POISON, PREFIX, Scenario
from tests.simulation.service.wires import Lease, Link, Transactions, Upstream, Wires

GAUGES_EVERY_S = 10.0
"""Seldom: no promise depends on what is shown, and showing it takes a tenth of a run's time."""

AUDITED, AUDITED_EVERY = 0.05, 40
"""The share of runs in which the books are compared after every event, and after which one they are in others."""


class Surroundings(Protocol):
    """What processes share."""

    scenario: Scenario
    conductor: Conductor
    kafka: MemoryKafka
    leases: MemoryLeaseStore
    openai: OpenAI
    history: History

    def utc_now(self) -> datetime: ...

    def kill(self, process: "Process") -> None: ...

    def start_dispatcher(self) -> None: ...


class Looks(MemoryReplyTopics):
    """Looks at topics. One at the totals draws no chance, so that the seeds that have shown a fault still show it."""

    async def look(self, topics: Sequence[str]) -> Mapping[str, ReplyTopic]:
        """See `headrace.broker.ports.ReplyTopics.look`."""
        return {TOTALS: self._state(TOTALS)} if topics == [TOTALS] else await super().look(topics)


class Process(ABC):
    """A loop and what runs on it. `task` is the whole process."""

    role = "process"

    def __init__(self, world: Surroundings, name: str, clock_error_s: float) -> None:
        self.world, self.name = world, name
        self.dice = Random(f"{name} {world.scenario.seed}")
        self.loop = world.conductor.loop()
        self.wires = Wires(world.conductor, world.scenario.faults, self.dice)
        self.link = Link(world.kafka, self.wires)
        error = timedelta(seconds=clock_error_s)
        self.clock = WallClock(self.loop.time, lambda: world.utc_now() + error)
        self.born_s = world.conductor.now_s
        self.lease = Lease(world.leases, f"{self.group}:lease", self.wires, ttl_ms=LeaseTimes().ttl_ms, token=name)
        self.task = self.loop.inside(lambda: self.loop.create_task(self._main(), name=name))

    @property
    @abstractmethod
    def group(self) -> str:
        """The transactional id and the offsets group."""

    @property
    @abstractmethod
    def health(self) -> Health:
        """What its probes would say."""

    @property
    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self.health.role == "leader"

    @abstractmethod
    async def _main(self) -> None:
        """Run until it ends."""

    @abstractmethod
    def leave(self) -> None:
        """As SIGTERM does."""

    def kill(self) -> None:
        """As SIGKILL does."""
        self.wires.is_dead = self.lease.is_cut = True
        self.world.kafka.links.remove(self.link)
        self.world.conductor.remove(self.loop)

    def bury(self) -> None:
        """Unwind what is left of it."""
        self.loop.bury()

    def producer(self) -> TransactionLog:
        """A fresh one."""
        return Transactions(self.link, self.wires, transactional_id=self.group, process=self.name)

    def lane(self, topic: str) -> MemoryLane:
        """A reader."""
        return MemoryLane(self.link, topic=topic)

    @property
    def contained(self) -> list[str]:
        """Steps at which an exception of our own was survived: no trouble of the simulation may cause one."""
        families = [meter._families.contained for meter in self.meters()]
        return [each.labels["step"] for family in families for each in _counted(family) if each.value]

    @abstractmethod
    def meters(self) -> list[Meter]:
        """All that count for it."""


class DispatcherProcess(Process):
    """`headrace dispatcher` without its web server."""

    role = "dispatcher"

    def __init__(self, world: Surroundings, name: str, clock_error_s: float) -> None:
        super().__init__(world, name, clock_error_s)
        doors = DispatcherDoors(
            upstream=Upstream(world.openai, self.wires, name, self.die_of_call, self._believes_until_s),
            lease=self.lease,
            ledger=MemoryLedger(self.link, topic=topics.ledger_topic(PREFIX)),
            coordinators=MemoryCoordinators(self.link),
            offsets=MemoryOffsets(self.link, group=self.group),
            lane=self.lane,
            make_producer=self.producer,
            chunks=MemoryChunks(self.link, topic=topics.chunks_topic(PREFIX)),
            replies=Looks(self.link),
            counter=Counter(self),
            prices=MemoryPrices(),
        )
        self.made = self.loop.inside(
            lambda: assemble(
                world.scenario.settings,
                doors,
                clock=self.clock,
                owner=name,
                dice=self.dice.random,
                secret=lambda size: name.encode().ljust(size, b".")[:size],
            )
        )
        self.made.dispatcher.gauges_every_s = self.made.dispatcher.lags_every_s = GAUGES_EVERY_S
        self._audited(self.made.driver)

    def _audited(self, driver: Driver) -> None:
        """Compare the books of its core after what it was told."""
        history, post, core = self.world.history, driver.post, driver.core
        every = 1 if Random(f"books {self.world.scenario.seed}").random() < AUDITED else AUDITED_EVERY
        count = itertools.count(1)

        def posted(event: Event) -> None:
            post(event)
            if next(count) % every == 0 and not history.unsound and (fault := core._eviction._fault()) is not None:
                at = f"{self.world.conductor.now_s:.3f} s, after {type(event).__name__}"
                history.unsound.append(f"{self.name} at {at}: {fault}")

        driver.post = posted  # type: ignore[method-assign] # of this one driver; its core may be compiled

    @property
    def group(self) -> str:
        """See `Process.group`."""
        return dispatcher_name(self.world.scenario.settings)

    @property
    def health(self) -> Health:
        """See `Process.health`."""
        return self.made.health

    def meters(self) -> list[Meter]:
        """See `Process.meters`."""
        return [self.made.meter]

    @property
    def repeated(self) -> int:
        """Calls that it counted as repeated."""
        return sum(int(each.value) for each in _counted(self.made.meter._families.repeated_calls))

    async def _main(self) -> None:
        await self.made.dispatcher.serve(_nowhere)

    def leave(self) -> None:
        """See `Process.leave`."""
        self.loop.inside(self.made.dispatcher.leave)

    def _believes_until_s(self) -> float:
        """Until when it believes that it leads, in the world's seconds."""
        return self.world.conductor.now_s + (self.made.core.trust.until() - self.clock.now_ms()) / 1_000

    def die(self, name: str) -> None:
        """As a crash below Python does, in decoding a record: nothing that it does from here on is seen."""
        history = self.world.history
        if any(term > self.made.core.term for _, term, _ in history.claims()):
            history.killed_superseded.append(name)
        else:
            history.killed.append((Deadly.DECODED, name))
        self._doom()

    def die_of_call(self, name: str) -> None:
        """The same by a call, at once or after a while."""

        def end() -> None:
            if not self.wires.is_dead:
                self.world.history.killed.append((Deadly.CALLED, name))
                self._doom()

        self.world.conductor.after(self.dice.uniform(*self.world.scenario.a_call_kills_within_s), end)

    def _doom(self) -> None:
        world = self.world
        world.conductor.doom(self.loop, 0, lambda: world.kill(self))
        world.conductor.after(self.dice.choice((0.05, 1.0, 4.0)), world.start_dispatcher)


class Counter(RoughCounter):
    """Counting a poisoned text ends the process, as a crash in a library does; a flawed one shows a defect of ours."""

    def __init__(self, process: DispatcherProcess) -> None:
        super().__init__()
        self._process = process

    def count(self, model: str, text: str) -> int | None:
        """See `headrace.broker.ports.TokenCounter.count`."""
        if POISON in text:
            self._process.die(text.split(maxsplit=1)[0])
        if FLAW_IN_READING in text:
            raise ValueError(f"cannot be counted: {text}")
        return super().count(model, text)


class RetryingProcess(Process):
    """`headrace retrier` without its web server."""

    role = "retrier"

    def __init__(self, world: Surroundings, name: str, clock_error_s: float) -> None:
        super().__init__(world, name, clock_error_s)
        self.made = self.loop.inside(self._made)
        self.made.gauges_every_s = GAUGES_EVERY_S

    @property
    def group(self) -> str:
        """See `Process.group`."""
        return f"{PREFIX}.retrier"

    @property
    def health(self) -> Health:
        """See `Process.health`."""
        return self.made.health

    def _made(self) -> RetrierProcess:
        settings, failures = self.world.scenario.settings, topics.failures_topic(PREFIX)
        key, ttl_ms = f"{dispatcher_name(settings)}:lease", LeaseTimes().ttl_ms
        leader = self.leader = Lease(self.world.leases, key, self.wires, ttl_ms=ttl_ms, token=self.name)
        elected = Elected(
            self.lease,
            KafkaWatch(self.lane(failures), MemoryCoordinators(self.link)),
            clock=self.clock,
            timekeeper=ByTheLeader(self.clock, leader),
            health=Health(),
            times=LeaseTimes(),
            owner=self.name,
            dice=self.dice.random,
        )
        doors = RetryDoors(
            failures=self.lane(failures),
            again=self.lane(failures),
            lanes={lane: self.lane(topics.requests_topic(PREFIX, lane)) for lane in LANES},
            offsets=MemoryOffsets(self.link, group=self.group),
            make_producer=self.producer,
        )
        retry_budget = RetryBudgetRules(settings.retrier.fresh_share, settings.retrier.floor_per_s)
        self.meter = Meter()
        self.work = Retrier(
            doors, RetrierRules(PREFIX, LANES, 1_000_000, 1_000_000, retry_budget), self.meter, self.clock
        )
        return RetrierProcess(
            settings,
            elected=elected,
            leases=(self.lease, leader),
            doors=doors,
            meter=self.meter,
            clock=self.clock,
            owner=self.name,
        )

    def meters(self) -> list[Meter]:
        """See `Process.meters`."""
        return [self.meter]

    async def _main(self) -> None:
        await self.made.serve(self.work)

    def leave(self) -> None:
        """See `Process.leave`."""
        self.loop.inside(self.made.leave)


def _counted(family: Counters) -> list[Sample]:
    """What a family of counters stands at, without a page of all families."""
    return [sample for metric in family.collect() for sample in metric.samples]


async def _nowhere() -> str:
    return ""
