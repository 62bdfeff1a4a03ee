"""The doors of one simulated process: the doubles in memory, with everything a network does to what goes through them.

A question travels, is carried out, and its answer travels back; either may take long or be lost. Nothing of a process
that was killed reaches anybody, and no answer reaches it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from headrace.broker.core.config import LeaseTimes
from headrace.broker.errors import LeaseUnavailable, ProducerDead
from headrace.broker.ports import (
    LeaseForeign,
    LeaseMine,
    LeaseTaken,
    LeaseView,
    Outgoing,
    StoredOffset,
    TopicPartition,
    UpstreamReply,
)
from headrace.broker.testing.kafka import CommitFault, KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryTransactions
from headrace.broker.testing.lease import MemoryLease, MemoryLeaseStore
from headrace.broker.testing.upstream import ScriptedUpstream
from headrace.schemas.delta import Delta, Head
from tests.simulation.service.loops import Conductor, nap
from tests.simulation.service.openai import HANGS_S, OpenAI, Sending
from tests.simulation.service.scenario import DEADLY_CALL, FLAW_IN_CALLING, Faults

_T = TypeVar("_T")
REDIS_ANSWERS_WITHIN_S = 0.5
COMMIT_WITHIN_S = 10.0
QUICK_S = (0.000_2, 0.003)
SLOW_S = (0.05, 1.2)


@dataclass(frozen=True, slots=True)
class Start:
    """A transactional producer is started: when, by whom, and how long ago Redis said that the lease is theirs."""

    at_s: float
    group: str
    process: str
    since_mine_s: float


class Wires:
    """How long messages of one process take.

    Attributes:
        is_dead: It is gone, and so is whatever it still had to say.
        mine_s: When it last heard from Redis that the lease is its.
        held_s: The instant for which Redis said so.
        asked_s: When the question was sent to which Redis said so; none since another holder was named.
        proved_s: When the last transaction was begun that was committed.
        stepped_down_s: When it gave its lease up.
        starts: Its producers.
    """

    def __init__(self, conductor: Conductor, faults: Faults, dice: Random) -> None:
        self.conductor = conductor
        self.faults = faults
        self.dice = dice
        self.is_calm = False
        self.is_dead = False
        self.mine_s = self.held_s = self.asked_s = self.proved_s = -math.inf
        self.stepped_down_s: list[float] = []
        self.starts: list[Start] = []

    @property
    def trusted_s(self) -> float:
        """Until when this process may act as leader."""
        times = LeaseTimes()
        if self.asked_s == -math.inf:
            return -math.inf
        return max(self.asked_s + (times.ttl_ms - times.margin_ms) / 1_000, self.proved_s + times.proof_ms / 1_000)

    def chance(self, probability: float) -> bool:
        """Whether a fault strikes."""
        return not self.is_calm and self.dice.random() < probability

    def delay_s(self) -> float:
        """How long a message is on its way."""
        return self.dice.uniform(*(SLOW_S if self.chance(self.faults.slow) else QUICK_S))

    async def travel(self) -> None:
        """Until a message has arrived."""
        await nap(self.delay_s())
        self.live()

    def live(self) -> None:
        """Go no further if the process is dead."""
        if self.is_dead:
            raise asyncio.CancelledError


class Link(KafkaLink):
    """A process's way to Kafka; what changes there is heard of a moment later."""

    def __init__(self, kafka: MemoryKafka, wires: Wires) -> None:
        super().__init__(kafka)
        self._wires = wires
        self._hears = False

    @property
    def is_up(self) -> bool:
        """Whether questions reach the cluster."""
        return super().is_up and not self._wires.is_dead

    def stir(self) -> None:
        """Wake whoever waits, once the news have travelled."""
        if not self._hears:
            self._hears = True
            self._wires.conductor.after(self._wires.delay_s(), self._heard)

    def _heard(self) -> None:
        self._hears = False
        if not self._wires.is_dead:
            super().stir()

    async def reach(self, within_s: float | None = None) -> None:
        """Return once the cluster answers, a message later."""
        await self._wires.travel()
        await super().reach(within_s)
        self._wires.live()


class Transactions(MemoryTransactions):
    """A producer whose commits may be lost, or stored without its hearing of it."""

    def __init__(self, link: KafkaLink, wires: Wires, *, transactional_id: str, process: str = "") -> None:
        super().__init__(link, transactional_id=transactional_id, commit_within_s=COMMIT_WITHIN_S)
        self._wires = wires
        self._process = process

    async def open(self) -> None:
        """See `headrace.broker.ports.TransactionLog.open`."""
        now_s = self._wires.conductor.now_s
        self._wires.starts.append(Start(now_s, self._id, self._process, now_s - self._wires.mine_s))
        await super().open()

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        """See `headrace.broker.ports.TransactionLog.transact`."""
        begun_s = self._wires.conductor.now_s
        try:
            written = await super().transact(records, offsets)
        except ProducerDead:
            if self._wires.chance(0.5):  # it is found out at once, or when the time is over
                await asyncio.sleep(self._wires.dice.uniform(0, COMMIT_WITHIN_S))
            raise
        await self._wires.travel()
        self._wires.proved_s = begun_s
        return written

    def _fault(self) -> CommitFault | None:
        self._wires.live()
        if self._wires.chance(self._wires.faults.commit_lost):
            return CommitFault.LOST
        return CommitFault.STORED if self._wires.chance(self._wires.faults.commit_unknown) else None


class Lease(MemoryLease):
    """The lease over a network."""

    def __init__(self, store: MemoryLeaseStore, key: str, wires: Wires, *, ttl_ms: int, token: str) -> None:
        super().__init__(store, key, ttl_ms=ttl_ms, token=token)
        self._wires = wires

    async def look(self) -> LeaseView:
        """See `headrace.broker.ports.Lease.look`."""
        return await self._over(super().look)

    async def take(self) -> LeaseTaken | LeaseView:
        """See `headrace.broker.ports.Lease.take`."""
        return await self._over(super().take)

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        """See `headrace.broker.ports.Lease.renew`."""
        ask = super().renew
        answer = await self._over(lambda: ask(restore=restore))
        if isinstance(answer, LeaseForeign) and answer.value is not None:  # absent: Redis may have lost it
            self._wires.asked_s = -math.inf
        return answer

    async def release(self) -> None:
        """See `headrace.broker.ports.Lease.release`."""
        self._wires.stepped_down_s.append(self._wires.conductor.now_s)
        await self._over(super().release)

    async def note_ready(self) -> None:
        """See `headrace.broker.ports.Lease.note_ready`."""
        await self._over(super().note_ready)

    async def ready_standbys(self) -> list[str]:
        """See `headrace.broker.ports.Lease.ready_standbys`."""
        return await self._over(super().ready_standbys)

    async def server_time_ms(self) -> int:
        """See `headrace.broker.ports.Lease.server_time_ms`."""
        return await self._over(super().server_time_ms)

    async def read_status(self) -> str | None:
        """See `headrace.broker.ports.Lease.read_status`."""
        return await self._over(super().read_status)

    async def _over(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        asked_s = self._wires.conductor.now_s
        until_s = asked_s + REDIS_ANSWERS_WITHIN_S
        await self._go(until_s)
        try:
            answer = await ask()  # at once
            answered_s = self._wires.conductor.now_s
        except LeaseUnavailable:
            await asyncio.sleep(self._wires.dice.choice((0.001, LeaseTimes().answer_ms / 1_000)))
            self._wires.live()
            raise
        await self._go(until_s)
        if isinstance(answer, LeaseTaken | LeaseMine):
            self._wires.mine_s, self._wires.held_s = self._wires.conductor.now_s, answered_s
            self._wires.asked_s = max(self._wires.asked_s, asked_s)
        return answer

    async def _go(self, until_s: float) -> None:
        """One way over the network; whoever has waited until then waits no longer."""
        takes_s = math.inf if self._wires.chance(self._wires.faults.lease_lost) else self._wires.delay_s()
        left_s = until_s - self._wires.conductor.now_s
        try:
            await nap(min(takes_s, left_s))
        except asyncio.CancelledError:
            if self._wires.is_dead or not self._wires.chance(self._wires.faults.deaf):
                raise
        self._wires.live()
        if takes_s >= left_s:
            raise LeaseUnavailable("Redis does not answer in time.")


class Upstream(ScriptedUpstream):
    """A process's way to OpenAI."""

    def __init__(
        self, openai: OpenAI, wires: Wires, process: str, deadly: Callable[[str], None], believed_s: Callable[[], float]
    ) -> None:
        """`deadly` is told of a request whose call ends its process; `believed_s`: until when that one trusts."""
        super().__init__(script=lambda asked: openai.asked(asked, process, self._sending, wires.conductor.now_s))
        self._wires = wires
        self._sending = Sending(0.0, -math.inf, -math.inf)
        self._openai = openai
        self._process = process
        self._deadly = deadly
        self._believed_s = believed_s

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.call`."""
        sending = Sending(self._wires.conductor.now_s, self._wires.held_s, self._wires.trusted_s, self._believed_s())
        self._openai.begun.append((self._wires.conductor.now_s, self._process, client_request_id))
        text = str(body)
        if FLAW_IN_CALLING in text:
            self._openai.flawed.append((self._wires.conductor.now_s, self._process, client_request_id))
            raise ValueError(f"cannot be sent: {text}")
        if DEADLY_CALL in text:
            self._deadly(client_request_id)
            await asyncio.sleep(HANGS_S)
        await self._wires.travel()
        self._sending = sending  # read before anybody else runs
        number = len(self._openai.arrivals)
        reply = await super().call(endpoint, body, client_request_id, on_delta, on_head=on_head)
        await self._wires.travel()
        self._openai.arrivals[number].heard_s = self._wires.conductor.now_s
        return reply
