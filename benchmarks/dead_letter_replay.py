"""Replay of dead letters beside other traffic: is the cap kept, do urgent requests wait longer, is any doubled?

A real Kafka, a real Valkey, two dispatchers and the simulated OpenAI over HTTP. Urgent requests come at random
instants, alone and beside a replay of many dead letters to the bulk lane at a cap. The replay is killed (SIGKILL) after
a third and asked to end (SIGTERM) after two thirds; the same command goes on each time. Prints how many were put back
in the emptiest ten seconds of one process and in the fullest of all, the urgent requests' time from the record's
timestamp to their outcome's arrival at a reader, and whether each (id, run) stands on the lane and in the results once.
Exits with 1 if a bound is missed. Needs the extra `headrace[local]`.

    python -m benchmarks.dead_letter_replay [--letters 10000] [--rate 50] [--alone-s 100]
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks.lanes.findings import quantile
from benchmarks.lanes.pair import create_topics, local_services, pair
from benchmarks.lanes.traffic import MODEL
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.scan import KafkaScan
from headrace.broker.adapters.kafka.transactions import KafkaTransactions
from headrace.broker.cli.patience import hush_kafka
from headrace.broker.client import GenerationClient
from headrace.broker.ports import Outgoing
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_dead_letter
from headrace.schemas.headers import RUN
from headrace.schemas.topics import dead_letters_topic, requests_topic

PREFIX: Final = "bench-replay"
TOKENS_PER_MINUTE: Final = 2_000_000
REQUESTS_PER_MINUTE: Final = 30_000
LATENCY_S: Final = (0.3, 0.9)
URGENT_PER_S: Final = 10.0
WINDOW_MS: Final = 10_000
CAP_WITHIN: Final = 0.05
WORSE_MOST: Final = 0.10
WORSE_MOST_MS: Final = 50.0
_TEXT: Final = "Write an e-mail to a lead who asked for a quote. " * 8
_LAST_S: Final = 60.0
_BURIED_TOGETHER: Final = 500


@dataclass(slots=True)
class Seen:
    """What a reader of the results saw.

    Attributes:
        urgent_ms: By id, from the record's timestamp to the outcome's arrival.
        outcomes: How often each (id, run) came.
    """

    urgent_ms: dict[str, float] = field(default_factory=dict)
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """The lifetime of one replay process, by the wall clock in milliseconds."""

    begun_ms: float
    ended_ms: float
    exit_code: int


def body() -> dict[str, Any]:
    """Return a request of about a hundred tokens."""
    return {"model": MODEL, "messages": [{"role": "user", "content": _TEXT}], "max_completion_tokens": 100}


async def bury(connection: KafkaConnection, names: Sequence[str]) -> None:
    """Write dead letters as a dispatcher would have written them an hour ago."""
    log = KafkaTransactions(connection, transactional_id=f"{PREFIX}.burial")
    await log.open()
    failed_at = datetime.now(UTC) - timedelta(hours=1)
    try:
        for first in range(0, len(names), _BURIED_TOGETHER):
            letters = []
            for number, name in enumerate(names[first : first + _BURIED_TOGETHER], first):
                at = failed_at + timedelta(milliseconds=number)
                record = encode_dead_letter(
                    name.encode(),
                    json.dumps({"id": name, "tenant": "acme", "body": body()}).encode(),
                    (),
                    reason="exhausted",
                    origin=(requests_topic(PREFIX, "bulk"), 0, number),
                    attempts=8,
                    run=0,
                    failed_at=at,
                    max_bytes=1_000_000,
                )
                letters.append(Outgoing(dead_letters_topic(PREFIX), record, round(at.timestamp() * 1_000)))
            await log.transact(letters, {})
    finally:
        await log.close()


async def urgently(client: GenerationClient, kind: str, stopped: asyncio.Event) -> int:
    """Send urgent requests at random instants until `stopped` is set; return their number."""
    dice, number = random.Random(7), 0
    due_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as sending:
        while not stopped.is_set():
            due_s += dice.expovariate(URGENT_PER_S)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await stopped.wait()
            sending.create_task(client.submit(body(), lane="urgent", tenant="acme", id=f"{kind}-{number}"))
            number += 1
    return number


async def watch(reader: ResultReader, seen: Seen) -> None:
    """Record every outcome as it comes."""
    async for outcome in reader:
        seen.outcomes[outcome.id, outcome.run] += 1
        seen.failed += outcome.status != "completed"
        if outcome.lane == "urgent" and outcome.timings.submitted_at is not None:
            seen.urgent_ms[outcome.id] = 1_000 * (time.time() - outcome.timings.submitted_at.timestamp())


async def replayed(servers: str, rate: float, *, until: int | None, number: signal.Signals | None) -> Interval:
    """Run one replay process; after `until` dead letters it is sent the signal `number`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    arguments = ("--reason", "exhausted", "--since", "1d", "--rate", str(rate), "--json")
    begun_ms = 1_000 * time.time()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.broker.cli.main", "dead-letters", "replay", *arguments),
        *("--bootstrap-servers", servers, "--topic-prefix", PREFIX),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert child.stdout is not None
    count = 0
    while line := await child.stdout.readline():
        count += b'"id"' in line
        if number is not None and count == until:
            child.send_signal(number)
            number = None
    return Interval(begun_ms, 1_000 * time.time(), await child.wait())


async def records_of(connection: KafkaConnection, topic: str) -> list[tuple[int, str, int]]:
    """Return Kafka's timestamp, id and run of every committed record of a lane."""
    scan = KafkaScan(connection, topic=topic)
    await scan.open()
    try:
        return sorted(
            [
                (each.timestamp_ms, json.loads(each.record.value or b"")["id"], int(dict(each.record.headers)[RUN]))
                for partition in scan.partitions
                for each in await _all(scan, partition)
            ]
        )
    finally:
        await scan.close()


async def _all(scan: KafkaScan, partition: int) -> list[Any]:
    found: list[Any] = []
    while taken := await scan.take(partition):
        found += taken
    return found


def windows(stamps: Sequence[int], intervals: Sequence[Interval]) -> tuple[int, int]:
    """Count records in the emptiest ten seconds within one process's replay, and in the fullest ten seconds of all."""
    emptiest, fullest = len(stamps), 0
    for first in stamps:
        fullest = max(fullest, bisect_left(stamps, first + WINDOW_MS) - bisect_left(stamps, first))
    for each in intervals:
        own = stamps[bisect_left(stamps, each.begun_ms) : bisect_left(stamps, each.ended_ms)]
        for begins in [stamp + 1 for stamp in own if stamp + 1 + WINDOW_MS <= own[-1]]:
            emptiest = min(emptiest, bisect_left(own, begins + WINDOW_MS) - bisect_left(own, begins))
    return emptiest, fullest


async def measured(letters: int, rate: float, alone_s: float) -> dict[str, Any]:
    """Return all figures of one run."""
    names = [f"dead-{number}" for number in range(letters)]
    seen = Seen()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(local_services())
        await create_topics(services, PREFIX)
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        await bury(connection, names)
        quota = UpstreamSettings(
            tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=REQUESTS_PER_MINUTE, latency_s=LATENCY_S, seed=7
        )
        upstream = await stack.enter_async_context(Upstream(quota))
        await stack.enter_async_context(pair(services, PREFIX, upstream.base_url, TOKENS_PER_MINUTE))
        reader = await stack.enter_async_context(
            ResultReader(connection=connection, topic_prefix=PREFIX, group=None, start="latest")
        )
        client = await stack.enter_async_context(GenerationClient(connection=connection, topic_prefix=PREFIX))
        watching = asyncio.create_task(watch(reader, seen), name="watch results")
        try:
            alone = await beside(client, "alone-before", lambda: asyncio.sleep(alone_s / 2))
            intervals: list[Interval] = []

            async def all_of_them() -> None:
                thirds = ((letters // 3, signal.SIGKILL), (letters // 3, signal.SIGTERM), (None, None))
                for until, number in thirds:
                    intervals.append(await replayed(connection.bootstrap_servers, rate, until=until, number=number))

            together = await beside(client, "beside", all_of_them)
            await until_answered(seen, alone + together + letters)
            alone += await beside(client, "alone-after", lambda: asyncio.sleep(alone_s / 2))
            await until_answered(seen, alone + together + letters)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        back = await records_of(connection, requests_topic(PREFIX, "bulk"))
        calls = upstream.books().calls
    return figures(names, rate, seen, back, intervals) | {"calls": calls, "urgent": [alone, together]}


async def beside(client: GenerationClient, kind: str, work: Any) -> int:
    """Send urgent requests while `work` runs; return their number."""
    stopped = asyncio.Event()
    coming = asyncio.create_task(urgently(client, kind, stopped), name=kind)
    try:
        await work()
    finally:
        stopped.set()
    return await coming


async def until_answered(seen: Seen, wanted: int) -> None:
    """Wait until `wanted` different outcomes have come, and then a second for any that come twice."""
    async with asyncio.timeout(_LAST_S):
        while len(seen.outcomes) < wanted:  # noqa: ASYNC110  # the reader's task has no event for it
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)


def figures(
    names: Sequence[str],
    rate: float,
    seen: Seen,
    back: Sequence[tuple[int, str, int]],
    intervals: Sequence[Interval],
) -> dict[str, Any]:
    """Return the figures that are printed."""
    emptiest, fullest = windows([stamp for stamp, _, _ in back], intervals)
    on_lane = Counter((name, run) for _, name, run in back)
    wanted = {(name, 1): 1 for name in names}
    alone = [wait for name, wait in seen.urgent_ms.items() if name.startswith("alone")]
    together = [wait for name, wait in seen.urgent_ms.items() if name.startswith("beside")]
    before, after = quantile(alone, 0.95), quantile(together, 0.95)
    outcomes = {key: count for key, count in seen.outcomes.items() if key[0].startswith("dead-")}
    return {
        "letters": len(names),
        "exit_codes": [each.exit_code for each in intervals],
        "emptiest_10_s": emptiest,
        "fullest_10_s": fullest,
        "cap_10_s": 10 * rate,
        "p50_ms": [round(quantile(alone, 0.5)), round(quantile(together, 0.5))],
        "p95_ms": [round(before), round(after)],
        "on_lane_once": on_lane == wanted,
        "one_outcome_each": outcomes == wanted,
        "failed": seen.failed,
        "load": round(os.getloadavg()[0], 1),
        "kept": {
            "cap": (1 - CAP_WITHIN) * 10 * rate <= emptiest and fullest <= (1 + CAP_WITHIN) * 10 * rate,
            "urgent": after <= max(before * (1 + WORSE_MOST), before + WORSE_MOST_MS),
            "once": on_lane == wanted and outcomes == wanted,
        },
    }


def main() -> int:
    """Print the figures; return 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--letters", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--alone-s", type=float, default=100.0)
    chosen = parser.parse_args()
    hush_kafka()
    found: Mapping[str, Any] = asyncio.run(measured(chosen.letters, chosen.rate, chosen.alone_s))
    for name, figure in found.items():
        print(f"{name:<18} {figure}")
    return 0 if all(found["kept"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
