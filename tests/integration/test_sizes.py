"""What is too large for its topic costs only itself: no record of ours is ever refused by Kafka."""

import json
from pathlib import Path

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.integration.fleet import Fleet, producing, read_all, request, send

PLENTIFUL = UpstreamSettings(tokens_per_minute=9_000_000, requests_per_minute=90_000, latency_s=(0.05, 0.1))
LARGE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "語" * 400_000}}], "model": "gpt-4o-mini"}


def large_answers(_number: int, body: object) -> Scripted | None:
    return Scripted(status=200, body=LARGE) if "large-answer" in json.dumps(body) else None


async def test_answers_names_and_metadata_of_any_size_hold_up_nobody(services: LocalServices, tmp_path: Path) -> None:
    settings = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}', "HEADRACE_MODELS__ALLOW": '["gpt-4o-mini"]'}
    long_name = request("long-model")
    long_name["body"] = {"model": "m" * 600_000, "messages": []}
    requests = [
        request("large-answer-1"),
        long_name,
        request("large-metadata", metadata={"note": "語" * 250_000}),
        *[request(f"good-{number}") for number in range(20)],
    ]
    async with Upstream(PLENTIFUL) as upstream:
        upstream.script(large_answers)
        async with Fleet(services, "sizes", upstream.base_url, tmp_path, settings) as fleet:
            async with producing(fleet) as producer:
                await send(producer, fleet, "urgent", requests, partition=0)
            process = await fleet.start()
            ledger = await read_all(fleet, "results", until=len(requests))
            outcomes = {value["id"]: value for value in ledger.values}
            assert set(ledger.counts().values()) == {1}
            assert outcomes["large-answer-1"]["reason"] == "too_large_for_topic"
            assert outcomes["long-model"]["reason"] == "invalid_request"
            assert len(outcomes["long-model"]["message"]) < 1_000
            assert outcomes["large-metadata"]["status"] == "completed"
            assert all(outcomes[f"good-{number}"]["status"] == "completed" for number in range(20))
            assert "transaction_unknown" not in process.said()
            assert '"outcome_does_not_fit"' not in process.said()
