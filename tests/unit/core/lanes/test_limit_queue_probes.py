"""Probes of a service tier that wait for their turn in a limit's queue, and those that would hold up others."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.limit_queue import HELD_LOOK_MS, PATIENCE_MS, PATIENT_FOR_MS, LimitQueue
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import ModelTier, State, Ticket
from tests.unit.core.lanes.test_limit_queue import FLEX, REST_MS, Rig
from tests.unit.core.specimens import BULK, STANDARD, URGENT, budget

SCALE = ModelTier("gpt", "scale")
FULL = 60_000  # a minute's tokens
WITHIN_MS = 40_000


class Paying(Rig):
    """A limit whose calls are paid for: at first it has tokens for small calls, and none for a large one."""

    def __init__(self, *, floor_ppm: int = 0) -> None:
        super().__init__()
        rules = [
            replace(URGENT, reserve_ppm=0),
            replace(STANDARD, floor_ppm=0),
            replace(BULK, floor_ppm=floor_ppm),
        ]
        mirror = budget(tokens=FULL)
        self.queue = LimitQueue(mirror, lambda durations: Lanes(rules, Tenants(), durations), self._returned)
        self.now_ms = REST_MS
        self._calls = 0
        self.open()
        self.now_ms = 2 * REST_MS
        self.spend(50_000)

    def spend(self, tokens: int) -> None:
        self._calls += 1
        self.queue.budget.reserve(self._calls, tokens, self.now_ms)

    def at(self) -> tuple[Ticket, int] | None:
        """The next ticket, and in how many milliseconds it is called."""
        self.queue.sort(self.now_ms)
        self.queue.prepare(self.now_ms)
        found = self.queue.next(self.now_ms, probe=False)
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


def test_a_probe_that_cannot_be_paid_yet_gives_way_to_the_others_of_its_lane() -> None:
    rig = Paying()
    large, others = rig.waits("flex", charge=55_000), [rig.waits(charge=1_000) for _ in range(3)]
    assert [rig.pay() for _ in others] == others
    found = rig.at()
    assert found is not None
    assert found[0] is large
    assert rig.queue.is_sound()


def test_it_gives_way_to_those_of_the_lanes_below_too() -> None:
    rig = Paying()
    large, other = rig.waits("flex", lane="urgent", charge=55_000), rig.waits(lane="bulk", charge=1_000)
    assert rig.pay() is other
    found = rig.at()
    assert found is not None
    assert found[0] is large, "it waits for its tokens once no other waits"
    assert found[1] > WITHIN_MS


def test_while_it_gives_way_it_is_called_once_it_can_be_paid_at_once() -> None:
    rig = Paying()
    large, other = rig.waits("flex", charge=20_000), rig.waits(charge=15_000)
    found = rig.at()
    assert found is not None
    assert found[0] is other
    assert large.in_tier_lanes
    assert rig.queue.look_at(rig.now_ms) == rig.now_ms + HELD_LOOK_MS
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
            rig.now_ms += min(wait_ms, HELD_LOOK_MS)
            continue
        assert rig.pay() is following
        if following.candidate.tier:
            probes.append(following.candidate.tier)
            rig.refuse(following)
    return probes


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


def test_it_waits_so_for_two_minutes_and_gives_way_then() -> None:
    rig = Paying()
    large, other = rig.waits("flex", lane="bulk", charge=55_000), rig.waits("scale", lane="bulk", charge=55_000)
    rig.open(SCALE)
    rig.waits(lane="bulk", charge=1_000)
    urgent = rig.waits(lane="urgent", charge=FULL)
    rig.now_ms += REST_MS
    rig.at()
    rig.queue.remove(urgent)
    found = rig.at()
    assert found is not None
    assert not found[0].candidate.tier, "both have given way"
    rig.waits(lane="urgent", charge=FULL)
    rig.spend(10_000)
    rig.now_ms += PATIENCE_MS
    rig.spend(FULL)
    rig.at()
    assert [each.in_tier_lanes for each in (large, other)].count(False) == 1
    patient = other if large.in_tier_lanes else large
    assert rig.queue._patient is patient
    rig.waits("flex", lane="urgent")
    rig.at()
    assert (FLEX, "urgent") in rig.queue._gave_way, "it was chosen: only those of the patient one's lane are not"
    rig.now_ms += PATIENT_FOR_MS
    rig.spend(FULL)
    rig.at()
    assert rig.queue._patient is None


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
