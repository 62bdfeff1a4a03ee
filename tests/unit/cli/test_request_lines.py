"""Requests as lines: of a file as a whole, of a pipe one by one."""

import json
import os
from pathlib import Path

import pytest

from headrace.broker.cli.request_lines import BadLines, beside, checked, is_stream, refuse_lanes, submissions
from headrace.broker.errors import InvalidRequest

BODY = {"model": "gpt-4o-mini"}


def line(**fields: object) -> bytes:
    return json.dumps({"id": "a", "body": BODY} | fields).encode()


def written(tmp_path: Path, *lines: bytes) -> str:
    file = tmp_path / "leads.jsonl"
    file.write_bytes(b"\n".join(lines))
    return str(file)


def test_lane_and_tenant_are_the_lines_own_or_else_the_options() -> None:
    lines = [line(), line(lane="urgent", tenant="own"), b"  \n", line(lane=None, tenant=None)]
    read = list(submissions(lines, lane="bulk", tenant="acme", source="-"))
    assert [(one.lane, one.request.tenant) for one in read] == [("bulk", "acme"), ("urgent", "own"), ("bulk", "acme")]


def test_the_lane_of_a_line_is_not_sent() -> None:
    [read] = submissions([line(lane="urgent")], lane="bulk", tenant=None, source="-")
    assert "lane" not in json.loads(read.record.value or b"")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (b"{", "Line 3 of leads.jsonl, column 2: It is not JSON: the line ends inside the object"),
        (b"[]", "Line 3 of leads.jsonl: It is a list, not a JSON object."),
        (line(lane=7), "Line 3 of leads.jsonl: The field lane is not valid: it must be text, not a number."),
        (line(lane="a b"), "Line 3 of leads.jsonl: There is no lane a b: a lane's name is 1 to 32 lower-case"),
        (line(lane=""), "Line 3 of leads.jsonl: There is no lane '': "),
        (line(id=""), "Line 3 of leads.jsonl: The field id is not valid"),
        (line(lnae="bulk"), "Line 3 of leads.jsonl: There is no field lnae: did you mean lane?"),
        (line(custom_ids="x"), "Line 3 of leads.jsonl: There is no field custom_ids: did you mean custom_id?"),
        (line(ordering_key="k"), "Line 3 of leads.jsonl: A line cannot carry the field ordering_key: use "),
        (line(deadine="x"), "Line 3 of leads.jsonl: There is no field deadine: did you mean deadline?"),
    ],
)
def test_a_line_that_is_wrong_is_named_by_its_number(wrong: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        list(submissions([line(), b"", wrong], lane="bulk", tenant=None, source="leads.jsonl"))
    assert str(raised.value).startswith(sentence)


def test_unknown_fields_are_sent_if_that_is_wanted() -> None:
    [read] = submissions([line(colour="red", lnae=1)], lane="bulk", tenant=None, source="-", allow_unknown=True)
    assert json.loads(read.record.value or b"").keys() >= {"colour", "lnae"}


def test_a_batch_line_is_a_request() -> None:
    batch = {"custom_id": "r-1", "method": "POST", "url": "/v1/responses", "body": BODY, "lane": "urgent"}
    [read] = submissions([json.dumps(batch).encode()], lane="bulk", tenant="acme", source="-")
    assert (read.request.id, read.request.endpoint, read.lane, read.request.tenant) == (
        "r-1",
        "responses",
        "urgent",
        "acme",
    )
    assert read.request.body == BODY


def test_a_file_is_counted_by_lane(tmp_path: Path) -> None:
    file = written(tmp_path, line(), b"", line(lane="urgent"), line(), b"")
    told = checked(file, lane="bulk", tenant=None)
    assert (told.count, dict(told.by_lane), told.lines) == (
        3,
        {"bulk": 2, "urgent": 1},
        {"bulk": [1, 4], "urgent": [3]},
    )


def test_all_bad_lines_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, line(), b"{", line(deadine=1), line(), line(id=7))
    with pytest.raises(BadLines) as raised:
        checked(file, lane="bulk", tenant=None)
    first, second, third, last = raised.value.sentences
    assert first.startswith(f"Line 2 of {file}, column 2: ")
    assert (second, third.startswith(f"Line 5 of {file}: ")) == (
        f"Line 3 of {file}: There is no field deadine: did you mean deadline?",
        True,
    )
    assert last == "3 of 5 lines are invalid: nothing was sent."


@pytest.mark.parametrize(("count", "last"), [(20, "20 of 20 lines are invalid: nothing was sent."),
    (21, "21 of 21 lines are invalid, of which 1 is not shown: nothing was sent."),
    (25, "25 of 25 lines are invalid, of which 5 are not shown: nothing was sent.")])  # fmt: skip
def test_no_more_than_twenty_bad_lines_are_told(tmp_path: Path, count: int, last: str) -> None:
    with pytest.raises(BadLines) as raised:
        checked(written(tmp_path, *[b"x"] * count), lane="bulk", tenant=None)
    assert len(raised.value.sentences) == 21
    assert raised.value.sentences[-1] == last


def test_one_bad_line_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadLines) as raised:
        checked(written(tmp_path, line(), b"x"), lane="bulk", tenant=None)
    assert len(raised.value.sentences) == 1


def test_lines_for_lanes_that_are_not_there_are_told_with_their_sentence(tmp_path: Path) -> None:
    file = written(tmp_path, line(lane="urgnt"), line(), *[line(lane="blk")] * 30, line(lane="urgnt"))
    told = checked(file, lane="bulk", tenant=None)
    with pytest.raises(BadLines) as raised:
        refuse_lanes(file, told, {"urgnt": "No urgnt.", "blk": "No blk."})
    assert raised.value.sentences[:2] == (f"Line 1 of {file}: No urgnt.", f"Line 3 of {file}: No blk.")
    assert raised.value.sentences[-1] == "32 of 33 lines are invalid, of which 12 are not shown: nothing was sent."
    refuse_lanes(file, told, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: it needs one JSON object per line."),
        (b"\n \n\n", "is empty: it needs one JSON object per line."),
        (b'[{"id": "a"}]', "is a JSON array: `jq -c '.[]'` writes one object per line."),
        (b"\n\xef\xbb\xbf[\n", "is a JSON array"),
        (b'{\n  "id": "a"\n}', "holds an object that spans several lines: `jq -c .` writes one object per line."),
        ('{"id": "a"}'.encode("utf-16"), "is UTF-16, not UTF-8: `iconv -f UTF-16 -t UTF-8` converts it."),
        ('{"id": "a"}'.encode("utf-16-le"), "is UTF-16"),
        (b"\x1f\x8b\x08\x00", "is compressed: unpack it first (`gunzip`)."),
    ],
)
def test_a_file_of_another_form_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "leads.json"
    file.write_bytes(content)
    with pytest.raises(InvalidRequest) as raised:
        checked(str(file), lane="bulk", tenant=None)
    assert not isinstance(raised.value, BadLines)
    assert str(raised.value).startswith(f"{file} {said}")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert checked(written(tmp_path, b"\xef\xbb\xbf" + line()), lane="bulk", tenant=None).count == 1


@pytest.mark.parametrize(("name", "why"), [("gone.jsonl", "No such file or directory"), ("", "Is a directory"),
    ("a\0b", "no file can have such a name")])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=f"cannot be read: {why}"):
        checked(f"{tmp_path}/{name}", lane="bulk", tenant=None)


def test_what_can_be_read_only_once_is_a_stream(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = written(tmp_path, line())
    streams = [is_stream(source) for source in ("-", str(tmp_path / "pipe"), file, str(tmp_path), "gone", "a\0b")]
    assert streams == [True, True, False, False, False, False]


async def test_lines_read_in_a_thread_come_in_order_and_end_with_their_error() -> None:
    lines = [*(line(id=f"lead-{number}") for number in range(300)), b"{"]
    ids = []

    async def read() -> None:
        async for one in beside(submissions(lines, lane="bulk", tenant=None, source="-")):
            ids.append(one.request.id)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(InvalidRequest, match="Line 301 of standard input"):
        await read()
    assert ids == [f"lead-{number}" for number in range(300)]
