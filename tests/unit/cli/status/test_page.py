"""The page a person sees: trouble before numbers, nothing that moves a cursor, nothing missing that must be there."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from headrace.broker.amounts import counted, spoken_bytes, spoken_s
from headrace.broker.cli.status.page import page
from headrace.broker.service.status.findings import findings
from headrace.broker.service.status.reading import StatusReading
from tests.unit.service.status.specimens import bucket, lane, limit, look, report, said

NOW = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)


def shown(found: StatusReading) -> list[str]:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(page(found, findings(found), NOW))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def line_of(lines: list[str], start: str) -> str:
    [found] = [line for line in lines if line.startswith(start)]
    return found


def test_it_opens_with_who_leads_since_when_and_how_old_this_is() -> None:
    lines = shown(look(said()))
    assert lines[0] == "generation  reported 0.4 s ago, headrace:c:g:status"
    assert lines[1].startswith("leader  pod-7 (pid 12)  token token-a  term 3 since 2026-12-01 09:00:00 UTC")
    assert lines[1].endswith("1 h 30 min")
    assert lines[2] == "Kafka answers  Redis answers  1 standby ready"
    assert "✓ Nothing is wrong." in lines


def test_trouble_stands_above_the_numbers() -> None:
    status = said(ready={"kafka": False, "redis": True}, trouble="Kafka does not answer.")
    lines = shown(look(status))
    assert lines.index("✗ Kafka does not answer.") < lines.index(line_of(lines, "lane"))
    assert "✓ Nothing is wrong." not in lines


def test_lanes_and_limits_are_tables_with_bars() -> None:
    status = said(
        lanes={
            "bulk": lane(waiting=83, waiting_tokens=44_881, waiting_seconds=246.0, calling=3, oldest_s=8.0)
            | {"lag": {"requests": 12_000, "age_s": 4.0}}
        },
        limits={"mini": limit(waiting=77, inflight=6, next_call_s=0.1, buckets=[bucket(low=2_500, high=4_000)])},
        models={
            "large": {"requests": 12, "charge_tokens_mean": 404.4, "input_tokens_mean": 413, "output_tokens_mean": 113}
        },
    )
    lines = shown(look(status))
    assert line_of(lines, "bulk ").split() == [
        "bulk",
        "12,000",
        "83",
        "44,881",
        "4",
        "min",
        "6",
        "s",
        "8.0",
        "s",
        "3",
        "0",
    ]
    assert "█████▒▒▒░░░░░░░░░░░░  25% to 40%  2,500 of 10,000" in line_of(lines, "mini ")
    assert line_of(lines, "large ").split() == ["large", "12", "404", "413", "113"]
    assert "in flight 2, holding 128 KiB of memory for answers" in lines
    assert "outcomes of all leaders  completed 7" in lines


@pytest.mark.parametrize("width", [100, 160])
def test_a_limit_that_measures_says_so_with_its_rate_and_one_that_follows_does_not(width: int) -> None:
    measures = limit(budget="measures by itself, since 2026-12-01T09:00:00.000Z", measured_tokens_per_minute=54_321)
    follows = limit(budget="follows the server's own numbers", measured_tokens_per_minute=None)
    found = look(said(limits={"mini": measures, "large": follows, "former": limit()}))
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(page(found, findings(found), NOW, width=width))
    assert isinstance(console.file, io.StringIO)
    text = " ".join(console.file.getvalue().split())
    assert "measures by itself, since 2026-12-01T09:00:00.000Z: 54,321 tokens a minute" in text
    assert "follows" not in text


def test_no_title_and_no_figure_is_cut_at_80_columns() -> None:
    busy = lane(waiting=12_345, waiting_tokens=9_876_543, waiting_seconds=11_520.0, calling=512, oldest_s=6_300.0)
    name = "a-fine-tuned-model-of-a-very-long-name:2026"
    spent = {"requests": 1_234_567, "charge_tokens_mean": 12_404, "input_tokens_mean": 11, "output_tokens_mean": 113}
    status = said(lanes={"standard": busy | {"lag": {"requests": 120_000, "age_s": 4.0}}}, models={name: spent})
    found = look(status)
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(page(found, findings(found), NOW, width=80))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    numbers = text[text.index("lane ") :]
    assert numbers.count("…") == 1  # of the model's name, which is cut everywhere
    for figure in ("120,000", "12,345", "9,876,543", "3 h 12 min", "1 h 45 min", "1,234,567", "12,404"):
        assert figure in numbers


def test_at_80_columns_an_instant_is_not_torn_from_its_utc() -> None:
    status = said(host="headrace-dispatcher-7d9c8b7f5-abcde", pid=1, owner="0123456789abcdef")
    report_of_one = look(status)
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(page(report_of_one, findings(report_of_one), NOW, width=80))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1:4] == [
        "leader  headrace-dispatcher-7d9c8b7f5-abcde (pid 1)  token 0123456789ab",
        "term 3 since 2026-12-01 09:00:00 UTC, 1 h 30 min",
        "Kafka answers  Redis answers  1 standby ready",
    ]


def test_what_kafka_still_holds_is_shown_with_its_age_where_kafka_has_not_answered_of_late() -> None:
    for lag, expected in (
        ({"requests": 0, "age_s": 15.0}, ["bulk", "0", "0"]),
        ({"requests": 1_200, "age_s": 42.0}, ["bulk", "1,200", "42", "s", "ago", "0"]),
        (None, ["bulk", "?", "0"]),
    ):
        lines = shown(look(said(lanes={"bulk": lane() | {"lag": lag}})))
        assert line_of(lines, "bulk ").split()[: len(expected)] == expected


def test_a_stale_report_is_marked_wherever_one_looks() -> None:
    lines = shown(look(said(), age_s=3_700.0, holder=None, standbys=0))
    assert lines[0].startswith("generation  reported 1 h 1 min ago")
    assert lines[1].startswith("last leader")
    assert "Kafka answers" not in "".join(lines)
    assert "as it was 1 h 1 min ago:" in lines


def test_a_standby_shows_no_empty_tables() -> None:
    status = said(role="standby", term=0, leading_since=None)
    lines = shown(look(status, kind="url", place="http://pod-8:8080/status", standbys=None))
    assert lines[0] == "generation  asked at http://pod-8:8080/status"
    assert not [line for line in lines if line.startswith(("lane", "limit", "in flight"))]


def test_nothing_reported_is_short() -> None:
    lines = shown(look(None, holder=None, standbys=0))
    assert lines[0] == "generation  nothing in Redis"
    assert len(lines) <= 5


def test_strangers_names_move_no_cursor_and_break_no_line() -> None:
    name = "\x1b[2J\u202e[red]evil\n" + "x" * 100
    spent = {"requests": 1}
    status = said(limits={name: limit(waiting=1, breaker="open: quota")}, models={name: spent}, host="\x1b]0;t\x07")
    text = "\n".join(shown(look(status)))
    assert not {letter for letter in text if not letter.isprintable()} - {"\n"}
    assert r"\x1b[2J\u202e[red]evil\n" in text


def test_the_retrier_has_a_block_of_its_own_whatever_it_reports() -> None:
    status: dict[str, Any] = {
        "role": "leader",
        "term": 2,
        "ready": {"kafka": True, "redis": True},
        "waiting": {"quota": 3, "rate_limited": 1_204},
        "next_due_s": 12.5,
        "deep": {"a": {"b": 1}},
    }
    lines = shown(StatusReading("generation", report(said()), report(status)))
    assert "retrier  reported 0.4 s ago" in lines
    assert "waiting  quota 3  rate_limited 1,204" in lines
    assert "next due s  12.5" in lines


def test_a_retrier_that_is_asked_itself_shows_what_it_has_and_no_empty_tables() -> None:
    status = {"process": "retrier", "role": "leader", "term": 2, "put_back": 5, "ready": {"kafka": True, "redis": True}}
    lines = shown(look(status, kind="url", place="http://retrier:8080/status", standbys=None))
    assert "put back  5" in lines
    assert not [line for line in lines if line.startswith(("lane", "process"))]


def test_a_name_somebody_chose_is_shown() -> None:
    assert shown(look(said(name="blue")))[1].startswith("leader  pod-7 (pid 12)  blue  token token-a")


def test_remarks_come_last() -> None:
    lines = shown(StatusReading("generation", report(said()), remarks=("Kafka does not answer from here.",)))
    assert lines[-1] == "(Kafka does not answer from here.)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.4, "59 s"), (60, "1 min"), (250, "4 min 10 s"),
        (3_600, "1 h"), (11_520, "3 h 12 min"), (187_200, "2 d 4 h"),
    ],
)  # fmt: skip
def test_a_span_is_said_as_a_person_would(seconds: float, text: str) -> None:
    assert spoken_s(seconds) == text


def test_amounts_are_said_as_a_person_would() -> None:
    assert [spoken_bytes(count) for count in (512, 65_536, 5_242_880)] == ["512 B", "64 KiB", "5.0 MiB"]
    assert [counted(count, "standby") for count in (0, 1, 1_200)] == ["0 standbys", "1 standby", "1,200 standbys"]


def test_it_says_by_which_law_calls_are_charged_and_how_sure_that_is() -> None:
    charges = {
        "chat.completions": {"law": "chat-2025", "identified": True, "evidence": 31, "error_tokens": -1},
        "responses": {"law": "responses", "identified": False, "evidence": 0, "error_tokens": 0},
        "embeddings": {"law": None, "identified": False, "evidence": 0, "error_tokens": None},
    }
    lines = shown(look(said(limits={"gpt-4o-mini": limit(charges=charges)})))
    assert line_of(lines, "gpt-4o-mini chat.completions").split() == [
        "gpt-4o-mini", "chat.completions", "chat-2025", "-1", "31",
    ]  # fmt: skip
    assert "responses, not proved" in line_of(lines, "gpt-4o-mini responses")
    assert "not known yet: the costliest law" in line_of(lines, "gpt-4o-mini embeddings")


def test_what_is_parked_is_counted() -> None:
    assert line_of(shown(look(said(parked=1_200))), "parked") == (
        "parked  1,200 requests, which the retrier puts back when they are due"
    )
    assert not any(line.startswith("parked") for line in shown(look(said(parked=0))))
