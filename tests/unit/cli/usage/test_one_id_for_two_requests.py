"""Files in which one id stands for two requests: refused before the first line is sent, both lines named."""

import json
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.request_lines import checked
from tests.unit.cli.usage.row import LIBRARY_WORDS

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "PROMPT"}]}
LEAD = {"id": "lead-1", "body": BODY}
OTHER_BODY = LEAD | {"body": BODY | {"temperature": 1}}
INPUT = {"model": "gpt-4o-mini", "input": "PROMPT"}


def lines(*requests: object) -> bytes:
    return b"".join(b"\n" if each is None else json.dumps(each).encode() + b"\n" for each in requests)


@pytest.mark.parametrize(
    ("requests", "options", "sentence"),
    [
        (
            (LEAD, OTHER_BODY),
            [],
            "Line 2 of {}: Line 1 has the same id 'lead-1' for another request: their bodies differ.",
        ),
        ((LEAD, None, LEAD | {"id": "b"}, OTHER_BODY), [], "Line 4 of {}: Line 1 has the same id 'lead-1'"),
        ((LEAD, LEAD, OTHER_BODY), [], "Line 3 of {}: Line 1 has"),
        ((LEAD | {"tenant": "acme"}, LEAD | {"tenant": "zenith"}), [], "their tenants differ."),
        ((LEAD, LEAD | {"tenant": "zenith"}), [], "their tenants differ."),
        ((LEAD, LEAD | {"tenant": "zenith"}), ["--tenant", "acme"], "their tenants differ."),
        ((LEAD | {"tenant": "acme"}, OTHER_BODY | {"tenant": "b"}), [], "their tenants and bodies differ."),
        ((LEAD, LEAD | {"endpoint": "responses", "body": INPUT}), [], "their endpoints differ."),
        ((LEAD, OTHER_BODY | {"lane": "urgent"}), ["--lane", "bulk"], "their bodies differ."),
        ((LEAD, OTHER_BODY), ["--wait"], "their bodies differ."),
        ((OTHER_BODY, LEAD), [], "Give one of them another id."),
    ],
)
def test_a_file_that_gives_one_id_to_two_requests_is_refused(
    requests: tuple[object, ...], options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "leads.jsonl"
    file.write_bytes(lines(*requests))
    assert main(["submit", str(file), "--bootstrap-servers", "127.0.0.1:1", *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("headrace: ")
    assert told.err.count("\n") == 1
    assert sentence.format(file) in told.err
    assert not LIBRARY_WORDS.search(told.err)
    assert "PROMPT" not in told.err


@pytest.mark.parametrize(
    "requests",
    [
        (LEAD, LEAD),
        (LEAD, LEAD | {"lane": "urgent"}),
        (LEAD, LEAD | {"metadata": {"lead": 2}, "deadline": "2999-01-01T00:00:00Z"}),
        (LEAD, LEAD | {"tenant": None, "endpoint": "chat.completions"}),
        (LEAD, LEAD | {"body": dict(reversed(BODY.items()))}),
        ({"body": BODY}, {"body": BODY | {"n": 2}}),
        tuple(LEAD | {"id": f"lead-{number}"} for number in range(100)),
    ],
)
def test_equal_requests_and_those_of_different_ids_pass(requests: tuple[object, ...], tmp_path: Path) -> None:
    file = tmp_path / "leads.jsonl"
    file.write_bytes(lines(*requests))
    assert checked(str(file), lane="bulk", tenant=None).count == len(requests)


def test_each_line_of_an_id_is_compared_with_the_first_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "leads.jsonl"
    file.write_bytes(lines(LEAD, OTHER_BODY, LEAD, OTHER_BODY))
    assert main(["submit", str(file), "--bootstrap-servers", "127.0.0.1:1"]) == 2
    told = capsys.readouterr().err
    assert [line.split(":")[1].split()[1] for line in told.splitlines()[:2]] == ["2", "4"]
    assert "2 of 4 lines are invalid: nothing was sent." in told
