"""The real core beside a server that charges outputs when calls end: two templates on one model, 20 and 600 tokens.

`is_named` leaves the templates out, as outputs were reserved for before: by the lengths of all calls.
"""

import random
from collections.abc import Iterator
from statistics import fmean

import pytest

from headrace.broker.core import commands
from headrace.broker.planner.arrivals import Arrival, chat_sizes
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import VirtualUpstream

TOKENS_PER_MINUTE = 60_000
OUTPUTS = {"sort": 20, "write": 600}


def arrivals(count: int, long_share: float, *, is_named: bool) -> Iterator[Arrival]:
    chance = random.Random(7)
    size, asked = chat_sizes(400)
    for number in range(count):
        name = "write" if chance.random() < long_share else "sort"
        template = name if is_named else ""
        place = number % 6
        yield Arrival(0, "urgent", "gpt-4o", size, asked, place, output_tokens=OUTPUTS[name], template=template)


class Measured(VirtualRun):
    """A run that notes how far each call's charge was from what it took in the end."""

    errors: list[int]

    def _call(self, command: commands.Call, now_ms: int) -> None:
        arrival = self._hold[command.number].arrival
        self.errors.append(abs(command.charge - arrival.asked.input_tokens - arrival.output_tokens))
        super()._call(command, now_ms)


def played(long_share: float, *, is_named: bool) -> tuple[float, int]:
    """Return the mean error of the last half of the calls, in tokens, and the number of 429s."""
    behaviours = (parsed("law-usage"),)
    upstream = VirtualUpstream(
        UpstreamSettings(tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=30_000, behaviours=behaviours)
    )
    limit = {"tokens_per_minute": TOKENS_PER_MINUTE, "requests_per_minute": 30_000, "charge_law": "usage"}
    run = Measured(
        Stage.of(Settings.model_validate({"limits": {"gpt-4o": limit}})),
        upstream,
        arrivals(900, long_share, is_named=is_named),
        Times(way_ms=(2, 40), commit_ms=12),
    )
    run.errors = []
    record = run.finish().lanes["urgent"]
    assert record.completed == record.arrived
    return fmean(run.errors[len(run.errors) // 2 :]), record.throttled


@pytest.mark.parametrize("long_share", [0.1, 0.5])
def test_calls_of_two_templates_pay_what_each_ones_outputs_take(long_share: float) -> None:
    error, throttled = played(long_share, is_named=True)
    assert (error, throttled <= 2) == (0, True)


@pytest.mark.parametrize(("long_share", "error_min", "throttled_min"), [(0.1, 50, 3), (0.5, 200, 0)])
def test_without_their_names_each_pays_for_the_other(long_share: float, error_min: int, throttled_min: int) -> None:
    error, throttled = played(long_share, is_named=False)
    assert error >= error_min
    assert throttled >= throttled_min
