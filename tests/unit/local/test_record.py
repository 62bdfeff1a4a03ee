import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.broker.local.claim import alone, end_leftovers
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.processes import Process, spawn, stop
from headrace.broker.local.record import Endpoints, PairRecord, read_record, remove_record, write_record


def record_in(data_dir: Path) -> PairRecord:
    return PairRecord("127.0.0.1:21000", "redis://127.0.0.1:21002/0", (0,), 0, None, str(data_dir))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    record = replace(record_in(tmp_path), kafka_pids=(7,), valkey_pid=8, owner_pid=9)
    write_record(record)
    assert read_record(tmp_path) == record
    assert record.endpoints == Endpoints("127.0.0.1:21000", "redis://127.0.0.1:21002/0")
    assert [path.name for path in tmp_path.iterdir()] == ["services.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kafka_pid": 1}', '{"kafka_pids": 1}', '{"unknown": 1}'])
def test_a_record_that_cannot_be_understood_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "services.json").write_text(content)
    assert read_record(tmp_path) is None


def test_no_record_is_none_and_removing_it_twice_is_nothing(tmp_path: Path) -> None:
    write_record(record_in(tmp_path))
    remove_record(tmp_path)
    remove_record(tmp_path)
    assert read_record(tmp_path) is None


def test_servers_that_were_never_started_have_no_process_and_do_not_serve(tmp_path: Path) -> None:
    assert record_in(tmp_path).processes == ()
    assert not record_in(tmp_path).is_serving


def test_pids_of_strangers_do_not_serve_and_are_not_stopped(tmp_path: Path) -> None:
    us = os.getpid()
    record = replace(record_in(tmp_path), kafka_pids=(us,), valkey_pid=us)
    assert not record.is_serving
    write_record(record)
    end_leftovers(tmp_path)
    assert read_record(tmp_path) is None


def test_three_nodes_serve_while_two_of_them_run(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("kafka-1", "kafka-2", "kafka-3", "valkey")]
    sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    children = [spawn([*sleep, str(home)], log=tmp_path / "log", directory=tmp_path) for home in homes]
    pids = [child.pid for child in children]
    record = replace(record_in(tmp_path), kafka_pids=tuple(pids[:3]), valkey_pid=pids[3])
    try:
        assert record.processes == tuple(
            Process(child.pid, str(home)) for child, home in zip(children, homes, strict=True)
        )
        assert record.is_serving
        stop([record.nodes[2]])
        assert record.is_serving
        stop([record.nodes[1]])
        assert not record.is_serving
        assert not replace(record, kafka_pids=(pids[2],), valkey_pid=0).is_serving
    finally:
        stop(record.processes)
        for child in children:
            child.wait()


def test_of_three_nodes_only_those_that_were_started_have_a_process(tmp_path: Path) -> None:
    record = replace(record_in(tmp_path), kafka_pids=(7, 0, 9), valkey_pid=0)
    assert {number: process.pid for number, process in record.nodes.items()} == {1: 7, 3: 9}
    write_record(record)
    assert read_record(tmp_path) == record


def test_only_one_start_at_a_time_in_a_directory(tmp_path: Path) -> None:
    with (
        alone(tmp_path / ".starting"),
        pytest.raises(LocalServicesError, match="under way"),
        alone(tmp_path / ".starting"),
    ):
        pass
    with alone(tmp_path / ".starting"):
        pass
