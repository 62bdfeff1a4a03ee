"""`headrace simulate`: how it says no, and how it tells of a server that a seed draws."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.simulate import verb
from headrace.broker.planner.plan import Plan
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours.catalogue import spelled
from headrace.broker.simulator.behaviours.enforcement import EnforcedWindow
from headrace.broker.simulator.drawn_server import drawn_server

WORKLOAD = """
hours = 0.1
[[stream]]
name = "leads"
lane = "urgent"
rate = "300/h"
"""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "workload.toml"
    path.write_text(WORKLOAD, encoding="utf-8")
    return path


def complaint(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["simulate", *args]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ("--rate urgent=2/s", "examples/workload.toml")),
        (("nowhere.toml",), ("nowhere.toml", "No such file")),
        (("--rate", "urgent=2"), ("--rate urgent=2", "2/s")),
        (("--rate", "urgnet=2/s"), ("did you mean 'urgent'?",)),
        (("--rate", "2/s"), ("no lane",)),
        (("--rate", "urgent=2/s", "--size", "bulk=3"), ("--size", "'bulk'", "no --rate")),
        (("--rate", "urgent=2/s"), ("--tokens-per-minute",)),
        (("--rate", "urgent=2/s", "--quotas", "many"), ("--quotas",)),
        (("--rate", "urgent=2/s", "--plot", "plan.pdf"), (".png", ".svg")),
        (("--rate", "urgent=2/s", "--plot", "no/where/plan.png"), ("no directory",)),
        (("--rate", "urgent=2/s", "--tokens-per-minute", "9", "--latency", "long"), ("--latency",)),
        (
            ("--rate", "urgent=2/s", "--tokens-per-minute", "9", "--behaviour", "fixed-windows"),
            ("--behaviour", "did you mean"),
        ),
        (("--rate", "urgent=2/s", "--behaviour", "random:"), ("--behaviour", "random:SEED", "random:17")),
        (("--rate", "urgent=2/s", "--behaviour", "random:1", "--behaviour", "random:2"), ("two whole servers",)),
        (("--rate", "urgent=2/s", "--behaviour", "random:1", "--behaviour", "bucket-1s"), ("bucket-1s", "no effect")),
        (("--rate", "urgent=2/s", "--behaviour", "random:1", "--law", "documented"), ("--law", "random:SEED")),
        (("--rate", "urgent=2/s", "--behaviour", "random:1", "--latency", "2"), ("--latency", "random:SEED")),
        (("--rate", "urgent=2/s", "--tokens-per-minute", "9", "--seed", "9" * 40), ("--seed",)),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_a_mistake_is_one_sentence_and_exit_2(
    args: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = complaint(capsys, *args)
    assert all(word in sentence for word in words), sentence


def test_a_mistake_in_the_file_names_the_file_and_the_nearest_key(
    workload: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workload.write_text(WORKLOAD.replace("rate =", "rte ="), encoding="utf-8")
    sentence = complaint(capsys, str(workload), "--tokens-per-minute", "10000")
    assert str(workload) in sentence
    assert "did you mean 'rate'?" in sentence


def test_a_file_and_a_rate_are_one_too_many(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave out" in complaint(capsys, str(workload), "--rate", "urgent=2/s")


def test_a_file_that_is_no_text_is_said_so(workload: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workload.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in complaint(capsys, str(workload))


SHORT = ("--rate", "urgent=1/s", "--requests", "20", "--quotas", "1")


def planned(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, dict[str, Any]]:
    """Return the page and the object of one plan."""
    main(["simulate", *SHORT, *args])
    page = capsys.readouterr().out
    main(["simulate", *SHORT, *args, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return page, told


@pytest.mark.parametrize("seed", [0, 3, 13, 14, 17, 27])
def test_a_drawn_server_is_played_on_its_own_quota_and_shown(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    server = drawn_server(seed)
    page, told = planned(capsys, "--behaviour", f"random:{seed}")
    assert told["behaviours"] == [spelled(each) for each in server.behaviours]
    assert all(f"\n  {spelled(each)}\n" in page for each in server.behaviours)
    [limit] = told["limits"].values()
    assert (limit["tokens_per_minute"], limit["requests_per_minute"]) == (
        server.tokens_per_minute,
        server.requests_per_minute,
    )
    assert told["busiest_hour"] is None


@pytest.mark.parametrize(
    ("model", "tokens", "left_out"),
    [
        ("gpt-4.1-mini", "100000-140000", ["gpt-4.1-mini:long-context"]),
        ("gpt-4.1-mini", "100000", []),
        ("gpt-4o-mini", "140000", []),
    ],
)
def test_a_limit_of_long_contexts_that_no_run_has_is_named(
    model: str, tokens: str, left_out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    page, told = planned(capsys, "--model", model, "--size", tokens, "--tokens-per-minute", "9000000")
    assert told.get("limits_left_out", []) == left_out
    says = f"{model}:long-context is not simulated: requests with long contexts draw from {model} here."
    assert (says in page) is bool(left_out)
    assert list(told["limits"]) == [model]


@pytest.mark.parametrize("seed", [0, 3, 13, 14, 17, 27])
def test_the_use_is_that_of_what_the_server_offered(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Before: a share of what was offered was called one of the quota, and 100 % where only input is counted."""
    page, told = planned(capsys, "--behaviour", f"random:{seed}")
    [limit] = told["limits"].values()
    windows = [each for each in drawn_server(seed).behaviours if isinstance(each, EnforcedWindow)]
    counted = {each.counts for each in windows}
    tally = limit["tokens"] if Metric.TOKENS in counted else limit["input_tokens"]
    [(used, offered, kind)] = re.findall(r"([\d.]+)% of the ([\d,]+) (tokens|input tokens) on offer", page)
    assert kind == ("tokens" if Metric.TOKENS in counted else "input tokens")
    assert int(offered.replace(",", "")) == tally["offered"]
    assert float(used) == pytest.approx(100 * tally["charged"] / tally["offered"], abs=0.06)
    assert tally["share"] < 0.9
    assert (limit["requests"]["offered"] is None) == (Metric.REQUESTS not in counted)
    assert (" requests; 2" in page) == (Metric.REQUESTS in counted)
    assert max(map(len, page.splitlines())) <= 100


def test_a_quota_that_is_given_takes_precedence_and_the_usual_page_names_no_behaviour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page, told = planned(capsys, "--behaviour", "random:3", "--tokens-per-minute", "60000")
    [limit] = told["limits"].values()
    assert (limit["tokens_per_minute"], limit["requests_per_minute"]) == (60_000, drawn_server(3).requests_per_minute)
    assert "The quota of 60,000 a minute is not enforced as it is." in page
    page, told = planned(capsys, "--tokens-per-minute", "60000")
    assert "plays" not in page
    assert "% of 60,000 tokens a minute used" in page
    assert told["behaviours"] == []


def test_a_drawn_server_is_the_same_whatever_the_workloads_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instants at which its other clients come, for one, are those that `upstream` plays."""
    seeds: list[tuple[int, int]] = []
    play = verb._play

    def noted(plan: Plan, *args: Any, **options: Any) -> Any:
        seeds.append((plan.upstream.seed, plan.workload.seed))
        return play(plan, *args, **options)

    monkeypatch.setattr(verb, "_play", noted)
    for seed in ("1", "2"):
        planned(capsys, "--behaviour", "random:3", "--seed", seed)
    planned(capsys, "--tokens-per-minute", "60000", "--seed", "2")
    assert dict.fromkeys(seeds) == dict.fromkeys([(3, 1), (3, 2), (2, 2)])
