"""Topics and nodes of the cluster: inspection and creation.

No request here names a topic in a metadata query: a cluster with auto-creation would then create it with its own
defaults. `create_topics` of aiokafka never raises, so the codes in its answer are read.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from headrace.broker.adapters.kafka.admin import admin_client
from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained, user_of
from headrace.broker.adapters.kafka.rights import seen
from headrace.broker.errors import RightsError, SettingsError, Unreachable
from headrace.schemas.topics import TopicSpec

_REQUEST_MS = 5_000
_LOOKS_MAX = 100
_LOOK_AGAIN_S = 0.05
_ALREADY_EXISTS = 36
_DENIED = (29, 31)
_REFUSED = (37, 38, 39, 40, 42, 44)
"""Bad partitions, replication, assignment, config, request, policy: the settings ask for what this cluster lacks."""


INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state")
"""Kafka's topics for progress and the state of transactions; they exist once they have been needed."""


@dataclass(frozen=True, slots=True)
class TopicAsIs:
    """One topic: `replicas` are those of the partition with the fewest; `configs` in Kafka's own names and texts."""

    partitions: int
    replicas: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Topics by name, and the settings of each node; None for a node that does not let us see them."""

    topics: Mapping[str, TopicAsIs]
    nodes: Mapping[int, Mapping[str, str] | None]


@asynccontextmanager
async def _admin(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    asked = admin_client(connection, client_id="headrace-topics", request_ms=_REQUEST_MS)
    async with kafka_errors_explained(connection), asked as client:
        yield client


async def create_missing(connection: KafkaConnection, specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that do not exist, and return their names.

    Raises:
        RightsError: This user may not create topics.
        SettingsError: The cluster refuses what a spec asks for, such as more replicas than there are nodes.
        Unreachable, AuthenticationError: As `connection.explain_unreachable`.
    """
    async with _admin(connection) as client:
        present = await _described(client)
        missing = [spec for spec in specs if spec.name not in present]
        if not missing:
            return []
        answer = await client.create_topics([_new(spec) for spec in missing])
        created = []
        for topic, code, *told in answer.topic_errors:
            if code == 0:
                created.append(topic)
            elif code != _ALREADY_EXISTS:
                _refused(connection, topic, code, told[0] if told else None)
        await _seen(client, created)
        return sorted(created)


async def _seen(client: AIOKafkaAdminClient, created: Sequence[str]) -> None:
    """Wait, within bounds, until new topics are visible; a node knows one some milliseconds after its creation."""
    for _ in range(_LOOKS_MAX):
        if (await _described(client)).keys() >= set(created):
            return
        await asyncio.sleep(_LOOK_AGAIN_S)
    raise Unreachable("Kafka created the topics and does not show them yet: run `headrace topics check`.")


def _new(spec: TopicSpec) -> NewTopic:
    return NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.configs))


def _refused(connection: KafkaConnection, topic: str, code: int, told: str | None) -> None:
    said = (told or for_code(code).__name__).rstrip(".")
    if code in _DENIED:
        raise RightsError(
            f"Kafka does not allow {user_of(connection)} to create the topic {topic}: grant CREATE on it, or on the "
            "cluster."
        )
    if code in _REFUSED:
        raise SettingsError(f"Kafka refuses the topic {topic}: {said}. Change [topics] in the settings.")
    raise Unreachable(f"Kafka did not create the topic {topic}: {said}. Try again.")


async def look(connection: KafkaConnection, names: Sequence[str]) -> Cluster:
    """Inspect those of `names` that exist, Kafka's own two topics, and the nodes, all with their settings.

    Raises:
        RightsError: This user may not see these topics, or not their settings.
        Unreachable, AuthenticationError: As `connection.explain_unreachable`.
    """
    async with _admin(connection) as client:
        described = await _described(client)
        found = [name for name in names if name in described]
        configs = await _configs(client, found, connection)
        nodes = {node["node_id"]: None for node in (await client.describe_cluster())["brokers"]}
        settings = {node: await _node_settings(client, node) for node in nodes}
    missing = [name for name in names if name not in described]
    unseen = (await seen(connection, missing)).hidden if missing else ()
    if hidden := [name for name in missing if name in unseen]:
        raise RightsError(
            f"Kafka shows {user_of(connection)} no topic {', '.join(hidden)}: grant DESCRIBE and DESCRIBE_CONFIGS on "
            "topics of this prefix (or they do not exist)."
        )
    shapes = {name: described[name]["partitions"] for name in [*found, *INTERNAL_TOPICS] if name in described}
    return Cluster(
        {name: TopicAsIs(len(parts), _fewest(parts), configs.get(name, {})) for name, parts in shapes.items()}, settings
    )


def _fewest(partitions: Sequence[Mapping[str, Any]]) -> int:
    return min((len(partition["replicas"]) for partition in partitions), default=0)


async def _configs(
    client: AIOKafkaAdminClient, topics: Sequence[str], connection: KafkaConnection
) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found: dict[str, dict[str, str]] = {}
    for response in await client.describe_configs(resources):
        for code, told, _, topic, entries in response.resources:
            if code in _DENIED:
                raise RightsError(
                    f"Kafka does not allow {user_of(connection)} to read the settings of {topic}: grant "
                    "DESCRIBE_CONFIGS on topics of this prefix."
                )
            if code:
                raise Unreachable(f"Kafka does not return the settings of {topic}: {told or for_code(code).__name__}.")
            found[topic] = {entry[0]: entry[1] for entry in entries}
    return found


async def _node_settings(client: AIOKafkaAdminClient, node: int) -> dict[str, str] | None:
    [response] = await client.describe_configs([ConfigResource(ConfigResourceType.BROKER, str(node))])
    [(code, _, _, _, entries)] = response.resources
    return None if code else {entry[0]: entry[1] for entry in entries if entry[1] is not None}


async def _described(client: AIOKafkaAdminClient) -> dict[str, Mapping[str, Any]]:
    return {topic["topic"]: topic for topic in await client.describe_topics() if not topic["error_code"]}


async def all_topics(connection: KafkaConnection) -> frozenset[str]:
    """Return the topics that Kafka shows to this user, its own included."""
    async with _admin(connection) as client:
        return frozenset(await _described(client))


async def cluster_id(connection: KafkaConnection) -> str:
    """Return the id that Kafka's cluster was formatted with; part of the lease's key."""
    async with _admin(connection) as client:
        described = await client.describe_cluster()
    named = described.get("cluster_id")
    if not named:
        raise Unreachable("Kafka does not report its cluster id yet: try again.")
    return str(named)


async def cluster_id_within(connection: KafkaConnection, seconds: float) -> str | None:
    """Return the cluster's id, or None if Kafka does not give it in time, whatever the reason.

    A start takes up to three exchanges before the query; each gets its part of the time, so that nothing must be
    cancelled.
    """
    request_ms = max(1, round(seconds * 250))
    try:
        async with admin_client(connection, client_id="headrace-status", request_ms=request_ms) as client:
            named = (await client.describe_cluster()).get("cluster_id")
    except (KafkaError, OSError, TimeoutError):
        return None
    return str(named) if named else None


async def node_count(connection: KafkaConnection) -> int:
    """Return the number of nodes that the cluster has now."""
    async with _admin(connection) as client:
        described = await client.describe_cluster()
    return len(described["brokers"])
