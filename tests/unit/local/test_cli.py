import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli.local import app
from broker.local import detached
from broker.local.record import Record, write_record


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def record_in(data_dir: Path) -> Record:
    data_dir.mkdir(parents=True, exist_ok=True)
    record = Record("127.0.0.1:21000", "redis://127.0.0.1:21002/0", 0, 0, None, str(data_dir))
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
    assert json.loads(result.stdout) == {"stopped": False, "data_dir": None}


@pytest.mark.parametrize("verb", ["up", "down", "status"])
def test_every_verb_helps_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: headrace local {verb}" in result.stdout


def test_what_a_dead_machine_left_is_cleaned_by_down_in_the_unnamed_directory(cache: Path) -> None:
    record_in(cache / "local")
    assert detached.status() is None
    assert detached.down() is not None
    assert not (cache / "local").exists()


def test_down_without_a_directory_means_the_last_pair_and_keeps_named_data(tmp_path: Path) -> None:
    record = record_in(tmp_path / "named")
    detached.note_last(tmp_path / "named")
    assert detached.down() == record
    assert (tmp_path / "named").is_dir()
    assert detached.down() is None
