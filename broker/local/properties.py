"""The two configuration files of a Kafka node, as text.

A node is described among its peers, so that a cluster of three is a longer tuple and nothing else. Sizes and times are
small because the data are a developer's: docs/facts/local.md has the measurements.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_SESSION_MS = 2000  # a killed node's registration must expire before the node can come back
_SESSION_OF_SEVERAL_MS = 3000  # it is also how long the others wait for a node that only stumbles, on a busy machine
_RECORD_BYTES_MAX = 8 * 1024 * 1024  # above any topic's own max.message.bytes; Headrace's allow up to 5 MB


@dataclass(frozen=True, slots=True)
class Node:
    """One Kafka server, controller and log keeper in one process."""

    node_id: int
    port: int
    controller_port: int


NodeSettings = Callable[[Node], Mapping[str, object]]
"""Additional settings of a node, by Kafka's own names; they override those of this module."""


def ours_alone(_: Node) -> Mapping[str, object]:
    """Return no additional settings."""
    return {}


def server_properties(
    node: Node, cluster: tuple[Node, ...], data: Path, node_settings: NodeSettings = ours_alone
) -> str:
    """Return server.properties of `node`; `cluster` holds every node, this one too; its logs are in `data`."""
    replicas = min(3, len(cluster))
    in_sync = max(1, replicas - 1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "controller.quorum.voters": ",".join(f"{peer.node_id}@127.0.0.1:{peer.controller_port}" for peer in cluster),
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,  # default 10 s: readers wait that long
        "broker.session.timeout.ms": _SESSION_MS if len(cluster) == 1 else _SESSION_OF_SEVERAL_MS,
        "broker.heartbeat.interval.ms": 400,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.fetch.timeout.ms": 1000,
        "controller.quorum.election.backoff.max.ms": 300,
        "metadata.max.idle.interval.ms": 10_000,  # default 500: half of what an idle node computes
        "message.max.bytes": _RECORD_BYTES_MAX,
        "replica.fetch.max.bytes": _RECORD_BYTES_MAX,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,  # default 128 MiB, half of the heap
        **node_settings(node),
    }
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in settings.items())


def log_properties(log: Path) -> str:
    """Return log4j2.properties, which writes everything worth reading to `log`, at most 30 MB of it."""
    settings = {
        "appender.file.type": "RollingFile",
        "appender.file.name": "file",
        "appender.file.fileName": log,
        "appender.file.filePattern": f"{log}.%i",
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": "%d %p %m (%c{1})%n",
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": "10MB",
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": 2,
        "rootLogger.level": "INFO",
        "rootLogger.appenderRef.file.ref": "file",
    }
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    """Escape a value for java.util.Properties, where a backslash escapes and so must be doubled."""
    return value.replace("\\", "\\\\")
