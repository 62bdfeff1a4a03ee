"""Each difference that could cost a request is found, told with its reason, and mended by the command beside it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from headrace.broker.adapters.kafka.topics import Cluster, TopicAsIs
from headrace.broker.service.preflight.findings import Finding
from headrace.broker.service.preflight.topic_check import review, wanted
from headrace.broker.settings.duties import RepliesSettings
from headrace.broker.settings.load import load_settings
from headrace.broker.settings.whole import Settings

SETTINGS = load_settings(None, {}, {})
NODE = {
    "transaction.max.timeout.ms": "900000",
    "message.max.bytes": "1048588",
    "socket.request.max.bytes": "104857600",
    "offset.metadata.max.bytes": "4096",
    "offsets.retention.minutes": "10080",
    "transactional.id.expiration.ms": "604800000",
    "auto.create.topics.enable": "false",
}
USUAL = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": str(2**63 - 1),
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    "segment.ms": "604800000",
}
LANE, RESULTS, LEDGER = "generation.requests.bulk", "generation.results", "generation.ledger"


def fresh(settings: Settings = SETTINGS, nodes: int = 3) -> Cluster:
    """What `topics create` leaves."""
    topics = {
        spec.name: TopicAsIs(spec.partitions, spec.replication, USUAL | dict(spec.configs))
        for spec in wanted(settings, nodes)
    }
    return Cluster(topics, dict.fromkeys(range(1, nodes + 1), NODE))


def test_the_topics_of_gateways_are_wanted_only_with_a_gateway() -> None:
    with_gateways = load_settings(None, {"gateway.enabled": True, "topics.calls.partitions": 12}, {})
    missing = {one.subject for one in review(with_gateways, fresh()).missing}
    assert missing == {"generation.calls", "generation.batches"}
    assert not review(with_gateways, fresh(with_gateways)).differences
    assert {spec.name: spec.partitions for spec in wanted(with_gateways, 3)}["generation.calls"] == 12
    assert not review(SETTINGS, fresh(with_gateways)).differences


@pytest.mark.parametrize("kind", ["calls", "batches"])
def test_a_shorter_retention_of_a_gateways_topic_has_its_reason(kind: str) -> None:
    settings = load_settings(None, {"gateway.enabled": True}, {})
    cluster = fresh(settings)
    name = f"generation.{kind}"
    as_is = cluster.topics[name]
    shorter = TopicAsIs(as_is.partitions, as_is.replicas, {**as_is.configs, "retention.ms": "60000"})
    found = review(settings, replace(cluster, topics={**cluster.topics, name: shorter})).differences
    assert [one.subject for one in found] == [name]
    assert found[0].because != "the settings promise more"


def with_topic(name: str, configs: Mapping[str, str], shape: Mapping[str, int] | None = None) -> Cluster:
    cluster = fresh()
    as_is = cluster.topics[name]
    shape = shape or {}
    changed = TopicAsIs(
        shape.get("partitions", as_is.partitions), shape.get("replicas", as_is.replicas), {**as_is.configs, **configs}
    )
    return replace(cluster, topics={**cluster.topics, name: changed})


def with_node(**configs: str) -> Cluster:
    changed = NODE | {key.replace("_", "."): value for key, value in configs.items()}
    return replace(fresh(), nodes={1: NODE, 2: changed, 3: changed})


def only(cluster: Cluster, settings: Settings = SETTINGS) -> Finding:
    found = review(settings, cluster)
    [finding] = found.differences
    assert found.cautions == []
    return finding


def test_a_small_cluster_gets_fewer_replicas_unless_they_are_set() -> None:
    assert {(spec.replication, spec.configs["min.insync.replicas"]) for spec in wanted(SETTINGS, 1)} == {(1, "1")}
    assert {(spec.replication, spec.configs["min.insync.replicas"]) for spec in wanted(SETTINGS, 5)} == {(3, "2")}
    insisting = load_settings(None, {}, {"HEADRACE_TOPICS__RESULTS__REPLICATION": "3"})
    replicas = {spec.name: spec.replication for spec in wanted(insisting, 1)}
    assert (replicas[RESULTS], replicas["generation.control"]) == (3, 1)


def test_the_ledger_outlives_two_dedupe_windows() -> None:
    settings = load_settings(None, {}, {"HEADRACE_DEDUPE__WINDOW_S": "86400"})
    ledger = next(spec for spec in wanted(settings, 3) if spec.name == LEDGER)
    assert ledger.configs["retention.ms"] == str(2 * 86_400_000)


def test_fresh_topics_on_three_nodes_differ_in_nothing() -> None:
    found = review(SETTINGS, fresh())
    assert (found.differences, found.cautions) == ([], [])


def test_a_missing_topic_is_mended_by_the_verb_that_creates_it() -> None:
    cluster = fresh()
    finding = only(replace(cluster, topics={name: one for name, one in cluster.topics.items() if name != RESULTS}))
    assert finding.sentence == "generation.results does not exist; to fix it: headrace topics create"


def test_the_command_that_creates_topics_names_what_the_check_was_given() -> None:
    cluster = fresh()
    ledger = replace(cluster.topics[LEDGER], partitions=2)
    topics = {name: one for name, one in cluster.topics.items() if name != RESULTS} | {LEDGER: ledger}
    found = review(SETTINGS, replace(cluster, topics=topics), create="headrace topics create --prefix eu")
    assert {one.setting: one.mend for one in found.differences} == {
        "exists": "headrace topics create --prefix eu",
        "partitions": "stop all dispatchers, delete the topic generation.ledger, and run "
        "`headrace topics create --prefix eu`",
    }


@pytest.mark.parametrize(
    ("name", "setting", "is_now", "said"),
    [
        (
            LANE,
            "retention.ms",
            "86400000",
            "is 86400000 (1 d) and should be 604800000 (7 d): lane bulk allows deadlines",
        ),
        (LANE, "retention.ms", "1209600000", "(if that is intended, set topics.requests.retention_s)"),
        (LANE, "message.timestamp.type", "LogAppendTime", "should be CreateTime: deadlines, retries"),
        (LANE, "message.timestamp.before.max.ms", "3600000", "should be 518400000 (6 d): a retry keeps the time"),
        (LANE, "max.message.bytes", "2000", "is 2000 (1.95 KiB) and should be 1048576 (1 MiB): requests that the"),
        (LANE, "cleanup.policy", "compact,delete", "compaction removes records that share a key"),
        (LANE, "retention.bytes", "1000000000", "should be without limit (-1): a burst makes records expire"),
        (RESULTS, "retention.ms", "1000", "is 1000 (1 s) and should be 604800000 (7 d): outcomes expire before"),
        (RESULTS, "retention.ms", "-1", "is without limit (-1) and should be 604800000 (7 d): the disks hold"),
        (RESULTS, "max.message.bytes", "5242880", "(if that is intended, set topics.results.max_message_bytes)"),
        (RESULTS, "unclean.leader.election.enable", "true", "a node without some acknowledged records may lead"),
        (RESULTS, "min.insync.replicas", "1", "a lost disk loses acknowledged records"),
        (RESULTS, "min.insync.replicas", "4", "with 3 replicas nothing can be written"),
        ("generation.dead-letters", "retention.ms", "60000", "dead letters are gone before an operator sees them"),
        ("generation.failures", "max.message.bytes", "2000", "can never be parked"),
        ("generation.failures", "retention.ms", "518400000", "requests are parked for up to 6 d, and expire before"),
        ("generation.control", "retention.ms", "60000", "the settings promise more"),
        (LEDGER, "message.timestamp.type", "CreateTime", "should be LogAppendTime"),
        (LEDGER, "segment.ms", "604800000", "is 604800000 (7 d) and should be 3600000 (1 h)"),
        (LEDGER, "retention.ms", "3600000", "ids are forgotten within the dedupe window"),
    ],
)
def test_a_setting_of_a_topic_is_told_with_its_reason_and_its_command(
    name: str, setting: str, is_now: str, said: str
) -> None:
    finding = only(with_topic(name, {setting: is_now}))
    assert (finding.topic, finding.setting, finding.is_now) == (name, setting, is_now)
    assert said in finding.said
    assert finding.mend == (
        "kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type topics "
        f"--entity-name {name} --add-config {setting}={finding.should_be}"
    )
    assert only(with_topic(name, {setting: is_now})).sentence.startswith(f"{name}: {setting} is ")


@pytest.mark.parametrize(
    ("name", "shape", "said", "mend"),
    [
        (LANE, {"partitions": 1}, "has 1 partition instead of 6", "kafka-topics.sh --bootstrap-server localhost:9092"),
        (
            LANE,
            {"partitions": 9},
            "has 9 partitions instead of 6",
            "set topics.requests.partitions = 9 in the settings",
        ),
        (LEDGER, {"partitions": 2}, "only the first is ever read", "stop all dispatchers, delete the topic"),
        (RESULTS, {"replicas": 1}, "has 1 replica instead of 3: a lost disk", "kafka-reassign-partitions.sh"),
        (
            RESULTS,
            {"replicas": 4},
            "has 4 replicas instead of 3: the settings ask for fewer",
            "kafka-reassign-partitions.sh",
        ),
    ],
)
def test_the_shape_of_a_topic_is_compared(name: str, shape: dict[str, int], said: str, mend: str) -> None:
    finding = only(with_topic(name, {}, shape))
    assert said in finding.said
    assert mend in finding.mend


def test_partitions_that_the_settings_ask_for_are_no_difference() -> None:
    settings = load_settings(None, {}, {"HEADRACE_TOPICS__REQUESTS__PARTITIONS": "9"})
    assert review(settings, fresh(settings)).differences == []


@pytest.mark.parametrize(
    ("setting", "is_now", "should_be", "mend"),
    [
        ("transaction_max_timeout_ms", "10000", "15000", "set transaction.max.timeout.ms=15000 in server.properties"),
        ("message_max_bytes", "100000", "1048576", "--entity-default --add-config message.max.bytes=1048576"),
        ("socket_request_max_bytes", "100000", "1048576", "server.properties of each node"),
        ("offset_metadata_max_bytes", "1024", "4096", "server.properties of each node"),
        ("offsets_retention_minutes", "60", "10080", "server.properties of each node"),
        ("transactional_id_expiration_ms", "60000", "86400000", "server.properties of each node"),
    ],
)
def test_a_node_that_is_too_small_for_us_is_named(setting: str, is_now: str, should_be: str, mend: str) -> None:
    finding = only(with_node(**{setting: is_now}))
    assert (finding.topic, finding.nodes, finding.is_now, finding.should_be) == (None, (2, 3), is_now, should_be)
    assert finding.subject == "nodes 2, 3"
    assert mend in finding.mend


def test_a_transaction_longer_than_the_cluster_allows_is_found_from_our_side() -> None:
    settings = load_settings(None, {}, {"HEADRACE_DISPATCHER__TRANSACTION_TIMEOUT_S": "60"})
    cluster = replace(fresh(), nodes={1: NODE | {"transaction.max.timeout.ms": "30000"}, 2: NODE, 3: NODE})
    assert only(cluster, settings).should_be == "60000"


def test_progress_that_lies_on_one_disk_is_a_difference_on_three_nodes() -> None:
    cluster = fresh()
    finding = only(replace(cluster, topics={**cluster.topics, "__consumer_offsets": TopicAsIs(50, 1, {})}))
    assert "__consumer_offsets has 1 replica instead of 3: progress and fences" in finding.sentence


def test_what_only_deserves_a_word_is_a_caution() -> None:
    assert [one.said for one in review(SETTINGS, fresh(nodes=1)).cautions] == [
        "has 1 node instead of 3: a lost disk loses requests and outcomes; production needs min ISR 2 of 3"
    ]
    [on_sight] = review(SETTINGS, with_node(auto_create_topics_enable="true")).cautions
    assert (on_sight.nodes, on_sight.setting) == ((2, 3), "auto.create.topics.enable")
    [hidden] = review(SETTINGS, replace(fresh(), nodes={1: None, 2: NODE, 3: NODE})).cautions
    assert hidden.sentence.startswith("node 1 does not show its settings")
    assert review(SETTINGS, fresh(nodes=1)).differences == []


def test_a_command_for_a_secured_kafka_names_the_file_with_the_login() -> None:
    environ = {"HEADRACE_KAFKA__SECURITY_PROTOCOL": "SSL"}
    finding = only(with_topic(LANE, {"retention.ms": "1"}), load_settings(None, {}, environ))
    assert finding.mend.startswith(
        "kafka-configs.sh --bootstrap-server localhost:9092 --command-config client.properties --alter"
    )


def test_a_server_that_does_not_know_a_setting_differs_in_nothing() -> None:
    cluster = fresh()
    old = {key: value for key, value in USUAL.items() if key != "message.timestamp.before.max.ms"}
    assert review(SETTINGS, replace(cluster, nodes={1: {}, 2: {}, 3: {}})).differences == []
    lane = replace(cluster.topics[LANE], configs={key: cluster.topics[LANE].configs[key] for key in old})
    assert review(SETTINGS, replace(cluster, topics={**cluster.topics, LANE: lane})).differences == []


def test_a_reply_topic_that_does_not_exist_is_a_difference_that_no_verb_of_ours_mends() -> None:
    settings = SETTINGS.model_copy(update={"replies": RepliesSettings(allow=("acme.answers",))})
    finding = only(fresh(), settings)
    assert finding.sentence == (
        "acme.answers does not exist: replies.allow names it, and copies of outcomes to it are dropped; to fix it: "
        "have its owner create it, or take it out of replies.allow"
    )
    assert not review(settings, fresh()).missing
    cluster = fresh()
    there = replace(cluster, topics={**cluster.topics, "acme.answers": TopicAsIs(1, 1, {})})
    assert not review(settings, there).differences
