"""Producers that write all the time, in every lane, also what must wait, fail, be cancelled or come too late.

Hostile records may stand among it: a share of all records, drawn by dice of their own, so that the good ones of a seed
stay as they are.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace.schemas.codec import encode_cancel
from headrace.schemas.control import Cancel
from headrace.schemas.instants import to_wire
from tests.chaos.outcomes import Letters, Outcomes
from tests.hostile.fates import Fates, fates
from tests.hostile.raw_producer import RawProducer
from tests.hostile.sowing import Sowing
from tests.integration.fleet import LANES, request

KINDS = {"plain": 74, "parked": 4, "failing": 2, "deadline": 7, "cancelled": 6, "twice": 7}
"""The first word of an id, and how many of a hundred are of it."""

MAY_END = {
    "plain": {"completed"},
    "parked": {"completed"},
    "failing": {"completed"},
    "twice": {"completed"},
    "cancelled": {"completed", "cancelled"},
    "long": {"completed"},
    "deadline": {"completed", "deadline_exceeded", "deadline_unreachable"},
}
DEATHS_HELD_AGAINST_ONE = 3
"""So many dispatchers must have died during calls of one request before it is Failed `crashed`."""
_TENANTS = ("acme", "globex", "initech", None)
_LANES_BY_SHARE = (*("bulk",) * 5, *("standard",) * 3, *("urgent",) * 2)
_RESTING_MODEL, _RESTING_MODELS = "gpt-4o-mini-of-the-parked", 16
"""Whom the server asks to wait rests its whole limit, so those that are to be parked have limits of their own."""
_BATCH = 25
_TURN_S = 0.1


@dataclass
class Traffic:
    """Writes while it is entered, unless `hold` is set.

    As much as keeps `backlog` requests unanswered; with `rate_per_s`, so many a second, whatever becomes of them.
    Beside them `hostile_share` of all records are those that `sowing` draws.

    Attributes:
        acknowledged: When Kafka took each id, monotonic seconds.
        written: How many records each lane and the control topic got, repetitions and cancels included.
    """

    bootstrap_servers: str
    prefix: str
    outcomes: Outcomes
    dice: random.Random
    backlog: int = 160
    rate_per_s: float | None = None
    words: int = 20
    kinds: dict[str, int] = field(default_factory=lambda: dict(KINDS))
    sowing: Sowing | None = None
    hostile_share: float = 0.0
    acknowledged: dict[str, float] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    hold: bool = False
    troubles: list[str] = field(default_factory=list)
    _later: list[tuple[float, str, str]] = field(default_factory=list)
    _bodies: dict[str, bytes] = field(default_factory=dict)
    _number: int = 0
    _turns: int = 0
    _looked_s: float = 0.0
    _owed: float = 0.0
    _hostile_owed: float = 0.0
    _raw: RawProducer | None = None
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write(), name="producers")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def unanswered(self) -> int:
        return len(self.acknowledged) - len(self.outcomes.said)

    def hostile(self, letters: Letters | None) -> Fates:
        """How the hostile records ended, if there are any."""
        if self.sowing is None or letters is None:
            return Fates()
        return fates(self.sowing.sown, self.outcomes.hostile, letters.origins)

    async def stop(self) -> None:
        """No new requests; what is to be sent a second time is sent now; back when all of it is acknowledged."""
        self.hold = True
        async with asyncio.timeout(60):
            seen = self._turns
            while self._later or self._turns < seen + 2:
                await asyncio.sleep(_TURN_S)

    async def answered(self, within_s: float) -> None:
        """Wait until nothing that was acknowledged is unanswered."""
        async with asyncio.timeout(within_s):
            while self.unanswered:
                await asyncio.sleep(_TURN_S)

    async def _write(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=5_000,
        )
        await producer.start()
        self._raw = RawProducer(producer)
        try:
            while True:
                begun_s = time.monotonic()
                await self._send_due(producer)
                missing = self._missing(begun_s)
                hostile = (self._sow(producer) for _ in range(self._missing_hostile(missing)))
                await asyncio.gather(*(self._submit(producer) for _ in range(missing)), *hostile)
                self._turns += 1
                await asyncio.sleep(max(0.0, begun_s + _TURN_S - time.monotonic()))
        finally:
            stopping = asyncio.ensure_future(producer.stop())
            await asyncio.wait({stopping}, timeout=3)

    def _missing(self, now_s: float) -> int:
        since_s, self._looked_s = now_s - (self._looked_s or now_s), now_s
        if self.hold:
            return 0
        if self.rate_per_s is None:
            return max(1, min(_BATCH, self.backlog - self.unanswered))
        self._owed += since_s * self.rate_per_s
        whole = int(self._owed)
        self._owed -= whole
        return whole

    def _missing_hostile(self, good: int) -> int:
        if self.sowing is None:
            return 0
        self._hostile_owed += good * self.hostile_share / (1 - self.hostile_share)
        whole = int(self._hostile_owed)
        self._hostile_owed -= whole
        return whole

    async def _sow(self, producer: AIOKafkaProducer) -> None:
        """The next hostile record, and a raw batch if one is due."""
        assert self.sowing is not None
        assert self._raw is not None
        odd, sending = self.sowing.next()
        raw = self.sowing.raw(self._raw) if self.sowing.is_raw_due else None
        self.sowing.took(odd, await self._acknowledged(producer, **sending))
        if raw is not None:
            await raw

    async def _submit(self, producer: AIOKafkaProducer) -> None:
        [kind] = self.dice.choices(list(self.kinds), list(self.kinds.values()))
        self._number += 1
        request_id, lane = f"{kind}-{self._number}", self.dice.choice(_LANES_BY_SHARE)
        fields: dict[str, Any] = {"tenant": self.dice.choice(_TENANTS)}
        if kind == "deadline":
            fields["deadline"] = to_wire(datetime.now(UTC) + timedelta(seconds=self.dice.uniform(2, 30)))
        made = request(request_id, words=self.words, **fields)
        if kind == "parked":
            made["body"] |= {"model": f"{_RESTING_MODEL}-{self._number % _RESTING_MODELS}"}  # type: ignore[operator]  # a dict
        value = json.dumps(made).encode()
        await self._acknowledged(producer, f"{self.prefix}.requests.{lane}", value)
        self.acknowledged[request_id] = time.monotonic()
        if kind == "cancelled":
            self._later.append((time.monotonic() + self.dice.uniform(0, 3), "cancel", request_id))
        if kind == "twice":
            self._bodies[request_id] = value
            self._later.append((time.monotonic() + self.dice.uniform(0, 6), self.dice.choice(LANES), request_id))

    async def _send_due(self, producer: AIOKafkaProducer) -> None:
        now_s = time.monotonic()
        due = [each for each in self._later if each[0] <= now_s or self.hold]
        self._later = [each for each in self._later if each not in due]
        await asyncio.gather(*(self._again(producer, what, request_id) for _, what, request_id in due))

    async def _again(self, producer: AIOKafkaProducer, what: str, request_id: str) -> None:
        if what != "cancel":
            await self._acknowledged(producer, f"{self.prefix}.requests.{what}", self._bodies.pop(request_id))
            return
        record = encode_cancel(Cancel(id=request_id), source="/tests", time=datetime.now(UTC))
        await self._acknowledged(
            producer, f"{self.prefix}.control", record.value, key=record.key, headers=list(record.headers)
        )

    async def _acknowledged(self, producer: AIOKafkaProducer, topic: str, value: bytes | None, **options: Any) -> Any:
        """Where it stands. A producer that is told of an error sends the same again: that is what ids are for."""
        while True:
            try:
                placed = await producer.send_and_wait(topic, value, **options)
            except KafkaError as error:
                self.troubles.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.2)
            else:
                self.written[topic.rpartition(".")[2]] += 1
                return placed


def verdicts(
    traffic: Traffic, letters: Letters | None = None, calls: Mapping[str, int] = MappingProxyType({})
) -> dict[str, list[str]]:
    """What is wrong with outcomes and with dead letters of hostile records; nothing is: every list is empty.

    `calls` says how often each id was called: three deaths may be held against an innocent call.
    """
    outcomes, hostile = traffic.outcomes, traffic.hostile(letters)
    said = {each: outcome["reason"] or outcome["status"] for each, outcome in outcomes.said.items()}
    blamed = set(blamed_innocents(traffic, calls))
    wrong = [
        f"{each}: {how}"
        for each, how in said.items()
        if how not in MAY_END.get(each.partition("-")[0], {"completed"}) and each not in blamed
    ]
    answered_twice = [f"{each}/{run}" for (each, run), count in outcomes.counts.items() if count != 1]
    buried = {} if letters is None else letters.origins
    buried_twice = [f"{origin}: {count} dead letters" for origin, count in buried.items() if count != 1]
    return {
        "lost": sorted(traffic.acknowledged.keys() - said.keys()) + hostile.lost,
        "doubled": sorted(answered_twice) + sorted(buried_twice),
        "unknown": sorted(said.keys() - traffic.acknowledged.keys()) + hostile.unknown,
        "wrong": sorted(wrong) + hostile.wrong,
    }


def blamed_innocents(traffic: Traffic, calls: Mapping[str, int]) -> list[str]:
    """Requests that were Failed `crashed` after at least three calls, as docs/guarantees.md does not rule out."""
    crashed = (each for each, outcome in traffic.outcomes.said.items() if outcome["reason"] == "crashed")
    return sorted(each for each in crashed if calls.get(each, 0) >= DEATHS_HELD_AGAINST_ONE)
