"""Advice: what is handed to an advisor, and how its findings are printed."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from headrace.broker.cli.report import advice
from headrace.broker.cli.report.advice import AdviceGiven, show_advice
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome
from tests.unit.cli.report.world import NOW, World, completed, printed, told, world

__all__ = ["world"]


def one(**given: Any) -> AdviceFinding:
    fields: dict[str, Any] = {
        "kind": Waste.UNCACHED_PREFIX,
        "template": "welcome",
        "model": "gpt-4o",
        "what": "40 % of the input is the same in every request.",
        "how": "Put it first.",
        "tokens_a_day": 1_234_567,
        "effect": SavingEffect.CACHED,
        "micro_usd_a_day": 1_500_000.0,
        "evidence": {"prefix_tokens": 1_200},
    }
    return AdviceFinding(**fields | given)


class Spy:
    """An advisor that finds one thing, and tells of what it was handed."""

    def __init__(self, *, price: object, count: object, lane_deadlines_s: Mapping[str, float]) -> None:
        self.deadlines_s = lane_deadlines_s
        self.ids: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.left_out = 7
        self.days = 0.0
        SPIES.append(self)

    def outcome(self, outcome: AdvisedOutcome) -> None:
        self.ids.append(outcome.id)
        assert not self.requests, "outcomes come first"

    def wants(self, request_id: str) -> bool:
        return request_id in self.ids

    def request(self, decoded: DecodedRequest, lane: str = "") -> None:
        self.requests.append((decoded.request.id, lane))

    def findings(self, *, days: float, show_prompts: bool = False) -> list[AdviceFinding]:
        self.days = days
        return [one(excerpts=("You are a mill.",) if show_prompts else ())]


SPIES: list[Spy] = []


@pytest.fixture(autouse=True)
def spies(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    """Advisors that tell of what they were handed, in place of real ones."""
    SPIES.clear()
    monkeypatch.setattr(advice, "Advisor", Spy)
    return SPIES


def ask(world: World, request_id: str, *, lane: str = "bulk", minutes: int = 60, **body: Any) -> None:
    topic = f"generation.requests.{lane}"
    if topic not in world.kafka.topic_names():
        world.kafka.create(topic, 2)
    world.at = NOW - timedelta(minutes=minutes)
    value = {
        "id": request_id,
        "template": "welcome",
        "tenant": "acme",
        "body": {"model": "gpt-4o", "messages": [], **body},
    }
    world.kafka.append(topic, Record(b"acme", json.dumps(value).encode()), partition=0)


def test_counted_outcomes_come_first_and_then_the_requests_of_the_lanes(
    world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy]
) -> None:
    world.publish(completed(id="lead-1"), completed(id="lead-2"), completed(timedelta(days=9), id="old"))
    ask(world, "lead-1")
    ask(world, "lead-2", lane="urgent")
    ask(world, "unwanted")
    world.kafka.append("generation.requests.bulk", Record(b"k", b"{"), partition=1)
    assert told(capsys, "--advice")["advice"][0]["what"].startswith("40 % of the input")
    [spy] = spies
    assert spy.ids == ["lead-1", "lead-2"]
    assert sorted(spy.requests) == [("lead-1", "bulk"), ("lead-2", "urgent")]
    assert spy.deadlines_s["bulk"] == 432_000


def test_requests_beyond_the_filters_or_the_period_are_not_handed_over(
    world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy]
) -> None:
    world.publish(*(completed(id=name, template="welcome") for name in ("a", "b", "d")))
    world.publish(completed(id="c", template="welcome", tier_served="flex"), completed(id="e", template="bye"))
    ask(world, "d", minutes=13 * 24 * 60)
    ask(world, "a")
    ask(world, "b", lane="urgent")
    ask(world, "c", service_tier="flex")
    ask(world, "e")
    told(capsys, "--advice", "--lane", "bulk", "--tier", "default", "--template", "wel*")
    assert spies[0].requests == [("a", "bulk")]


def test_a_request_that_waited_in_its_lane_before_the_period_is_handed_over(
    world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy]
) -> None:
    """Nor does the clock of the machine that submitted it matter."""
    world.publish(completed(id="a"), completed(id="b"))
    ask(world, "a", minutes=3 * 24 * 60)
    ask(world, "b", minutes=-30)
    assert told(capsys, "--advice", "--since", "24h")["advice_requests"] == 2
    assert spies[0].requests == [("a", "bulk"), ("b", "bulk")]


@pytest.mark.parametrize(("oldest", "days"), [(8, 7), (3, 3), (0, 0)])
def test_a_day_is_the_mean_of_the_period_or_of_the_time_since_the_first_outcome(
    world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy], oldest: int, days: int
) -> None:
    world.publish(completed(timedelta(days=oldest, minutes=5)), completed(timedelta(minutes=4)))
    told(capsys, "--advice")
    assert spies[0].days == pytest.approx(days, abs=0.05)


def test_advice_without_any_request_says_that_it_saw_no_prompt(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed(id="a"))
    assert "Prompts were not looked at" in printed(capsys, "--advice")
    ask(world, "a")
    assert "Prompts were not looked at" not in printed(capsys, "--advice")
    found = told(capsys, "--advice")
    assert (found["advice_requests"], found["advice_left_out"]) == (1, 7)


def test_filters_by_what_answered_keep_the_requests_that_were_asked_for_otherwise(
    world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy]
) -> None:
    """A request asks for gpt-4o at `auto`; its outcome names the snapshot, and the tier that served it."""
    world.publish(completed(id="a", model="gpt-4o-2024-08-06", tier_asked="auto", tier_served="default"))
    ask(world, "a", service_tier="auto")
    told(capsys, "--advice", "--model", "gpt-4o-2024-*", "--tier", "default")
    assert spies[0].requests == [("a", "bulk")]


def test_findings_stand_below_the_table_and_prompts_only_if_they_are_asked_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.publish(completed())
    out = printed(capsys, "--advice")
    assert "1 finding on what would use fewer tokens:" in out
    assert "template welcome, gpt-4o: 1.23 M tokens a day would be billed as cached input, $1.50 a day less." in out
    assert "Evidence: prefix tokens 1,200." in out
    assert "mill" not in out
    assert "Not looked at: 7 outcomes of the smallest templates and models" in out
    assert "» You are a mill." in printed(capsys, "--advice", "--show-prompts")


def test_without_advice_there_is_none(world: World, capsys: pytest.CaptureFixture[str], spies: list[Spy]) -> None:
    world.publish(completed())
    assert told(capsys)["advice"] is None
    assert spies == []


def test_nothing_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_advice(AdviceGiven([], 1))
    out = capsys.readouterr().out
    assert "Nothing was found" in out
    assert "Not looked at" not in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"micro_usd_a_day": 0, "effect": SavingEffect.QUOTA}, "would no longer be charged to the rate limit.\n"),
        ({"effect": SavingEffect.AT_STAKE}, "are at stake, $1.50 a day.\n"),
        ({"effect": SavingEffect.SAVED}, "1.23 M tokens a day would not be used, $1.50 a day less.\n"),
    ],
)
def test_money_is_said_where_some_is_saved(
    given: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_advice(AdviceGiven([one(**given)], 1))
    assert said in capsys.readouterr().out


def test_a_finding_without_a_price_or_a_template_says_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    finding = one(template=None, lane="bulk", micro_usd_a_day=None, effect=SavingEffect.AT_STAKE, evidence={})
    show_advice(AdviceGiven([finding], 1))
    out = capsys.readouterr().out
    assert "no template, gpt-4o, lane bulk: 1.23 M tokens a day are at stake.\n" in out
    assert "Evidence" not in out
