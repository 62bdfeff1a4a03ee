"""The image does the main job where it may write nothing and is nobody, and leaves without losing anything."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.topics import gateway_topics
from tests.gateway.rig import client_key, key_file
from tests.image.composed import services as composed_services
from tests.image.containers import ContainerFleet
from tests.integration.fleet import Process, producing, read_all, request, send

pytestmark = pytest.mark.usefixtures("image")

GRACE_S = 35
LATENCY_S = (1.5, 3.0)
SETTINGS = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {"tokens_per_minute": 6000000, "requests_per_minute": 600000}}'}
PLENTIFUL = UpstreamSettings(
    tokens_per_minute=6_000_000, requests_per_minute=600_000, latency_s=LATENCY_S, seed=7, port=0
)


async def test_ten_requests_are_answered_and_a_stopped_leader_hands_over_within_its_grace_period(
    services: LocalServices, tmp_path: Path
) -> None:
    async with (
        Upstream(PLENTIFUL) as upstream,
        ContainerFleet(services, "handover", upstream.base_url, tmp_path, SETTINGS) as fleet,
        producing(fleet) as producer,
    ):
        old, new = await fleet.start(), await fleet.start()
        await fleet.until(old, "leader")
        await send(producer, fleet, "urgent", [request(f"first-{n}") for n in range(10)])
        first = await read_all(fleet, "results", until=10)
        assert [value["status"] for value in first.values] == ["completed"] * 10

        await fleet.until(new, "standby")
        await send(producer, fleet, "standard", [request(f"second-{n}") for n in range(10)])
        await fleet.inflight(old, 5)
        stop_s = await fleet.stop(old, GRACE_S)
        stopped_s = time.monotonic()
        await fleet.until(new, "leader")
        led_s = time.monotonic() - stopped_s
        await send(producer, fleet, "urgent", [request(f"third-{n}") for n in range(5)])
        results = await read_all(fleet, "results", until=25)

        print(f"\na leader with calls in flight stopped in {stop_s:.1f} s, its successor led {led_s:.1f} s later")
        assert old.child.returncode == 0
        assert set(results.counts().values()) == {1}
        assert len(results.counts()) == 25
        assert all(value["status"] == "completed" for value in results.values)
        assert upstream.books().calls == 25, "no call was cut short and made again"
        assert stop_s < LATENCY_S[1] + 6
        assert led_s < 3
        assert_said_that_it_left(events(old), await read_all(fleet, "ledger"))


def events(process: Process) -> list[dict[str, Any]]:
    """Every line of the log; all of them are JSON."""
    return [json.loads(line) for line in process.said().splitlines()]


def assert_said_that_it_left(log: list[dict[str, Any]], ledger: Any) -> None:
    told = [line["event"] for line in log]
    assert told[:1] == ["listening"]
    assert "draining" in told
    assert next(line for line in log if line["event"] == "draining")["inflight"] >= 5
    assert not [line for line in log if line["level"] == "error"]
    left = [entry for entry in ledger.values if entry["kind"] == "left"]
    assert [entry["term"] for entry in left] == [1]


async def test_the_probe_of_the_compose_file_tells_ready_from_not_ready(
    services: LocalServices, tmp_path: Path
) -> None:
    probes = composed_services()
    async with ContainerFleet(services, "probed", "http://127.0.0.1:1/v1", tmp_path) as fleet:
        for name, verb in (("dispatcher-1", "dispatcher"), ("retrier", "retrier")):
            process = await fleet.start(verb)
            [port] = probes[name]["ports"]
            _, *command = probes[name]["healthcheck"]["test"]
            probe = [word.replace(f":{port['target']}/", f":{process.port}/") for word in command]
            await fleet.until(process, "leader")
            assert await fleet.execute(process, *probe) == ""
            assert await fleet.stop(process, GRACE_S) < 10
            assert process.child.returncode == 0, process.said()


async def test_a_gateway_answers_a_call_and_the_probe_of_the_compose_file_finds_it_ready(
    services: LocalServices, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(key_file({"demo": {"tenant": "demo", "lane": "urgent"}}), encoding="utf-8")
    keys.chmod(0o644)  # for the image's user, which owns no file
    async with (
        Upstream(replace(PLENTIFUL, latency_s=(0.0, 0.0))) as upstream,
        ContainerFleet(
            services, "door", upstream.base_url, tmp_path, SETTINGS, volumes=(f"{keys}:{keys}:ro",)
        ) as fleet,
    ):
        await fleet.start()
        await create_missing(KafkaConnection(services.endpoints.bootstrap_servers), gateway_topics("door", nodes=1))
        api_port, probes_port = free_ports(2)
        process = await fleet.start(
            "gateway",
            HEADRACE_GATEWAY__ENABLED="true",
            HEADRACE_GATEWAY__KEYS_FILE=str(keys),
            HEADRACE_GATEWAY__HTTP_PORT=str(api_port),
            HEADRACE_GATEWAY__METRICS_PORT=str(probes_port),
        )
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
        url, bearer = f"http://127.0.0.1:{api_port}/v1/chat/completions", f"Bearer {client_key('demo')}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, headers={"Authorization": bearer}) as answer,
        ):
            assert (answer.status, (await answer.json())["object"]) == (200, "chat.completion")
        _, *command = composed_services()["gateway"]["healthcheck"]["test"]
        probe = [word.replace(":8091/", f":{probes_port}/") for word in command]
        assert await fleet.execute(process, *probe) == ""
        assert await fleet.stop(process, GRACE_S) < 10
        assert process.child.returncode == 0, process.said()


async def test_a_container_that_still_waits_for_kafka_stops_at_once(services: LocalServices, tmp_path: Path) -> None:
    """Number 1 of a container gets only the signals it has asked for, from its first moment on."""
    async with ContainerFleet(services, "waiting", "http://127.0.0.1:1/v1", tmp_path) as fleet:
        process = await fleet.begin(HEADRACE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
        async with asyncio.timeout(30):
            while "waiting_for_kafka" not in process.said():
                await asyncio.sleep(0.05)
        assert await fleet.stop(process, 10) < 5
        assert process.child.returncode == 143
