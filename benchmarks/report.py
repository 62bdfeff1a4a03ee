"""Speed and memory of `headrace report` over many outcomes on a real Kafka.

Writes outcomes of some two kilobytes, as dispatchers publish them, over the last week; its time is not counted. Then
runs the verb as a process, three times: as it is, with all calls priced anew, and with advice. It prints seconds,
outcomes a second, and the most memory that the process and its children held at one moment. Kafka runs beside it, as it
would elsewhere, and takes its part of the processors.

    python -m benchmarks.report --outcomes 1000000 --tenants 200 --templates 40
"""

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaProducer

from benchmarks.lanes.pair import create_topics, local_services
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Cost, Outcome, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.topics import results_topic

PREFIX: Final = "bench-report"
MODELS: Final = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4-0613", "gpt-4.1-mini-2025-04-14")
LANES: Final = ("urgent", "standard", "standard", "bulk", "bulk", "bulk")
PRICES: Final = "\n".join(f'[models."{model}"]\ninput = 1.0\noutput = 4.0' for model in MODELS)
PERIOD: Final = timedelta(days=6.5)
PARTITIONS: Final = 12
SAMPLES: Final = 64
_AT, _ID, _TENANT, _TEMPLATE = b"@@at@@", b"@@id@@", b"@@tenant@@", b"@@template@@"
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Workload:
    """What is written."""

    outcomes: int
    tenants: int
    templates: int
    batch: int
    seed: int = 7


def sample(rng: random.Random) -> Record:
    """Return an outcome with place-holders for what differs between all of them."""
    model, words = rng.choice(MODELS), ("lead", "email", 'a "quoted" word', "price", "company", "line\n", "Größe")
    usage = Usage(
        input_tokens=rng.randrange(250, 450),
        output_tokens=rng.randrange(40, 160),
        cached_tokens=rng.choice((0, 0, 128)),
    )
    now = datetime.now(UTC)
    answer = {
        "id": f"chatcmpl-{rng.getrandbits(100):025x}",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": " ".join(rng.choice(words) for _ in range(130)),
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens},
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }
    outcome: Outcome = Completed(
        id=_ID.decode(),
        lane=rng.choice(LANES),
        tenant=_TENANT.decode(),
        template=_TEMPLATE.decode(),
        endpoint="/v1/chat/completions",
        request_digest=f"{rng.getrandbits(128):032x}",
        model=model,
        usage=usage,
        cost=Cost(micro_usd=rng.randrange(10**8) / 10**6, price_list="genai-prices 0.2.3"),
        attempts=1,
        upstream_request_id=f"req_{rng.getrandbits(128):032x}",
        term=3,
        metadata={"campaign": "autumn"},
        timings=Timings(submitted_at=now, taken_at=now, called_at=now, finished_at=now, queue_ms=12, upstream_ms=1_840),
        response=answer,
        finish="stop",
        charge_tokens=usage.input_tokens + 400,
        tier_served="default",
    )
    record = encode_outcome(outcome, time=now)
    instant = json.loads(record.value or b"")["timings"]["finished_at"].encode()
    return Record(record.key, (record.value or b"").replace(instant, _AT), record.headers)


def batches(
    asked: Workload, begin: datetime
) -> Iterator[Sequence[tuple[int, bytes, bytes, Sequence[tuple[str, bytes]]]]]:
    """Yield timestamp, key, value and headers of the records of one batch after the other."""
    rng = random.Random(asked.seed)
    samples = [sample(rng) for _ in range(SAMPLES)]
    begin_ms, step_ms = int(begin.timestamp() * 1_000), PERIOD.total_seconds() * 1_000 / asked.outcomes
    for first in range(0, asked.outcomes, asked.batch):
        batch = []
        for number in range(first, min(first + asked.batch, asked.outcomes)):
            chosen, at_ms = rng.choice(samples), begin_ms + int(number * step_ms)
            told = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
            name = b"lead-%012d" % number
            value = (chosen.value or b"").replace(_AT, told.replace("+00:00", "Z").encode()).replace(_ID, name)
            value = value.replace(_TENANT, b"tenant-%05d" % int(asked.tenants * rng.random() ** 3))
            value = value.replace(_TEMPLATE, b"template-%05d" % rng.randrange(asked.templates))
            batch.append((at_ms, name, value, chosen.headers))
        yield batch


async def write(connection: KafkaConnection, asked: Workload) -> int:
    """Write the outcomes, and return the bytes of their values."""
    producer = AIOKafkaProducer(**connection.client_kwargs(), acks=1, max_batch_size=1024 * 1024, linger_ms=2)
    await producer.start()
    size, sent = 0, list[asyncio.Future[Any]]()
    try:
        for number, records in enumerate(batches(asked, datetime.now(UTC) - PERIOD)):
            builder = producer.create_batch()
            for at_ms, key, value, headers in records:
                size += len(value)
                assert builder.append(key=key, value=value, timestamp=at_ms, headers=list(headers)) is not None
            sent.append(await producer.send_batch(builder, results_topic(PREFIX), partition=number % PARTITIONS))
            if len(sent) >= 4 * PARTITIONS:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size


@dataclass(slots=True)
class Measured:
    """Of one run: seconds, processor seconds and the most memory of all its processes at once."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    processes: int
    output: bytes

    def told(self, outcomes: int) -> str:
        """Describe it."""
        return (
            f"{self.seconds:.1f} s, {outcomes / self.seconds:,.0f} outcomes/s, {self.cpu_s:.1f} s of CPU time, "
            f"{self.peak_bytes / 1e6:.0f} MB at most in "
            f"{self.processes} process{'' if self.processes == 1 else 'es'}"
        )


async def run(*arguments: str) -> Measured:
    """Run the verb and watch its processes."""
    command = (sys.executable, "-m", "headrace.broker.cli.main", "report", *arguments)
    before, begun = os.times(), time.monotonic()
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    watching = asyncio.create_task(peak(process))
    output, _ = await process.communicate()
    seconds, after = time.monotonic() - begun, os.times()
    peak_bytes, processes = await watching
    if process.returncode:
        raise SystemExit(f"headrace report ended with {process.returncode}")
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return Measured(seconds, cpu_s, peak_bytes, processes, output)


async def peak(process: Process) -> tuple[int, int]:
    """Return the most memory of a process and its children at one moment, and the most processes."""
    most, processes = 0, 0
    while process.returncode is None:
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
            most = max(most, sum(each.memory_info().rss for each in family))
            processes = max(processes, len(family))
        await asyncio.sleep(_LOOK_S)
    return most, processes


async def bench(asked: Workload, by: str, plot: Path | None) -> None:
    """Write, measure, print."""
    async with local_services() as services:
        await create_topics(services, PREFIX)
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        begun = time.monotonic()
        size = await write(connection, asked)
        print(
            f"{asked.outcomes:,} outcomes of {size / asked.outcomes:,.0f} B in {PARTITIONS} partitions, "
            f"{asked.tenants:,} tenants, {asked.templates:,} templates (written in {time.monotonic() - begun:.0f} s)",
            flush=True,
        )
        options = ["--bootstrap-servers", connection.bootstrap_servers, "--prefix", PREFIX, "--by", by]
        if plot is not None:
            options += ["--plot", str(plot)]
        with TemporaryDirectory() as directory:
            prices = Path(directory) / "prices.toml"
            prices.write_text(PRICES)
            ways = {"as they are": (), "priced anew": ("--prices", str(prices)), "with advice": ("--advice",)}
            for way, more in ways.items():
                measured = await run(*options, *more, "--json")
                told = json.loads(measured.output)
                assert told["total"]["outcomes"] == asked.outcomes, told["total"]
                print(f"by {by}, {way}: {measured.told(asked.outcomes)}, {len(told['rows']):,} rows", flush=True)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--templates", type=int, default=40)
    parser.add_argument("--batch", type=int, default=20, help="outcomes in a batch of a partition (default: 20)")
    parser.add_argument("--by", default="tenant,template")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each leader of a new topic
    asyncio.run(bench(Workload(given.outcomes, given.tenants, given.templates, given.batch), given.by, given.plot))


if __name__ == "__main__":
    main()
