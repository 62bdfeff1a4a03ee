"""One request on real services: sent by anybody, answered by a dispatcher, read back by a plain consumer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import Fleet, producing, read_all, request, send


@asynccontextmanager
async def dispatching(
    services: LocalServices, prefix: str, directory: Path, *, latency_s: float = 0.05, **settings: str
) -> AsyncIterator[Fleet]:
    """Topics, a simulated OpenAI, and a fleet in which nobody has been started."""
    plenty = UpstreamSettings(
        tokens_per_minute=1_000_000,
        requests_per_minute=10_000,
        law="chat-2025",
        latency_s=(latency_s, latency_s),
        seed=7,
        port=0,
    )
    async with Upstream(plenty) as upstream:
        known = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}', **settings}
        async with Fleet(services, prefix, upstream.base_url, directory, known) as fleet:
            yield fleet


async def ask_once(fleet: Fleet) -> None:
    """A request that aiokafka sends, and its one outcome."""
    async with producing(fleet) as producer:
        await send(producer, fleet, "standard", [request("lead-1")])
    await answered(fleet, {"lead-1"})


async def answered(fleet: Fleet, ids: set[str]) -> None:
    """Each id has exactly one outcome, and it is Completed."""
    outcomes = await read_all(fleet, "results", until=len(ids))
    assert outcomes.counts() == dict.fromkeys(((each, 0) for each in ids), 1)
    for record, value in zip(outcomes.records, outcomes.values, strict=True):
        assert value["response"]["choices"][0]["message"]["content"], value
        assert ("ce_type", b"headrace.generation.completed.v1") in record.headers
