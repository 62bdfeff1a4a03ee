"""What the checker of floors and ceilings takes for a stretch, and how much it lets pass: turns made by hand."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

import pytest

from headrace.broker.core.config import LaneRule
from headrace.broker.core.ticket import LanePartition, Source, TicketNumber
from headrace.broker.core.units import PPM
from tests.simulation.checkers import shares_hold
from tests.simulation.history import CallMade, History, Turn
from tests.simulation.kafka import Kafka

CHARGE = 100
WAITS = {"urgent": {1}, "bulk": {2}}
FLOOR = (LaneRule("urgent", 0, 0, 0, 9, 9), LaneRule("bulk", 1, 0, PPM // 2, 9, 9))
CEILING = (LaneRule("urgent", 0, 0, 0, 9, 9, ceiling_ppm=PPM // 2), LaneRule("bulk", 1, 0, 0, 9, 9))


def turn(
    *lanes: str,
    waiting: Mapping[str, AbstractSet[int]] = WAITS,
    limit: str = "m",
    term: int = 1,
    calm: bool = True,
    largest: int = CHARGE,
) -> Turn:
    """One call of each lane named, in order."""
    calls = [call(lane) for lane in lanes]
    numbers = {lane: {TicketNumber(each) for each in found} for lane, found in waiting.items()}
    return Turn("p1", term, limit, calm, calls, numbers, largest)


def call(lane: str) -> CallMade:
    """One call, of which only the lane and the charge matter."""
    return CallMade(
        at_ms=0,
        writer="p1",
        name="id",
        run=0,
        known=False,
        cancelled=False,
        late=False,
        trusted=True,
        beside=0,
        life=0,
        source=Source(LanePartition(lane, 0), 0),
        tenant="",
        limit="m",
        charge=CHARGE,
    )


def told(rules: tuple[LaneRule, ...], *turns: Turn) -> list[str]:
    """What the checker says of these turns, which stand behind one in which everybody begins to wait."""
    kafka = Kafka(lambda _transaction: None)
    return list(shares_hold.check(History(kafka, lanes=rules, turns=[turn("urgent"), *turns])))


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
def test_two_of_the_largest_charges_may_be_lacking_or_beyond_and_no_more(rules: tuple[LaneRule, ...]) -> None:
    assert told(rules, *[turn("urgent", "urgent")] * 2) == []
    assert len(told(rules, *[turn("urgent", "urgent")] * 2, turn("urgent"))) == 1


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
def test_what_was_right_before_does_not_make_up_for_what_is_wrong_since(rules: tuple[LaneRule, ...]) -> None:
    assert len(told(rules, *[turn("bulk")] * 20, *[turn("urgent")] * 5)) == 1


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
def test_what_was_wrong_stays_so_when_it_is_made_up_for_later(rules: tuple[LaneRule, ...]) -> None:
    assert len(told(rules, *[turn("urgent")] * 5, *[turn("bulk")] * 20)) == 1


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
@pytest.mark.parametrize(
    "other",
    [
        turn("urgent", calm=False),
        turn("urgent", waiting={"urgent": {1}, "bulk": set()}),
        turn("urgent", waiting={"urgent": {1}, "bulk": {3}}),  # 2 may have left before 3 came
    ],
)
def test_a_stretch_ends_with_a_turn_in_which_it_is_not_sure_who_waited_and_who_could_go(
    rules: tuple[LaneRule, ...], other: Turn
) -> None:
    assert told(rules, *[turn("urgent")] * 3, other, *[turn("urgent")] * 3) == []
    assert len(told(rules, *[turn("urgent")] * 7)) == 1


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
def test_a_large_charge_of_before_may_still_be_owed(rules: tuple[LaneRule, ...]) -> None:
    assert told(rules, turn("bulk", largest=2 * CHARGE), *[turn("urgent")] * 8) == []
    assert len(told(rules, turn("bulk", largest=2 * CHARGE), *[turn("urgent")] * 9)) == 1


@pytest.mark.parametrize("rules", [FLOOR, CEILING])
def test_limits_and_terms_are_judged_one_by_one(rules: tuple[LaneRule, ...]) -> None:
    assert told(rules, *[turn("urgent"), turn("urgent", limit="n"), turn("urgent", term=2)] * 4) == []


def test_a_ceiling_holds_only_while_a_lane_below_without_one_waits() -> None:
    alone = {"urgent": {1}, "bulk": set[int]()}
    assert told(CEILING, *[turn("urgent", waiting=alone)] * 9) == []
    urgent, bulk = CEILING
    assert told((urgent, replace(bulk, ceiling_ppm=PPM // 2)), *[turn("urgent")] * 9) == []


def test_a_floor_is_put_to_the_test_only_while_a_lane_above_wants_the_same_tokens() -> None:
    def tested(waiting: Mapping[str, AbstractSet[int]]) -> list[bool]:
        turns = [turn("bulk", waiting=waiting)] * 9
        history = History(Kafka(lambda _transaction: None), lanes=FLOOR, turns=turns)
        return [stretch.is_put_to_the_test for stretch in shares_hold.stretches(history)]

    assert tested(WAITS) == [True]
    assert tested({"urgent": set(), "bulk": {2}}) == [False]
