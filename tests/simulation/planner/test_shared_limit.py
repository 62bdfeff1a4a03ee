"""Two models that draw from one limit of OpenAI's are paid from one mirror, if the settings say so."""

from heapq import merge
from typing import Any

from headrace.broker.planner.engine import VirtualRun
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours.enforcement import SharedLimit
from tests.simulation.planner.scenes import CHARGE, TOKENS, run_of, stream

DATED, PLAIN = "gpt-4.1-2025-04-14", "gpt-4.1-mini"
KNOWN = {"tokens_per_minute": TOKENS, "requests_per_minute": 100_000}
COUNT = 120


def run(limits: dict[str, Any]) -> VirtualRun:
    """Both models have a backlog, and OpenAI holds it against one limit."""
    arrivals = merge(
        stream(COUNT, every_ms=10, model=DATED), stream(COUNT, every_ms=10, model=PLAIN), key=lambda each: each.at_ms
    )
    made = run_of(arrivals, groups={"limits": limits}, behaviours=(SharedLimit("gpt-4.1"),))
    record = made.finish()
    assert sum(lane.outcomes["completed"] for lane in record.lanes.values()) == 2 * COUNT
    return made


def test_two_models_of_one_limit_are_paid_from_one_mirror_and_none_is_refused() -> None:
    made = run({"gpt-4.1": KNOWN | {"models": ["gpt-4.1-*"]}})
    books = made.upstream.books()
    assert books.throttled == 0
    assert list(books.accounts) == list(made.core.limits.limit_queues()) == ["gpt-4.1"]
    share = books.accounts["gpt-4.1"][Metric.TOKENS].share
    assert share is not None
    assert share > 0.95
    (budget,) = [desk.budget for desk in made.core.limits.limit_queues().values()]
    assert budget.corrections == 0, "what each model's answer tells agrees with what the other has spent"
    assert 2 * COUNT * CHARGE > TOKENS


def test_without_that_setting_each_model_meets_the_other_as_a_stranger() -> None:
    made = run({DATED: KNOWN, PLAIN: KNOWN})
    assert sum(desk.budget.corrections for desk in made.core.limits.limit_queues().values()) > 0


def test_a_dated_snapshot_draws_from_its_models_limit_without_any_setting() -> None:
    assert Settings().limit_for(DATED) == "gpt-4.1"
    assert Settings.model_validate({"limits": {"gpt-4.1": KNOWN}}).limit_for(PLAIN) == PLAIN
