from broker.cli.topics import wanted
from broker.settings.load import load_settings


def test_a_small_cluster_gets_fewer_replicas_unless_they_are_set() -> None:
    settings = load_settings(None, {}, {})
    assert {(spec.replication, spec.configs["min.insync.replicas"]) for spec in wanted(settings, 1)} == {(1, "1")}
    assert {(spec.replication, spec.configs["min.insync.replicas"]) for spec in wanted(settings, 5)} == {(3, "2")}
    insisting = load_settings(None, {}, {"HEADRACE_TOPICS__RESULTS__REPLICATION": "3"})
    replicas = {spec.name: spec.replication for spec in wanted(insisting, 1)}
    assert (replicas["generation.results"], replicas["generation.control"]) == (3, 1)


def test_the_ledger_outlives_two_dedupe_windows() -> None:
    settings = load_settings(None, {}, {"HEADRACE_DEDUPE__WINDOW_S": "86400"})
    ledger = next(spec for spec in wanted(settings, 3) if spec.name == "generation.ledger")
    assert ledger.configs["retention.ms"] == str(2 * 86_400_000)
