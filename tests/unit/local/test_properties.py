from pathlib import Path

from headrace.broker.local.properties import Node, log_properties, server_properties


def settings_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_one_node_asks_for_no_second_replica_and_listens_on_loopback_only() -> None:
    node = Node(1, 21000, 21001)
    settings = settings_of(server_properties(node, (node,), Path("/data")))
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:21000,CONTROLLER://127.0.0.1:21001"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:21001"
    replicated = {
        name: value for name, value in settings.items() if name.endswith(("replication.factor", "isr", "replicas"))
    }
    assert set(replicated.values()) == {"1"}
    assert len(replicated) == 7


def test_three_nodes_vote_and_keep_three_replicas_of_which_two_answer() -> None:
    nodes = tuple(Node(number, 21000 + number, 22000 + number) for number in (1, 2, 3))
    settings = settings_of(server_properties(nodes[2], nodes, Path("/data")))
    assert settings["node.id"] == "3"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:22001,2@127.0.0.1:22002,3@127.0.0.1:22003"
    assert settings["transaction.state.log.replication.factor"] == "3"
    assert settings["transaction.state.log.min.isr"] == "2"


def test_a_topic_may_allow_records_of_5_mb() -> None:
    node = Node(1, 21000, 21001)
    settings = settings_of(server_properties(node, (node,), Path("/data")))
    assert int(settings["message.max.bytes"]) == int(settings["replica.fetch.max.bytes"]) == 8_388_608


def test_a_killed_node_is_forgotten_in_two_seconds() -> None:
    node = Node(1, 21000, 21001)
    settings = settings_of(server_properties(node, (node,), Path("/data")))
    assert int(settings["broker.session.timeout.ms"]) == 2000
    assert int(settings["broker.heartbeat.interval.ms"]) * 3 < int(settings["broker.session.timeout.ms"])


def test_of_three_nodes_a_killed_one_is_forgotten_in_three_seconds() -> None:
    nodes = tuple(Node(number, 21000 + number, 22000 + number) for number in (1, 2, 3))
    settings = settings_of(server_properties(nodes[0], nodes, Path("/data")))
    assert settings["broker.session.timeout.ms"] == "3000"
    assert settings["default.replication.factor"] == "3"
    assert settings["min.insync.replicas"] == "2"


def test_backslashes_in_a_path_survive_java_properties() -> None:
    settings = settings_of(log_properties(Path("/logs\\odd/kafka.log")))
    assert settings["appender.file.fileName"] == "/logs\\\\odd/kafka.log"


def test_what_a_node_is_told_beyond_ours_beats_ours_and_knows_the_node() -> None:
    nodes = tuple(Node(number, 21000 + number, 22000 + number) for number in (1, 2))
    told = {"num.io.threads": 9, "listeners": "A://:1"}
    settings = settings_of(
        server_properties(nodes[1], nodes, Path("/data"), lambda node: told | {"rack": node.node_id})
    )
    assert (settings["num.io.threads"], settings["listeners"], settings["rack"]) == ("9", "A://:1", "2")
    assert settings["num.network.threads"] == "2"
