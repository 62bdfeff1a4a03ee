import json

import pytest

from broker.cli.request_lines import beside, submissions
from broker.errors import InvalidRequest

BODY = {"model": "gpt-4o-mini"}


def line(**fields: object) -> bytes:
    return json.dumps({"id": "a", "body": BODY} | fields).encode()


def test_lane_and_tenant_are_the_lines_own_or_else_the_options() -> None:
    lines = [line(), line(lane="urgent", tenant="own"), b"  \n", line(lane=None, tenant=None)]
    read = list(submissions(lines, lane="bulk", tenant="acme", source="-"))
    assert [(one.lane, one.request.tenant) for one in read] == [("bulk", "acme"), ("urgent", "own"), ("bulk", "acme")]


def test_the_lane_of_a_line_is_not_sent() -> None:
    [read] = submissions([line(lane="urgent")], lane="bulk", tenant=None, source="-")
    assert "lane" not in json.loads(read.record.value or b"")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [(b"{", "It is not JSON."), (b"[]", "It is not a JSON object."), (b"[" * 100_000, "It is not JSON."),
     (line(lane=7), "Its lane is not a text."), (line(id=""), "The field id is not valid")],
)  # fmt: skip
def test_a_line_that_is_wrong_is_named_by_its_number(wrong: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=r"Line 3 of leads\.jsonl: ") as raised:
        list(submissions([line(), b"", wrong], lane="bulk", tenant=None, source="leads.jsonl"))
    assert sentence in str(raised.value)


async def test_lines_read_in_a_thread_come_in_order_and_end_with_their_error() -> None:
    lines = [*(line(id=f"lead-{number}") for number in range(300)), b"{"]
    ids = []

    async def read() -> None:
        async for one in beside(submissions(lines, lane="bulk", tenant=None, source="-")):
            ids.append(one.request.id)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(InvalidRequest, match="Line 301 of standard input"):
        await read()
    assert ids == [f"lead-{number}" for number in range(300)]
