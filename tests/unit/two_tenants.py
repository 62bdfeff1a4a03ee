"""Two tenants that send two requests under one id to a broker in memory."""

from typing import Any

from headrace.broker.client import GenerationClient
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.broker.testing.upstream import Asked
from headrace.schemas.outcome import Completed

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "acme's"}]}
OTHER = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "zenith's"}]}


def echo(asked: Asked) -> str:
    messages: Any = asked.body["messages"]
    return f"Answer to {messages[0]['content']}"


def client(broker: MemoryBroker, **options: Any) -> GenerationClient:
    return GenerationClient(connection=broker.connection, **options)


async def acmes(generations: GenerationClient, **asked: Any) -> Completed:
    return await generations.generate(BODY, id="lead-1", tenant="acme", **asked)


async def zeniths(generations: GenerationClient, **asked: Any) -> Completed:
    return await generations.generate(OTHER, id="lead-1", tenant="zenith", **asked)
