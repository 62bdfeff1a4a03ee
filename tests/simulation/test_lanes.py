"""What the checkers of lanes judge does happen: keys, serial lanes, caps that are reached and buffers that are full.

Floors and ceilings matter while lanes wait for long, which few of the usual runs let them: so there are crowded ones.
"""

from collections import Counter

import pytest

from tests.long_proofs import with_long
from tests.simulation.checkers.caps_hold import MINUTE_MS
from tests.simulation.checkers.order_holds import rows
from tests.simulation.checkers.shares_hold import stretches
from tests.simulation.history import History
from tests.simulation.run import simulate
from tests.simulation.scenario import Scenario
from tests.simulation.world import SimulatedWorld

SEEDS = 24
CROWDED = with_long([range(4), range(8)], 1)
"""Half of the seeds belongs to every `make test`, with half of what they must show; all, to `make test-long`."""
PLACES_KEPT = 31
"""A crowded seed in which all places but those that are kept for the first lane are taken."""


def exercised(scenario: Scenario, history: History) -> Counter[str]:
    """How often each promise could have been broken."""
    serial = {rule.name for rule in scenario.rules.lanes if rule.serial}
    called = {(call.writer, call.life, call.source) for call in history.calls}
    found: Counter[str] = Counter()
    for (writer, life, lane, _), row in rows(history).items():
        behind = sum((writer, life, each.source) in called for each in row) - 1
        found["called behind another of its key, one at a time" if lane in serial else "called behind another"] += (
            behind
        )
    for call in history.calls:
        rule = scenario.rules.tenants.get(call.tenant)
        others = [each for each in history.calls if (each.writer, each.tenant) == (call.writer, call.tenant)]
        if rule is not None and rule.cap_tokens is not None:
            minute = range(call.at_ms - MINUTE_MS + 1, call.at_ms + 1)
            taken = sum(each.charge for each in others if each.at_ms in minute)
            found["called with half of a cap taken"] += 2 * taken > rule.cap_tokens
        if rule is not None and rule.inflight_max is not None:
            flying = sum(
                each.at_ms <= call.at_ms and (each.ended_ms is None or each.ended_ms > call.at_ms) for each in others
            )
            found["called to the last place"] += flying == rule.inflight_max
    for stretch in stretches(history):
        what = "floor" if stretch.is_floor else "ceiling"
        found[f"{what} of {stretch.rule.name}"] += stretch.is_put_to_the_test
    for held in history.held.values():
        found["lanes full of records"] += held.count == held.rule.buffer_max
        found["lanes full of bytes"] += held.bytes >= held.rule.buffer_bytes_max
    return found


@pytest.mark.timeout(60)
def test_the_promises_of_lanes_are_put_to_the_test() -> None:
    found: Counter[str] = Counter()
    for seed in range(SEEDS):
        scenario = Scenario.drawn(seed)
        found += exercised(scenario, SimulatedWorld(scenario).run())
    least = {
        "called behind another": 150,
        "called behind another of its key, one at a time": 20,
        "called with half of a cap taken": 10,
        "called to the last place": 25,
        "lanes full of records": 50,
        "lanes full of bytes": 15,
    }
    assert {what: found[what] for what in least if found[what] < least[what]} == {}, found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seeds", CROWDED, ids=len)
def test_every_promise_is_kept_in_a_crowd_where_floors_and_ceilings_are_put_to_the_test(seeds: range) -> None:
    found: Counter[str] = Counter()
    for seed in seeds:
        report = simulate(seed, crowded=True, seen=lambda *run: found.update(exercised(*run)))
        assert not report.broken, report.sentence() + "\n" + report.trace
    least = {"floor of standard": 6, "floor of bulk": 4, "ceiling of urgent": 5}  # of eight seeds
    assert {what: found[what] for what in least if 8 * found[what] < least[what] * len(seeds)} == {}, found


@pytest.mark.timeout(60)
def test_every_promise_is_kept_while_only_the_places_kept_for_the_first_lane_are_free() -> None:
    report = simulate(PLACES_KEPT, crowded=True)
    assert not report.broken, report.sentence() + "\n" + report.trace
