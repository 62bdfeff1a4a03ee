"""What cannot end well ends soon: garbage, a request that always fails, outcomes for a reply topic that was deleted.

Meanwhile the other requests of the same lanes are served as fast as before.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Script, Scripted
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.consumers.results import ResultReader
from headrace.schemas.topics import TopicSpec
from tests.integration.fleet import Fleet, Ledger, producing, read_all, request, send

LANES = ("urgent", "standard")
GONE, KEPT = "bounded-acme.gone", "bounded-acme.kept"
BACKLOG = 600
INFLIGHT, LATENCY_S = 12, (0.2, 0.4)
BEFORE_S, DURING_S = 12.0, 20.0
POISON, FAILING, ATTEMPTS_MAX = 20, 1, 5
POISON_WITHIN_S = 5.0
FAILING_WITHIN_S = 7.5 + ATTEMPTS_MAX * 2.5
"""Four pauses of at most 0.5, 1, 2 and 4 s, and before each call a turn in a lane that has a third of all calls."""
STANDS_STILL_S = 4.0
"""Should the topic go between a look and its commit: a second or two until that is seen, then a promotion."""
SETTINGS = {
    "HEADRACE_LIMITS": json.dumps({"gpt-4o-mini": {"tokens_per_minute": 60_000_000, "requests_per_minute": 600_000}}),
    "HEADRACE_DISPATCHER__INFLIGHT_MAX": str(INFLIGHT),
    "HEADRACE_LANES__STANDARD__FLOOR": "0.33",
    "HEADRACE_RETRY__ATTEMPTS_MAX": str(ATTEMPTS_MAX),
    "HEADRACE_REPLIES__ALLOW": f"{GONE},{KEPT}",
}


def failing() -> Script:
    """500 for ever, and at once, for whoever asks for it: it takes nobody's place in flight."""

    def script(_: int, body: Mapping[str, Any]) -> Scripted | None:
        if "always fails" not in body["messages"][0]["content"]:
            return None
        return Scripted(500, {"error": {"message": "The server had an error.", "type": "server_error", "code": None}})

    return script


def asking(request_id: str, tenant: str, **fields: Any) -> dict[str, object]:
    content = f"{'always fails' if tenant == 'failing' else 'write'} {request_id}"
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}
    return request(request_id, body=body, tenant=tenant, **fields)


@asynccontextmanager
async def administering(fleet: Fleet) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.services.endpoints.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@dataclass
class Span:
    """Ordinary outcomes in a stretch of time, by Kafka's timestamps."""

    from_s: float
    instants_s: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.instants_s) / self.seconds

    @property
    def longest_pause_s(self) -> float:
        return max(
            after - before for before, after in pairwise([self.from_s, *self.instants_s, self.from_s + self.seconds])
        )


def ordinary(results: Ledger, from_s: float, seconds: float) -> Span:
    instants_s = sorted(
        record.timestamp / 1_000
        for record, value in zip(results.records, results.values, strict=True)
        if value["tenant"] == "plain"
    )
    return Span(from_s, [at for at in instants_s if from_s <= at < from_s + seconds], seconds)


async def answered(fleet: Fleet, topic: str) -> list[str]:
    reader = ResultReader(connection=fleet.connection, group=None, topic=topic, follow=False)
    async with reader as copies:
        return [copy.id async for copy in copies]


@pytest.mark.timeout(240)
async def test_what_cannot_end_well_ends_soon_and_slows_down_nobody(services: LocalServices, tmp_path: Path) -> None:
    played = UpstreamSettings(
        tokens_per_minute=60_000_000,
        requests_per_minute=600_000,
        law="chat-2025",
        latency_s=LATENCY_S,
        seed=5,
        port=0,
    )
    async with Upstream(played) as upstream:
        upstream.script(failing())
        async with (
            Fleet(services, "bounded", upstream.base_url, tmp_path, SETTINGS) as fleet,
            producing(fleet) as producer,
            administering(fleet) as admin,
        ):
            await create_missing(fleet.connection, [TopicSpec(name, 3, 1, {}) for name in (GONE, KEPT)])
            for lane in LANES:
                plain = [asking(f"{lane}-plain-{n}", "plain") for n in range(BACKLOG)]
                replied = [
                    asking(f"{lane}-{'gone' if n % 2 else 'kept'}-{n}", "replied", reply_to=GONE if n % 2 else KEPT)
                    for n in range(BACKLOG)
                ]
                await send(producer, fleet, lane, [each for pair in zip(plain, replied, strict=True) for each in pair])
            dispatcher = await fleet.start()
            await fleet.until(dispatcher, "leader")
            await fleet.inflight(dispatcher, INFLIGHT - 1)
            await asyncio.sleep(2)
            begun_s = time.time()
            await asyncio.sleep(BEFORE_S)
            troubled_s = time.time()
            await admin.delete_topics([GONE])
            for lane in LANES:
                topic = f"{fleet.prefix}.requests.{lane}"
                for number in range(POISON):
                    await producer.send(topic, b"\xff{" + str(number).encode())
                await send(producer, fleet, lane, [asking(f"{lane}-failing-{n}", "failing") for n in range(FAILING)])
            await asyncio.sleep(DURING_S)
            status = await fleet.status(dispatcher)
            metrics = (await fleet.get(dispatcher, "/metrics"))[1]
            await create_missing(fleet.connection, [TopicSpec(GONE, 3, 1, {})])
            async with asyncio.timeout(10):
                while not await answered(fleet, GONE):
                    await asyncio.sleep(0.5)
            await fleet.kill(dispatcher)
            results = await read_all(fleet, "results")
            letters = await read_all(fleet, "dead-letters")
            before = ordinary(results, begun_s, troubled_s - begun_s)
            during = ordinary(results, troubled_s, DURING_S)
            print(
                f"ordinary outcomes/s: before {before.rate:.1f}, during {during.rate:.1f}; "
                f"longest pause: before {before.longest_pause_s:.2f} s, during {during.longest_pause_s:.2f} s; "
                f"terms {sorted({value['term'] for value in results.values})}; {status['replies']}"
            )
            check_failing(results, troubled_s)
            check_poison(letters, troubled_s)
            assert set(results.counts().values()) == {1}
            check_copies(results, await answered(fleet, KEPT), troubled_s)
            assert status["replies"][GONE]["trouble"] == "does not exist"
            assert status["replies"][GONE]["dropped"] > 20
            assert status["replies"][KEPT]["trouble"] is None
            assert f'headrace_reply_copies_total{{result="dropped",topic="{GONE}"}}' in metrics
            assert '"reply_topic_unusable"' in dispatcher.said()
            assert during.rate > 0.9 * before.rate
            assert during.longest_pause_s < STANDS_STILL_S


def check_failing(results: Ledger, troubled_s: float) -> None:
    """Each had its attempts and ended within seconds; a call counts for nothing if three failed in a row before it."""
    took_s, calls = [], []
    for record, value in zip(results.records, results.values, strict=True):
        if value["tenant"] == "failing":
            took_s.append(record.timestamp / 1_000 - troubled_s)
            calls.append(value["attempts"])
            assert value["reason"] == "exhausted"
    print(f"always failing: {', '.join(f'{each:.1f}' for each in took_s)} s, {calls} calls")
    assert ATTEMPTS_MAX <= min(calls) <= max(calls) <= 2 * ATTEMPTS_MAX
    assert len(took_s) == FAILING * len(LANES)
    assert max(took_s) < FAILING_WITHIN_S


def check_poison(letters: Ledger, troubled_s: float) -> None:
    """Each is a dead letter, soon."""
    reasons: Counter[str] = Counter()
    took_s = []
    for record in letters.records:
        reason = dict(record.headers)["headrace-reason"].decode()
        reasons[reason] += 1
        if reason == "undecodable":
            took_s.append(record.timestamp / 1_000 - troubled_s)
    print(f"poison: {min(took_s):.1f} to {max(took_s):.1f} s")
    assert max(took_s) < POISON_WITHIN_S
    assert reasons == {"undecodable": POISON * len(LANES), "exhausted": FAILING * len(LANES)}


def check_copies(results: Ledger, kept: list[str], troubled_s: float) -> None:
    """Where the topic stayed, each outcome has one copy; where it went, each of those after it says it has none."""
    assert sorted(kept) == sorted(value["id"] for value in results.values if "-kept-" in value["id"])
    said: Counter[bool] = Counter()
    for record, value in zip(results.records, results.values, strict=True):
        why = dict(record.headers).get("headrace-reply-dropped")
        if "-gone-" not in value["id"]:
            assert why is None
        elif 0.5 < record.timestamp / 1_000 - troubled_s < DURING_S:
            assert why == f"{GONE} does not exist".encode()
            said[True] += 1
        elif record.timestamp / 1_000 < troubled_s:
            assert why is None
            said[False] += 1
    assert min(said[True], said[False]) > 20
