"""Topics on a real Kafka: created once, compared in sentences, refused in sentences."""

import uuid

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import all_topics, cluster_id, create_missing, look, node_count
from headrace.broker.errors import SettingsError, Unreachable
from headrace.broker.local.services import LocalServices
from headrace.broker.service.preflight.findings import Finding
from headrace.broker.service.preflight.topic_check import review, wanted
from headrace.broker.settings.connections import KafkaSettings
from headrace.broker.settings.whole import Settings
from headrace.schemas.topics import TopicSpec, ledger_topic, requests_topic


@pytest.fixture
def connection(services: LocalServices) -> KafkaConnection:
    return KafkaConnection(services.endpoints.bootstrap_servers)


@pytest.fixture
def prefix() -> str:
    return f"topics-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def settings(services: LocalServices, prefix: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=services.endpoints.bootstrap_servers, topic_prefix=prefix))


async def findings(settings: Settings) -> list[Finding]:
    """What is different about topics; Kafka's nodes and its own topics are the whole run's."""
    connection = KafkaConnection.of(settings.kafka)
    return review(settings, await look(connection, [spec.name for spec in wanted(settings, 1)])).differences


async def test_every_topic_is_created_once_and_then_differs_in_nothing(
    connection: KafkaConnection, prefix: str, settings: Settings
) -> None:
    specs = wanted(settings, await node_count(connection))
    names = {spec.name for spec in specs}
    assert not names & await all_topics(connection)
    assert await create_missing(connection, specs) == sorted(names)
    assert await create_missing(connection, specs) == []
    assert names <= await all_topics(connection)
    assert await findings(settings) == []
    shaped = (await look(connection, [requests_topic(prefix, "bulk"), ledger_topic(prefix)])).topics
    assert shaped[requests_topic(prefix, "bulk")].partitions == 6
    assert shaped[ledger_topic(prefix)].partitions == 1


PLANTED: dict[str, tuple[int, dict[str, str]]] = {
    "requests.urgent": (3, {"retention.ms": "86400000", "message.timestamp.type": "LogAppendTime"}),
    "requests.standard": (6, {"message.timestamp.before.max.ms": "3600000", "cleanup.policy": "compact,delete"}),
    "requests.bulk": (6, {"max.message.bytes": "2000", "retention.bytes": "1000000"}),
    "results": (14, {"retention.ms": "-1", "unclean.leader.election.enable": "true", "min.insync.replicas": "2"}),
    "ledger": (2, {"message.timestamp.type": "CreateTime", "segment.ms": "604800000"}),
    "totals": (2, {"cleanup.policy": "delete", "segment.ms": "604800000"}),
}
"""Partitions and settings of topics somebody made by hand; the four others are missing."""


async def test_each_planted_difference_is_found_and_no_other(
    connection: KafkaConnection, prefix: str, settings: Settings
) -> None:
    by_hand = []
    for spec in wanted(settings, 1):
        planted = PLANTED.get(spec.name.removeprefix(f"{prefix}."))
        if planted is not None:
            by_hand.append(TopicSpec(spec.name, planted[0], 1, {**spec.configs, **planted[1]}))
    await create_missing(connection, by_hand)
    found = {((one.topic or "").removeprefix(f"{prefix}."), one.setting) for one in await findings(settings)}
    configs = {(topic, setting) for topic, (_, settings) in PLANTED.items() for setting in settings}
    shapes = {(topic, "partitions") for topic in ("requests.urgent", "results", "ledger", "totals")}
    missing = {(topic, "exists") for topic in ("control", "failures", "chunks", "dead-letters")}
    assert found == configs | shapes | missing
    assert len(found) == 21


async def test_a_node_that_takes_less_than_our_topics_is_found(connection: KafkaConnection, settings: Settings) -> None:
    large = settings.topics.results.model_copy(update={"max_message_bytes": 16 * 1024 * 1024})
    asking = settings.model_copy(update={"topics": settings.topics.model_copy(update={"results": large})})
    found = [one for one in review(asking, await look(connection, [])).differences if one.topic is None]
    assert [(one.setting, one.nodes, one.should_be) for one in found] == [("message.max.bytes", (1,), "16777216")]


async def test_more_replicas_than_nodes_are_refused_as_a_matter_of_the_settings(
    connection: KafkaConnection, prefix: str
) -> None:
    with pytest.raises(SettingsError, match=r"\[topics\]"):
        await create_missing(connection, [TopicSpec(f"{prefix}.results", 1, 3, {})])


async def test_the_cluster_keeps_its_id(connection: KafkaConnection) -> None:
    assert len(await cluster_id(connection)) == 22
    assert await cluster_id(connection) == await cluster_id(connection)


async def test_a_closed_port_is_told_in_one_sentence() -> None:
    with pytest.raises(Unreachable, match="No Kafka listens at"):
        await all_topics(KafkaConnection("127.0.0.1:1"))
