"""Probes of a service tier that others would keep from their tokens for ever: one at a time may hold up the others."""

import pytest

from headrace.broker.core.lanes.limit_queue import (
    ASIDE_LOOK_MS,
    HOLDS_UP_MAX_MS,
    PATIENCE_MS,
)
from headrace.broker.core.ticket import Ticket
from tests.unit.core.lanes.test_limit_queue import REST_MS
from tests.unit.core.lanes.test_limit_queue_probes import FULL, SCALE, Paying


def backlog(rig: Paying, until_ms: int) -> list[str]:
    """Let requests of another tier take all tokens; return the tiers of the probes that were called, each refused."""
    probes = []
    while rig.now_ms < until_ms:
        if rig.queue.lanes.waiting() < 3:
            rig.waits(charge=10_000)
        found = rig.at()
        assert found is not None
        following, wait_ms = found
        if wait_ms:
            rig.now_ms += min(wait_ms, ASIDE_LOOK_MS)
            continue
        assert rig.pay() is following
        if following.candidate.tier:
            probes.append(following.candidate.tier)
            rig.refuse(following)
    return probes


@pytest.mark.slow
def test_where_others_take_all_tokens_one_waits_for_its_own_a_quarter_of_an_hour_later() -> None:
    rig = Paying()
    for tier in ("flex", "flex", "scale"):
        rig.waits(tier, charge=30_000)
    rig.open(SCALE)
    began_ms = rig.now_ms
    assert backlog(rig, began_ms + PATIENCE_MS) == []
    assert backlog(rig, began_ms + PATIENCE_MS + 120_000) == ["flex"]
    assert backlog(rig, began_ms + 2 * PATIENCE_MS) == [], "one at a time"
    assert backlog(rig, began_ms + 2 * PATIENCE_MS + 120_000) == ["scale"], "each tier in its turn"
    assert backlog(rig, began_ms + 3 * PATIENCE_MS + 180_000) == ["flex"]
    assert rig.queue.is_sound()


def aside(rig: Paying, *tickets: Ticket) -> None:
    """Let probes step aside, and a quarter of an hour pass in which none of them could be paid."""
    waiting = rig.waits(charge=FULL)
    rig.drain()
    rig.at()
    assert all(each.in_tier_lanes for each in tickets)
    rig.now_ms += PATIENCE_MS
    rig.drain()
    rig.queue.remove(waiting)


def test_a_probe_that_holds_up_others_does_so_for_two_minutes_and_goes_last_then() -> None:
    rig = Paying()
    second, first = rig.waits("flex", charge=55_000), rig.waits("scale", charge=55_000)
    rig.open(SCALE)
    rig.now_ms += REST_MS
    aside(rig, first, second)
    other = rig.waits(charge=1_000)
    began_ms = rig.now_ms
    found = rig.at()
    while found is not None and found[0] is not other:
        assert found[0] is first, "only one holds up the others"
        rig.now_ms += 10_000
        rig.drain()
        found = rig.at()
    assert 60_000 < rig.now_ms - began_ms <= HOLDS_UP_MAX_MS
    assert first.in_tier_lanes
    rig.now_ms = began_ms + PATIENCE_MS
    rig.drain()
    following = rig.at()
    assert following is not None
    assert following[0] is second
    assert following[1] > 0


def test_a_probe_that_cannot_be_paid_within_two_minutes_holds_up_no_other() -> None:
    rig = Paying(day_tokens=1_500)
    small, hopeless = rig.waits("flex", charge=1_000), rig.waits("scale", charge=50_000)
    rig.open(SCALE)
    rig.now_ms += REST_MS
    aside(rig, hopeless, small)
    other = rig.waits(charge=10)
    found = rig.at()
    assert found is not None
    assert found[0] is other
    assert hopeless.in_tier_lanes
    rig.now_ms += ASIDE_LOOK_MS
    found = rig.at()
    assert found is not None
    assert found[0] is small, "the turn is that of the next one"
    assert 0 < found[1] < HOLDS_UP_MAX_MS


def test_a_probe_that_cannot_be_paid_within_two_minutes_uses_up_no_turn_though_it_is_the_only_one() -> None:
    rig = Paying(day_tokens=1_500)
    hopeless = rig.waits("flex", charge=50_000)
    aside(rig, hopeless)
    other = rig.waits(charge=10)
    found = rig.at()
    assert found is not None
    assert found[0] is other
    small = rig.waits("flex", charge=1_000)
    found = rig.at()
    assert found is not None
    assert found[0] is small
    assert 0 < found[1] < HOLDS_UP_MAX_MS


def test_a_probe_in_a_lane_without_a_turn_takes_no_turn_from_those_of_other_lanes() -> None:
    rig = Paying()
    low, high = rig.waits("flex", lane="bulk", charge=55_000), rig.waits("scale", lane="urgent", charge=55_000)
    rig.open(SCALE)
    rig.now_ms += REST_MS
    kept = rig.waits(lane="bulk", charge=FULL)
    aside(rig, high)
    rig.waits(lane="standard", charge=1_000)
    rig.at()
    found = rig.at()
    assert not low.in_tier_lanes
    assert kept.queued
    assert found is not None
    assert found[0] is high


def test_while_one_holds_up_others_no_probe_that_stepped_aside_takes_the_tokens() -> None:
    rig = Paying()
    second, first = rig.waits("flex", charge=30_000), rig.waits("scale", charge=55_000)
    rig.open(SCALE)
    rig.now_ms += REST_MS
    aside(rig, first, second)
    rig.waits(charge=1_000)
    rig.at()
    rig.now_ms += 35_000
    assert rig.queue._payable_at(second, rig.now_ms) == rig.now_ms
    found = rig.at()
    assert found is not None
    assert found[0] is first
    assert second.in_tier_lanes
