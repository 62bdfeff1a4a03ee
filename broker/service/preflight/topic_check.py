"""Comparison of topics as the settings want them with topics as they are: every difference that could cost a request.

Pure: what `headrace.broker.adapters.kafka.topics.look` saw goes in, findings come out. Each gives the present value,
the wanted one, the reason, and the command that mends it. Beyond the table of topics this knows which of Kafka's
settings break a
promise: records that vanish before their deadline, times of submission that are not kept.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from headrace.broker.adapters.kafka.topics import Cluster, TopicAsIs
from headrace.broker.service.preflight.broker_config_check import cautions, internal_topics, nodes_as_is
from headrace.broker.service.preflight.findings import FOR_EVER, Finding, Review, kafka_tool, span
from headrace.broker.settings.topics import DAY_S, TopicSettings
from headrace.broker.settings.whole import Settings
from headrace.schemas.topics import KINDS, TopicShape, TopicSpec, gateway_topics, requests_topic, topics


def wanted(settings: Settings, nodes: int) -> list[TopicSpec]:
    """Return the topics that these settings ask for on a cluster of that many nodes."""
    shapes = {kind: _shape(getattr(settings.topics, kind)) for kind in KINDS}
    prefix, window_s = settings.kafka.topic_prefix, settings.dedupe.window_s
    specs = topics(prefix, settings.lanes, shapes, nodes, dedupe_window_s=window_s)
    return specs + gateway_topics(prefix, shapes, nodes) if settings.gateway.enabled else specs


def _shape(topic: TopicSettings) -> TopicShape:
    """Return the configured shape; replicas only where the operator set them, since a small cluster gets fewer."""
    said = topic.model_fields_set
    return TopicShape(
        partitions=topic.partitions,
        retention_s=topic.retention_s,
        max_message_bytes=int(topic.max_message_bytes),
        replication=topic.replication if "replication" in said else None,
        min_insync=topic.min_insync if "min_insync" in said else None,
    )


def review(settings: Settings, cluster: Cluster, *, create: str = "headrace topics create") -> Review:
    """Find every difference between the cluster and what these settings need.

    Args:
        settings: What the topics should be.
        cluster: What they are.
        create: The command that creates missing topics, with the options that lead to the same settings.
    """
    found = Review()
    specs = wanted(settings, len(cluster.nodes))
    lanes = {requests_topic(settings.kafka.topic_prefix, lane): lane for lane in settings.lanes}
    for spec in specs:
        as_is = cluster.topics.get(spec.name)
        about = _RequiredTopic(settings, spec, lanes.get(spec.name), create)
        found.differences += [about.missing()] if as_is is None else about.differences(as_is)
    found.differences += [_no_reply(topic) for topic in settings.replies.allow if topic not in cluster.topics]
    found.differences += internal_topics(cluster, settings.kafka)
    found.differences += nodes_as_is(settings, cluster, specs)
    found.cautions += cautions(cluster)
    return found


def _no_reply(topic: str) -> Finding:
    because = "replies.allow names it, and copies of outcomes to it are dropped"
    mend = "have its owner create it, or take it out of replies.allow"
    return Finding(topic, "reply", "no", "yes", because, mend)


class _RequiredTopic:
    """Required state of one topic."""

    def __init__(self, settings: Settings, spec: TopicSpec, lane: str | None, create: str) -> None:
        self._kafka = settings.kafka
        self._spec = spec
        self._lane = lane
        self._create = create
        ending = spec.name.removeprefix(f"{settings.kafka.topic_prefix}.")
        self._kind = "requests" if lane else ending.replace("-", "_")
        self._longest_s = settings.deadline_max_s(lane) if lane else 0
        self._parked_s = settings.parked_max_s if self._kind == "failures" else 0

    def missing(self) -> Finding:
        return Finding(self._spec.name, "exists", "no", "yes", "", self._create)

    def differences(self, as_is: TopicAsIs) -> list[Finding]:
        return [*self._shape(as_is), *self._configs(as_is)]

    def _shape(self, as_is: TopicAsIs) -> Iterator[Finding]:
        should = self._spec.partitions
        if as_is.partitions < should:
            mend = (
                f"{kafka_tool('kafka-topics.sh', self._kafka)} --alter --topic {self._spec.name} --partitions {should}"
            )
            yield self._finding("partitions", as_is.partitions, should, "fewer partitions are read in parallel", mend)
        elif as_is.partitions > should and self._kind in _OF_ONE_PARTITION:
            mend = f"stop all dispatchers, delete the topic {self._spec.name}, and run `{self._create}`"
            yield self._finding("partitions", as_is.partitions, should, "only the first is ever read", mend)
        elif as_is.partitions > should:
            mend = f"if that is intended, set topics.{self._kind}.partitions = {as_is.partitions} in the settings"
            yield self._finding("partitions", as_is.partitions, should, "Kafka cannot remove partitions", mend)
        if as_is.replicas != self._spec.replication:
            because = (
                "a lost disk loses records" if as_is.replicas < self._spec.replication else "the settings ask for fewer"
            )
            mend = (
                f"{kafka_tool('kafka-reassign-partitions.sh', self._kafka)} --execute --reassignment-json-file … with "
                f"{self._spec.replication} replicas for each partition of {self._spec.name}"
            )
            yield self._finding("replicas", as_is.replicas, self._spec.replication, because, mend)

    def _configs(self, as_is: TopicAsIs) -> Iterator[Finding]:
        should = {**_EVERY_TOPIC, **(_EVERY_LANE if self._lane else {}), **self._spec.configs}
        for setting, value in should.items():
            is_now = as_is.configs.get(setting, value)
            if _normal(is_now) != _normal(value):
                yield self._finding(
                    setting, is_now, value, self._because(setting, is_now, value), self._command(setting, value)
                )
        oldest_ms = int(as_is.configs.get("message.timestamp.before.max.ms", str(2**63 - 1)))
        if self._lane and oldest_ms < self._longest_s * 1_000:
            setting, value = "message.timestamp.before.max.ms", str(self._longest_s * 1_000)
            because = "a retry keeps the time of its submission, and Kafka would refuse it as too old"
            yield self._finding(setting, oldest_ms, value, because, self._command(setting, value))

    def _because(self, setting: str, is_now: str, value: str) -> str:
        if self._kind == "totals" and setting in _WHY_OF_TOTALS:
            return _WHY_OF_TOTALS[setting]
        shorter = setting in _SHORTER and is_now != FOR_EVER and int(is_now) < int(value)
        if setting == "retention.ms" and shorter and int(is_now) < (self._longest_s + DAY_S) * 1_000 and self._lane:
            allowed = span(self._longest_s * 1_000)
            return f"lane {self._lane} allows deadlines of {allowed}, so requests expire before they are answered"
        if setting == "retention.ms" and shorter and int(is_now) < (self._parked_s + DAY_S) * 1_000 and self._parked_s:
            return f"requests are parked for up to {span(self._parked_s * 1_000)}, and expire before they are put back"
        if setting == "min.insync.replicas" and int(is_now) > self._spec.replication:
            return f"with {self._spec.replication} replicas nothing can be written"
        if setting in _SHORTER:
            lost = _SHORTER[setting].get(self._kind, "the settings promise more") if shorter else _LONGER[setting]
            return lost.format(kind=self._kind)
        return _WHY[setting]

    def _command(self, setting: str, value: str) -> str:
        return (
            f"{kafka_tool('kafka-configs.sh', self._kafka)} --alter --entity-type topics "
            f"--entity-name {self._spec.name} --add-config {setting}={value}"
        )

    def _finding(self, setting: str, is_now: object, should_be: object, because: str, mend: str) -> Finding:
        return Finding(self._spec.name, setting, str(is_now), str(should_be), because, mend)


_OF_ONE_PARTITION: Final = frozenset({"totals", "ledger"})
_EVERY_TOPIC: Final[Mapping[str, str]] = {"retention.bytes": FOR_EVER, "unclean.leader.election.enable": "false"}
_EVERY_LANE: Final[Mapping[str, str]] = {"message.timestamp.type": "CreateTime"}

_WHY: Final[Mapping[str, str]] = {
    "cleanup.policy": "compaction removes records that share a key before they are read",
    "min.insync.replicas": "with fewer, a lost disk loses acknowledged records; with more, a restart of a node "
    "stops writing",
    "message.timestamp.type": "deadlines, retries and the reading of the ledger rely on these times",
    "segment.ms": "a cold start reads more than it needs, and old records outlive their retention",
    "retention.bytes": "a burst makes records expire long before their retention",
    "unclean.leader.election.enable": "a node without some acknowledged records may lead, and these are lost",
}
_WHY_OF_TOTALS: Final[Mapping[str, str]] = {
    "cleanup.policy": "without compaction each transaction adds records that stay, and without deletion each sum does",
    "segment.ms": "compaction leaves the present segment alone, so each start reads more of it than it needs",
}
_SHORTER: Final[Mapping[str, Mapping[str, str]]] = {
    "retention.ms": {
        "requests": "requests expire earlier than the settings promise",
        "results": "outcomes expire before a reader that was stopped returns",
        "failures": "requests that wait for the retrier expire",
        "dead_letters": "dead letters are gone before an operator sees them",
        "totals": "what calls have cost is forgotten earlier than the settings promise",
        "ledger": "ids are forgotten within the dedupe window, and answered again",
        "calls": "a repeated attempt may not find the call to join, and is paid again",
        "batches": "files and batches are gone before their results are fetched",
    },
    "max.message.bytes": {
        "requests": "requests that the settings allow are refused",
        "results": "answers that fit today end as too_large_for_topic",
        "failures": "requests too large for it can never be parked",
        "totals": "the sums of an hour with long names are refused",
        "ledger": "a full transaction cannot be written, and the leader cannot publish",
        "calls": "calls that may be joined later are refused",
        "batches": "parts of files that the settings allow are refused",
    },
}
_LONGER: Final[Mapping[str, str]] = {
    "retention.ms": "the disks hold more than planned (if that is intended, set topics.{kind}.retention_s)",
    "max.message.bytes": "larger records may come (if that is intended, set topics.{kind}.max_message_bytes)",
}


def _normal(value: str) -> tuple[str, ...]:
    """Normalise a value: lists, such as of clean-up policies, have no order."""
    return tuple(sorted(part.strip() for part in value.split(",")))
