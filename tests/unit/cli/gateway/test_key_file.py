"""The verbs that list and check a key file."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from tests.unit.cli.on_a_terminal import on_a_terminal
from tests.unit.gateway.keys.key_files import key, table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "keys.toml"
    made.write_text(table("a", 1, 2, members='lanes = ["bulk", "urgent"]\ninflight_max = 5') + table("b.c", 3))
    made.chmod(0o600)
    return made


def test_a_list_has_a_line_for_each_key_and_no_hash(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "key", "list", str(file)]) == 0
    told = capsys.readouterr().out
    assert [line.split("\t") for line in told.splitlines()] == [
        ["a", "t-a", "bulk urgent", "*", "5", "-", "2", "-"],
        ["b.c", "t-b.c", "standard", "*", "-", "-", "1", "-"],
    ]
    assert main(["gateway", "key", "list", "--json", str(file)]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["name"] for one in objects] == ["a", "b.c"]
    assert objects[0]["lanes"] == ["bulk", "urgent"]
    assert objects[0]["not_after"] == [None, None]
    assert "sha256" not in told + str(objects)


def test_the_file_of_the_settings_is_taken_where_none_is_named(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_GATEWAY__KEYS_FILE", str(file))
    assert main(["gateway", "key", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_sound_file_is_said_to_be_sound(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "key", "check", str(file)]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"The keys of {file} are sound.\n")
    assert main(["gateway", "key", "check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "mistakes": [], "cautions": []}


def test_every_mistake_is_found_at_once_and_none_repeats_a_key(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(table("a", 1, members=f'lane = "urgnt"\n"{key(9)}" = 1') + table("b", 2, members="wait_s = 0"))
    assert main(["gateway", "key", "check", str(file), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], len(told["mistakes"])) == (False, 2)
    file.write_text(table("a", 1, members='lane = "urgnt"') + table("b", 2, members="wait_s = 1"))
    assert main(["gateway", "key", "check", str(file)]) == 2
    said = capsys.readouterr()
    assert "keys.a names the lane urgnt, and there are urgent, standard and bulk." in said.out
    assert key(9) not in str(told) + said.out + said.err


@pytest.mark.parametrize(
    ("days", "caution"),
    [(-1, "a has expired: take it out of the file."), (5, "a expires on "), (30, None)],
)
def test_a_key_that_expires_soon_is_a_caution(
    file: Path, days: int, caution: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    last = (datetime.now(UTC) + timedelta(days=days)).date()
    file.write_text(table("a", 1, members=f"not_after = {last}") + table("b", 2))
    assert main(["gateway", "key", "check", str(file), "--json"]) == 0
    cautions = json.loads(capsys.readouterr().out)["cautions"]
    assert cautions == ([] if caution is None else [cautions[0]])
    assert caution is None or cautions[0].startswith(caution)


def test_a_file_that_others_may_read_or_without_a_key_is_a_caution(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[keys]\n")
    file.chmod(0o644)
    assert main(["gateway", "key", "check", str(file)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in told] == ["caution", "caution"]
    assert told[1].endswith("The file has no key: every call is refused.")


@pytest.mark.slow
def test_a_terminal_gets_titles_above_the_columns(file: Path) -> None:
    code, shown = on_a_terminal(["gateway", "key", "list", str(file)], 120, out=True)
    assert code == 0
    assert shown.splitlines()[0].split()[:2] == ["\x1b[2mNAME", "TENANT"]
