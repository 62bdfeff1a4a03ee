"""Three nodes as far as they can be judged without any: a program that only pretends to be java."""

import threading
from pathlib import Path

import pytest

from headrace.broker.local.cluster import KafkaCluster, majority, require_same_size, require_size, size_of_data
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.processes import stop
from headrace.broker.local.services import LocalServices

FORMATS = """case "$*" in *StorageTool*)
  echo "$*" >> "$(dirname "$0")/formatted"
  home=$(dirname "${@: -1}"); mkdir -p "$home/data"; echo "cluster.id=$5" > "$home/data/meta.properties"; exit 0;;
esac"""


def cluster_with(script: str, data_dir: Path, nodes: int = 3) -> KafkaCluster:
    java = data_dir / "java"
    java.write_text(f"#!/bin/bash\n{script}\n")
    java.chmod(0o755)
    ports = free_ports(2 * nodes)
    return KafkaCluster(list(zip(ports[::2], ports[1::2], strict=True)), data_dir, (str(java), "-cp", "jars"))


def pretend(data_dir: Path, node: int, voters: str, cluster_id: str = "Hcluster") -> None:
    home = data_dir / f"kafka-{node}"
    (home / "data").mkdir(parents=True)
    (home / "data" / "meta.properties").write_text(f"version=1\ncluster.id={cluster_id}\nnode.id={node}\n")
    (home / "server.properties").write_text(f"node.id={node}\ncontroller.quorum.voters={voters}\n")


def formatted_ids(data_dir: Path) -> list[str]:
    lines = (data_dir / "formatted").read_text().splitlines()
    return [line.split(" --cluster-id ")[1].split()[0] for line in lines]


@pytest.mark.parametrize("nodes", [-1, 0, 2, 4, 5])
def test_one_node_or_three_and_nothing_between_or_beyond(nodes: int) -> None:
    with pytest.raises(LocalServicesError, match=rf"^A local Kafka has 1 node or 3, not {nodes}: ") as caught:
        LocalServices(nodes=nodes)
    assert caught.value.exit_code == 2


def test_one_node_and_three_are_fine() -> None:
    require_size(1)
    require_size(3)


@pytest.mark.parametrize(("of", "alive", "enough"), [(1, 1, True), (1, 0, False), (3, 2, True), (3, 1, False)])
def test_two_of_three_are_enough_and_one_is_not(of: int, alive: int, enough: bool) -> None:  # noqa: FBT001  a table
    assert majority(of, alive) is enough


def test_all_nodes_are_formatted_for_one_cluster(tmp_path: Path) -> None:
    cluster_with(FORMATS, tmp_path).prepare()
    ids = formatted_ids(tmp_path)
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert len(ids[0]) == 22
    assert not ids[0].startswith("-")


def test_a_node_that_is_missing_is_formatted_for_the_cluster_that_the_others_know(tmp_path: Path) -> None:
    pretend(tmp_path, 1, "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3", "Hknown")
    pretend(tmp_path, 3, "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3", "Hknown")
    cluster_with(FORMATS, tmp_path).prepare()
    assert formatted_ids(tmp_path) == ["Hknown"]


def test_data_know_how_many_nodes_wrote_them(tmp_path: Path) -> None:
    assert size_of_data(tmp_path) is None
    require_same_size(tmp_path, 3)
    pretend(tmp_path, 1, "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3")
    assert size_of_data(tmp_path) == 3
    require_same_size(tmp_path, 3)
    with pytest.raises(LocalServicesError, match=r"with 3 nodes: start it with `--nodes 3`") as caught:
        require_same_size(tmp_path, 1)
    assert caught.value.exit_code == 2


def test_data_of_one_node_are_not_started_with_three(tmp_path: Path) -> None:
    pretend(tmp_path, 1, "1@127.0.0.1:1")
    with pytest.raises(LocalServicesError, match=r"with 1 node: start it with `--nodes 1`, or name another directory"):
        require_same_size(tmp_path, 3)


def test_the_node_that_ended_is_the_one_that_is_named(tmp_path: Path) -> None:
    script = 'case "$*" in *kafka-2*) echo "ERROR no memory"; exit 1;; *) sleep 60;; esac'
    cluster = cluster_with(f"{FORMATS}\n{script}", tmp_path)
    cluster.prepare()
    nodes = cluster.chosen(())
    assert list(cluster.nodes) == [1, 2, 3]
    started = [node.spawn() for node in nodes]
    with pytest.raises(LocalServicesError, match=r"^Kafka node 2 ended instead of starting: ERROR no memory"):
        cluster.await_ready(nodes, threading.Event())
    stop(started)
    for node in nodes:
        assert node.child is not None
        node.child.wait()


def test_clients_are_told_all_addresses(tmp_path: Path) -> None:
    cluster = cluster_with("", tmp_path)
    assert cluster.bootstrap_servers == ",".join(f"127.0.0.1:{node.node.port}" for node in cluster.nodes.values())
    assert not cluster.is_running


def test_a_node_that_nobody_has_cannot_be_chosen(tmp_path: Path) -> None:
    cluster = cluster_with("", tmp_path)
    assert [node.node.node_id for node in cluster.chosen((3, 1))] == [3, 1]
    with pytest.raises(LocalServicesError, match=r"^There is no Kafka node 4: the local ones are 1, 2, 3\.$"):
        cluster.chosen((4,))
