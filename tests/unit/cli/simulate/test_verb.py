"""`headrace simulate`: how it says no."""

from pathlib import Path

import pytest

from headrace.broker.cli.main import main

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
