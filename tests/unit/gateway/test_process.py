"""A gateway process: probes and metrics on a port of their own, from its start until after its drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from headrace.broker.adapters.prometheus.gateway_meter import GatewayMetrics
from headrace.broker.clock import WallClock
from headrace.broker.errors import SettingsError
from headrace.broker.gateway.process import GatewayProcess
from headrace.broker.gateway.server import Gateway
from headrace.broker.settings.load import load_settings
from headrace.broker.testing.spans import MemorySpans
from tests.unit.gateway.served import Served, served


class Observed(Gateway):
    """A gateway that another one serves for: its process only observes it."""

    def __init__(self, inner: Gateway) -> None:
        self.__dict__ = inner.__dict__

    async def serve(self) -> None:
        await self._leaving.wait()


@asynccontextmanager
async def observed(spans: MemorySpans | None = None) -> AsyncIterator[tuple[GatewayProcess, Served]]:
    settings = load_settings(environ={"HEADRACE_GATEWAY__METRICS_PORT": "0"})
    async with served() as running:
        meter = GatewayMetrics(["chat.completions"], settings.lanes)
        process = GatewayProcess(settings, Observed(running.gateway), meter, WallClock(), spans)
        serving = asyncio.create_task(process.serve())
        async with asyncio.timeout(5):
            while not process.web.port:  # noqa: ASYNC110 — the port is known once it listens
                await asyncio.sleep(0.005)
        yield process, running
        running.gateway.leave()
        await asyncio.wait_for(serving, 5)


async def get(process: GatewayProcess, path: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{process.web.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await (answer.text() if path == "/metrics" else answer.json())


async def test_a_gateway_that_accepts_calls_is_ready_and_one_with_trouble_says_why() -> None:
    async with observed() as (process, running):
        assert await get(process, "/readyz") == (200, {"ready": True})
        running.gateway.trouble = "Kafka does not answer."
        assert await get(process, "/readyz") == (503, {"ready": False, "trouble": "Kafka does not answer."})
        assert await get(process, "/healthz") == (200, {"alive": True}), "a restart would not bring Kafka back"
        _, scraped = await get(process, "/metrics")
        assert "headrace_gateway_ready 0.0" in scraped.splitlines()


async def test_a_scrape_shows_keys_and_readiness_as_they_are_at_that_instant() -> None:
    async with observed() as (process, running):
        _, scraped = await get(process, "/metrics")
        keys = len(running.gateway.ring.keys)
        assert keys
        expected = {
            "headrace_gateway_ready 1.0",
            f"headrace_gateway_keys {keys}.0",
            "headrace_gateway_key_file_ready 1.0",
        }
        assert expected <= set(scraped.splitlines())


async def test_the_status_shows_no_key_and_no_tenant() -> None:
    async with observed() as (process, running):
        status, told = await get(process, "/status")
        assert (status, told["process"], told["ready"], told["waiting"]) == (200, "gateway", True, 0)
        assert told["keys"] == {"in_force": len(running.gateway.ring.keys), "trouble": None}
        assert not [key for key in running.gateway.ring.keys if key.name in str(told)]
        assert (await get(process, "/status?id=x"))[0] == 400


async def test_while_it_leaves_it_is_alive_and_not_ready() -> None:
    async with observed() as (process, running):
        running.gateway.leave()
        assert process.gateway.readiness() == (False, {"ready": False, "trouble": "It is leaving."})


async def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    async with observed() as (first, running):
        taken = str(first.web.port)
        settings = load_settings(environ={"HEADRACE_GATEWAY__METRICS_PORT": taken})
        second = GatewayProcess(settings, running.gateway, GatewayMetrics([], []), WallClock())
        with pytest.raises(SettingsError, match=r"set gateway\.metrics_port to a free one"):
            await second.serve()


async def test_lost_spans_are_counted() -> None:
    spans = MemorySpans()
    async with observed(spans) as (process, _):
        _, scraped = await get(process, "/metrics")
        assert 'headrace_trace_spans_total{result="lost"} 0.0' in scraped.splitlines()
