"""A Headrace in memory with replicas of the gateway's batches in front of it, served over HTTP on loopback."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
from aiohttp.test_utils import TestServer

from headrace.broker.gateway.batches.service import Batches
from headrace.broker.gateway.batches.uploads import UploadLimits
from headrace.broker.testing.batch_doors import MemoryBatchDoors, MemoryShare
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.schemas.topics import batches_topic
from tests.unit.gateway.batches.app import app_of

PREFIX = "generation"


def jsonl(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def line(
    custom_id: str, *, url: str = "/v1/chat/completions", model: str = "gpt-4o-mini", **body: object
) -> dict[str, Any]:
    """Make an input line."""
    content = {"messages": [{"role": "user", "content": f"Write to {custom_id}."}]} if "chat" in url else {"input": "x"}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **content, **body}}


@dataclass(slots=True)
class Replica:
    """One gateway process."""

    batches: Batches
    link: KafkaLink
    server: TestServer | None = None
    clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    def client(self, key: str = "ada", *, max_retries: int = 0) -> openai.AsyncOpenAI:
        assert self.server is not None
        base_url = str(self.server.make_url("/v1"))
        self.clients.append(openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=max_retries))
        return self.clients[-1]


@dataclass(slots=True)
class World:
    """The broker and its replicas."""

    broker: MemoryBroker
    groups: defaultdict[tuple[str, str], list[MemoryShare]] = field(default_factory=lambda: defaultdict(list))

    @asynccontextmanager
    async def replica(self, *, serves: bool = True, uploads: UploadLimits | None = None) -> AsyncIterator[Replica]:
        link = KafkaLink(self.broker.kafka)
        batches = Batches(MemoryBatchDoors(self.broker.kafka, link, self.groups), PREFIX, uploads=uploads)
        replica = Replica(batches, link)
        async with batches:
            if serves:
                replica.server = TestServer(app_of(batches))
                await replica.server.start_server()
            try:
                yield replica
            finally:
                for client in replica.clients:
                    await client.close()
                if replica.server is not None:
                    await replica.server.close()


@asynccontextmanager
async def unled() -> AsyncIterator[World]:
    """A world without a dispatcher: nothing is answered, and it costs nothing."""
    broker = MemoryBroker()
    broker.kafka.create(batches_topic(PREFIX), 12)
    yield World(broker)


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    async with MemoryBroker(**options) as broker:
        broker.kafka.create(batches_topic(PREFIX), 12)
        yield World(broker)


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(text) for text in content.splitlines()]


def custom_ids(content: bytes) -> list[str]:
    return [row["custom_id"] for row in rows(content)]


def numbered(count: int) -> Sequence[dict[str, Any]]:
    return [line(f"lead-{number}") for number in range(count)]


async def uploaded(client: openai.AsyncOpenAI, content: bytes, **options: Any) -> str:
    """Upload a file of a batch, and return its id."""
    return (await client.files.create(file=("in.jsonl", content), purpose="batch", **options)).id
