"""A service that is away is waited for, and said; when it is back the dispatcher goes on by itself."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from headrace.broker.adapters.kafka.topics import cluster_id
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import Fleet, Process, producing, read_all, request, send

PAUSED_MS = 5_000
LIMITS = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}


def plentiful(port: int = 0) -> UpstreamSettings:
    return UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=60_000, law="chat-2025", latency_s=(0.2, 0.6), port=port
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_openai_away_is_waited_for_and_no_lead_fails(services: LocalServices, tmp_path: Path) -> None:
    port = free_port()
    async with Fleet(services, "noopenai", f"http://127.0.0.1:{port}/v1", tmp_path, LIMITS) as fleet:
        async with producing(fleet) as producer:
            await send(producer, fleet, "standard", [request(f"r{n}") for n in range(100)])
        leader = await fleet.start()
        await fleet.until(leader, "leader")
        async with asyncio.timeout(20):
            while "upstream_trouble" not in leader.said():
                await asyncio.sleep(0.1)
        await asyncio.sleep(20)
        async with Upstream(plentiful(port)) as upstream:
            ledger = await read_all(fleet, "results", until=100, within_s=60)
            assert {value["status"] for value in ledger.values} == {"completed"}
            assert set(ledger.counts().values()) == {1}
            assert upstream.books().calls == 100


async def pair(fleet: Fleet) -> tuple[Process, Process]:
    """A leader, and a standby."""
    leader = await fleet.start()
    await fleet.until(leader, "leader")
    standby = await fleet.start()
    await fleet.until(standby, "standby")
    return leader, standby


async def test_redis_away_stops_neither_dispatch_nor_leadership(services: LocalServices, tmp_path: Path) -> None:
    async with Upstream(plentiful()) as upstream:
        settings = LIMITS | {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "10"}
        async with Fleet(services, "noredis", upstream.base_url, tmp_path, settings) as fleet:
            leader, standby = await pair(fleet)
            async with producing(fleet) as producer:
                await send(producer, fleet, "standard", [request(f"r{n}") for n in range(300)])
            await fleet.inflight(leader, 5)
            os.kill(services.valkey_pid, signal.SIGKILL)
            try:
                before = upstream.books().calls
                await asyncio.sleep(6)
                assert upstream.books().calls > before + 50, "dispatch stood still while Redis was away"
                assert (await fleet.get(leader, "/readyz"))[1]["redis"] is False
            finally:
                await services.restart_valkey()
            ledger = await read_all(fleet, "results", until=300)
            assert set(ledger.counts().values()) == {1}
            assert {value["term"] for value in ledger.values} == {1}
            assert '"leading"' not in standby.said()
            async with asyncio.timeout(10):
                while not (await fleet.get(leader, "/readyz"))[1]["redis"]:
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize("mode", ["ALL", "WRITE"])
async def test_a_redis_that_is_paused_stops_neither_dispatch_nor_leadership(
    services: LocalServices, tmp_path: Path, mode: str
) -> None:
    """WRITE lets a standby see the key end, and what it and the leader ask meanwhile is carried out together."""
    async with Upstream(plentiful()) as upstream:
        settings = LIMITS | {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "10"}
        async with Fleet(services, f"pause-{mode.lower()}", upstream.base_url, tmp_path, settings) as fleet:
            leader, standby = await pair(fleet)
            async with producing(fleet) as producer:
                await send(producer, fleet, "standard", [request(f"r{n}") for n in range(200)])
            await fleet.inflight(leader, 5)
            redis: Redis = Redis.from_url(services.endpoints.redis_url)
            await redis.client_pause(PAUSED_MS, all=mode == "ALL")
            paused, before = time.monotonic(), upstream.books().calls
            async with asyncio.timeout(PAUSED_MS / 1_000):
                while (await fleet.get(leader, "/readyz"))[1]["redis"]:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(max(0, paused + PAUSED_MS / 1_000 - 0.5 - time.monotonic()))
            assert upstream.books().calls > before + 50, "dispatch stood still while Redis was paused"
            await redis.set(f"{fleet.prefix}:paused", 1)  # carried out when the pause ends
            await redis.aclose()
            ledger = await read_all(fleet, "results", until=200)
            assert set(ledger.counts().values()) == {1}
            assert {value["term"] for value in ledger.values} == {1}
            assert '"leading"' not in standby.said()
            async with asyncio.timeout(10):
                while not (await fleet.get(leader, "/readyz"))[1]["redis"]:
                    await asyncio.sleep(0.1)


async def test_a_lease_of_another_type_stops_nothing_and_is_told_until_it_is_removed(
    services: LocalServices, tmp_path: Path
) -> None:
    async with Upstream(plentiful()) as upstream:
        settings = LIMITS | {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "10"}
        async with Fleet(services, "spoilt", upstream.base_url, tmp_path, settings) as fleet:
            leader, standby = await pair(fleet)
            redis: Redis = Redis.from_url(services.endpoints.redis_url, decode_responses=True)
            key = f"headrace:{await cluster_id(fleet.connection)}:spoilt.dispatcher"
            async with redis.pipeline(transaction=True) as both:
                both.delete(key)
                both.lpush(key, "another's")
                await both.execute()
            async with producing(fleet) as producer:
                await send(producer, fleet, "standard", [request(f"r{n}") for n in range(100)])
            assert (await read_all(fleet, "results", until=100)).counts().total() == 100
            told = f"The key {key} in Redis is of another type than Headrace writes"
            for process in (leader, standby):
                assert told in (await fleet.status(process))["trouble"]
            third = await fleet.start()
            await fleet.until(third, "standby")
            assert (await fleet.status(leader))["role"] == "leader"
            assert await redis.lrange(key, 0, -1) == ["another's"]
            await redis.delete(key)
            async with asyncio.timeout(10):
                while not (await fleet.get(leader, "/readyz"))[1]["redis"]:
                    await asyncio.sleep(0.1)
            await redis.aclose()
            last = await fleet.status(leader)
            assert (last["role"], last["term"], last["trouble"]) == ("leader", 1, None)
            assert not any('"leading"' in each.said() for each in (standby, third))


async def test_a_start_without_kafka_waits_and_says_so(tmp_path: Path) -> None:
    async with LocalServices() as services, Upstream(plentiful()) as upstream:
        async with Fleet(services, "nokafka", upstream.base_url, tmp_path, LIMITS) as fleet:
            os.kill(services.kafka_pid, signal.SIGKILL)
            starting = asyncio.create_task(fleet.start())
            log = tmp_path / "dispatcher-0.log"
            async with asyncio.timeout(30):
                while not log.exists() or "waiting_for_kafka" not in log.read_text():
                    await asyncio.sleep(0.1)
            await services.restart_kafka()
            leader = await starting
            await fleet.until(leader, "leader")
            async with producing(fleet) as producer:
                await send(producer, fleet, "urgent", [request("r1")])
            ledger = await read_all(fleet, "results", until=1)
            assert ledger.values[0]["status"] == "completed"


async def test_a_missing_topic_and_a_wrong_setting_end_the_start_with_one_sentence(
    services: LocalServices, tmp_path: Path
) -> None:
    async with Fleet(services, "there", "http://127.0.0.1:9/v1", tmp_path) as fleet:
        cases = {
            "headrace topics create": {"HEADRACE_KAFKA__TOPIC_PREFIX": "nowhere"},
            "inflight_max": {"HEADRACE_DISPATCHER__INFLIGHT_MAXIMUM": "3"},
            "OPENAI_API_KEY": {"OPENAI_API_KEY": ""},
        }
        for expected, settings in cases.items():
            with pytest.raises(AssertionError, match=expected):
                await fleet.start(**settings)
            assert await fleet.processes[-1].ended() == 2
            assert len(fleet.processes[-1].said().strip().splitlines()) == 1
