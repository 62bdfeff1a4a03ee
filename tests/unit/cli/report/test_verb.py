"""`headrace report` on a Kafka in memory."""

import csv
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.schemas.outcome import Cost, Usage
from headrace.schemas.record import Record
from tests.unit.cli.report.world import NOW, RESULTS, TOTALS, World, completed, failed, printed, told, world

__all__ = ["world"]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_outcomes_of_the_last_week_are_told_apart_by_lane_and_model(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed(8 * DAY), completed(6 * DAY), failed(), partition=0)
    world.publish(completed(HOUR, lane="urgent"), partition=2)
    found = told(capsys)
    assert (found["by"], found["topic"], found["from"]) == (["lane", "model"], RESULTS, "results")
    assert [(row["lane"], row["model"], row["outcomes"], row["failed"]) for row in found["rows"]] == [
        ("bulk", "gpt-4", 2, 1),
        ("urgent", "gpt-4", 1, 0),
    ]
    assert (found["total"]["outcomes"], found["total"]["micro_usd"]) == (3, 30_000)
    assert (found["total"]["tokens_mean"], found["total"]["micro_usd_each"]) == (400, 15_000)


def test_each_run_of_an_id_counts(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed(), completed(run=1), completed(run=2))
    assert told(capsys)["total"]["outcomes"] == 3


def test_only_what_the_filters_match_counts(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed(tenant="acme"), completed(tenant="other"), completed())
    assert told(capsys, "--tenant", "ac*")["total"]["outcomes"] == 1
    assert told(capsys, "--tenant", "acme", "--tenant", "other")["total"]["outcomes"] == 2
    assert told(capsys, "--tenant", "")["total"]["outcomes"] == 1
    assert told(capsys, "--tenant", "acme", "--lane", "urgent")["total"]["outcomes"] == 0


def test_records_that_cannot_be_read_are_counted_and_end_with_1(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed())
    world.kafka.append(RESULTS, Record(b"k", b"{"), partition=1)
    found = told(capsys, code=1)
    assert (found["unreadable"], found["total"]["outcomes"]) == (1, 1)
    assert "Not counted: 1 record from which this release can read no outcome." in printed(capsys, code=1)


def test_retention_that_removed_a_part_of_the_time_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed(6 * DAY), completed(2 * DAY), completed(HOUR))
    world.kafka.logs(RESULTS)[0].trim(1)
    found = told(capsys)
    back_to = f"{NOW - 2 * DAY:%Y-%m-%dT%H:%M}"
    assert found["reaches_back_to"].startswith(back_to)
    assert "--from totals" in " ".join(found["notes"])
    assert told(capsys, "--since", "24h")["reaches_back_to"] is None


def test_totals_say_what_results_say_of_whole_hours(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [completed(number * HOUR, tenant=f"t{number % 3}") for number in range(1, 60)]
    world.publish(*outcomes)
    world.total(outcomes[40:], series="s1")
    world.total(outcomes[:40], series="s2")
    of_totals = told(capsys, "--by", "tenant,day", "--from", "totals")
    of_results = told(capsys, "--by", "tenant,day")
    assert of_totals["topic"] == TOTALS
    assert of_totals["rows"] == of_results["rows"]


@pytest.mark.usefixtures("world")
def test_a_missing_topic_of_totals_says_what_makes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--from", "totals"]) == 2
    assert "`headrace topics create` makes it" in capsys.readouterr().err


def test_the_earlier_period_comes_from_totals(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed())
    world.total([completed(8 * DAY, usage=Usage(input_tokens=220, output_tokens=100))])
    found = told(capsys)
    assert (found["compared_with"]["topic"], found["rows"][0]["tokens_mean_change"]) == (TOTALS, 0.25)


def test_without_totals_it_comes_from_results_that_have_all_of_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(
        completed(9 * DAY), completed(7.5 * DAY, usage=Usage(input_tokens=700, output_tokens=100)), completed()
    )
    found = told(capsys, "--since", "24h")
    assert (found["compared_with"]["topic"], found["rows"][0]["tokens_mean_change"]) == (RESULTS, -0.5)
    world.kafka.logs(RESULTS)[0].trim(1)
    assert told(capsys, "--since", "24h")["compared_with"] is None


def test_csv_has_a_header_and_a_line_for_each_row(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed(tenant='a,"b"'), completed(tenant="=c"), completed(cost=Cost(micro_usd=0.25)))
    rows = [*csv.DictReader(StringIO(printed(capsys, "--csv", "--by", "tenant")))]
    assert [(row["tenant"], row["micro_usd"]) for row in rows] == [("'=c", "15000"), ('a,"b"', "15000"), ("", "0.25")]
    assert {row["tokens_p95"] for row in rows} == {str(told(capsys)["total"]["tokens_p95"])}


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", "\t=1", "\uff1d1"])
def test_no_name_is_a_formula_of_a_spreadsheet(world: World, capsys: pytest.CaptureFixture[str], name: str) -> None:
    world.publish(completed(tenant=name))
    [row] = csv.DictReader(StringIO(printed(capsys, "--csv", "--by", "tenant")))
    assert row["tenant"] == f"'{name}"
    assert told(capsys, "--by", "tenant")["rows"][0]["tenant"] == name


def test_an_end_beyond_the_calendar_is_an_end_in_a_year(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.publish(completed())
    plot = str(tmp_path / "a.png")
    assert main(["report", "--since", "7d", "--until", "9999-12-31T23:59:59Z", "--plot", plot, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["outcomes"] == 1
    assert found["until"] < f"{NOW + 367 * DAY:%Y-%m-%d}"


def test_the_earlier_period_of_totals_has_whole_hours_and_says_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed())
    world.total([completed(7 * DAY + 90 * HOUR / 60)])
    compared = told(capsys, "--since", "3h")["compared_with"]
    assert [compared[end][14:19] for end in ("since", "until")] == ["00:00", "00:00"]


def test_a_chart_that_cannot_be_written_costs_no_report(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.publish(completed())
    (tmp_path / "a.png").mkdir()
    assert "$0.0150" in printed(capsys, "--plot", str(tmp_path / "a.png"), code=2)


def test_names_without_a_letter_in_any_font_are_drawn_without_a_warning(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.publish(completed(tenant="_日本語"), completed(tenant="\U0001fae8"))
    printed(capsys, "--by", "tenant", "--plot", str(tmp_path / "a.png"))
    assert capsys.readouterr().err == ""


def test_rows_beyond_top_are_one(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(*(completed(tenant=f"t{number}") for number in range(5)))
    found = told(capsys, "--by", "tenant", "--top", "2")
    assert (len(found["rows"]), found["rest"]["rows"], found["rest"]["outcomes"]) == (2, 3, 3)
    assert "(3 more)" in printed(capsys, "--by", "tenant", "--top", "2")
    assert printed(capsys, "--by", "tenant", "--top", "2", "--csv").splitlines()[-1].startswith("(rest),3,")


def test_a_table_in_a_pipe_is_whole(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.publish(completed(tenant="t" * 300), completed(tenant="\x1b[31mred"))
    out = printed(capsys, "--by", "tenant,template,model,lane,tier")
    assert "t" * 300 in out
    assert "\x1b" not in out
    assert "(none)" in out
    figures = "OUTCOMES FAILED CALLS INPUT CACHED OUTPUT CHARGE MEAN P50 P95 COST EACH SHARE"
    assert out.splitlines()[2].split() == f"TENANT TEMPLATE MODEL LANE TIER {figures}".split()


@pytest.mark.usefixtures("world")
def test_nothing_at_all_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys).startswith("0 outcomes, 20")
    assert len(printed(capsys).splitlines()) == 1
    assert printed(capsys, "--csv").count("\n") == 1


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
@pytest.mark.parametrize("ground", [[], ["--dark"]])
def test_a_chart_is_written(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, ground: list[str]
) -> None:
    world.publish(*(completed(number * HOUR, tenant=f"t{number}") for number in range(1, 12)))
    printed(capsys, "--by", "tenant", "--plot", str(tmp_path / name), *ground)
    assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.usefixtures("world")
def test_a_file_of_prices_is_not_for_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--from", "totals", "--prices", "p.toml"]) == 2
    assert "totals are sums" in capsys.readouterr().err
