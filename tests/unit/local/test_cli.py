import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.broker.cli.local import _print_settings, app
from headrace.broker.local import detached
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.known import note
from headrace.broker.local.processes import Process, spawn, stop
from headrace.broker.local.record import PairRecord, write_record
from tests.unit.local.standins import pair


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def record_in(data_dir: Path) -> PairRecord:
    data_dir.mkdir(parents=True, exist_ok=True)
    record = PairRecord("127.0.0.1:21000", "redis://127.0.0.1:21002/0", (0,), 0, None, str(data_dir))
    write_record(record)
    return record


def test_status_of_nothing_is_exit_code_3_and_says_what_to_do() -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 3
    assert "headrace local up" in result.stderr
    assert result.stdout == ""


def test_status_of_nothing_for_machines() -> None:
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"running": False}


def test_down_with_nothing_to_stop_is_no_error() -> None:
    result = CliRunner().invoke(app, ["down"])
    assert result.exit_code == 0
    assert "Nothing to stop" in result.stdout


def test_down_for_machines() -> None:
    result = CliRunner().invoke(app, ["down", "--json"])
    assert json.loads(result.stdout) == {"stopped": False, "data_dir": None, "pairs": []}


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["up", "down", "status"])
def test_every_verb_helps_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: headrace local {verb}" in result.stdout


@pytest.mark.parametrize("nodes", ["2", "5", "0"])
@pytest.mark.parametrize("where", [(), ("--foreground",)])
def test_a_number_of_nodes_that_makes_no_sense_is_one_sentence(nodes: str, where: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["up", "--nodes", nodes, *where])
    assert result.exit_code == 2
    assert result.stderr == (
        f"headrace: A local Kafka has 1 node or 3, not {nodes}: three are the fewest that survive the loss of one.\n"
    )


def test_three_nodes_are_listed_and_one_that_ended_is_said_to_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "kafka-1"
    sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", str(home)]
    child = spawn(sleep, log=tmp_path / "log", directory=tmp_path)
    addresses = "127.0.0.1:21000,127.0.0.1:21001,127.0.0.1:21002"
    record = replace(record_in(tmp_path), bootstrap_servers=addresses, kafka_pids=(child.pid, child.pid, 0))
    _print_settings(record, as_json=False, farewell="")
    lines = capsys.readouterr().out.splitlines()
    assert f"  Kafka node 1  127.0.0.1:21000  pid {child.pid}" in lines
    assert "  Kafka node 2  127.0.0.1:21001  ended; `local up` starts it again" in lines
    assert f"export HEADRACE_KAFKA__BOOTSTRAP_SERVERS={addresses}" in lines
    _print_settings(record, as_json=True, farewell="")
    kafka = json.loads(capsys.readouterr().out)["kafka"]
    assert kafka["bootstrap_servers"] == addresses
    assert kafka["pid"] == child.pid
    assert [node["running"] for node in kafka["nodes"]] == [True, False, False]
    assert kafka["nodes"][0] == {"node_id": 1, "address": "127.0.0.1:21000", "pid": child.pid, "running": True}
    stop([Process(child.pid, str(home))])
    child.wait()


def test_one_node_is_printed_without_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _print_settings(record_in(tmp_path), as_json=False, farewell="")
    assert "Kafka node" not in capsys.readouterr().out


def test_a_pair_that_runs_with_another_number_of_nodes_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    detached._require_nodes(record, None)
    detached._require_nodes(record, 1)
    with pytest.raises(LocalServicesError, match=r"with 1 node runs already, .*`headrace local down` first") as caught:
        detached._require_nodes(record, 3)
    assert caught.value.exit_code == 2


def test_what_a_dead_machine_left_is_cleaned_by_down_in_the_unnamed_directory(cache: Path) -> None:
    record_in(cache / "local")
    assert detached.status() is None
    (stopped,) = detached.down()
    assert (stopped.pids, stopped.thrown_away) == ((), True)
    assert not (cache / "local").exists()


def test_down_without_a_directory_means_the_last_pair_and_keeps_named_data(tmp_path: Path) -> None:
    record = record_in(tmp_path / "named")
    note(tmp_path / "named")
    (stopped,) = detached.down()
    assert (stopped.data_dir, stopped.thrown_away) == (record.data_dir, False)
    assert (tmp_path / "named").is_dir()
    assert detached.down() == ()


@pytest.mark.slow
def test_down_names_each_pair_and_its_pids(tmp_path: Path) -> None:
    with pair(tmp_path / "a") as (first, _), pair(tmp_path / "b") as (second, _):
        for home in ("a", "b"):
            note(tmp_path / home)
        result = CliRunner().invoke(app, ["down"])
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for line, record in zip(lines, (first, second), strict=True):
        pids = ", ".join(map(str, sorted((*record.kafka_pids, record.valkey_pid))))
        assert line == f"Kafka and Valkey in {record.data_dir} have stopped (pid {pids}); their data stay."


@pytest.mark.slow
def test_up_and_status_say_where_other_pairs_run(tmp_path: Path) -> None:
    with pair(tmp_path / "a") as (first, _), pair(tmp_path / "b"):
        for home in ("a", "b"):
            note(tmp_path / home)
        told = CliRunner().invoke(app, ["status"])
        assert f"(Another Kafka and Valkey run in {first.data_dir}.)" in told.stdout
        assert json.loads(CliRunner().invoke(app, ["up", "--json"]).stdout)["others"] == [first.data_dir]
