"""Tokens and money in the terminal: three spans, and what the last day was spent on."""

import io
from typing import Any

from rich.console import Console

from headrace.broker.cli.status.page import page
from headrace.broker.cli.status.spending import money, spending_shown
from tests.unit.cli.status.test_page import NOW
from tests.unit.service.status.specimens import look, said

HOUR: dict[str, Any] = {
    "outcomes": 1_200,
    "calls": 1_210,
    "input_tokens": 480_000,
    "output_tokens": 120_000,
    "cached_share": 0.25,
    "micro_usd": 21_600_000.0,
    "unpriced": 0,
    "tokens_mean": 500.2,
    "tokens_p50": 480,
    "tokens_p95": 900,
}
DAY = HOUR | {
    "by": {
        "lane": {"bulk": HOUR},
        "tenant": {f"t{number}": HOUR for number in range(6)},
        "template": {"": HOUR},
        "model": {"gpt-x": HOUR | {"micro_usd": 0.0, "unpriced": 3}},
    }
}
EMPTY = {"outcomes": 0, "cached_share": None, "tokens_mean": None, "tokens_p50": None, "tokens_p95": None}
SPENDING = {"this_hour": EMPTY, "last_hour": HOUR, "last_25_hours": DAY, "caught_up": True}


def lines(spending: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    for part in spending_shown({"spending": spending}):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_each_span_is_a_row_and_each_kind_of_name_a_line() -> None:
    shown = lines(SPENDING)
    assert shown[1].split() == "spent outcomes calls input cached output mean p50 p95 cost".split()  # noqa: SIM905  # reads as the line does
    assert shown[2].split() == ["this", "hour", "0", "0", "0", "-", "0", "-", "-", "-", "$0.00"]
    assert shown[3].split() == "last hour 1,200 1,210 480,000 25 % 120,000 500 480 900 $21.60".split()  # noqa: SIM905  # same
    assert shown[5:] == [
        "by lane  bulk $21.60",
        "by model  gpt-x 600,000 tokens",
        "by tenant  t0 $21.60  t1 $21.60  t2 $21.60  t3 $21.60  and 2 more",
    ], "no template was named, so there is no line of templates"


def test_a_small_cost_is_not_nothing_and_a_cost_that_is_not_known_is_said() -> None:
    assert money({"micro_usd": 12.5}) == "$0.000013"
    assert money({"micro_usd": 1_234_560_000.0, "unpriced": 2}) == "$1,234.56 + 2 unpriced"
    assert money({"micro_usd": 5_000_000.0, "without_cost": 2}) == "$5.00 + 2 without a cost"
    assert money({"unpriced": 1, "without_cost": 2}) == "$0.00 + 1 unpriced + 2 without a cost"


def test_with_costs_off_there_is_no_cost_and_it_is_said() -> None:
    free = {name: HOUR | {"micro_usd": 0.0, "without_cost": 12} for name in ("this_hour", "last_hour", "last_25_hours")}
    said = lines({**free, "costs_enabled": False, "caught_up": True})
    assert "unpriced" not in " ".join(said)
    assert said[-1] == "(costs are off: costs.enabled)"


def test_nothing_is_shown_before_anything_was_spent_or_by_an_older_release() -> None:
    assert lines({"this_hour": EMPTY, "last_25_hours": EMPTY, "caught_up": False}) == []
    assert lines({}) == []


def test_a_standby_shows_it_too_and_says_while_it_still_reads() -> None:
    standby = said(role="standby", spending=SPENDING | {"caught_up": False})
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(page(look(standby, kind="url"), [], NOW))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "$21.60" in text
    assert "(these are older sums: the totals topic is not read to its end)" in text
