"""A whole Headrace in the memory of one test: the real dispatcher and retrier, without Kafka, Redis or OpenAI.

    async with MemoryBroker(lambda asked: "Dear Ada, …") as broker:
        async with GenerationClient(connection=broker.connection) as generations:
            done = await generations.generate({"model": "gpt-4o-mini", "messages": [...]}, lane="urgent")

Give `broker.connection` to the clients and readers of your service in place of a `KafkaConnection`. An outcome of the
urgent lane takes a few milliseconds, one of the others up to 50 more. Time is that of the running loop.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.client_ports import ClientDoors
from headrace.broker.clock import WallClock
from headrace.broker.core.config import LeaseTimes
from headrace.broker.ports import RetryDoors
from headrace.broker.price_ports import PriceList
from headrace.broker.service.health import Health
from headrace.broker.service.leadership.clock_check import ByTheLeader
from headrace.broker.service.leadership.lease_only import Elected, KafkaWatch
from headrace.broker.service.preflight.topic_check import wanted
from headrace.broker.service.retrier import RetrierProcess
from headrace.broker.service.wiring import Assembly, DispatcherDoors, assemble, dispatcher_name
from headrace.broker.settings.whole import Settings
from headrace.broker.span_ports import Spans
from headrace.broker.testing import kafka_doors
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.lease import MemoryBoard, MemoryLease, MemoryLeaseStore
from headrace.broker.testing.prices import MemoryPrices
from headrace.broker.testing.totals_door import MemoryTotals
from headrace.broker.testing.upstream import Asked, Said, ScriptedUpstream, Silence, answer_text
from headrace.consumers.retries.retrier import Retrier
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.consumers.retries.rules import RetrierRules
from headrace.schemas import topics
from headrace.schemas.codec import decode_dead_letter, decode_outcome
from headrace.schemas.dead_letter import DeadLetter
from headrace.schemas.outcome import Outcome
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES

Answer = str | Mapping[str, Any] | Said | Silence | None
"""A text that the model writes, a whole JSON body, any HTTP answer, or no answer at all; None: some text."""

_PLENTY: Final = 1_000_000_000


class MemoryBroker:
    """One dispatcher and one retrier; `async with` starts and ends them.

    Args:
        answer: OpenAI's answer to a call; default: some text.
        latency_s: Duration of a call, unless the answer gives another.
        settings: Groups as in a settings file, such as `{"lanes": {…}}`; default: quotas that bound nothing.
        topic_prefix: The one that your clients use.
        topics: Further topics that your service writes to or reads, such as one for its own dead letters; those of
            `replies.allow` exist anyway.

        spans: Where the spans of dispatcher and retrier go; default: nothing is traced.
        prices: What calls cost; default: the few prices of `MemoryPrices`.

    Attributes:
        connection: For `GenerationClient`, `ResultReader` and `DeadLetterReader`.
        kafka: To inspect, and to take away: `kafka.stop()`, `kafka.start_again()`.
    """

    def __init__(  # noqa: PLR0913 — each is a choice of the test
        self,
        answer: Callable[[Asked], Answer] | None = None,
        *,
        latency_s: float = 0.0,
        settings: Mapping[str, Any] | None = None,
        topic_prefix: str = "generation",
        topics: tuple[str, ...] = (),
        spans: Spans | None = None,
        prices: PriceList | None = None,
    ) -> None:
        """Must be called inside the running event loop."""
        loop = asyncio.get_running_loop()
        unbounded = {"any": {"models": ["*"], "tokens_per_minute": _PLENTY, "requests_per_minute": _PLENTY}}
        groups = {"limits": unbounded, **(settings or {})}
        groups["kafka"] = {**groups.get("kafka", {}), "topic_prefix": topic_prefix}
        self.settings = Settings(**groups)
        self._clock = WallClock(loop.time)
        self.kafka = MemoryKafka(self._clock.utc_ms)
        self._leases = MemoryLeaseStore(self._clock.utc_ms)
        self._errors: list[Exception] = []
        script = None if answer is None else _script(answer, self._errors)
        self._openai = ScriptedUpstream(latency_s=latency_s, script=script)
        self.connection: ClientDoors = MemoryClientDoors(self.kafka, KafkaLink(self.kafka))
        for topic in _topics(self.settings, topics):
            self.kafka.create(*topic)
        self._spans = spans
        self._prices = MemoryPrices() if prices is None else prices
        self._born = 0
        self._dispatcher: _Running | None = None
        self._retrier: _Running | None = None

    async def __aenter__(self) -> Self:
        self._dispatcher, self._retrier = self._start_dispatcher(), self._start_retrier()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._dispatcher, self._retrier):
            if process is not None:
                await process.kill()
        if self._errors:
            raise ExceptionGroup("The function that answers calls has raised.", self._errors)

    # ------------------------------------------------------------------ what can be seen

    @property
    def calls(self) -> list[Asked]:
        """The calls to OpenAI, in order."""
        return self._openai.asked

    @property
    def calls_by_id(self) -> Counter[str]:
        """Number of calls by request id."""
        return self._openai.calls

    @property
    def outcomes(self) -> list[Outcome]:
        """Outcomes in the results topic."""
        committed = self.kafka.committed(topics.results_topic(self._prefix))
        return [decode_outcome(each.record.value, each.record.headers) for each in committed]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """Dead letters in the dead-letters topic."""
        committed = self.kafka.committed(topics.dead_letters_topic(self._prefix))
        return [decode_dead_letter(each.record.key, each.record.value, each.record.headers) for each in committed]

    @property
    def _prefix(self) -> str:
        return self.settings.kafka.topic_prefix

    # ------------------------------------------------------------------ what can happen

    async def crash(self) -> None:
        """Kill the dispatcher as by SIGKILL, with its calls in flight; another one takes over within half a second."""
        if self._dispatcher is not None:
            await self._dispatcher.kill()
        self._leases.set(self._lease_key(dispatcher_name(self.settings)), "released")
        self._dispatcher = self._start_dispatcher()

    # ------------------------------------------------------------------ processes

    def _lease_key(self, name: str) -> str:
        return f"{self.settings.redis.key_prefix}:memory:{name}"

    def _lease(self, name: str, owner: str) -> MemoryLease:
        return MemoryLease(self._leases, self._lease_key(name), ttl_ms=LeaseTimes().ttl_ms, token=owner)

    def _start_dispatcher(self) -> "_Running":
        self._born += 1
        owner, name, link = f"dispatcher-{self._born}", dispatcher_name(self.settings), KafkaLink(self.kafka)
        lease = self._lease(name, owner)
        doors = DispatcherDoors(
            upstream=self._openai,
            lease=lease,
            ledger=kafka_doors.MemoryLedger(link, topic=topics.ledger_topic(self._prefix)),
            coordinators=kafka_doors.MemoryCoordinators(link),
            offsets=kafka_doors.MemoryOffsets(link, group=name),
            lane=lambda topic: kafka_doors.MemoryLane(link, topic=topic),
            make_producer=lambda: kafka_doors.MemoryTransactions(link, transactional_id=name),
            chunks=kafka_doors.MemoryChunks(link, topic=topics.chunks_topic(self._prefix)),
            replies=kafka_doors.MemoryReplyTopics(link),
            totals=MemoryTotals(link, topic=topics.totals_topic(self._prefix)),
            counter=RoughCounter(),
            board=MemoryBoard(self._leases, self._lease_key(name), self._lease_key(f"{self._prefix}.retrier")),
            spans=self._spans,
            prices=self._prices if self.settings.costs.enabled else None,
        )
        made: Assembly = assemble(self.settings, doors, clock=self._clock, owner=owner, dice=random.random, proved=True)
        serving = asyncio.create_task(made.dispatcher.serve(_nowhere), name=owner)
        return _Running(serving, link, lease, made.meter, made)

    def _start_retrier(self) -> "_Running":
        owner, name, link = "retrier", f"{self._prefix}.retrier", KafkaLink(self.kafka)
        lease, failures = self._lease(name, owner), topics.failures_topic(self._prefix)
        lanes = sorted(self.settings.lanes, key=lambda lane: self.settings.lanes[lane].order)
        self._leases.set(self._lease_key(name), "released")  # never held before: no wait is needed
        doors = RetryDoors(
            failures=kafka_doors.MemoryLane(link, topic=failures),
            again=kafka_doors.MemoryLane(link, topic=failures),
            lanes={
                lane: kafka_doors.MemoryLane(link, topic=topics.requests_topic(self._prefix, lane)) for lane in lanes
            },
            offsets=kafka_doors.MemoryOffsets(link, group=name),
            make_producer=lambda: kafka_doors.MemoryTransactions(link, transactional_id=name),
        )
        watch = KafkaWatch(kafka_doors.MemoryLane(link, topic=failures), kafka_doors.MemoryCoordinators(link))
        leader = self._lease(dispatcher_name(self.settings), owner)
        elected = Elected(
            lease,
            watch,
            clock=self._clock,
            timekeeper=ByTheLeader(self._clock, leader),
            health=Health(),
            times=LeaseTimes(),
            owner=owner,
            dice=random.random,
        )
        process = RetrierProcess(
            self.settings,
            elected=elected,
            leases=(lease, leader),
            doors=doors,
            meter=Meter(),
            clock=self._clock,
            owner=owner,
        )
        held_bytes_max = int(self.settings.retrier.held_bytes_max)
        rules = RetrierRules(
            self._prefix,
            lanes,
            int(self.settings.topics.dead_letters.max_message_bytes),
            held_bytes_max,
            RetryBudgetRules(self.settings.retrier.fresh_share, self.settings.retrier.floor_per_s),
            lane_bytes_max=int(self.settings.topics.requests.max_message_bytes) - BATCH_OVERHEAD_BYTES,
        )
        work = Retrier(doors, rules, process.meter, self._clock, self._spans)
        return _Running(asyncio.create_task(process.serve(work), name=owner), link, lease, process.meter)


class _Running:
    """A process of the broker, with its metrics and, of a dispatcher, its parts."""

    def __init__(
        self,
        serving: asyncio.Task[None],
        link: KafkaLink,
        lease: MemoryLease,
        meter: Meter,
        made: Assembly | None = None,
    ) -> None:
        self.meter = meter
        self.made = made
        self._serving = serving
        self._link = link
        self._lease = lease

    async def kill(self) -> None:
        """Kill it: cut its connections and cancel its task. Raises what ended it before: a defect, or a setting."""
        if not self._serving.done():
            self._link.cut()
            self._lease.is_cut = True
            self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving
        self._link.kafka.links.remove(self._link)


def _topics(settings: Settings, further: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return names and numbers of partitions."""
    return [(spec.name, spec.partitions) for spec in wanted(settings, nodes=1)] + [
        (name, 1) for name in (*further, *settings.replies.allow)
    ]


def _script(answer: Callable[[Asked], Answer], errors: list[Exception]) -> Callable[[Asked], Said | Silence | None]:
    """Collect the errors of `answer`: a dispatcher would only fail the request, and hide the cause from a test."""

    def said(asked: Asked) -> Said | Silence | None:
        try:
            given = answer(asked)
        except Exception as error:
            errors.append(error)
            raise
        if isinstance(given, str):
            return Said(body=answer_text(asked, given))
        return Said(body=json.dumps(given)) if isinstance(given, Mapping) else given

    return said


async def _nowhere() -> str:
    return ""
