"""Topics on a real Kafka: created once, compared in sentences, refused in sentences."""

import uuid

import pytest

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_topics import cluster_id, create_missing, differences, existing, node_count, partitions_of
from broker.errors import MissingTopic, SettingsError, Unreachable
from broker.local.services import LocalServices
from schemas.topics import TopicShape, TopicSpec, ledger_topic, requests_topic, results_topic, topics


@pytest.fixture
def connection(services: LocalServices) -> KafkaConnection:
    return KafkaConnection(services.endpoints.bootstrap_servers)


@pytest.fixture
def prefix() -> str:
    return f"topics-{uuid.uuid4().hex[:8]}"


async def test_every_topic_is_created_once_and_then_agrees_with_its_spec(
    connection: KafkaConnection, prefix: str
) -> None:
    specs = topics(prefix, ["urgent", "bulk"], nodes=await node_count(connection))
    assert await existing(connection, [spec.name for spec in specs]) == set()
    assert await create_missing(connection, specs) == sorted(spec.name for spec in specs)
    assert await create_missing(connection, specs) == []
    assert await existing(connection, [spec.name for spec in specs]) == {spec.name for spec in specs}
    assert await differences(connection, specs) == []
    assert await partitions_of(connection, [requests_topic(prefix, "bulk"), ledger_topic(prefix)]) == {
        requests_topic(prefix, "bulk"): [0, 1, 2, 3, 4, 5],
        ledger_topic(prefix): [0],
    }


async def test_each_difference_is_a_sentence_that_names_the_topic(connection: KafkaConnection, prefix: str) -> None:
    name = results_topic(prefix)
    await create_missing(connection, [TopicSpec(name, 1, 1, {"retention.ms": "1000", "max.message.bytes": "2000"})])
    wanted = TopicShape(partitions=2, retention_s=60)
    specs = [
        spec for spec in topics(prefix, [], {"results": wanted}, nodes=1) if spec.name in {name, f"{prefix}.ledger"}
    ]
    assert await differences(connection, specs) == [
        f"The topic {prefix}.ledger does not exist: run `headrace topics create`.",
        f"The topic {name} has 1 partitions instead of 2.",
        f"The topic {name} has retention.ms=1000 instead of 60000.",
        f"The topic {name} has max.message.bytes=2000 instead of 1048576.",
    ]


async def test_more_replicas_than_nodes_are_refused_as_a_matter_of_the_settings(
    connection: KafkaConnection, prefix: str
) -> None:
    with pytest.raises(SettingsError, match=r"\[topics\]"):
        await create_missing(connection, [TopicSpec(f"{prefix}.results", 1, 3, {})])


async def test_a_missing_topic_names_the_command_that_creates_it(connection: KafkaConnection, prefix: str) -> None:
    with pytest.raises(MissingTopic, match="headrace topics create"):
        await partitions_of(connection, [results_topic(prefix)])


async def test_the_cluster_keeps_its_id(connection: KafkaConnection) -> None:
    assert len(await cluster_id(connection)) == 22
    assert await cluster_id(connection) == await cluster_id(connection)


async def test_a_closed_port_is_told_in_one_sentence() -> None:
    with pytest.raises(Unreachable, match="No Kafka listens at"):
        await existing(KafkaConnection("127.0.0.1:1"), ["x"])
