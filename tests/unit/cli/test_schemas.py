"""What is exported is what was released, byte for byte, and is valid; a newer release's files are left alone."""

import json
from pathlib import Path

import jsonschema
import pytest

from headrace.broker.cli.main import main
from headrace.schemas.export import COMMITTED, SHAPES


def exported(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_files_are_the_released_ones_to_the_byte_and_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "new" / "schemas"
    assert main(["schemas", "export", str(there)]) == 0
    said = capsys.readouterr()
    assert exported(there) == exported(COMMITTED)
    assert said.out.splitlines()[0] == f"wrote {there / 'request.json'}"
    assert said.err == f"{len(SHAPES) + 1} files written, 0 were there unchanged.\n"
    for name in SHAPES:
        jsonschema.Draft202012Validator.check_schema(json.loads((there / f"{name}.json").read_text()))
    document = json.loads((there / "asyncapi.json").read_text())
    for message in document["components"]["messages"].values():
        assert "payload" not in message or (there / message["payload"]["$ref"]).is_file()


def test_what_is_there_already_is_said_to_be_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas", "export", str(tmp_path)]) == 0
    (tmp_path / "chunk.json").unlink()
    capsys.readouterr()
    assert main(["schemas", "export", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["directory"], told["written"]) == (str(tmp_path), ["chunk.json"])
    assert set(told["unchanged"]) == {path.name for path in COMMITTED.iterdir()} - {"chunk.json"}


@pytest.mark.slow
def test_a_newer_releases_schemas_are_not_written_over_but_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schemas", "export", str(tmp_path)]) == 0
    newer = json.loads((tmp_path / "chunk.json").read_text())
    newer["properties"]["colour"] = {"type": "string"}
    (tmp_path / "chunk.json").write_text(json.dumps(newer))
    capsys.readouterr()
    assert main(["schemas", "export", str(tmp_path)]) == 2
    assert "holds schemas of another release, with which these are incompatible (chunk: colour was removed" in (
        capsys.readouterr().err
    )
    assert json.loads((tmp_path / "chunk.json").read_text()) == newer
    assert main(["schemas", "export", str(tmp_path), "--force"]) == 0
    assert exported(tmp_path) == exported(COMMITTED)


def test_a_directory_that_cannot_hold_them_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chunk.json").write_text("{")
    assert main(["schemas", "export", str(tmp_path)]) == 2
    assert "holds a schema that is not JSON" in capsys.readouterr().err
    assert main(["schemas", "export", str(tmp_path / "chunk.json" / "below")]) == 2
    assert "cannot be written: Not a directory." in capsys.readouterr().err
