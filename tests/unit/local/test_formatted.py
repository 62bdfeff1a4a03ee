"""What Kafka's tool wrote once is copied for every later node, with the names that are a node's own."""

import os
from pathlib import Path

import pytest

from headrace.broker.local.cluster import KafkaCluster
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.formatted import copy_format, keep_format, place_of_format, random_id
from headrace.broker.local.jars import Jar
from tests.unit.local.test_servers import program

META = "#\n#a comment: node.id=9\ncluster.id=Hfirst\ndirectory.id=first\nnode.id=1\nversion=1\n"
TOOL = """
for word in "$@"; do properties=$word; done
data=$(sed -n 's/^log.dirs=//p' "$properties")
echo formatted >> "{told}"
mkdir -p "$data"
printf '{meta}' > "$data/meta.properties"
printf levels > "$data/bootstrap.checkpoint"
"""


def cluster(directory: Path, java: Path, kept: Path | None, nodes: int = 1) -> KafkaCluster:
    ports = [(20_001 + 2 * number, 20_002 + 2 * number) for number in range(nodes)]
    return KafkaCluster(ports, directory, (str(java), "-cp", "jars"), kept_format=kept)


def written(directory: Path, node: int = 1) -> dict[str, str]:
    return {file.name: file.read_text() for file in (directory / f"kafka-{node}" / "data").iterdir()}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A file with a line for each run of the tool."""
    file = tmp_path / "told"
    file.touch()
    return file


@pytest.fixture
def java(tmp_path: Path, told: Path) -> Path:
    return program(tmp_path / "java", TOOL.format(told=told, meta=META.replace("\n", "\\n")))


def test_the_tool_formats_the_first_directory_and_its_work_the_later_ones(
    tmp_path: Path, java: Path, told: Path
) -> None:
    kept = tmp_path / "cache" / "formatted" / "one"
    cluster(tmp_path / "first", java, kept).prepare()
    cluster(tmp_path / "second", java, kept, nodes=3).prepare()
    assert told.read_text() == "formatted\n"
    assert written(tmp_path / "first") == {"meta.properties": META, "bootstrap.checkpoint": "levels"}
    found = [written(tmp_path / "second", node) for node in (1, 2, 3)]
    assert {each["bootstrap.checkpoint"] for each in found} == {"levels"}
    names = [dict(line.split("=", 1) for line in each["meta.properties"].splitlines()[2:]) for each in found]
    assert [each["node.id"] for each in names] == ["1", "2", "3"]
    assert len({each["directory.id"] for each in names} - {"first"}) == 3
    assert len({each["cluster.id"] for each in names} - {"Hfirst"}) == 1
    assert all(each["meta.properties"].splitlines()[1] == "#a comment: node.id=9" for each in found)
    assert [each.name for each in kept.parent.iterdir()] == ["one"]


def test_without_a_place_for_it_each_directory_is_formatted_by_the_tool(tmp_path: Path, java: Path, told: Path) -> None:
    for name in ("first", "second"):
        cluster(tmp_path / name, java, None).prepare()
    assert told.read_text() == "formatted\n" * 2


def test_a_tool_that_fails_leaves_nothing_that_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "one"
    with pytest.raises(LocalServicesError):
        cluster(tmp_path, program(tmp_path / "java", "exit 1"), kept).prepare()
    assert not kept.exists()


@pytest.mark.parametrize("meta", ["cluster.id=H\nnode.id=1\n", "node.id=1\nnode.id=2\ncluster.id=H\ndirectory.id=d\n"])
def test_names_that_are_not_as_they_were_are_left_to_the_tool(tmp_path: Path, meta: str) -> None:
    (tmp_path / "meta.properties").write_text(meta)
    (tmp_path / "bootstrap.checkpoint").write_text("levels")
    assert not copy_format(tmp_path, tmp_path / "data", cluster_id="H", node_id=1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("names", [{"meta.properties"}, {"meta.properties", "bootstrap.checkpoint", "quorum-state"}])
def test_other_files_than_the_known_ones_are_not_kept(tmp_path: Path, names: set[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in names:
        (data / name).touch()
    keep_format(data, tmp_path / "cache" / "one")
    assert not (tmp_path / "cache").exists()


def test_what_another_start_has_kept_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, kept = tmp_path / "data", tmp_path / "cache" / "one"
    data.mkdir()
    for name in ("meta.properties", "bootstrap.checkpoint"):
        (data / name).write_text("ours")
    rename = os.rename

    def later(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "meta.properties").write_text("another's")
        rename(source, target)

    monkeypatch.setattr(os, "rename", later)
    keep_format(data, kept)
    assert [(each.name, each.read_text()) for each in kept.iterdir()] == [("meta.properties", "another's")]
    assert list(kept.parent.iterdir()) == [kept]


def test_other_jars_have_another_place_and_their_order_does_not_matter(tmp_path: Path) -> None:
    one, two = (Jar("g", "a", version, version * 64) for version in "12")
    assert place_of_format([one, two], tmp_path) == place_of_format([two, one], tmp_path)
    assert place_of_format([one], tmp_path) != place_of_format([two], tmp_path)


def test_an_id_is_one_of_kafkas() -> None:
    made = random_id()
    assert len(made) == 22
    assert made != random_id()
    assert made[0] == "H"
