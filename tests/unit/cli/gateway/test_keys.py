"""The verbs that make, rotate and find keys: each key is shown once, and only its hash is written."""

import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from headrace.broker.cli.main import main
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.key_text import PATTERN, hash_of, is_whole
from headrace.broker.gateway.keys.ring import KeyRing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def ring_of(file: Path) -> KeyRing:
    ring = KeyRing(file, utc_now=lambda: datetime.now(UTC))
    with capture_logs():
        ring.open()
    return ring


def made(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the verb prints on standard output, after its success."""
    assert main(["gateway", "key", *words]) == 0
    return capsys.readouterr().out


def test_a_new_key_opens_what_its_options_say(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--lane bulk --lane urgent --model gpt-4o* --inflight-max 7 --requests-per-minute 60 --deadline 90.5"
    more = "--wait 30 --on-disconnect cancel --template lead --not-after 2999-01-31"
    key = made(capsys, "new", "a.b", "--tenant", "t", *options.split(), *more.split(), "--file", str(file)).strip()
    assert is_whole(key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in file.read_text()
    assert ring_of(file).find(f"Bearer {key}") == ClientKey(
        name="a.b",
        tenant="t",
        lane="bulk",
        lanes=("bulk", "urgent"),
        models=("gpt-4o*",),
        inflight_max=7,
        requests_per_minute=60,
        deadline_s=90.5,
        wait_s=30,
        on_disconnect="cancel",
        template="lead",
    )


def test_keys_are_appended_and_what_stood_there_stays(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("# of the operator\n[keys]\n# no newline at the end")
    file.chmod(0o640)
    before, inode = file.read_bytes(), file.stat().st_ino
    first = made(capsys, "new", "a", "--tenant", "t", "--file", str(file)).strip()
    second = made(capsys, "new", "b", "--tenant", "t", "--file", str(file)).strip()
    third = made(capsys, "rotate", "a", "--file", str(file), "--not-after", "30d").strip()
    ring = ring_of(file)
    assert [ring.find(f"Bearer {key}").name for key in (first, second, third)] == ["a", "b", "a"]
    assert file.read_bytes().startswith(before)
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (inode, 0o640)


def test_without_a_file_the_table_is_printed_and_the_key_stays_out_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "key", "new", "a", "--tenant", "t"]) == 0
    told = capsys.readouterr()
    key = PATTERN.search(told.err)
    assert key is not None
    assert not PATTERN.search(told.out)
    assert f'hash = "{hash_of(key[0])}"' in told.out
    assert told.out.startswith('[keys.a]\ntenant = "t"\n\n[[keys.a.hashes]]')


def test_a_script_gets_the_key_and_its_table_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(made(capsys, "new", "a", "--tenant", "t", "--json"))
    assert told == {
        "name": "a",
        "key": told["key"],
        "hash": hash_of(told["key"]),
        "not_after": None,
        "toml": told["toml"],
    }
    file.write_text(told["toml"])
    assert ring_of(file).find(f"Bearer {told['key']}").name == "a"
    again = json.loads(made(capsys, "rotate", "a", "--json", "--file", str(file), "--not-after", "2999-01-31"))
    assert (again["file"], again["not_after"]) == (str(file), "2999-01-31T23:59:59.000Z")


def test_a_table_that_would_make_the_file_wrong_is_not_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[keys.a]\ntenant = 1\n")
    assert main(["gateway", "key", "new", "b", "--tenant", "t", "--file", str(file)]) == 2
    assert file.read_text() == "[keys.a]\ntenant = 1\n"
    told = capsys.readouterr()
    assert not PATTERN.search(told.out + told.err)


@pytest.mark.parametrize("text", ["{key}", "  {key}  \nmore", "{key}\r\n"])
def test_a_found_key_is_named(
    file: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(capsys, "new", "lead-ingest", "--tenant", "t", "--file", str(file)).strip()
    for words in ([], ["--json"]):
        given = io.TextIOWrapper(io.BytesIO(text.format(key=key).encode()))
        monkeypatch.setattr(sys, "stdin", given)
        assert main(["gateway", "key", "find", str(file), *words]) == 0
        told = capsys.readouterr()
        assert "lead-ingest" in told.out
        assert key not in told.out + told.err


def test_no_two_keys_are_alike(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {json.loads(made(capsys, "new", "a", "--tenant", "t", "--json"))["key"] for _ in range(20)}
    assert len(keys) == 20
    assert all(re.fullmatch(r"hr-[0-9A-Za-z]{49}", key) for key in keys)
