"""A topic that takes less than the settings say, as after an operator's `kafka-configs --alter`, under a dispatcher at
work: what fits flows, and what does not ends in its smallest form.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from headrace.broker.adapters.kafka.admin import admin_client
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.adapters.kafka.transactions import Batching, KafkaTransactions
from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.local.services import LocalServices
from headrace.broker.ports import Outgoing
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from headrace.schemas import topics
from headrace.schemas.record import Record
from tests.integration.fleet import Fleet, producing, read_all, request, send
from tests.integration.kafka_world import RealWorld, real_world

PLENTIFUL = UpstreamSettings(tokens_per_minute=9_000_000, requests_per_minute=90_000, latency_s=(0.05, 0.3))
LARGE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 60_000}}], "model": "gpt-4o-mini"}
TAKES = 20_000
LEADS = [f"lead-{number}" for number in range(150)]
LARGES = ["large-answer-1", "large-answer-2"]


async def alter(connection: KafkaConnection, topic: str, **configs: str) -> None:
    admin = AIOKafkaAdminClient(**connection.client_kwargs())
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    finally:
        await admin.close()


async def test_what_a_topic_does_not_take_any_more_ends_alone_and_all_else_flows(
    services: LocalServices, tmp_path: Path
) -> None:
    settings = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}', "HEADRACE_MODELS__ALLOW": '["gpt-4o-mini"]'}
    called: Counter[str] = Counter()

    def answers(_number: int, body: object) -> Scripted | None:
        said = json.dumps(body)
        for name in LARGES:
            if name in said:
                called[name] += 1
                return Scripted(status=200, body=LARGE)
        return None

    async with Upstream(PLENTIFUL) as upstream:
        upstream.script(answers)
        async with Fleet(services, "refused", upstream.base_url, tmp_path, settings) as fleet:
            process = await fleet.start()
            async with producing(fleet) as producer:
                await send(producer, fleet, "urgent", [request("first")])
                await read_all(fleet, "results", until=1)
                await alter(fleet.connection, topics.results_topic(fleet.prefix), **{"max.message.bytes": str(TAKES)})
                half = len(LEADS) // 2
                await send(producer, fleet, "urgent", [request(name) for name in LEADS[:half]])
                await send(producer, fleet, "urgent", [request(name) for name in LARGES])
                await send(producer, fleet, "urgent", [request(name) for name in LEADS[half:]])
            everybody = [*LEADS, *LARGES, "first"]
            ledger = await read_all(fleet, "results", until=len(everybody), within_s=90)
            outcomes = {value["id"]: value for value in ledger.values}
            assert ledger.counts() == {(name, 0): 1 for name in everybody}
            assert {outcomes[name]["status"] for name in LEADS} == {"completed"}
            assert {(outcomes[name]["status"], outcomes[name]["reason"]) for name in LARGES} == {
                ("failed", "unpublishable")
            }
            assert called == dict.fromkeys(LARGES, 1)
            letters = await read_all(fleet, "dead-letters", until=len(LARGES))
            assert len(letters.values) == len(LARGES)
            failed = process.said().count('"transaction_unknown"')
            assert 0 < failed <= 40, failed
            assert '"setback":"refused"' in process.said().replace(" ", "")


async def test_results_that_are_deleted_fail_nothing_are_named_and_flow_on_once_they_are_there_again(
    services: LocalServices, tmp_path: Path
) -> None:
    settings = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}', "HEADRACE_MODELS__ALLOW": '["gpt-4o-mini"]'}
    async with (
        Upstream(PLENTIFUL) as upstream,
        Fleet(services, "deleted", upstream.base_url, tmp_path, settings) as fleet,
    ):
        process, topic = await fleet.start(), topics.results_topic(fleet.prefix)
        said = f"The topic {topic} does not exist: run `headrace topics create`."
        async with producing(fleet) as producer:
            await send(producer, fleet, "urgent", [request("first")])
            await read_all(fleet, "results", until=1)
            async with admin_client(fleet.connection, client_id="test", request_ms=5_000) as admin:
                await admin.delete_topics([topic])
            await send(producer, fleet, "urgent", [request(name) for name in LEADS[:20]])
        async with asyncio.timeout(40):
            while said not in str((await fleet.status(process)).get("trouble")):
                await asyncio.sleep(0.1)
        for _ in range(60):
            await asyncio.sleep(0.25)
            assert said in str((await fleet.status(process))["trouble"])
        assert (await read_all(fleet, "dead-letters")).values == []
        await create_missing(fleet.connection, fleet.topics)
        ledger = await read_all(fleet, "results", until=20, within_s=60)
        assert {(value["id"], value["status"]) for value in ledger.values} == {
            (name, "completed") for name in LEADS[:20]
        }
        async with asyncio.timeout(10):
            while (await fleet.status(process))["trouble"]:
                await asyncio.sleep(0.1)
        assert '"setback":"denied"' in process.said().replace(" ", "")


async def test_what_a_broker_validates_and_refuses_is_told_apart_from_its_own_trouble(services: LocalServices) -> None:
    """A compacted topic takes no record without a key: INVALID_RECORD."""
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "invalid")
    await alter(world.connection, world.results_topic, **{"cleanup.policy": "compact"})
    dead = await refused(world, Record(None, b"without a key"))
    assert (dead.setback, dead.topic) == (Setback.REFUSED, world.results_topic)
    await sent(world, [Outgoing(world.results_topic, Record(b"key", b"with one"))], Batching())
    assert (await world.results())[-1].value == b"with one"


async def test_records_that_fit_one_by_one_go_out_whatever_a_topic_takes(services: LocalServices) -> None:
    """Kafka holds the limit against a batch of them: after one refusal each goes alone."""
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "batches")
    await alter(world.connection, world.results_topic, **{"max.message.bytes": "50000"})
    await refused(world, Record(b"other key", b"y" * 60_000))
    batching = Batching()
    records = [Outgoing(world.results_topic, Record(b"key", b"x" * 20_000)) for _ in range(10)]
    with pytest.raises(ProducerDead) as dead:
        await sent(world, records, batching)
    assert (dead.value.setback, dead.value.topic) == (Setback.REFUSED, world.results_topic)
    await sent(world, records, batching)
    assert [record.key for record in await world.results()].count(b"key") == len(records)


async def sent(world: RealWorld, records: Sequence[Outgoing], batching: Batching) -> None:
    producer = KafkaTransactions(world.connection, transactional_id=f"{world.prefix}.dispatcher", batching=batching)
    await producer.open()
    try:
        await producer.transact(records, {})
    finally:
        await producer.close()


async def refused(world: RealWorld, record: Record) -> ProducerDead:
    """The refusal; a topic's new settings hold a moment after Kafka has said that they are set."""
    async with asyncio.timeout(20):
        while True:
            try:
                await sent(world, [Outgoing(world.results_topic, record)], Batching())
            except ProducerDead as dead:
                return dead
