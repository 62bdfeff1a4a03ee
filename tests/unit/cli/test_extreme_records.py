"""Whatever a record or an answer holds, a verb prints it: no number, depth or letter ends it as a defect."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.cli.dead_letters.row import row_of
from headrace.broker.cli.dead_letters.sheet import as_object, sheet
from headrace.broker.cli.main import main
from headrace.broker.cli.outcome_line import outcome_line
from headrace.broker.cli.results import _as_line
from headrace.broker.cli.terminal import say_json
from headrace.broker.client_ports import StoredRecord
from headrace.consumers.dead_letters import found_in, original_of
from headrace.schemas import headers as names
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.record import Record
from headrace.schemas.unreadable import read_outcome

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
DIGITS = "9" * 4_300
HEADERS = encode_outcome(Completed(id="x", response={}), time=NOW).headers
ANSWERS = {
    "nan": '{"a": NaN}',
    "infinity": '{"a": 1e999}',
    "the largest integer that Python reads": f'{{"a": {DIGITS}}}',
    "one digit more": f'{{"a": 9{DIGITS}}}',
    "half a pair, deep": '{"a": ' * 300 + '"\\ud800"' + "}" * 300,
    "590 levels": '{"a": ' * 590 + "1" + "}" * 590,
    "marks": '{"\\u202e\\u001b[2J": "\\u2028"}',
}
FIELDS: dict[str, Any] = {
    "run": DIGITS,
    "term": DIGITS,
    "attempts": "1e308",
    "usage": f'{{"total_tokens": {DIGITS}}}',
    "timings": f'{{"queue_ms": {DIGITS}, "finished_at": "9999-12-31T23:59:59Z"}}',
}


def outcome(answer: str = "{}", **fields: str) -> Record:
    more = "".join(f', "{name}": {text}' for name, text in fields.items())
    value = f'{{"id": "x", "status": "completed", "response": {answer}{more}}}'
    return Record(b"x", value.encode(), HEADERS)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_outcome_is_one_line_of_json_and_one_for_a_person(answer: str) -> None:
    shown = read_outcome(outcome(answer))
    assert shown is not None
    line = outcome_line(shown)
    assert line.isprintable()
    assert json.loads(line)["id"] == "x"
    assert _as_line(shown)


@pytest.mark.parametrize("field", FIELDS)
def test_so_it_is_whatever_its_numbers_are(field: str) -> None:
    shown = read_outcome(outcome(**{field: FIELDS[field]}))
    assert shown is not None
    assert json.loads(outcome_line(shown))["id"] == "x"
    assert _as_line(shown)


def test_of_an_answer_only_what_json_lacks_is_named_instead() -> None:
    shown = read_outcome(outcome('{"text": "a\\nb", "list": [1.5, NaN, 1e999]}'))
    assert shown is not None
    assert json.loads(outcome_line(shown))["response"] == {"text": "a\nb", "list": [1.5, "nan", "inf"]}


def test_what_a_verb_says_as_json_is_json_whatever_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for value in (10**4_301, {"n": -(10**5_000)}, math.nan, {1: {2: object()}}, "\ud800", endless, deep, {"a": {1, 2}}):
        say_json(value)
        said = capsys.readouterr().out
        assert said.count("\n") == 1
        json.loads(said)


@pytest.mark.parametrize("name", [names.LENGTH, names.ATTEMPTS, names.RUN])
@pytest.mark.parametrize("number", ["9" * 400, DIGITS, "9" * 19, "-1"])
def test_a_dead_letter_with_absurd_numbers_is_listed_or_is_none(name: str, number: str) -> None:
    letter = encode_dead_letter(
        b"\xff",
        b"x" * 100_000,
        ((DIGITS, b"\x00"),),
        reason="crashed",
        origin=("t", 0, 7),
        attempts=1,
        run=0,
        failed_at=NOW,
        max_bytes=70_000,
    )
    headers = tuple((each, number.encode() if each == name else value) for each, value in letter.headers)
    found = found_in(StoredRecord("letters", 0, 1, 1_000, Record(letter.key, letter.value, headers)))
    assert (found is None) == (len(number) > 19)
    if found is not None:
        original = original_of(found.letter)
        json.dumps(row_of(found, original).as_object())
        assert row_of(found, original).cells
        assert "\n".join(sheet(found, original, [], body=True))
        json.dumps(as_object(found, original, [], body=True))


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("number", [DIGITS, "9" * 400, "1e999", "1e308", "-" + DIGITS])
def test_an_answer_with_absurd_numbers_is_explained(
    number: str, form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {f"x-ratelimit-{kind}-tokens": number for kind in ("limit", "remaining", "reset")}
    told = {"status": 429, "headers": limits | {"retry-after": number, "retry-after-ms": number}, "body": {}}
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(told).replace('"body": {}', f'"body": {{"error": {{"code": {number}}}}}'))
    assert main(["explain", str(answer), *form]) == 0
    assert "unexpected" not in capsys.readouterr().err
