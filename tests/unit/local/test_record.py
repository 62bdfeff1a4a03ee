import os
from dataclasses import replace
from pathlib import Path

import pytest

from broker.local.claim import alone, end_leftovers
from broker.local.errors import LocalServicesError
from broker.local.record import Endpoints, Record, read_record, remove_record, write_record


def record_in(data_dir: Path) -> Record:
    return Record("127.0.0.1:21000", "redis://127.0.0.1:21002/0", 0, 0, None, str(data_dir))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    record = replace(record_in(tmp_path), kafka_pid=7, valkey_pid=8, owner_pid=9)
    write_record(record)
    assert read_record(tmp_path) == record
    assert record.endpoints == Endpoints("127.0.0.1:21000", "redis://127.0.0.1:21002/0")
    assert [path.name for path in tmp_path.iterdir()] == ["services.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kafka_pid": 1}', '{"unknown": 1}'])
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
    record = replace(record_in(tmp_path), kafka_pid=us, valkey_pid=us)
    assert not record.is_serving
    write_record(record)
    end_leftovers(tmp_path)
    assert read_record(tmp_path) is None


def test_only_one_start_at_a_time_in_a_directory(tmp_path: Path) -> None:
    with (
        alone(tmp_path / ".starting"),
        pytest.raises(LocalServicesError, match="under way"),
        alone(tmp_path / ".starting"),
    ):
        pass
    with alone(tmp_path / ".starting"):
        pass
