"""Hostile producers beside good ones, on a real Kafka with real dispatchers and a retrier: a flood by seed.

python -m tests.hostile.flood --seeds 10 --records 20000 --rate 60

Each run begins with good requests alone, which say how long one waits, and goes on with such requests beside hostile
records. A quota spreads the good ones over the whole run. Afterwards every record must have ended as its kind says.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from broker.adapters.kafka_batches import UNPACKED_BYTES_MAX
from broker.local.services import LocalServices
from broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from schemas import headers as names
from tests.chaos.figures import Figure
from tests.hostile.records import ANSWERED, DEAD_LETTER, FAILED, NAMES, Specimen, specimen
from tests.integration.fleet import LANES, Fleet, Ledger, Process, read_all
from tests.unit.adapters.raw_batches import ZSTD, batch, one

GOOD_MODEL: Final = "gpt-4o"
"""Their limit is theirs alone, and what they ask for uses three quarters of it."""
GOOD_SHARE, GOOD_TOKENS = 0.75, 6_000
ALONE_S: Final = 40.0
BOMBS: Final = ("bomb", "bomb with an id")
HEAVY: Final = (
    *("heavy header", "long trace", "odd key", "too heavy headers", "too heavy key", "text of commas"),
    *("digits with an id", "too deep with an id", "token numbers", "many headers", "too many headers"),
)
BOMB_SHARE, HEAVY_SHARE = 0.001, 0.1
RAW_EVERY: Final = 200
"""So many records, and then a batch that no client of ours can read as a whole."""
PARTITIONS: Final = 6
SLOWER_MAX: Final = 2.0
MEMORY_MAX_MIB: Final = 600
"""The sum of docs/operators.md, Memory: program, three lanes' buffers, records fetched ahead, answers, known ids."""
DRAINED_WITHIN_S: Final = 240.0
Say = Callable[[str], None]


@dataclass
class Run:
    """What was sent, and what it led to."""

    seed: int
    sent: dict[str, Specimen] = field(default_factory=dict)  # by position
    raw: list[tuple[str, str]] = field(default_factory=list)  # position of a batch, and the id of a good record in it
    good: dict[str, float] = field(default_factory=dict)  # when each was sent
    alone: set[str] = field(default_factory=set)
    memory_mib: float = 0.0
    ended: list[str] = field(default_factory=list)


async def flood(directory: Path, say: Say, *, seed: int, records: int, rate: float) -> list[Figure]:
    """One run."""
    run, span_s = Run(seed), records / rate
    good_per_s = 200 / (ALONE_S + span_s)
    quota = round(60 * good_per_s * GOOD_TOKENS / GOOD_SHARE)
    settings = {
        "HEADRACE_LIMITS": json.dumps({GOOD_MODEL: {}, "gpt-4o-mini": {}, "text-embedding-3-small": {}}),
        "HEADRACE_DISPATCHER__INFLIGHT_MAX": "64",
    }
    told = UpstreamSettings(tokens_per_minute=quota, requests_per_minute=600_000, latency_s=(0.1, 0.4), seed=seed)
    async with Upstream(told) as upstream, LocalServices() as services:
        upstream.script(_answered)
        fleet = Fleet(services, f"flood-{seed}", upstream.base_url, directory, settings)
        async with fleet:
            processes = [await fleet.start(verb) for verb in ("dispatcher", "dispatcher", "retrier")]
            await fleet.leader()
            producer = AIOKafkaProducer(
                bootstrap_servers=services.endpoints.bootstrap_servers, linger_ms=5, max_request_size=1_048_576
            )
            await producer.start()
            try:
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(_watch(processes, run))
                    good = group.create_task(_good(producer, fleet, run, good_per_s))
                    await asyncio.sleep(ALONE_S)
                    run.alone = set(run.good)
                    await _hostile(producer, fleet, run, records=records, rate=rate)
                    good.cancel()
                    await _drained(fleet, run, say)
                    watch.cancel()
            finally:
                await producer.stop()
            run.ended = [each.log.name for each in processes if each.child.returncode is not None]
            results = await read_all(fleet, "results")
            letters = await read_all(fleet, "dead-letters")
            ledger = await read_all(fleet, "ledger")
    return [*_fates(run, results, letters, say), *_others(run, results, ledger)]


def _answered(_: int, body: Mapping[str, Any]) -> Scripted | None:
    """What the simulated OpenAI would refuse is answered as well: what must become of it is not the server's word."""
    if body.get("model") == GOOD_MODEL:
        return None
    choices = [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]
    return Scripted(200, {"object": "chat.completion", "model": body.get("model"), "choices": choices}, delay_s=0.1)


async def _good(producer: AIOKafkaProducer, fleet: Fleet, run: Run, per_s: float) -> None:
    """Good requests at a steady rate, until cancelled."""
    text = "word " * (4 * GOOD_TOKENS // 5)
    while True:
        name = f"good-{len(run.good)}"
        body = {"model": GOOD_MODEL, "messages": [{"role": "user", "content": text}]}
        value = json.dumps({"id": name, "body": body}).encode()
        run.good[name] = time.monotonic()
        await producer.send_and_wait(f"{fleet.prefix}.requests.standard", value)
        await asyncio.sleep(1 / per_s)


async def _hostile(producer: AIOKafkaProducer, fleet: Fleet, run: Run, *, records: int, rate: float) -> None:
    """Records by seed, at a steady rate, on every lane."""
    dice = Random(f"flood {run.seed}")
    usual = [name for name in NAMES if name not in (*BOMBS, *HEAVY)]
    begun_s = time.monotonic()
    for number in range(records):
        draw = dice.random()
        kinds: Sequence[str] = BOMBS if draw < BOMB_SHARE else HEAVY if draw < BOMB_SHARE + HEAVY_SHARE else usual
        odd = specimen(dice, number, kinds=kinds)
        topic = f"{fleet.prefix}.requests.{dice.choice(LANES)}"
        key = b"" if odd.key is None and odd.value is None else odd.key  # aiokafka sends nothing of both
        sent = await producer.send(
            topic, odd.value, key, partition=dice.randrange(PARTITIONS), headers=list(odd.headers)
        )
        sent.add_done_callback(lambda done, odd=odd: _note(run, odd, done))
        if number % RAW_EVERY == RAW_EVERY - 1:
            await _raw(producer, topic, dice.randrange(PARTITIONS), run)
        late_s = begun_s + (number + 1) / rate - time.monotonic()
        if late_s > 0:
            await asyncio.sleep(late_s)
    await producer.flush()


def _note(run: Run, odd: Specimen, done: "asyncio.Future[Any]") -> None:
    if not done.cancelled() and done.exception() is None:
        placed = done.result()
        run.sent[f"{placed.topic}/{placed.partition}/{placed.offset}"] = odd


async def _raw(producer: AIOKafkaProducer, topic: str, partition: int, run: Run) -> None:
    """A good record behind one whose header's name breaks the client; every fifth time in front of a bomb instead."""
    name = f"raw-{len(run.raw)}"
    content = [{"role": "user", "content": f"Write to {name}."}]
    good = one(json.dumps({"id": name, "body": {"model": "gpt-4o-mini", "messages": content}}).encode())
    now_ms = round(time.time() * 1_000)
    if len(run.raw) % 5 == 4:
        bomb = one(b"\0" * (2 * UNPACKED_BYTES_MAX))
        data, letter = batch(0, [good, bomb, good], codec=ZSTD, first_timestamp=now_ms), 1
    else:
        breaking = one(b"\xff", headers=[(b"\xff\xfe", b"x")])
        data, letter = batch(0, [breaking, good], first_timestamp=now_ms), 0
    node = producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
    response = await producer.client.send(node, ProduceRequest(None, -1, 10_000, [(topic, [(partition, data)])]))
    ((_, ((_, error, offset, *_),)),) = response.topics
    assert error == 0, f"Kafka takes no such batch: error {error}"
    run.raw.append((f"{topic}/{partition}/{offset + letter}", name))


async def _watch(processes: Sequence[Process], run: Run) -> None:
    """The most memory that a dispatcher held, until cancelled."""
    while True:
        for process in processes:
            with suppress(psutil.Error):
                held = psutil.Process(process.pid).memory_info().rss / 1024**2
                run.memory_mib = max(run.memory_mib, held)
        await asyncio.sleep(0.5)


async def _drained(fleet: Fleet, run: Run, say: Say) -> None:
    """Wait until the leader holds nothing and nothing is behind it."""
    until_s, quiet = time.monotonic() + DRAINED_WITHIN_S, 0
    while quiet < 3 and time.monotonic() < until_s:
        await asyncio.sleep(1)
        status = await fleet.status(await fleet.leader())
        lanes = status.get("lanes") or {"": {"waiting": 1}}
        left = sum(lane.get("waiting", 0) + lane.get("calling", 0) + lane.get("settled", 0) for lane in lanes.values())
        quiet = quiet + 1 if left == 0 and not status.get("inflight") else 0
    say(
        f"seed {run.seed}: {len(run.sent):,} hostile records, {len(run.good)} good requests, {len(run.raw)} raw batches"
    )


# ---------------------------------------------------------------------------------------------------- what became of it


def _fates(run: Run, results: Ledger, letters: Ledger, say: Say) -> list[Figure]:
    """Whether each hostile record ended as its kind says; what OpenAI refused with a 400 is answered as well."""
    ended: Counter[tuple[str, str]] = Counter((value["id"], value["status"]) for value in results.values)
    buried = Counter(dict(record.headers)[names.ORIGIN].decode() for record in letters.records)
    refused = {value["id"] for value in results.values if value.get("reason") == "rejected" and value.get("error")}
    wrong: Counter[str] = Counter()
    for position, odd in run.sent.items():
        completed, failed = ended[odd.id or "", "completed"], ended[odd.id or "", "failed"]
        came_to = _WANTED[FAILED if odd.fate == ANSWERED and odd.id in refused else odd.fate]
        if (completed, failed, buried[position]) != came_to:
            wrong[f"{odd.kind} is {completed} completed, {failed} failed, {buried[position]} letters"] += 1
    for position, name in run.raw:
        if (ended[name, "completed"], buried[position]) != (1, 1):
            wrong[f"raw batch is {ended[name, 'completed']} completed, {buried[position]} letters"] += 1
    for what, count in wrong.most_common(10):
        say(f"  {count} of {what}")
    return [Figure("hostile records that did not end as their kind says", sum(wrong.values()), 0, "records")]


_WANTED: Final = {ANSWERED: (1, 0, 0), FAILED: (0, 1, 1), DEAD_LETTER: (0, 0, 1)}


def _others(run: Run, results: Ledger, ledger: Ledger) -> list[Figure]:
    """What it did to the good ones, and to the processes."""
    waits = {value["id"]: _took_s(value["timings"]) for value in results.values if value["id"] in run.good}
    answers = Counter(value["id"] for value in results.values if value["status"] == "completed")
    unserved = [name for name in run.good if answers[name] != 1]
    alone = _p95([wait for name, wait in waits.items() if name in run.alone])
    beside = _p95([wait for name, wait in waits.items() if name not in run.alone])
    claims = sum(value["kind"] == "claim" for value in ledger.values)
    return [
        Figure("good requests without exactly one answer", len(unserved), 0, "requests"),
        Figure("p95 of good requests from record to answer, alone", alone, float("inf")),
        Figure("p95 of good requests from record to answer, beside hostile ones", beside, SLOWER_MAX * alone),
        Figure("processes ended", len(run.ended), 0, ""),
        Figure("leases lost", claims - 1, 0, ""),
        Figure("memory of a process, at most", run.memory_mib, MEMORY_MAX_MIB, "MiB"),
    ]


def _took_s(timings: Mapping[str, str]) -> float:
    """Seconds from a record's timestamp to its answer."""
    ended, begun = (datetime.fromisoformat(timings[name]) for name in ("finished_at", "submitted_at"))
    return (ended - begun).total_seconds()


def _p95(waits: Sequence[float]) -> float:
    return sorted(waits)[int(0.95 * (len(waits) - 1))] if waits else 0.0


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if anything was not kept."""
    parser = argparse.ArgumentParser(description="Hostile producers beside good ones, on a real Kafka.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--records", type=int, default=20_000, help="of each run")
    parser.add_argument("--rate", type=float, default=60, help="records a second; a run takes 10 minutes at most")
    parser.add_argument("--logs", type=Path, default=None, help="where the processes' logs go")
    asked = parser.parse_args(arguments)
    logs, broken = asked.logs or Path(tempfile.mkdtemp(prefix="headrace-hostile-")), 0
    for seed in range(asked.first, asked.first + asked.seeds):
        begun_s, directory = time.monotonic(), logs / f"seed-{seed}"
        directory.mkdir(parents=True, exist_ok=True)
        figures = asyncio.run(flood(directory, _say, seed=seed, records=asked.records, rate=asked.rate))
        broken += sum(not figure.is_kept for figure in figures)
        for figure in figures:
            _say("  " + figure.line())
        _say(f"seed {seed}: {time.monotonic() - begun_s:.0f} s at {asked.rate:g} records a second, logs in {directory}")
    _say(f"{asked.seeds} runs, {asked.seeds * asked.records:,} hostile records: {broken} promises broken")
    return 1 if broken else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
