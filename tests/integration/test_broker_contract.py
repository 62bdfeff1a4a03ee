"""Real processes, Kafka and Redis keep the contract of the broker in memory."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.topics import TopicSpec
from tests.contract.handling_contract import HandlingContract
from tests.integration.fleet import Fleet

ROOT = Path(__file__).parents[2]


@dataclass
class World:
    connection: KafkaConnection
    prefix: str
    upstream: Upstream
    own_topic: str = "contract-mine"

    async def calls(self) -> int:
        return self.upstream.books().calls


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    prefix, directory = "contract", tmp_path_factory.mktemp("contract")
    settings = UpstreamSettings(
        tokens_per_minute=60_000_000, requests_per_minute=600_000, latency_s=(0.01, 0.02), seed=7, port=0
    )
    async with Upstream(settings) as upstream, Fleet(services, prefix, upstream.base_url, directory) as fleet:
        await fleet.until(await fleet.start(), "leader")
        world = World(fleet.connection, prefix, upstream)
        await create_missing(fleet.connection, [TopicSpec(world.own_topic, 1, 1, {})])
        yield world


@pytest.mark.asyncio(loop_scope="module")
class TestRealBroker(HandlingContract):
    patience_s = 3.0


@pytest.mark.asyncio(loop_scope="module")
async def test_the_example_of_a_service_runs_as_its_page_says(world: World, tmp_path: Path) -> None:
    example, store = ROOT / "examples" / "lead_ingest", tmp_path / "leads.db"
    for new in (6, 0):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "lead_ingest", "lead_ingest/leads.csv", "--store", str(store)),
            *("--kafka", world.connection.bootstrap_servers, "--topic-prefix", world.prefix),
            cwd=example.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        assert out.decode().splitlines() == [f"{new} new leads, 6 in all", "6 written, 0 failed, 0 asked, 0 new"]
