"""The third change of a Python block: OpenAI's own client gets the address of a simulated OpenAI."""

import ast
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from tests.unit.pages.blocks import Block

SDK = "AsyncOpenAI"
ADDRESS = "simulated_openai"
"""The name by which a block is given base URL and key."""


def is_of_the_sdk(node: ast.Call) -> bool:
    """Whether the call makes a client of OpenAI's."""
    return isinstance(node.func, ast.Name) and node.func.id == SDK


def addressed(node: ast.Call) -> ast.Call:
    """The same call, with base URL and key."""
    return ast.Call(node.func, node.args, [*node.keywords, ast.keyword(None, ast.Name(ADDRESS, ast.Load()))])


def serves_http(block: Block) -> bool:
    """Whether sockets take part, for which virtual time does not wait."""
    return "async with Upstream(" in block.text or f"{SDK}(" in block.text


@asynccontextmanager
async def simulated(block: Block) -> AsyncIterator[dict[str, str]]:
    """Base URL and key, while the server serves; nothing for a block without a client of OpenAI's."""
    if f"{SDK}(" not in block.text:
        yield {}
        return
    plenty = UpstreamSettings(tokens_per_minute=1_000_000, requests_per_minute=10_000, latency_s=(0.0, 0.0), port=0)
    async with Upstream(plenty) as upstream:
        yield {"base_url": upstream.base_url, "api_key": "sk-simulated"}


async def close_clients(names: Mapping[str, Any]) -> None:
    """Close what the block has made."""
    for value in names.values():
        if isinstance(value, AsyncOpenAI):
            await value.close()
