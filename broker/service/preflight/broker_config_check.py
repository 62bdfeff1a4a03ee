"""Check of Kafka's own settings and topics, as far as they can break what Headrace promises.

Pure, as `topic_check`. A node has many settings; here are those by which progress, fences or outcomes have been lost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from headrace.broker.adapters.kafka.topics import INTERNAL_TOPICS, Cluster
from headrace.broker.core.progress.offset_map import METADATA_CHARS_MAX
from headrace.broker.service.preflight.findings import Finding, kafka_tool
from headrace.broker.settings.connections import KafkaSettings
from headrace.broker.settings.topics import DAY_S
from headrace.broker.settings.whole import Settings
from headrace.schemas.topics import MIN_INSYNC, REPLICATION, TopicSpec

_OFFSETS_KEPT_MIN: Final = 7 * 24 * 60
"""Minutes; Kafka's default. A lane that is not served for longer than a week is no accident any more."""


def internal_topics(cluster: Cluster, kafka: KafkaSettings) -> Iterator[Finding]:
    """Find Kafka's own topics with fewer replicas than the cluster allows."""
    should = min(REPLICATION, len(cluster.nodes))
    for name in INTERNAL_TOPICS:
        as_is = cluster.topics.get(name)
        if as_is is not None and as_is.replicas < should:
            mend = (
                f"{kafka_tool('kafka-reassign-partitions.sh', kafka)} --execute --reassignment-json-file … with "
                f"{should} replicas for each partition of {name}"
            )
            because = "progress and fences are lost with one disk"
            yield Finding(name, "replicas", str(as_is.replicas), str(should), because, mend)


@dataclass(frozen=True, slots=True)
class _AtLeast:
    """Lower bound of a node's setting; `is_dynamic`: it can be set without a restart."""

    setting: str
    least: Callable[[Settings, list[TopicSpec]], int]
    because: str
    is_dynamic: bool = False


def _largest_bytes(_settings: Settings, specs: list[TopicSpec]) -> int:
    return max(int(spec.configs["max.message.bytes"]) for spec in specs)


_NODE_RULES: Final = (
    _AtLeast(
        "transaction.max.timeout.ms",
        lambda settings, _: round(settings.dispatcher.transaction_timeout_s * 1_000),
        "no dispatcher can start a transaction",
    ),
    _AtLeast(
        "message.max.bytes",
        _largest_bytes,
        "topics without their own limit, such as the one that stores progress, accept less than ours",
        is_dynamic=True,
    ),
    _AtLeast(
        "socket.request.max.bytes", _largest_bytes, "a node closes the connection on a batch that its topics allow"
    ),
    _AtLeast(
        "offset.metadata.max.bytes",
        lambda _settings, _specs: METADATA_CHARS_MAX,
        "a progress map above it makes every commit fail",
    ),
    _AtLeast(
        "offsets.retention.minutes",
        lambda _settings, _specs: _OFFSETS_KEPT_MIN,
        "stored progress expires while no dispatcher runs, and the next start fails",
    ),
    _AtLeast(
        "transactional.id.expiration.ms",
        lambda _settings, _specs: DAY_S * 1_000,
        "the fence between two leaders expires while neither writes",
    ),
)


def nodes_as_is(settings: Settings, cluster: Cluster, specs: list[TopicSpec]) -> Iterator[Finding]:
    """Find settings of nodes that are too small for what these settings need."""
    for rule in _NODE_RULES:
        least = rule.least(settings, specs)
        for value, nodes in _by_value(cluster, rule.setting).items():
            if int(value) < least:
                mend = f"set {rule.setting}={least} in server.properties of each node, and restart them one by one"
                if rule.is_dynamic:
                    mend = (
                        f"{kafka_tool('kafka-configs.sh', settings.kafka)} --alter --entity-type "
                        f"brokers --entity-default --add-config {rule.setting}={least}"
                    )
                yield Finding(None, rule.setting, value, str(least), rule.because, mend, nodes)


def _by_value(cluster: Cluster, setting: str) -> dict[str, tuple[int, ...]]:
    """Group the nodes by their value of a setting."""
    found: dict[str, tuple[int, ...]] = {}
    for node, configs in sorted(cluster.nodes.items()):
        if configs is not None and setting in configs:
            found[configs[setting]] = (*found.get(configs[setting], ()), node)
    return found


def cautions(cluster: Cluster) -> Iterator[Finding]:
    """Find what is allowed, though requests have been lost by it."""
    nodes = _by_value(cluster, "auto.create.topics.enable").get("true")
    if nodes:
        because = "a misspelt lane becomes a topic without a reader"
        mend = "set auto.create.topics.enable=false in server.properties of each node, and restart them one by one"
        yield Finding(None, "auto.create.topics.enable", "true", "false", because, mend, nodes)
    if len(cluster.nodes) < REPLICATION:
        because = f"a lost disk loses requests and outcomes; production needs min ISR {MIN_INSYNC} of {REPLICATION}"
        mend = f"run {REPLICATION} nodes, and give every topic {REPLICATION} replicas"
        yield Finding(None, "nodes", str(len(cluster.nodes)), str(REPLICATION), because, mend)
    unseen = tuple(node for node, configs in sorted(cluster.nodes.items()) if configs is None)
    if unseen:
        because = "whether they break a promise could not be checked"
        mend = "grant DESCRIBE_CONFIGS on the cluster to this user"
        yield Finding(None, "settings", "hidden", "shown", because, mend, unseen)
