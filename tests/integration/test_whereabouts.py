"""`headrace status --id` on a real leader whose limit is used up: a waiting id, an answered one, an unknown one."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import cluster_id
from headrace.broker.adapters.redis.lease import RedisLease
from headrace.broker.cli.main import main
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from headrace.schemas.instants import from_wire
from tests.integration.fleet import Fleet, producing, read_all, request, send

TOKENS, REQUESTS, LATE = 6_000, 24, 17
PROMPT = "confidential-prompt"


@pytest.fixture
def prefix(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", services.endpoints.bootstrap_servers)
    monkeypatch.setenv("HEADRACE_REDIS__URL", services.endpoints.redis_url)
    named = f"whereabouts-{uuid.uuid4().hex[:8]}"  # the status that one test publishes is not that of the next
    monkeypatch.setenv("HEADRACE_KAFKA__TOPIC_PREFIX", named)
    return named


async def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """What the verb prints, and its exit code."""
    code = await asyncio.to_thread(main, ["status", *arguments])
    said = capsys.readouterr()
    assert PROMPT not in said.out + said.err
    assert not said.err, said.err
    return code, said.out


async def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    _, said = await asked(capsys, "--json", *arguments)
    found: dict[str, Any] = json.loads(said)
    return found


async def reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Wait for the leader's first report, which comes up to a second after it has begun to lead."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.to_thread(main, ["status", "--id", "lead-0000"])
            if "has reported recently" not in capsys.readouterr().err:
                return


async def test_a_leader_that_cannot_be_reached_is_named_with_the_way_out(
    services: LocalServices, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = await cluster_id(KafkaConnection(services.endpoints.bootstrap_servers))
    lease = RedisLease(services.endpoints.redis_url, f"headrace:{cluster}:{prefix}.dispatcher", ttl_ms=500, token="t")
    await lease.take()
    await lease.publish_status(json.dumps({"role": "leader", "topic_prefix": prefix, "url": "http://127.0.0.1:1"}))
    code = await asyncio.to_thread(main, ["status", "--id", "lead-1"])
    await lease.release()
    await lease.close()
    assert code == 3
    assert capsys.readouterr().err == (
        "headrace: The leader reports the address http://127.0.0.1:1. 127.0.0.1:1 cannot be reached: nothing "
        "listens there. Run this where that address can be reached, or name another one with --url.\n"
    )


async def outcomes_by_id(fleet: Fleet) -> dict[str, dict[str, Any]]:
    return {value["id"]: value for value in (await read_all(fleet, "results", until=1)).values}


def kinds(waits: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in waits["waits_for"]]


@pytest.mark.timeout(120)
async def test_a_real_leader_says_why_a_request_waits_and_when_it_starts(
    services: LocalServices, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played = UpstreamSettings(
        tokens_per_minute=TOKENS, requests_per_minute=600, law="chat-2025", latency_s=(0.05, 0.1), seed=5, port=0
    )
    limits = {"gpt-4o-mini": {"tokens_per_minute": TOKENS, "requests_per_minute": 600, "charge_law": "chat-2025"}}
    async with (
        Upstream(played) as upstream,
        Fleet(services, prefix, upstream.base_url, tmp_path, {"HEADRACE_LIMITS": json.dumps(limits)}) as fleet,
        producing(fleet) as producer,
    ):
        leader = await fleet.start()
        await fleet.until(leader, "leader")
        standby = await fleet.start()
        await fleet.until(standby, "standby")
        await reported(capsys)
        body = [f"lead-{number:04}" for number in range(REQUESTS)]
        await send(producer, fleet, "bulk", [request(each, tenant="acme") for each in body], partition=0)
        late = body[LATE]
        while (waits := await told(capsys, "--id", late))["state"] != "waiting" or kinds(waits) != ["limit"]:
            await asyncio.sleep(0.1)
        first = await told(capsys, "--id", body[0])
        while True:
            code, said = await asked(capsys, "--id", late)
            if "It waits for: tokens of" in said:  # at the very instant at which the next call goes nothing keeps it
                break
        _, unknown = await asked(capsys, "--id", "unheard-of")
        elsewhere = await told(capsys, "--id", late, "--url", f"127.0.0.1:{standby.port}")
        estimate = from_wire(waits["estimated_start"]["at"])
        async with asyncio.timeout(60):
            while (await told(capsys, "--id", late))["state"] == "waiting":
                await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            while late not in (outcomes := await outcomes_by_id(fleet)):
                pass
    started = from_wire(outcomes[late]["timings"]["called_at"])
    assert (waits["lane"], waits["tenant"], waits["limit"]) == ("bulk", "acme", "gpt-4o-mini")
    assert waits["before"]["tenant"] == waits["before"]["lane"]
    assert 0 < waits["before"]["lane"]["requests"] < LATE
    assert waits["waits_for"][0]["metric"] == "tokens"
    assert abs((started - estimate).total_seconds()) < 2.5, (started, estimate)
    print(f"estimated {estimate:%H:%M:%S}, {waits['estimated_start']['in_s']:.1f} s ahead; started {started:%H:%M:%S}")
    assert (first["state"], first["outcome"]["status"]) == ("answered", "completed")
    assert outcomes[body[0]]["status"] == "completed"
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith(f"{late} waits in lane bulk (tenant acme), ")
    assert lines[1].startswith("It waits for: tokens of gpt-4o-mini: the next call needs ")
    assert lines[2].startswith("Estimated start: in about ")
    assert unknown.startswith(
        "Nothing is known of unheard-of: it was not taken yet, does not exist, or was answered longer ago"
    )
    assert (elsewhere["state"], elsewhere["role"]) == ("elsewhere", "standby")
