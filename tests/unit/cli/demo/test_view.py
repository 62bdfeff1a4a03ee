"""What a person sees while it runs, drawn into text."""

from dataclasses import replace

import pytest
from rich.console import Console

from headrace.broker.cli.demo.inside import BucketEstimate, Inside
from headrace.broker.cli.demo.moment import Moment, SideNow
from headrace.broker.cli.demo.stage import DemoSettings
from headrace.broker.cli.demo.strip import lanes, leadership
from headrace.broker.cli.demo.tally import LeadState
from headrace.broker.cli.demo.view import clock, draw, plain_line

INSIDE = Inside(
    leader="dispatcher-1",
    leader_pid=4242,
    standbys=("dispatcher-2",),
    term=3,
    waiting={"urgent": 0, "standard": 2, "bulk": 17},
    inflight=4,
    bucket=BucketEstimate(low=512, high=690, capacity=10_000),
)


def side(*fates: LeadState, throttled: int = 0, share: float | None = 0.5, waits_s: tuple[float, ...] = ()) -> SideNow:
    count = len(fates)
    return SideNow(
        fates=fates,
        urgent=tuple(number == count - 1 for number in range(count)),
        come=(True,) * count,
        throttled=throttled,
        calls=count,
        share=share,
        urgent_waits_s=waits_s,
    )


def moment(inside: Inside = INSIDE, *, leads: int = 4) -> Moment:
    naive = side(LeadState.ANSWERED, LeadState.FAILED, *[LeadState.WAITING] * (leads - 2), throttled=66, share=0.7)
    headrace = side(*[LeadState.ANSWERED] * leads, share=0.972, waits_s=(2.0, 3.0, 7.0))
    return Moment(65.4, naive, headrace, inside)


def drawn(what: Moment, *, width: int = 100, leads: int = 4) -> str:
    console = Console(record=True, width=width, file=None, force_terminal=False, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(draw(what, DemoSettings(leads=leads)))
    return captured.get()


def test_both_sides_stand_beside_each_other() -> None:
    text = drawn(moment())
    [title] = [line for line in text.splitlines() if "4 workers" in line]
    assert "Headrace" in title
    [failed] = [line for line in text.splitlines() if "failed" in line]
    assert failed.replace("│", " ").split() == ["failed", "1", "failed", "0"]
    [refusals] = [line for line in text.splitlines() if "429s" in line]
    assert refusals.replace("│", " ").split() == ["429s", "66", "429s", "0"]


def test_it_shows_the_clock_the_share_the_waits_and_the_inside() -> None:
    text = drawn(moment())
    for told in (
        "1:05",
        "97%",
        "1 of 4",
        "4 of 4",
        "3 of 1 answered, median 3.0 s",
        "dispatcher-1 leads (term 3); dispatcher-2 stands by: try kill -9 4242",
        "urgent 0 · standard 2 · bulk 17 waiting; 4 being called",
        "512 to 690 of 10,000 tokens",
    ):
        assert told in text


def test_each_lead_has_a_mark() -> None:
    [campaign] = [line for line in drawn(moment()).splitlines() if "campaign" in line]
    assert [campaign.count(mark) for mark in "●✗·"] == [1 + 3, 1, 1]
    urgent = next(line for line in drawn(moment()).splitlines() if "urgent" in line)
    assert [urgent.count(mark) for mark in "◇◆"] == [1, 1]


@pytest.mark.parametrize(("width", "leads", "height_max"), [(100, 60, 25), (140, 60, 25), (80, 60, 28), (100, 500, 40)])
def test_it_fits_a_terminal(width: int, leads: int, height_max: int) -> None:
    lines = drawn(moment(leads=leads), width=width, leads=leads).splitlines()
    assert len(lines) <= height_max
    assert max(map(len, lines)) <= width


def test_before_the_first_answer_nothing_is_known_and_nothing_is_drawn_that_is_not() -> None:
    early = Moment(0.0, side(LeadState.WAITING, share=None), side(LeadState.WAITING, share=None), Inside())
    text = drawn(early, leads=1)
    assert "no dispatcher leads now" in text
    assert "unknown before the first answer" in text
    assert "0 of 1 answered" in text
    assert "none yet" in drawn(replace(early, naive=replace(early.naive, come=(False,))), leads=1)


def test_a_leader_without_standby_is_named_alone() -> None:
    assert leadership(Inside(leader="dispatcher-2", term=4)) == "dispatcher-2 leads (term 4)"
    assert lanes(Inside()) == "-"


def test_the_clock_counts_minutes() -> None:
    assert [clock(seconds) for seconds in (0.9, 59.9, 60, 754)] == ["0:00", "0:59", "1:00", "12:34"]


def test_without_a_terminal_it_is_one_line() -> None:
    line = plain_line(moment())
    assert line == (
        "1:05  workers: 1/4 answered, 1 failed, 66 429s, 70% of the quota | "
        "Headrace: 4/4 answered, 0 failed, 0 429s, 97% of the quota | "
        "urgent 0 · standard 2 · bulk 17 waiting; 4 being called"
    )
