"""`headrace simulate`: what it prints and what it writes, of whole plans."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from headrace.broker.cli.main import main
from headrace.broker.cli.simulate.page import page
from headrace.broker.cli.simulate.report import as_json
from headrace.broker.planner.parts import in_parts, together
from headrace.broker.planner.plan import Plan, quotas_for
from headrace.broker.planner.workload import HOUR_MS, Stream, Workload
from headrace.broker.settings.whole import Settings

WORKLOAD = """
hours = 0.1
[[stream]]
name = "leads"
lane = "urgent"
rate = "300/h"
[[stream]]
name = "mailing"
lane = "bulk"
count = 30
at = "00:01"
"""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "workload.toml"
    path.write_text(WORKLOAD, encoding="utf-8")
    return path


def report(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["simulate", *args, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    found = json.loads(told.out)
    assert isinstance(found, dict)
    return found


def test_a_workload_file_becomes_a_table_for_a_person(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(workload), "--tokens-per-minute", "10000"]) == 0
    told = capsys.readouterr()
    assert "mean wait" in told.out
    assert "The same requests with other quotas" in told.out
    assert [line.split()[0] for line in told.out.splitlines() if " x " in line] == ["0.5", "0.75", "1", "1.5", "2"]
    assert "\x1b" not in told.out
    assert max(map(len, told.out.splitlines())) <= 120
    assert told.err == ""


def test_json_is_one_object_whose_numbers_agree(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, str(workload), "--tokens-per-minute", "10000", "--quotas", "0.5")
    assert [each["factor"] for each in found["quotas"]] == [0.5, 1.0]
    assert found["quotas"][1]["lanes"] == found["lanes"]
    bulk, urgent = found["lanes"]["bulk"], found["lanes"]["urgent"]
    assert (bulk["requests"], bulk["completed"], bulk["failed"]) == (30, 30, {})
    assert urgent["requests"] + bulk["requests"] == found["requests"]
    assert bulk["wait_ms"]["p50"] <= bulk["wait_ms"]["p95"] <= bulk["wait_ms"]["max"]
    limit = found["limits"]["gpt-4o-mini"]
    assert limit["tokens_per_minute"] == 10_000
    assert limit["calls"] == found["requests"]
    assert 0 < limit["tokens"]["share"] < 1


def test_the_same_seed_reports_the_same_and_a_file_may_name_it(
    workload: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = (report(capsys, str(workload), "--tokens-per-minute", "10000", "--quotas", "1") for _ in range(2))
    assert first == again
    workload.write_text(f"seed = 9\n{WORKLOAD}", encoding="utf-8")
    other = report(capsys, str(workload), "--tokens-per-minute", "10000", "--quotas", "1")
    assert other["seed"] == 9
    assert other["lanes"] != first["lanes"]


def test_options_tell_a_workload_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(
        capsys,
        *("--rate", "urgent=1/s", "--rate", "bulk=0.5/s", "--size", "600", "--size", "urgent=100-200"),
        *("--deadline", "bulk=30min", "--answer", "50", "--requests", "90", "--tokens-per-minute", "60000"),
        *("--quotas", "1"),
    )
    assert found["requests"] == 90
    assert found["lanes"]["urgent"]["requests"] > found["lanes"]["bulk"]["requests"] > 10
    assert found["deadlines_missed"] == 0


def test_the_quota_is_the_settings_where_it_is_not_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "headrace.toml"
    config.write_text('[limits."gpt-4o"]\ntokens_per_minute = 50000\n', encoding="utf-8")
    args = ("--rate", "urgent=60/h", "--model", "gpt-4o", "--config", str(config), "--quotas", "1")
    assert report(capsys, *args)["limits"]["gpt-4o"]["tokens_per_minute"] == 50_000


def test_what_comes_too_late_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--rate", "bulk=2/s", "--deadline", "1min", "--hours", "0.1", "--tokens-per-minute", "10000"]
    assert main(["simulate", *args, "--quotas", "1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["deadlines_missed"] > 0
    assert found["lanes"]["bulk"]["failed"]["deadline_unreachable"] > 0


def test_a_behaviour_is_played(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = (str(workload), "--tokens-per-minute", "10000", "--quotas", "1", "--behaviour", "quantised-6s")
    assert report(capsys, *args)["throttled"] > 0


def test_a_png_is_written(workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plan.png"
    report(capsys, str(workload), "--tokens-per-minute", "10000", "--quotas", "1", "--plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_an_svg_is_written_and_names_the_lanes_and_the_quota(
    workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plan.svg"
    report(capsys, str(workload), "--tokens-per-minute", "10000", "--quotas", "1", "--plot", str(plot))
    text = plot.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    assert "quota: 10 k tokens a minute" in text
    assert "urgent:" in text
    assert "bulk:" in text
    assert "standard" not in text


def test_a_long_steady_plan_is_told_with_how_wrong_its_means_may_be() -> None:
    workload = Workload((Stream("a", "urgent", per_hour=6_000),), HOUR_MS // 20)
    settings = Settings()
    quotas = quotas_for(settings, workload, tokens_per_minute=60_000, requests_per_minute=None)
    plan = Plan(settings, workload, quotas)
    outlook = together(plan, [part.play() for part in in_parts(plan, 4)])
    console = Console(record=True, width=120, file=io.StringIO())
    for part in page([outlook]):
        console.print(part)
    said = console.export_text()
    assert "played in 4 parts" in said
    assert " ± " in said
    told = as_json(plan, [outlook])
    assert told["parts"] == 4
    assert told["lanes"]["urgent"]["wait_ms"]["mean_within"] == outlook.wait_within_ms["urgent"]
    assert "mean_within" not in told["lanes"]["bulk"]["wait_ms"]


def test_a_plan_can_be_played_whole(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = (str(workload), "--tokens-per-minute", "10000", "--quotas", "1")
    assert report(capsys, *args, "--whole") == report(capsys, *args)
