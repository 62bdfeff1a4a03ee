"""The plan's page at 80 columns: each row in one line."""

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.simulate.page import brief_ms


@pytest.mark.parametrize(
    ("wait_ms", "told"),
    [
        (0, "0 ms"),
        (949.6, "950 ms"),
        (3_210, "3.2 s"),
        (59_400, "59 s"),
        (2_014_000, "34 min"),
        (6_100_000, "1.7 h"),
        (48_000_000, "13 h"),
        (93_000_000, "1.1 d"),
        (8_640_000_000, "100 d"),
    ],
)
def test_a_wait_in_six_characters(wait_ms: float, told: str) -> None:
    assert brief_ms(wait_ms) == told
    assert len(told) <= 6


@pytest.mark.slow
def test_a_plan_of_three_lanes_fits_into_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headrace.broker.cli.simulate.verb._WIDTH_WITHOUT_TERMINAL", 80)
    rates = "--rate urgent=1/s --rate standard=20000/day --rate bulk=300000/day"
    assert main(f"simulate {rates} --requests 90 --tokens-per-minute 2000 --quotas 0.5,1".split()) in {0, 1}
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, said)) <= 80
    assert [line.split()[0] for line in said if line.startswith(("lane", "urgent", "standard", "bulk"))] == [
        "lane",
        "urgent",
        "standard",
        "bulk",
    ]
    [head] = [line for line in said if line.startswith("lane")]
    assert " ".join(head.split()) == "lane requests mean wait median 95 % 99 % longest too late failed"
    assert any("tokens/min" in line for line in said)
