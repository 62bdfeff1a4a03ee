"""Probes of a service tier that wait for their turn in a limit's queue, and those that would hold up others."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import (
    ASIDE_LOOK_MS,
    ASIDE_WAKE_MS,
    SORTED_AT_ONCE_MAX,
    LimitQueue,
)
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import ModelTier, State, Ticket
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.lanes.test_limit_queue import FLEX, REST_MS, Rig
from tests.unit.core.specimens import BULK, FAR_MS, STANDARD, URGENT, budget

SCALE = ModelTier("gpt", "scale")
FULL = 60_000  # a minute's tokens
SPENT = 50_000
WITHIN_MS = 40_000


class Paying(Rig):
    """A limit whose calls are paid for: at first it has tokens for small calls, and none for a large one."""

    def __init__(self, *, floor_ppm: int = 0, day_tokens: int = 0, lanes: type[Lanes] = Lanes) -> None:
        """With `day_tokens`, so many are left of a million a day; else only those of a minute count."""
        super().__init__()
        rules = [
            replace(URGENT, reserve_ppm=0),
            replace(STANDARD, floor_ppm=0),
            replace(BULK, floor_ppm=floor_ppm),
        ]
        levels = [LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS)]
        if day_tokens:
            left = day_tokens + SPENT
            levels.append(LevelBounds(LimitMetric.TOKENS, left, left, 1_000_000, DAY_MS))
        mirror = budget(checkpoint=Checkpoint("gpt", 0, (*levels,), 0, 0, 1_000_000, tolerated_burst_tokens=FULL))
        self.queue = LimitQueue(mirror, lambda durations: lanes(rules, Tenants(), durations), self._returned)
        self.now_ms = REST_MS
        self._calls = 0
        self.open()
        self.now_ms = 2 * REST_MS
        self.spend(SPENT)

    def spend(self, tokens: int) -> None:
        self._calls += 1
        self.queue.budget.reserve(self._calls, tokens, self.now_ms)

    def drain(self) -> None:
        """Spend all tokens that are there."""
        low = min(level.low for level in self.queue.budget.levels(self.now_ms))
        self.spend(max(1, low - ROUNDING_TOKENS))

    def at(self) -> tuple[Ticket, int] | None:
        """The next ticket, and in how many milliseconds it is called."""
        self.queue.sort(self.now_ms)
        self.queue.prepare(self.now_ms)
        found = self.queue.choose(self.now_ms, probe=False)
        return None if found is None else (found[0].ticket, found[1] - self.now_ms)

    def pay(self) -> Ticket:
        """Call the ticket that is next, and pay for it."""
        found = self.at()
        assert found is not None
        assert found[1] == 0
        following = self.called()
        assert following is found[0]
        self.spend(following.charge)
        return following

    def refuse(self, probe: Ticket) -> None:
        self.ended(Meaning.TIER_UNAVAILABLE, probe=True, tier=probe.candidate.model_tier)
        probe.state = State.WAITING
        self.queue.enqueue(probe)


def test_a_probe_that_cannot_be_paid_yet_steps_aside_for_the_others_of_its_lane() -> None:
    rig = Paying()
    large, others = rig.waits("flex", charge=55_000), [rig.waits(charge=1_000) for _ in range(3)]
    assert [rig.pay() for _ in others] == others
    found = rig.at()
    assert found is not None
    assert found[0] is large
    assert rig.queue.is_sound()


def test_it_steps_aside_for_those_of_the_lanes_below_too() -> None:
    rig = Paying()
    large, other = rig.waits("flex", lane="urgent", charge=55_000), rig.waits(lane="bulk", charge=1_000)
    assert rig.pay() is other
    found = rig.at()
    assert found is not None
    assert found[0] is large, "it waits for its tokens once no other waits"
    assert found[1] > WITHIN_MS


def test_one_that_stepped_aside_is_called_once_it_can_be_paid_at_once() -> None:
    rig = Paying()
    large, other = rig.waits("flex", charge=20_000), rig.waits(charge=15_000)
    found = rig.at()
    assert found is not None
    assert found[0] is other
    assert large.in_tier_lanes
    assert rig.queue.look_at(rig.now_ms) == rig.now_ms + ASIDE_WAKE_MS
    rig.now_ms += 15_000
    assert rig.pay() is large


def test_a_cheaper_request_of_its_tier_that_can_be_paid_goes_instead() -> None:
    rig = Paying()
    large, small = rig.waits("flex", charge=55_000), rig.waits("flex", charge=100)
    small.calls = 1
    other = rig.waits(charge=50_000)
    found = rig.at()
    assert found is not None
    assert found[0] is other
    assert rig.pay() is small
    assert large.in_tier_lanes


def test_a_lane_that_is_owed_its_floor_may_hold_up_the_others_for_it() -> None:
    rig = Paying(floor_ppm=500_000)
    large = rig.waits("flex", lane="bulk", charge=30_000)
    for _ in range(100):
        rig.waits(lane="urgent", charge=1_000)
    found = rig.at()
    while found is not None and found[0] is not large:
        rig.now_ms += found[1]
        rig.pay()
        found = rig.at()
    assert found is not None
    assert found[1] > 0
    assert rig.queue.lanes.waiting() > 1


def test_where_one_stepped_aside_no_search_is_repeated_for_each_call() -> None:
    searches = [0]

    class Counting(Lanes):
        def tier_probe(self, lane: str, now_ms: int, *, cheapest: bool = False) -> Ticket | None:
            searches[0] += 1
            return super().tier_probe(lane, now_ms, cheapest=cheapest)

    rig = Paying(lanes=Counting)
    large = [rig.waits("flex", charge=50_000, tenant=f"t{number}") for number in range(64)]
    others = [rig.waits(charge=90) for _ in range(100)]
    assert [rig.pay() for _ in others] == others
    assert all(each.in_tier_lanes for each in large[1:])
    rig.waits(charge=55_000)
    for _ in range(100):
        rig.now_ms += 100
        rig.at()
    assert searches[0] <= 3


def test_one_that_is_looked_for_again_is_cheapest_of_those_that_still_wait() -> None:
    rig = Paying()
    large, middle = rig.waits("flex", charge=55_000), rig.waits("flex", charge=40_000)
    rig.waits(charge=FULL)
    rig.at()
    rig.at()
    assert rig.queue._aside[FLEX, "standard"][0] is middle
    rig.queue.remove(middle)
    rig.now_ms += ASIDE_LOOK_MS
    rig.at()
    assert rig.queue._aside[FLEX, "standard"][0] is large
    rig.queue.remove(large)
    rig.now_ms += ASIDE_LOOK_MS
    rig.at()
    rig.at()
    assert not rig.queue._aside, "no request waits there any more"


def test_a_cheaper_request_that_comes_takes_the_place_of_one_that_stepped_aside() -> None:
    rig = Paying()
    rig.waits("flex", charge=55_000)
    rig.waits(charge=FULL)
    rig.at()
    rig.at()
    for charge, deadline_ms, taken in ((56_000, 1, False), (50_000, 40_000, True), (50_000, 39_999, False)):
        came = rig.waits("flex", charge=charge, deadline_ms=deadline_ms)
        assert (rig.queue._aside[FLEX, "standard"][0] is came) is taken
    later = rig.waits("flex", charge=50_000, deadline_ms=FAR_MS)
    assert rig.queue._aside[FLEX, "standard"][0] is later
    small = rig.waits("flex", charge=10)
    assert rig.pay() is small, "it is looked at at once"


def test_to_read_what_is_next_changes_nothing() -> None:
    rig = Paying()
    large, other = rig.waits("flex", charge=55_000), rig.waits(charge=1_000)
    rig.queue.prepare(rig.now_ms)
    found = rig.queue.next(rig.now_ms, probe=False)
    assert found is not None
    assert found[0].ticket is large
    assert not large.in_tier_lanes
    assert rig.pay() is other


def test_a_probe_whose_tier_serves_again_is_an_ordinary_request() -> None:
    rig = Paying()
    large = rig.waits("flex", charge=55_000)
    assert rig.at() is not None
    breaker = rig.queue.budget.tiers.find(FLEX)
    assert breaker is not None
    breaker.probe()
    rig.ended(Meaning.OK, probe=True)
    rig.waits(charge=1_000)
    found = rig.at()
    assert found is not None
    assert found[0] is large
    assert not rig.queue._probes


def test_an_empty_limit_keeps_no_requests_that_were_to_be_sorted() -> None:
    rig = Rig()
    waiting = [rig.waits("flex") for _ in range(2 * SORTED_AT_ONCE_MAX)]
    rig.open()
    rig.queue.sort(0)
    assert rig.queue._to_sort
    for each in waiting:
        rig.queue.remove(each)
    rig.queue.sort(0)
    assert not rig.queue._to_sort
    assert rig.queue.is_sorted
    assert not rig.queue.tier_lanes


def test_a_probe_near_its_deadline_is_lifted_like_every_other_request() -> None:
    order = []
    for tier in ("flex", ""):
        rig = Rig(lift_ppm=1_000_000)
        rig.open()
        rig.now_ms = REST_MS
        near = rig.waits(tier, lane="bulk", deadline_ms=REST_MS + 50)
        for _ in range(5):
            rig.waits()
        rig.queue.lanes_of(near).apply_deadline(near, rig.now_ms)
        order.append(rig.calls().index(near))
    assert order[0] == order[1] < 5


def test_a_late_probe_goes_if_none_is_in_time() -> None:
    rig = Rig()
    rig.queue.lanes.durations.add("flex", 60_000)
    rig.open()
    rig.now_ms = REST_MS
    late = rig.waits("flex", deadline_ms=REST_MS + 50)
    rig.queue.tier_lanes[FLEX].apply_deadline(late, rig.now_ms)
    assert late.late
    assert rig.called() is late


def test_requests_set_aside_near_their_deadlines_are_not_kept_among_those_that_may_be_lifted() -> None:
    rig = Rig(lift_ppm=50_000)
    rig.open()
    waiting = [rig.waits("flex", deadline_ms=1_000) for _ in range(3)]
    for each in waiting:
        rig.queue.lanes_of(each).apply_deadline(each, 950)
    assert len(rig.queue.tier_lanes[FLEX].queue("standard").nearing) == 0


def test_many_tenants_at_their_caps_hold_up_no_probe_of_another() -> None:
    tenants = Tenants({f"t{number}": TenantRule(inflight_max=1) for number in range(200)})
    rig = Rig(tenants)
    rig.open()
    for number in range(200):
        tenants.record_start(f"t{number}", 100, 0)
        rig.waits("flex", tenant=f"t{number}")
    rig.now_ms = REST_MS
    assert rig.called() is None
    free = [rig.waits("flex", tenant="free", deadline_ms=60_000 + number) for number in range(3)]
    assert rig.called() is free[-1], "the one of them with most time left"
