"""Pairs that run by themselves: what still runs keeps its data, what has ended is started again, all are found."""

from pathlib import Path

import pytest

from headrace.broker.local import detached
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.known import known, note, unnamed
from headrace.broker.local.processes import Process, is_running, running_in, stop
from headrace.broker.local.record import read_record, remove_record
from headrace.broker.local.valkey import answers_ping
from tests.unit.local.standins import dies, pair, topic_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_a_valkey_that_died_is_started_again_and_kafka_keeps_its_pid_and_its_topics(
    tmp_path: Path, *, named: bool
) -> None:
    home = tmp_path / "data" if named else unnamed()
    told: list[str] = []
    with pair(home) as (record, (kafka, valkey)):
        dies(valkey)
        assert detached.status(home) is None
        mended = detached.up(home if named else None, told=told.append)
        try:
            assert (mended.kafka_pids, mended.redis_url) == (record.kafka_pids, record.redis_url)
            assert kafka.poll() is None
            assert mended.valkey_pid not in {0, record.valkey_pid}
            assert answers_ping(int(record.redis_url.removesuffix("/0").rpartition(":")[2]))
            assert topic_of(home).read_text() == "a lead"
            assert told == ["Valkey had ended: started again, empty. Kafka and its topics are unchanged."]
            assert detached.status(home) == mended == read_record(home)
        finally:
            stop([Process(mended.valkey_pid, str(home / "valkey"))])


def test_a_kafka_that_died_beside_a_valkey_is_started_on_its_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A Kafka that cannot start here: what is looked at is that its data are not thrown away for it."""
    monkeypatch.setattr("headrace.broker.local.mending.java", lambda: Path("/nonexistent/java"))
    monkeypatch.setattr("headrace.broker.local.mending.ensure_jars", lambda *_, **__: ())
    monkeypatch.setattr("headrace.broker.local.mending.java_command", lambda *_: ("/bin/false", "-cp", ""))
    home = unnamed()
    with pair(home) as (record, (kafka, valkey)):
        dies(kafka)
        with pytest.raises(LocalServicesError, match=r"^Kafka ended instead of starting"):
            detached.up()
        assert topic_of(home).read_text() == "a lead"
        assert valkey.poll() is None
        noted = read_record(home)
        assert noted is not None
        assert noted.valkey_pid == record.valkey_pid
    assert not list(tmp_path.glob("data"))


@pytest.mark.slow
def test_of_three_nodes_the_one_that_died_is_known_and_where_it_listens_is_read_from_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[tuple[int, int]]] = []

    class Cluster:
        def __init__(self, ports: list[tuple[int, int]], *_: object) -> None:
            seen.append(ports)

        def chosen(self, numbers: list[int]) -> tuple[object, ...]:
            assert numbers == [2]
            return ()

        def await_ready(self, *_: object) -> None:
            return

    monkeypatch.setattr("headrace.broker.local.mending.KafkaCluster", Cluster)
    monkeypatch.setattr("headrace.broker.local.mending._java", lambda _: ())
    told: list[str] = []
    with pair(unnamed(), nodes=3) as (record, children):
        dies(children[1])
        assert detached.up(told=told.append) == record
        own = [int(address.rpartition(":")[2]) for address in record.bootstrap_servers.split(",")]
        assert [port for port, _ in seen[0]] == own
        assert told == ["Kafka's node 2 had ended: started again, with the topics that were there."]
        for number in (1, 2, 3):
            (unnamed() / f"kafka-{number}" / "server.properties").unlink()
        with pytest.raises(LocalServicesError, match=r"cannot be read") as caught:
            detached.up()
        assert caught.value.exit_code == 2


@pytest.mark.slow
def test_servers_of_which_no_record_tells_keep_their_data_and_are_ended_by_down(tmp_path: Path) -> None:
    home = unnamed()
    with pair(home) as (_, (kafka, valkey)):
        remove_record(home)
        with pytest.raises(
            LocalServicesError, match=rf"without a record.*pid {kafka.pid}.*`headrace local down`"
        ) as caught:
            detached.up()
        assert caught.value.exit_code == 2
        assert topic_of(home).read_text() == "a lead"
        (stopped,) = detached.down()
        assert stopped.pids == tuple(sorted((kafka.pid, valkey.pid)))
        assert not running_in(home)
    assert not home.exists()
    assert not list(tmp_path.glob("data"))


def test_a_pair_that_runs_and_does_not_answer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "answers_ping", lambda _: False)
    with pair(unnamed()) as (_, (kafka, _valkey)):
        with pytest.raises(LocalServicesError, match=rf"pid {kafka.pid}.*do not answer: wait, or end them"):
            detached.up()
        assert topic_of(unnamed()).read_text() == "a lead"


@pytest.mark.slow
def test_down_ends_every_pair_that_was_started_and_names_its_pids(tmp_path: Path) -> None:
    named = tmp_path / "data"
    with pair(unnamed()) as (first, _), pair(named) as (second, _):
        note(unnamed())
        note(named)
        assert known() == [unnamed(), named]
        assert detached.others(second) == [first.data_dir]
        stopped = detached.down()
        assert [(each.data_dir, each.thrown_away) for each in stopped] == [
            (first.data_dir, True),
            (second.data_dir, False),
        ]
        pids = [tuple(sorted((*record.kafka_pids, record.valkey_pid))) for record in (first, second)]
        assert [each.pids for each in stopped] == pids
        assert not any(is_running(process) for record in (first, second) for process in record.processes)
    assert topic_of(named).read_text() == "a lead"
    assert not unnamed().exists()
    assert detached.down() == () == tuple(known())


@pytest.mark.slow
def test_down_of_a_directory_leaves_the_others(tmp_path: Path) -> None:
    named = tmp_path / "data"
    with pair(unnamed()) as (first, _), pair(named):
        note(unnamed())
        note(named)
        assert [each.data_dir for each in detached.down(named)] == [str(named)]
        assert all(is_running(process) for process in first.processes)
        assert detached.last() == unnamed()


@pytest.mark.slow
def test_a_former_pair_is_thrown_away_only_where_nothing_of_it_runs_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Services:
        def __init__(self, home: Path, **_: object) -> None:
            assert not home.exists()

        def start(self) -> None:
            raise LocalServicesError("No Java here.")

    monkeypatch.setattr(detached, "LocalServices", Services)
    told: list[str] = []
    with pair(unnamed()) as (_, children):
        for child in children:
            dies(child)
        with pytest.raises(LocalServicesError, match="No Java"):
            detached.up(told=told.append)
    (sentence,) = told
    assert sentence.startswith(f"An earlier Kafka and Valkey in {unnamed()} had ended: their topics are deleted.")


@pytest.mark.slow
def test_a_pair_that_the_release_before_noted_is_known(cache: Path, tmp_path: Path) -> None:
    with pair(tmp_path / "data"):
        cache.mkdir(exist_ok=True)
        (cache / "last").write_text(str(tmp_path / "data"))
        assert known() == [tmp_path / "data"]
        assert detached.last() == tmp_path / "data"
