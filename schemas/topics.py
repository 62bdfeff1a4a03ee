"""The topics of one prefix: their names and required configuration. CONTRACT's table, as data."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MESSAGE_BYTES_MAX = 1024 * 1024
BATCH_OVERHEAD_BYTES = 1_024
"""Bytes that a batch may add to its records: Kafka applies a topic's limit to the batch."""
_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
LANE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
REPLICATION = 3
MIN_INSYNC = 2


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """Required configuration of a topic; `configs` are Kafka's own names and texts."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicShape:
    """Overrides of one kind of topic; None: the table's value."""

    partitions: int | None = None
    retention_s: int | None = None
    max_message_bytes: int | None = None
    replication: int | None = None
    min_insync: int | None = None


_TABLE: Mapping[str, TopicShape] = {
    "requests": TopicShape(partitions=6, retention_s=7 * _DAY_S),
    "control": TopicShape(partitions=1, retention_s=_DAY_S),
    "results": TopicShape(partitions=12, retention_s=7 * _DAY_S),
    "failures": TopicShape(partitions=6, retention_s=7 * _DAY_S),
    "chunks": TopicShape(partitions=6, retention_s=_HOUR_S),
    "dead_letters": TopicShape(partitions=3, retention_s=30 * _DAY_S),
    "totals": TopicShape(partitions=1, retention_s=400 * _DAY_S),
    "ledger": TopicShape(partitions=1, retention_s=_DAY_S),
    "calls": TopicShape(partitions=6, retention_s=_HOUR_S),
    "batches": TopicShape(partitions=12, retention_s=30 * _DAY_S),
}
KINDS: tuple[str, ...] = tuple(_TABLE)
"""Keys of the overrides, as in the settings' `[topics.<kind>]`."""
GATEWAY_KINDS: tuple[str, ...] = ("calls", "batches")
"""Kinds that only gateways read and write; without a gateway these topics do not exist."""


def requests_topic(prefix: str, lane: str) -> str:
    """Name the topic of one lane."""
    return f"{prefix}.requests.{lane}"


def lanes_among(topics: Iterable[str], prefix: str) -> list[str]:
    """List the lanes of a prefix that have topics among these, in alphabetical order."""
    begin = requests_topic(prefix, "")
    return sorted(topic.removeprefix(begin) for topic in topics if topic.startswith(begin))


def prefixes_among(topics: Iterable[str]) -> list[str]:
    """List the prefixes that have lanes among these topics, in alphabetical order."""
    parts = (topic.rpartition(".requests.") for topic in topics)
    return sorted({prefix for prefix, _, lane in parts if prefix and LANE_NAME.fullmatch(lane)})


def control_topic(prefix: str) -> str:
    """Name the topic of cancellations."""
    return f"{prefix}.control"


def results_topic(prefix: str) -> str:
    """Name the topic of outcomes, exactly one for each (id, run)."""
    return f"{prefix}.results"


def failures_topic(prefix: str) -> str:
    """Name the topic of requests that wait for the retrier."""
    return f"{prefix}.failures"


def chunks_topic(prefix: str) -> str:
    """Name the topic of streamed deltas."""
    return f"{prefix}.chunks"


def dead_letters_topic(prefix: str) -> str:
    """Name the topic of records that wait for a person."""
    return f"{prefix}.dead-letters"


def ledger_topic(prefix: str) -> str:
    """Name the topic of the leader's own log."""
    return f"{prefix}.ledger"


def totals_topic(prefix: str) -> str:
    """Name the topic of the sums over outcomes: calls, tokens and cost by hour."""
    return f"{prefix}.totals"


def calls_topic(prefix: str) -> str:
    """Name the topic by which the gateways join a repeated call to its first attempt."""
    return f"{prefix}.calls"


def batches_topic(prefix: str) -> str:
    """Name the topic of the gateways' files and batches."""
    return f"{prefix}.batches"


def topics(
    prefix: str,
    lanes: Iterable[str],
    overrides: Mapping[str, TopicShape] | None = None,
    nodes: int = REPLICATION,
    *,
    dedupe_window_s: int = _HOUR_S,
) -> list[TopicSpec]:
    """List every topic of a prefix but those of the gateways.

    Args:
        prefix: Such as `generation`.
        lanes: Names of the lanes; each has a topic of its own.
        overrides: By kind (`KINDS`); a None keeps the table's value.
        nodes: Number of Kafka nodes; unless set, no topic asks for more replicas.
        dedupe_window_s: The ledger is kept for twice as long, at least a day.
    """
    given = overrides or {}
    specs = [_spec("requests", requests_topic(prefix, lane), given.get("requests"), nodes) for lane in lanes]
    for kind in KINDS[1:]:
        if kind in GATEWAY_KINDS:
            continue
        spec = _spec(kind, f"{prefix}.{kind.replace('_', '-')}", given.get(kind), nodes)
        if kind == "ledger":
            spec = _as_ledger(spec, given.get(kind), dedupe_window_s)
        specs.append(_as_totals(spec) if kind == "totals" else spec)
    return specs


def gateway_topics(
    prefix: str, overrides: Mapping[str, TopicShape] | None = None, nodes: int = REPLICATION
) -> list[TopicSpec]:
    """List the topics that the gateways of a prefix need besides; arguments as in `topics`."""
    given = overrides or {}
    return [_spec(kind, f"{prefix}.{kind}", given.get(kind), nodes) for kind in GATEWAY_KINDS]


def _spec(kind: str, name: str, given: TopicShape | None, nodes: int) -> TopicSpec:
    table, own = _TABLE[kind], given or TopicShape()
    replication = own.replication or max(1, min(REPLICATION, nodes))
    retention_s = own.retention_s or table.retention_s or _DAY_S
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_s * 1_000),
        "max.message.bytes": str(own.max_message_bytes or MESSAGE_BYTES_MAX),
        "min.insync.replicas": str(own.min_insync or min(MIN_INSYNC, replication)),
    }
    return TopicSpec(name, own.partitions or table.partitions or 1, replication, configs)


def _as_totals(spec: TopicSpec) -> TopicSpec:
    """Have a sum's earlier records removed within hours, and each sum in the end."""
    configs = {
        "cleanup.policy": "compact,delete",
        "message.timestamp.type": "LogAppendTime",
        "segment.ms": str(_HOUR_S * 1_000),
    }
    return TopicSpec(spec.name, spec.partitions, spec.replication, {**spec.configs, **configs})


def _as_ledger(spec: TopicSpec, given: TopicShape | None, dedupe_window_s: int) -> TopicSpec:
    configs = dict(spec.configs)
    if given is None or given.retention_s is None:
        configs["retention.ms"] = str(max(2 * dedupe_window_s, _DAY_S) * 1_000)
    configs["message.timestamp.type"] = "LogAppendTime"
    configs["segment.ms"] = str(_HOUR_S * 1_000)
    return TopicSpec(spec.name, spec.partitions, spec.replication, configs)
