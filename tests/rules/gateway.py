"""A real gateway beside a budget, with clients that call it and clients that hang up."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.free_ports import free_ports
from headrace.schemas.topics import gateway_topics
from tests.gateway.rig import client_key, key_file
from tests.rules.budget import MODEL, Budget

_KEY = "rules"
_HANGS_UP_AFTER_S = 0.1


@dataclass(frozen=True)
class RunningGateway:
    """Addresses of one gateway."""

    api_port: int
    probes_port: int

    @property
    def target(self) -> str:
        """What Prometheus scrapes."""
        return f"127.0.0.1:{self.probes_port}"

    async def call(self) -> None:
        """Call again and again; each fourth client hangs up before its answer."""
        url, headers = f"http://127.0.0.1:{self.api_port}", {"Authorization": f"Bearer {client_key(_KEY)}"}
        async with aiohttp.ClientSession(url, headers=headers) as session:
            number = 0
            while True:
                number += 1
                wait_s = 60.0 if number % 4 else _HANGS_UP_AFTER_S
                body = {"model": MODEL, "messages": [{"role": "user", "content": f"Write to lead {number}."}]}
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(wait_s), session.post("/v1/chat/completions", json=body) as answer:
                        await answer.read()
                await asyncio.sleep(0.5)


async def begin_gateway(stage: Budget, folder: Path) -> RunningGateway:
    """Start a gateway of the budget; it ends with the budget's other processes."""
    keys = folder / "keys.toml"
    text = key_file({_KEY: {"tenant": "acme", "lane": "urgent"}})
    await asyncio.to_thread(keys.write_text, text, encoding="utf-8")
    connection = KafkaConnection(stage.fleet.services.endpoints.bootstrap_servers)
    await create_missing(connection, gateway_topics(stage.fleet.prefix, nodes=1))
    api_port, probes_port = free_ports(2)
    await stage.fleet.spawn(
        "gateway",
        HEADRACE_GATEWAY__ENABLED="true",
        HEADRACE_GATEWAY__HTTP_PORT=str(api_port),
        HEADRACE_GATEWAY__METRICS_PORT=str(probes_port),
        HEADRACE_GATEWAY__KEYS_FILE=str(keys),
    )
    return RunningGateway(api_port, probes_port)
