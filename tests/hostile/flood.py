"""Hostile producers beside good ones, on a real Kafka with real dispatchers and a retrier: a flood by seed.

python -m tests.hostile.flood --seeds 10 --records 20000 --rate 60

Each run begins with good requests alone, which say how long one waits, and goes on with such requests beside hostile
records. A quota spreads the good ones over the whole run. Afterwards every record must have ended as its kind says.
How much longer good requests wait is judged over all runs: in one, some thirty are alone, and their p95 is chance.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaProducer

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.chaos.figures import Figure
from tests.chaos.outcomes import Letters, Outcomes
from tests.hostile.fates import BROKEN_BATCH, Fates, fates
from tests.hostile.raw_producer import RawProducer
from tests.hostile.records import Specimen
from tests.hostile.sowing import Sowing, answered_anyway
from tests.integration.fleet import AS_SHIPPED, Fleet, Ledger, Process, read_all

GOOD_MODEL: Final = "gpt-4o"
"""Their limit is theirs alone, and what they ask for uses three quarters of it."""
GOOD_SHARE, GOOD_TOKENS = 0.75, 6_000
GOOD_A_RUN: Final = 200
ALONE_S: Final = 40.0
RUN_MAX_S: Final = 600.0
SLOWER_MAX: Final = 2.0
MEMORY_MAX_MIB: Final = 600
"""The sum of docs/operators.md, Memory: program, three lanes' buffers, records fetched ahead, answers, known ids."""
DRAINED_WITHIN_S: Final = 240.0
QUIET_S: Final = 3.0
Say = Callable[[str], None]
Readers = tuple[Outcomes, Letters]


@dataclass
class Waits:
    """Seconds from the record of each good request to its answer: while there was nothing else, and beside the flood."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def line(self) -> str:
        """Both, in words."""
        return f"p95 {_p95(self.alone):.3g} s alone and {_p95(self.beside):.3g} s beside them"

    def figure(self) -> Figure:
        """What is promised of them."""
        what = "p95 of good requests from record to answer, beside hostile ones"
        return Figure(what, _p95(self.beside), SLOWER_MAX * _p95(self.alone), short="p95")


@dataclass
class Run:
    """What was sent, and what it led to."""

    sowing: Sowing
    good: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    rate: float = 0.0  # hostile records a second, as they were sent
    waits: Waits = field(default_factory=Waits)
    cpu_s: dict[int, float] = field(default_factory=dict)  # of each process, by pid, up to now
    cpu_ms: float = 0.0
    memory_mib: float = 0.0
    ended: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What one run showed.

    Attributes:
        good: How many good requests there were.
        kept: How many hostile records ended as their kind says, by fate.
        rate: Hostile records a second, as they were sent.
        waits: Of the good requests.
        cpu_ms: What a hostile record cost the busiest process, which is the leader; it bounds the rate.
    """

    seed: int
    good: int
    kept: dict[str, int]
    rate: float
    waits: Waits
    cpu_ms: float
    figures: list[Figure]

    @property
    def broken(self) -> list[Figure]:
        """The promises that were not kept."""
        return [figure for figure in self.figures if not figure.is_kept]

    def line(self) -> str:
        """One line for the run."""
        hostile = ", ".join(f"{count:,} {fate}" for fate, count in sorted(self.kept.items()))
        figures = ", ".join(
            f"{figure.value:.4g} {figure.unit} {figure.short}".replace("  ", " ") for figure in self.figures
        )
        verdict = "BROKEN" if self.broken else "kept"
        return (
            f"seed {self.seed}: {verdict}; hostile records at {self.rate:g}/s: {hostile}; {self.good} good requests,"
            f" {self.waits.line()}; {self.cpu_ms:.3g} ms of the leader's processor a record; {figures}"
        )


async def flood(directory: Path, say: Say, *, seed: int, records: int, rate: float) -> Found:
    """One run."""
    begun_s = time.monotonic()
    quota = round(60 * _good_per_s(records, rate) * GOOD_TOKENS / GOOD_SHARE)
    settings = {
        "HEADRACE_LIMITS": json.dumps({GOOD_MODEL: {}, "gpt-4o-mini": {}, "text-embedding-3-small": {}}),
        "HEADRACE_DISPATCHER__INFLIGHT_MAX": "64",
    }
    told = UpstreamSettings(tokens_per_minute=quota, requests_per_minute=600_000, latency_s=(0.1, 0.4), seed=seed)
    async with Upstream(told) as upstream, LocalServices() as services:
        upstream.script(_answered)
        fleet = Fleet(services, f"flood-{seed}", upstream.base_url, directory, settings, shapes=AS_SHIPPED)
        run = Run(Sowing(seed, fleet.prefix))
        async with fleet:
            for verb in ("dispatcher", "dispatcher", "retrier"):
                await fleet.start(verb)
            await fleet.leader()
            async with _producer(services) as producer, _reading(services, fleet) as readers:
                ended = await _played(producer, fleet, run, readers, say, records=records, rate=rate)
            run.ended = [each.log.name for each in fleet.processes if each.child.returncode is not None]
            results = await read_all(fleet, "results")
            ledger = await read_all(fleet, "ledger")
    for what in ended.broken[:10]:
        say(f"  {what}")
    figures = [*_fates(run, ended, records), *_others(run, results, ledger, time.monotonic() - begun_s)]
    return Found(seed, len(run.good), dict(ended.kept), round(run.rate, 1), run.waits, round(run.cpu_ms, 2), figures)


async def _played(
    producer: AIOKafkaProducer, fleet: Fleet, run: Run, readers: Readers, say: Say, *, records: int, rate: float
) -> Fates:
    """Good requests alone, then hostile records beside them, until all of it has ended."""
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(fleet.processes, run))
        good = group.create_task(_good(producer, fleet, run, _good_per_s(records, rate)))
        await asyncio.sleep(ALONE_S)
        run.alone, before = set(run.good), dict(run.cpu_s)
        await _hostile(producer, run, records=records, rate=rate)
        good.cancel()
        ended = await _drained(run, readers, say)
        watch.cancel()
    run.cpu_ms = 1_000 * max(spent_s - before.get(pid, 0.0) for pid, spent_s in run.cpu_s.items()) / records
    return ended


def _good_per_s(records: int, rate: float) -> float:
    return GOOD_A_RUN / (ALONE_S + records / rate)


def _answered(_: int, body: Mapping[str, Any]) -> Scripted | None:
    return None if body.get("model") == GOOD_MODEL else answered_anyway(body, 0.1)


@asynccontextmanager
async def _producer(services: LocalServices) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=services.endpoints.bootstrap_servers, linger_ms=5, max_request_size=1_048_576
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _reading(services: LocalServices, fleet: Fleet) -> AsyncIterator[Readers]:
    """Outcomes and dead letters as they come."""
    partitions = {spec.name: spec.partitions for spec in fleet.topics}
    where, results, letters = (
        services.endpoints.bootstrap_servers,
        *(f"{fleet.prefix}.{kind}" for kind in ("results", "dead-letters")),
    )
    async with (
        Outcomes(where, results, partitions[results]) as outcomes,
        Letters(where, letters, partitions[letters]) as buried,
    ):
        yield outcomes, buried


async def _good(producer: AIOKafkaProducer, fleet: Fleet, run: Run, per_s: float) -> None:
    """Good requests at a steady rate, until cancelled."""
    text = "word " * (4 * GOOD_TOKENS // 5)
    while True:
        name = f"good-{len(run.good)}"
        body = {"model": GOOD_MODEL, "messages": [{"role": "user", "content": text}]}
        value = json.dumps({"id": name, "body": body}).encode()
        await producer.send_and_wait(f"{fleet.prefix}.requests.standard", value)
        run.good.add(name)
        await asyncio.sleep(1 / per_s)


async def _hostile(producer: AIOKafkaProducer, run: Run, *, records: int, rate: float) -> None:
    """Records by seed, at a steady rate, on every lane."""
    raw, begun_s = RawProducer(producer), time.monotonic()
    for number in range(records):
        odd, sending = run.sowing.next()
        sent = await producer.send(**sending)
        sent.add_done_callback(lambda done, odd=odd: _note(run, odd, done))
        if run.sowing.is_raw_due:
            await run.sowing.raw(raw)
        late_s = begun_s + (number + 1) / rate - time.monotonic()
        if late_s > 0:
            await asyncio.sleep(late_s)
    await producer.flush()
    run.rate = records / (time.monotonic() - begun_s)


def _note(run: Run, odd: Specimen, done: "asyncio.Future[Any]") -> None:
    if not done.cancelled() and done.exception() is None:
        run.sowing.took(odd, done.result())


async def _watch(processes: Sequence[Process], run: Run) -> None:
    """The most memory that a process held, and the processor time of each, until cancelled."""
    while True:
        for process in processes:
            with suppress(psutil.Error):
                seen = psutil.Process(process.pid)
                run.memory_mib = max(run.memory_mib, seen.memory_info().rss / 1024**2)
                run.cpu_s[process.pid] = sum(seen.cpu_times()[:2])
        await asyncio.sleep(0.5)


async def _drained(run: Run, readers: Readers, say: Say) -> Fates:
    """Wait until every record has ended, and a few seconds more, in which nothing may end twice."""
    outcomes, letters = readers
    until_s = time.monotonic() + DRAINED_WITHIN_S
    while (left := _left(run, outcomes, letters)) and time.monotonic() < until_s:
        await asyncio.sleep(1)
    if left:
        say(f"  {left} requests and records have not ended {DRAINED_WITHIN_S:.0f} s after the last one was sent")
    await asyncio.sleep(QUIET_S)
    return fates(run.sowing.sown, outcomes.hostile, letters.origins)


def _left(run: Run, outcomes: Outcomes, letters: Letters) -> int:
    """How many have not ended."""
    hostile = fates(run.sowing.sown, outcomes.hostile, letters.origins)
    return len(hostile.lost) + len(run.good - outcomes.said.keys())


# ---------------------------------------------------------------------------------------------------- what became of it


def _fates(run: Run, ended: Fates, records: int) -> list[Figure]:
    """Whether each hostile record was taken by Kafka, and ended as its kind says."""
    taken = sum(
        count for fate, count in Counter(each.fate for each in run.sowing.sown.values()).items() if fate != BROKEN_BATCH
    )
    return [
        Figure("hostile records that Kafka did not take", records - taken, 0, "", short="not taken"),
        Figure(
            "hostile records that did not end as their kind says", len(ended.broken), 0, "", short="ended otherwise"
        ),
    ]


def _others(run: Run, results: Ledger, ledger: Ledger, took_s: float) -> list[Figure]:
    """What it did to the good ones, and to the processes."""
    waits = {value["id"]: _took_s(value["timings"]) for value in results.values if value["id"] in run.good}
    answers = Counter(value["id"] for value in results.values if value["status"] == "completed")
    unserved = [name for name in run.good if answers[name] != 1]
    run.waits = Waits(
        [wait for name, wait in waits.items() if name in run.alone],
        [wait for name, wait in waits.items() if name not in run.alone],
    )
    claims = sum(value["kind"] == "claim" for value in ledger.values)
    return [
        Figure("good requests without exactly one answer", len(unserved), 0, "", short="good ones unserved"),
        Figure("memory of a process, at most", run.memory_mib, MEMORY_MAX_MIB, "MiB", short="of memory"),
        Figure("processes ended", len(run.ended), 0, "", short="processes ended"),
        Figure("leases lost", claims - 1, 0, "", short="leases lost"),
        Figure("the run, from start to stop", took_s, RUN_MAX_S, short="in all"),
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
    parser.add_argument("--json", type=Path, default=None, help="where the report goes as JSON")
    asked = parser.parse_args(arguments)
    if ALONE_S + asked.records / asked.rate > RUN_MAX_S:
        parser.error(f"{asked.records} records at {asked.rate:g} a second take longer than {RUN_MAX_S:.0f} s")
    logs, begun_s = asked.logs or Path(tempfile.mkdtemp(prefix="headrace-hostile-")), time.monotonic()
    _say(f"{asked.seeds} runs of {asked.records:,} hostile records at {asked.rate:g} a second; logs in {logs}")
    runs = list[Found]()
    for seed in range(asked.first, asked.first + asked.seeds):
        directory = logs / f"seed-{seed}"
        directory.mkdir(parents=True, exist_ok=True)
        runs.append(asyncio.run(flood(directory, _say, seed=seed, records=asked.records, rate=asked.rate)))
        for line in [runs[-1].line(), *(f"  {figure.line()}" for figure in runs[-1].broken)]:
            _say(line)
    code = report(runs, time.monotonic() - begun_s, _say)
    if asked.json is not None:
        told = {"rate": asked.rate, "exit_code": code, "runs": [asdict(run) for run in runs]}
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    return code


def report(runs: Sequence[Found], took_s: float, say: Say) -> int:
    """The last line: all runs together, the verdict and the exit code; that code."""
    waits = Waits(
        [each for run in runs for each in run.waits.alone], [each for run in runs for each in run.waits.beside]
    )
    broken = [figure for run in runs for figure in run.broken]
    broken += [] if waits.figure().is_kept else [waits.figure()]
    kept, good = sum((Counter(run.kept) for run in runs), Counter[str]()), sum(run.good for run in runs)
    code = 1 if broken or not runs else 0
    verdict = f"{len(broken)} PROMISES BROKEN" if broken else "every promise was kept" if runs else "NOTHING WAS RUN"
    say(
        f"{len(runs)} runs in {took_s / 60:.1f} min, {kept.total():,} hostile records as their kind says ("
        + ", ".join(f"{count:,} {fate}" for fate, count in sorted(kept.items()))
        + f"), {good:,} good requests, {waits.line()}, slowest {min((run.rate for run in runs), default=0):g} records a second:"
        + f" {verdict}, exit code {code}"
    )
    return code


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
