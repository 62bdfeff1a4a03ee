"""What the gateway costs beside GenerationClient: `python -m benchmarks.gateway --rate 100 --seconds 120`.

One process of each kind on this machine, and the load generator beside them. The two ways take turns of five seconds at
the same rate, so that both meet the same busy machine; OpenAI's answers take a constant time, so that what differs is
the way. `--waiting 2000` makes that time so long that so many calls wait at once; `--streams` keeps so many streams
open beside them; `--at-once 2000` begins so many calls over HTTP, and waits for them. Memory of the gateway is sampled.

At 100 calls a second all of this takes three quarters of two processors, so any other work on the machine shows in the
latencies: `chrt -r 5 make bench-gateway` (as root) has the processors before it.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from headrace.broker.client import GenerationClient
from tests.gateway.rig import Rig, Running, client_key

KEY: Final = "bench"
_TIMEOUT_S: Final = 300.0
_WARM_UP_S: Final = 10.0
_TURN_S: Final = 5.0
_AT_ONCE_WITHIN_S: Final = 10.0


def body(number: int) -> dict[str, Any]:
    """Make a body of the usual size, with a marker of its own."""
    prompt = f"[call {number}] Write a short e-mail to a lead, in a friendly tone, about our product. " * 4
    return {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}


@dataclass
class Figures:
    """Seconds of the calls of each way, and what went wrong."""

    took_s: dict[str, list[float]] = field(default_factory=lambda: {"client": [], "gateway": [], "stream": []})
    failed: list[str] = field(default_factory=list)
    waiting: int = 0
    waiting_max: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)
    processor_s: dict[str, float] = field(default_factory=dict)

    def begin(self) -> float:
        """Note that a call begins."""
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)
        return time.perf_counter()

    def end(self, way: str, began_s: float, *, counts: bool) -> None:
        """Note that a call has ended."""
        self.waiting -= 1
        if counts:
            self.took_s[way].append(time.perf_counter() - began_s)


@dataclass
class Load:
    """The load generator."""

    rig: Rig
    client: GenerationClient
    session: aiohttp.ClientSession
    figures: Figures
    counts_from_s: float
    headers: dict[str, str] = field(default_factory=dict)

    async def by_client(self, number: int) -> None:
        """Call by GenerationClient."""
        began_s, at_s = self.figures.begin(), time.monotonic()
        await self.client.generate(body(number), lane="standard", tenant="bench", timeout_s=_TIMEOUT_S)
        self.figures.end("client", began_s, counts=at_s >= self.counts_from_s)

    async def by_gateway(self, number: int) -> None:
        """Call over HTTP."""
        began_s, at_s = self.figures.begin(), time.monotonic()
        url = f"{self.rig.base_url}/chat/completions"
        async with self.session.post(url, json=body(number), headers=self.headers) as answer:
            told = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {told}")
        self.figures.end("gateway", began_s, counts=at_s >= self.counts_from_s)

    async def by_stream(self, number: int) -> None:
        """Read a stream over HTTP, to its end."""
        began_s, at_s = self.figures.begin(), time.monotonic()
        url = f"{self.rig.base_url}/chat/completions"
        asked = {**body(number), "stream": True}
        async with self.session.post(url, json=asked, headers=self.headers) as answer:
            text = (await answer.read()).decode()
            if answer.status != 200 or not text.endswith("data: [DONE]\n\n"):
                raise RuntimeError(f"{answer.status}: {text[-300:]}")
        self.figures.end("stream", began_s, counts=at_s >= self.counts_from_s)

    async def kept_streaming(self, until_s: float, place: int) -> None:
        """Keep one stream open at any time."""
        number = 0
        while time.monotonic() < until_s:
            await self.tried(self.by_stream(10_000_000 + place * 10_000 + number))
            number += 1

    async def tried(self, call: Any) -> None:
        """Await a call, and note its failure."""
        try:
            await call
        except Exception as error:  # noqa: BLE001 — a failed call is a figure
            self.figures.failed.append(f"{type(error).__name__}: {error}"[:200])


def memory_of(process: Running) -> int:
    """Resident memory in bytes."""
    pages = int(Path(f"/proc/{process.child.pid}/statm").read_text().split()[1])
    return pages * 4096


def processor_s(process: Running) -> float:
    """Processor time that a process has had so far."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def sampled(figures: Figures, process: Running) -> None:
    """Note the memory of a process every two seconds."""
    began_s = time.monotonic()
    while True:
        figures.memory.append((time.monotonic() - began_s, memory_of(process)))
        await asyncio.sleep(2)


async def measured(options: argparse.Namespace) -> Figures:
    """Run one measurement."""
    latency_s = options.waiting / options.rate if options.waiting else options.latency
    held = {"HEADRACE_DISPATCHER__HELD_BYTES_MAX": str(2**30)}  # or memory for answers ends at a thousand calls
    settings = held | {"HEADRACE_DISPATCHER__INFLIGHT_MAX": str(min(10_000, int(4 * options.rate * latency_s) + 1_000))}
    keys = {KEY: {"tenant": "bench", "lane": "standard"}}
    figures = Figures()
    async with Rig(keys=keys, upstream=("--latency", f"{latency_s:g}"), settings=settings) as rig:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            GenerationClient(connection=rig.connection, topic_prefix=rig.prefix) as client,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        ):
            began_s = time.monotonic()
            load = Load(rig, client, session, figures, began_s + _WARM_UP_S)
            load.headers = {"Authorization": f"Bearer {client_key(KEY)}", "x-stainless-retry-count": "0"}
            sampling = asyncio.create_task(sampled(figures, rig.of("gateway")[0]))
            until_s = began_s + _WARM_UP_S + options.seconds
            if options.at_once:
                load.counts_from_s = began_s
                await asyncio.gather(*await _at_once(load, options))
                until_s = began_s
            streaming = [
                asyncio.create_task(load.kept_streaming(until_s, place))
                for place in range(0 if options.at_once else options.streams)
            ]
            flying = await _sent(load, options, until_s)
            await asyncio.gather(*flying, *streaming)
            figures.processor_s = {each.name: processor_s(each) for each in rig.processes}
            sampling.cancel()
            for process in rig.of("gateway"):
                print(*[line for line in process.said().splitlines() if '"info"' not in line][:20], sep="\n")
    return figures


async def _at_once(load: Load, options: argparse.Namespace) -> list["asyncio.Task[None]"]:
    """Begin so many calls over HTTP, and streams beside them, within ten seconds; all of them wait together."""
    flying, calls = [], options.at_once + options.streams
    for number in range(calls):
        is_stream = number % (calls // max(1, options.streams)) == 0 if options.streams else False
        call = load.by_stream(number) if is_stream else load.by_gateway(number)
        flying.append(asyncio.create_task(load.tried(call)))
        await asyncio.sleep(_AT_ONCE_WITHIN_S / calls)
    return flying


async def _sent(load: Load, options: argparse.Namespace, until_s: float) -> list["asyncio.Task[None]"]:
    dice, flying, number = random.Random(1), [], 0
    next_s = time.monotonic()
    while (now_s := time.monotonic()) < until_s:
        if now_s < next_s:
            await asyncio.sleep(next_s - now_s)
            continue
        next_s += dice.expovariate(options.rate)
        way = load.by_client if int(now_s / _TURN_S) % 2 else load.by_gateway
        flying.append(asyncio.create_task(load.tried(way(number))))
        number += 1
    return flying


def report(figures: Figures, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a run."""

    def of(way: str) -> dict[str, float]:
        took = sorted(figures.took_s[way])
        if len(took) < 20:
            return {"calls": len(took)}
        cuts = statistics.quantiles(took, n=100)
        return {"calls": len(took), "p50_ms": 1e3 * cuts[49], "p95_ms": 1e3 * cuts[94], "p99_ms": 1e3 * cuts[98]}

    told: dict[str, Any] = {way: of(way) for way in figures.took_s}
    if "p50_ms" in told["client"] and "p50_ms" in told["gateway"]:
        told["more"] = {each: told["gateway"][each] - told["client"][each] for each in ("p50_ms", "p95_ms", "p99_ms")}
    late = [size for at_s, size in figures.memory if at_s >= _WARM_UP_S + options.seconds / 10]
    thirds = max(1, len(late) // 3)
    told["memory_mb"] = {
        "first_third": statistics.fmean(late[:thirds]) / 2**20 if late else 0,
        "last_third": statistics.fmean(late[-thirds:]) / 2**20 if late else 0,
        "max": max(size for _, size in figures.memory) / 2**20,
    }
    calls = sum(map(len, figures.took_s.values())) or 1
    by_http = len(figures.took_s["gateway"]) + len(figures.took_s["stream"]) or 1
    told["processor_ms_a_call"] = {
        name: 1e3 * spent / (by_http if name == "gateway" else calls) for name, spent in figures.processor_s.items()
    }
    told["waiting_max"], told["failed"] = figures.waiting_max, figures.failed[:10]
    told["failed_count"] = len(figures.failed)
    return told


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rate", type=float, default=100, help="calls a second, by the one way or the other")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds that OpenAI takes")
    parser.add_argument("--waiting", type=int, default=0, help="calls that wait at once; sets the latency")
    parser.add_argument("--streams", type=int, default=0, help="streams that are open at once")
    parser.add_argument("--at-once", type=int, default=0, help="calls over HTTP that wait together, and no others")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    told = report(asyncio.run(measured(options)), options)
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        shown = {k: round(v, 1) for k, v in value.items()} if isinstance(value, dict) else value
        print(f"{name:12} {shown}")


if __name__ == "__main__":
    main()
