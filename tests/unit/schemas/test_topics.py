from headrace.schemas.topics import KINDS, TopicShape, batches_topic, calls_topic, gateway_topics, topics, totals_topic

LANES = ("urgent", "bulk")


def test_the_topics_are_those_of_the_contract() -> None:
    specs = {spec.name: spec for spec in topics("generation", LANES)}
    assert {
        name: (spec.partitions, int(spec.configs["retention.ms"]) // 3_600_000) for name, spec in specs.items()
    } == {
        "generation.requests.urgent": (6, 168),
        "generation.requests.bulk": (6, 168),
        "generation.control": (1, 24),
        "generation.results": (12, 168),
        "generation.failures": (6, 168),
        "generation.chunks": (6, 1),
        "generation.dead-letters": (3, 720),
        "generation.totals": (1, 9_600),
        "generation.ledger": (1, 24),
    }
    assert {spec.replication for spec in specs.values()} == {3}
    assert {spec.configs["min.insync.replicas"] for spec in specs.values()} == {"2"}
    assert {spec.configs["max.message.bytes"] for spec in specs.values()} == {"1048576"}
    policies = {name: spec.configs["cleanup.policy"] for name, spec in specs.items()}
    assert policies.pop("generation.totals") == "compact,delete"
    assert set(policies.values()) == {"delete"}


def test_sums_are_compacted_within_hours_and_stamped_by_the_log() -> None:
    (totals,) = [each for each in topics("p", (), nodes=1) if each.name == totals_topic("p")]
    assert totals.configs["segment.ms"] == "3600000"
    assert totals.configs["message.timestamp.type"] == "LogAppendTime"
    assert totals.configs["retention.ms"] == str(400 * 86_400_000)


def test_the_topics_of_gateways_are_none_of_the_dispatchers() -> None:
    specs = {spec.name: spec for spec in gateway_topics("generation", {"batches": TopicShape(partitions=3)}, nodes=1)}
    assert {name: (spec.partitions, spec.configs["retention.ms"]) for name, spec in specs.items()} == {
        calls_topic("generation"): (6, str(3_600_000)),
        batches_topic("generation"): (3, str(30 * 86_400_000)),
    }
    assert {spec.replication for spec in specs.values()} == {1}
    both = [*topics("generation", ("bulk",)), *specs.values()]
    assert len({spec.name for spec in both}) == len(both) == len(KINDS)


def test_the_ledger_is_stamped_by_the_log_and_kept_for_two_windows() -> None:
    ledger = topics("p", (), dedupe_window_s=86_400)[-1]
    assert ledger.configs["message.timestamp.type"] == "LogAppendTime"
    assert ledger.configs["segment.ms"] == "3600000"
    assert ledger.configs["retention.ms"] == str(2 * 86_400_000)
    assert topics("p", (), {"ledger": TopicShape(retention_s=60)})[-1].configs["retention.ms"] == "60000"


def test_one_node_holds_one_replica_unless_the_operator_insists() -> None:
    spec = topics("p", (), nodes=1)[0]
    assert (spec.replication, spec.configs["min.insync.replicas"]) == (1, "1")
    spec = topics("p", (), {"control": TopicShape(replication=3)}, nodes=1)[0]
    assert (spec.replication, spec.configs["min.insync.replicas"]) == (3, "2")


def test_overrides_go_to_their_kind_of_topic_only() -> None:
    shape = TopicShape(partitions=24, retention_s=10, max_message_bytes=2_000, min_insync=1)
    specs = topics("p", LANES, {"requests": shape})
    assert [spec.partitions for spec in specs[:3]] == [24, 24, 1]
    assert specs[0].configs == {
        "cleanup.policy": "delete", "retention.ms": "10000", "max.message.bytes": "2000", "min.insync.replicas": "1",
    }  # fmt: skip
