"""Rows on a terminal of any width: nothing runs over, nothing acts, and what matters is cut last."""

import re
from typing import Any

import pytest
from rich.cells import cell_len

from headrace.broker.cli.columns import Column, Columns, Cut, Line
from headrace.broker.cli.outcome_rows import COLUMNS, line_of, text_of
from headrace.broker.cli.screen import screen
from headrace.schemas.outcome import Completed, Cost, Failed, Finish, Timings, Usage
from tests.unit.cli.test_sending import AT

HOSTILE = "x\x1b[2J\u202e\r\n漢字" * 8


def shown(width: int, columns: tuple[Column, ...], *pages: list[Line], capsys: pytest.CaptureFixture[str]) -> list[str]:
    console = screen()
    console._force_terminal, console.width = True, width
    table = Columns(console, columns)
    for page in pages:
        table.show(page)
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    return [line.rstrip() for line in text.splitlines()]


def outcomes() -> list[Line]:
    timings = Timings(submitted_at=AT, finished_at=AT.replace(minute=3, second=7))
    usage = Usage(total_tokens=1_234)
    done: dict[str, Any] = {
        "lane": "standard",
        "tenant": "acme",
        "model": "gpt-4o-mini-2024-07-18",
        "usage": usage,
        "cost": Cost(micro_usd=195.0),
        "timings": timings,
    }
    answer = {"choices": [{"message": {"content": "Dear Ada,\n\nYours"}}]}
    completed = Completed(id="lead-8841-email", response=answer, finish=Finish.STOP, **done)
    failed = Failed(id=HOSTILE, lane=HOSTILE, tenant=HOSTILE, model=HOSTILE, reason=HOSTILE, message=HOSTILE)
    cut = Completed(id="b", run=2, response={}, finish=Finish.LENGTH)
    return [line_of(each, text=each is not failed, at=each.timings.finished_at) for each in (completed, failed, cut)]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_row_is_wider_than_the_terminal_and_all_of_them_stand_below_their_titles(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(width, COLUMNS, outcomes(), capsys=capsys)
    assert max(map(cell_len, lines)) <= width
    assert all(letter.isprintable() for line in lines for letter in line)
    assert lines[0].startswith("ENDED (UTC)")
    assert lines[1].startswith("12-01 09:03:07  lead-8841-email"[: 16 + 4])
    assert ("TENANT" in lines[0], "1,234" in lines[1]) == (width >= 100, width >= 100)
    assert ("COST" in lines[0], "$0.000195" in lines[1]) == (width >= 120, width >= 120)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(micro_usd=0.4), "$0.000000"),
        (Cost(micro_usd=5_999_999_390.0), "$5,999.999390"),
        (Cost(micro_usd=1e30), "odd"),
        (Cost(micro_usd=-1.0), "odd"),
        (Cost(note="The list has no such model."), "-"),
        (None, "-"),
    ],
)
def test_a_cost_is_in_dollars_where_there_is_one(cost: Cost | None, told: str) -> None:
    assert line_of(Completed(id="a", response={}, cost=cost), text=False).cells[-1] == told


def test_the_tokens_and_the_cost_of_a_failed_request_show_if_its_call_was_paid() -> None:
    paid = Failed(id="a", reason="too_large_for_topic", usage=Usage(total_tokens=9), cost=Cost(micro_usd=3.0))
    assert line_of(paid, text=False).cells[-2:] == ["9", "$0.000003"]


def test_an_id_is_cut_after_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(80, COLUMNS, outcomes()[:1], capsys=capsys)
    assert " ".join(lines[1].split()) == "12-01 09:03:07 lead-8841-email standard gpt-4o-mini-20… completed 3 min 7 s"
    assert lines[2:] == ["  Dear Ada,", "", "  Yours"]


def test_titles_stand_once_and_widths_follow_what_comes(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("A", cut=Cut.LAST), Column("N", right=True))
    lines = shown(40, columns, [Line(["a", "1"])], [], [Line(["longer", "1,000"], "why")], capsys=capsys)
    assert lines == ["A  N", "a  1", "longer  1,000", "  why"]


def test_how_an_answer_ended_is_a_word_where_it_did_not_simply_stop() -> None:
    completed, failed, cut = outcomes()
    assert [line.cells[5] for line in (completed, failed, cut)] == ["completed", "failed", "length"]
    assert (cut.cells[1], cut.below) == ("b#2", "(no text)")


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"choices": [{"message": {"content": "Hi"}}, {"message": {"content": "other"}}]}, "Hi"),
        ({"choices": [{"message": {"content": None, "refusal": "I cannot."}}]}, "I cannot."),
        ({"output": [{"content": [{"type": "output_text", "text": "A"}]}, {"content": [{"refusal": "B"}]}]}, "A\nB"),
        ({"choices": "odd", "output": [3, {"content": None}]}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_an_answer_is_found_in_either_shape(response: dict[str, object], text: str) -> None:
    assert text_of(response) == text
