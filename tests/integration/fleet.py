"""Real dispatchers and retriers for the kill tests, and a plain reader that keeps the ledger of outcomes."""

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.schemas.topics import TopicShape, TopicSpec, topics
from tests.integration.prefork import MODULE, PREFORK, Forked
from tests.integration.privacy import PRIVACY, learned

LANES = ("urgent", "standard", "bulk")
AS_SHIPPED: Mapping[str, TopicShape] = {}
FEW: Mapping[str, TopicShape] = {
    **dict.fromkeys(("requests", "failures", "chunks"), TopicShape(partitions=2)),
    **dict.fromkeys(("results", "dead_letters"), TopicShape(partitions=3)),
}
"""More than one partition of each topic that may have more: 18 instead of the 47 that are shipped, as each takes Kafka
some 20 ms of processor time."""


@dataclass
class Process:
    """One dispatcher or retrier."""

    verb: str
    child: asyncio.subprocess.Process | Forked
    log: Path
    port: int = 0

    @property
    def pid(self) -> int:
        return self.child.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    async def ended(self, within_s: float = 40) -> int:
        return await asyncio.wait_for(self.child.wait(), within_s)


@dataclass
class Fleet:
    """Starts dispatchers against one prefix, and asks them how they are."""

    services: LocalServices
    prefix: str
    base_url: str
    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """What other verbs wrote that a test ran, by their names: it is searched for secrets as logs are."""
    python: str = sys.executable
    module: str = MODULE
    shapes: Mapping[str, TopicShape] = field(default_factory=lambda: FEW)
    """Of its topics, where they are not there before it."""
    _session: aiohttp.ClientSession | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(self.services.endpoints.bootstrap_servers)

    @property
    def topics(self) -> list[TopicSpec]:
        return topics(self.prefix, LANES, self.shapes, len(self.services.kafka_pids))

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        await create_missing(self.connection, self.topics)
        return self

    async def __aexit__(self, *_: object) -> None:
        pages = await self._pages() if PRIVACY.is_on else {}
        for process in self.processes:
            if process.child.returncode is None:
                process.send(signal.SIGCONT)
                process.send(signal.SIGKILL)
                await process.child.wait()
        assert self._session is not None
        await self._session.close()
        if PRIVACY.is_on:
            await self._look_for_secrets(pages)

    async def _pages(self) -> dict[str, str]:
        """What those who still answer show to anybody."""
        assert self._session is not None
        pages = {}
        for process in self.processes:
            for path in ("/metrics", "/status", "/") if process.port else ():
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with self._session.get(f"http://127.0.0.1:{process.port}{path}") as answer:
                        pages[f"{path} of {process.log}"] = await answer.text()
        return pages

    async def _look_for_secrets(self, pages: dict[str, str]) -> None:
        kafka = self.services.endpoints.bootstrap_servers
        secrets, read = await learned(kafka, [spec.name for spec in self.topics])
        PRIVACY.search_files([process.log for process in self.processes], secrets)
        if read[f"{self.prefix}.dead-letters"]:
            pages["`dead-letters list` of " + self.prefix] = await self._listing()
        for where, text in {**pages, **self.said}.items():
            PRIVACY.search(where, text, secrets)

    async def _listing(self) -> str:
        """The dead letters of this prefix as a person and as a machine is shown them."""
        listing = ("dead-letters", "list", "--limit", "0")
        with TemporaryFile() as written:
            for arguments in (listing, (*listing, "--json")):
                child = await self._run(arguments, self.environment(), written.fileno())
                await child.wait()
            written.seek(0)
            return written.read().decode(errors="replace")

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": self.services.endpoints.bootstrap_servers,
            "HEADRACE_KAFKA__TOPIC_PREFIX": self.prefix,
            "HEADRACE_REDIS__URL": self.services.endpoints.redis_url,
            "HEADRACE_DISPATCHER__HTTP_HOST": "127.0.0.1",
            "HEADRACE_DISPATCHER__HTTP_PORT": "0",
            "HEADRACE_RETRIER__HTTP_HOST": "127.0.0.1",
            "HEADRACE_RETRIER__HTTP_PORT": "0",
            "OPENAI_API_KEY": "sk-secret-of-the-tests",
            "OPENAI_BASE_URL": self.base_url,
            **self.settings,
        }

    async def start(self, verb: str = "dispatcher", **settings: str) -> Process:
        process = await self.spawn(verb, **settings)
        await self._listening(process)
        return process

    async def spawn(self, verb: str = "dispatcher", **settings: str) -> Process:
        """A process that nobody waits for: it may die before it listens."""
        log = self.directory / f"{verb}-{next(self._numbers)}.log"
        with log.open("wb") as sink:
            child = await self._run((verb,), self.environment() | settings, sink.fileno())
        process = Process(verb, child, log)
        self.processes.append(process)
        return process

    async def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int
    ) -> asyncio.subprocess.Process | Forked:
        if PREFORK.is_on and self.python == sys.executable:
            return PREFORK.start(arguments, environment, output, module=self.module)
        command = (self.python, "-m", self.module, *arguments)
        return await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=output, stderr=output, start_new_session=True
        )

    async def _listening(self, process: Process) -> None:
        async with asyncio.timeout(30):
            while process.port == 0:
                assert process.child.returncode is None, process.said()
                for line in process.said().splitlines():
                    if '"listening"' in line:
                        process.port = int(json.loads(line)["port"])
                await asyncio.sleep(0.05)

    async def get(self, process: Process, path: str) -> tuple[int, Any]:
        assert self._session is not None
        async with self._session.get(f"http://127.0.0.1:{process.port}{path}") as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if path != "/metrics" else text

    async def status(self, process: Process) -> dict[str, Any]:
        try:
            found: dict[str, Any] = (await self.get(process, "/status"))[1]
        except (aiohttp.ClientError, TimeoutError):
            return {"role": "unreachable"}
        return found

    async def until(self, process: Process, role: str, within_s: float = 30) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            while (status := await self.status(process))["role"] != role:
                assert process.child.returncode is None, process.said()
                await asyncio.sleep(0.05)
        return status

    async def until_it_holds(
        self, process: Process, holds: Callable[[dict[str, Any]], bool], within_s: float = 10
    ) -> dict[str, Any]:
        """The status once it holds: a reader may see what a commit wrote before that has returned to its writer."""
        async with asyncio.timeout(within_s):
            while not holds(status := await self.status(process)):
                await asyncio.sleep(0.05)
        return status

    async def leader(self, verb: str = "dispatcher", within_s: float = 30) -> Process:
        return await self._one("leader", verb, within_s)

    async def standby(self, verb: str = "dispatcher", within_s: float = 30) -> Process:
        """A process that is ready to take over."""
        return await self._one("standby", verb, within_s)

    async def _one(self, role: str, verb: str, within_s: float) -> Process:
        async with asyncio.timeout(within_s):
            while True:
                for process in self.processes:
                    alive = process.child.returncode is None and process.verb == verb
                    if alive and (await self.status(process))["role"] == role:
                        return process
                await asyncio.sleep(0.05)

    async def inflight(self, process: Process, at_least: int, within_s: float = 60) -> None:
        async with asyncio.timeout(within_s):
            while int((await self.status(process)).get("inflight", 0)) < at_least:
                await asyncio.sleep(0.05)

    async def kill(self, process: Process) -> None:
        process.send(signal.SIGKILL)
        await process.child.wait()


@asynccontextmanager
async def producing(fleet: Fleet) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=fleet.services.endpoints.bootstrap_servers, linger_ms=5)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def request(request_id: str, *, words: int = 60, **fields: object) -> dict[str, object]:
    content = f"Write to lead {request_id}. " + "confidential-prompt-text " * words
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}
    return {"id": request_id, "body": body, "metadata": {"note": f"confidential-metadata of {request_id}"}, **fields}


async def send(
    producer: AIOKafkaProducer, fleet: Fleet, lane: str, requests: Sequence[dict[str, object]], **options: Any
) -> None:
    topic = f"{fleet.prefix}.requests.{lane}"
    futures = [
        await producer.send(topic, json.dumps(each, ensure_ascii=False).encode(), **options) for each in requests
    ]
    await asyncio.gather(*futures)


@dataclass
class Ledger:
    """Every record of a topic that a `read_committed` reader sees, from offset 0, by a plain consumer of its own."""

    records: list[Any] = field(default_factory=list)
    _places: set[tuple[int, int]] = field(default_factory=set)

    @property
    def values(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.records]

    def counts(self) -> Counter[tuple[str, int]]:
        return Counter((value["id"], value["run"]) for value in self.values)

    def add(self, records: Iterable[Any]) -> None:
        """Add what was read. A consumer whose position was reset reads a record again: it has the same offset."""
        for record in records:
            if (place := (record.partition, record.offset)) not in self._places:
                self._places.add(place)
                self.records.append(record)

    def doubled(self) -> dict[str, list[tuple[int, int, int]]]:
        """Return the partition, offset and time of each record of ids that have several, for a failing test to show."""
        places: dict[str, list[tuple[int, int, int]]] = {}
        for record, value in zip(self.records, self.values, strict=True):
            places.setdefault(f"{value.get('id')}", []).append((record.partition, record.offset, record.timestamp))
        return {name: found for name, found in places.items() if len(found) > 1}


async def read_all(
    fleet: Fleet, kind: str, *, until: int = 0, within_s: float = 60, stuck_s: float = math.inf
) -> Ledger:
    """The topic from offset 0: until so many records are there, and then whatever else stands behind them.

    Fails after `within_s` seconds, or after `stuck_s` seconds without a further record.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=fleet.services.endpoints.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    ledger = Ledger()
    try:
        topic = f"{fleet.prefix}.{kind}"
        partitions = {spec.name: spec.partitions for spec in fleet.topics}[topic]
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        async with asyncio.timeout_at(min(ends, loop.time() + stuck_s)) as limit:
            quiet = 0
            while len(ledger.records) < until or quiet < 5:
                got = await consumer.getmany(timeout_ms=200)
                for records in got.values():
                    ledger.add(records)
                if got:
                    limit.reschedule(min(ends, loop.time() + stuck_s))
                quiet = 0 if got else quiet + 1
    except TimeoutError:
        said = f"{len(ledger.records)} records of {topic}, {until} expected"
        if ledger.records:
            newest_s = max(record.timestamp for record in ledger.records) / 1_000
            said += f", the last {time.time() - newest_s:.1f} s ago"
        if kind == "results":
            ids = Counter(value.get("id") for value in ledger.values)
            parked = [each for each in (await read_all(fleet, "failures")).values if each["id"] not in ids]
            alive = {
                each.log.stem: await fleet.status(each) for each in fleet.processes if each.child.returncode is None
            }
            said += f"; {len(ids)} ids; parked and not back: {parked}; {alive}"
        raise AssertionError(said) from None
    finally:
        await consumer.stop()
    if kind == "results" and (doubled := ledger.doubled()):
        print("ids with several results:", doubled)
    return ledger
