"""What keeps a request from being called, one kind after the other, on the real core."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Draining
from headrace.broker.core.ticket import Ticket
from headrace.broker.service.status.wait_reasons import WaitReasons
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import BULK, STANDARD, URGENT, budget, candidate, place, verdict

FULL = 60_000


class Asked(Shell):
    """A leader that can be asked why somebody waits; a thousand tokens a second flow in."""

    def __init__(self, tenants: Mapping[str, TenantRule] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if tenants is not None:
            self.core = Dispatch(replace(self.core.rules, tenants=tenants), make_budget=budget, dice=lambda: 0.5)
        self.hindrances = WaitReasons(self.core, lambda breaker, _tier: {"limit": breaker, "status": 500})
        self.lead()

    def waits(self, name: str = "", *, lane: str = "standard", charge: int = 100, **fields: Any) -> Ticket:
        """A request that has come in, called or not."""
        content = candidate(name or f"r{self._number}", charge=charge, **fields)
        number = self.take(content, partition=place(lane))
        return next(each for each in self.core.registry.tickets() if each.number == number)

    def why(self, ticket: Ticket) -> list[dict[str, Any]]:
        assert ticket.queued, "it was called"
        return self.hindrances.in_line(ticket, self.now_ms)

    def emptied(self) -> "Asked":
        """Nothing is left beside the reserve of the urgent lane, and 1 token more."""
        self.waits("all", charge=FULL * 8 // 10)
        return self


# ---------------------------------------------------------------------------------------------------- everybody


def test_nothing_keeps_everybody_where_calls_flow() -> None:
    assert Asked().hindrances.of_all("gpt", 10_000) == []


def test_a_leader_that_may_start_no_call_is_the_reason_for_all() -> None:
    shell = Asked()
    shell.post(Draining(shell.now_ms - 1))
    assert shell.hindrances.of_all("gpt", shell.now_ms) == [{"kind": "leader", "why": "leaving"}]


def test_an_open_breaker_of_the_limit_says_what_tripped_it_and_when_it_is_probed() -> None:
    shell = Asked()
    asked = shell.waits()
    breaker = shell.core.limits.limit_queues()["gpt"].budget.breaker
    breaker.trip(Meaning.OVERLOADED, shell.now_ms, 4_000)
    (found,) = shell.hindrances.of_all("gpt", shell.now_ms + 1_000)
    assert found == {
        "kind": "breaker",
        "of": "limit",
        "limit": "gpt",
        "tier": None,
        "tripped_by": "overloaded",
        "probing": False,
        "next_probe_s": 3.0,
        "tripped": {"limit": "gpt", "status": 500},
    }
    assert breaker.probe()
    assert shell.hindrances.of_all("gpt", shell.now_ms + 1_000)[0]["probing"]
    assert shell.hindrances.of_all("another", shell.now_ms) == []
    assert asked.calls == 1


def test_an_open_breaker_of_the_account_keeps_every_limit() -> None:
    shell = Asked()
    shell.core.limits.account.breaker.trip(Meaning.QUOTA, shell.now_ms, 10_000)
    (found,) = shell.hindrances.of_all("never asked for", shell.now_ms)
    assert (found["of"], found["limit"], found["tripped_by"]) == ("account", None, "quota")
    assert found["tripped"] == {"limit": None, "status": 500}


# ---------------------------------------------------------------------------------------------------- money


def test_tokens_that_are_missing_are_told_with_what_is_there_and_what_is_kept() -> None:
    shell = Asked().emptied()
    first, second = shell.waits(charge=500), shell.waits(charge=700)
    (found,) = shell.why(first)
    there = found.pop("there")
    assert 11_990 <= there <= 12_010
    assert 0.4 <= found.pop("payable_in_s") <= 0.6
    assert found == {
        "kind": "limit",
        "limit": "gpt",
        "metric": "tokens",
        "project": False,
        "period_s": 60.0,
        "capacity": FULL,
        "needed": 500,
        "kept": 12_000,
        "kept_for": ["urgent"],
        "own": True,
    }
    assert shell.why(second) == [shell.why(first)[0] | {"own": False}]


def test_who_waits_behind_one_who_can_be_called_now_waits_for_nothing() -> None:
    shell = Asked(inflight_max=1_000).emptied()
    asked = shell.waits(charge=500)
    shell.now_ms += 2_000
    assert shell.why(asked) == []


def test_a_pause_that_the_server_has_asked_for_is_a_cooldown() -> None:
    shell = Asked()
    shell.waits("warm")
    shell.core.limits.limit_queues()["gpt"].budget.pause_until(shell.now_ms + 5_000)
    (found,) = shell.why(shell.waits())
    assert found == {"kind": "cooldown", "limit": "gpt", "payable_in_s": 5.0, "own": True}


def limited(*levels: LevelBounds, charged: int = 0, measured: int | None = None, **settings: Any) -> Asked:
    """Whose limit was left like this."""
    shell = Asked()
    checkpoint = Checkpoint(
        "gpt", 0, levels, charged, 0, 1_000_000, tolerated_burst_tokens=FULL, measured_tokens_per_minute=measured
    )

    def make(_: str, now_ms: int) -> Budget:
        return Budget(LimitBeliefs("gpt", None, None, **settings), now_ms, checkpoint)

    shell.core.limits._make_budget = make
    return shell


def test_of_several_buckets_the_one_that_keeps_it_longest_is_told() -> None:
    day = LevelBounds(LimitMetric.REQUESTS, 0, 0, 86_400, DAY_MS)
    shell = limited(LevelBounds(LimitMetric.TOKENS, 0, 0, FULL, MINUTE_MS), day)
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert (found["metric"], found["period_s"], found["needed"], found["there"]) == ("requests", 86_400.0, 1, 0)
    assert (found["kept"], found["kept_for"]) == (0, []), "nobody stands above the first lane"


def test_an_own_cap_is_told_where_openai_would_pay() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), charged=900, cap_tokens=1_000)
    (found,) = shell.why(shell.waits(charge=200, lane="urgent"))
    assert (found["kind"], found["capacity"], found["charged"], found["needed"]) == ("own_cap", 1_000, 900, 200)


def test_an_own_cap_is_told_where_only_the_reserve_of_a_lane_above_is_left_of_it() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), cap_tokens=1_000)
    shell.waits(charge=40, lane="standard")
    (found,) = shell.why(shell.waits(charge=20, lane="standard"))
    assert (found["kind"], found["needed"]) == ("own_cap", 20)


def test_what_must_not_be_spent_at_once_is_told_as_the_pace() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), burst_ms=100)
    shell.waits(charge=100, lane="urgent")
    (found,) = shell.why(shell.waits(charge=100, lane="urgent"))
    assert (found["kind"], found["limit"]) == ("pace", "gpt")


def measured() -> Asked:
    """Whose limit lets through a token in 3 ms, and says that nothing is left and that an hour is to be waited."""
    shell = limited(LevelBounds(LimitMetric.TOKENS, 0, 0, FULL, MINUTE_MS), measured=20_000)
    shell.core.limits.limit_queue("gpt", shell.now_ms).budget.pause_until(shell.now_ms + 3_600_000)
    return shell


def test_what_waits_for_a_measured_rate_waits_for_no_level_and_no_pause() -> None:
    shell = measured()
    shell.waits(charge=100)
    found = shell.why(shell.waits(charge=100))[-1]
    assert 0 < found.pop("payable_in_s") <= 0.3
    assert found == {"kind": "pace", "measured_tokens_per_minute": 20_000, "limit": "gpt", "own": True}


def test_an_overloaded_server_is_waited_for_at_a_measured_rate_too() -> None:
    shell = measured()
    first = shell.waits("first", charge=100)
    shell.answer(first.number, verdict(Meaning.OVERLOADED, wait_ms=30_000))
    found = shell.why(shell.waits(charge=100))[-1]
    assert (found["kind"], found["payable_in_s"]) == ("cooldown", 30.0)


def fixed_window(shell: Asked, left: int) -> None:
    """Its tokens are counted from mark to mark; the next mark is half a minute away."""
    buckets = shell.core.limits.limit_queue("gpt", shell.now_ms).budget._buckets
    buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, FULL, MINUTE_MS, shell.now_ms + 30_000, left))


def test_a_window_that_is_used_up_is_waited_for_until_its_mark() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS))
    fixed_window(shell, 0)
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert (found["kind"], found["there"]) == ("limit", 0)
    assert 29 < found["payable_in_s"] <= 30.1


def test_a_window_with_enough_left_is_not_to_blame() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), burst_ms=100)
    fixed_window(shell, FULL)
    shell.waits(charge=100, lane="urgent")
    (found,) = shell.why(shell.waits(charge=100, lane="urgent"))
    assert found["kind"] == "pace"


def test_before_the_first_answer_a_limit_with_places_of_its_own_waits_for_it_too() -> None:
    shell = Asked()
    shell.core.limits._make_budget = lambda _, now_ms: Budget(
        LimitBeliefs("gpt", None, None, inflight_max=5), now_ms, None
    )
    shell.waits("first", lane="urgent")
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert (found["kind"], found["payable_in_s"]) == ("first_answer", 0.3)
    (_, found) = shell.why(shell.waits(lane="standard"))
    assert (found["kind"], found["own"]) == ("first_answer", False)


def test_before_the_first_answer_what_is_not_small_waits_for_it_too() -> None:
    shell = Asked()
    shell.core.limits._make_budget = lambda _, now_ms: Budget(
        LimitBeliefs("gpt", None, None, inflight_max=5), now_ms, None
    )
    shell.waits("first", charge=10_000, lane="urgent")
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert found == {"kind": "first_answer", "limit": "gpt"}


def test_before_the_first_answer_one_call_goes_alone() -> None:
    shell = Asked(believed=False)
    shell.waits("first", charge=FULL // 4)
    (found,) = shell.why(shell.waits())
    assert found == {"kind": "first_answer", "limit": "gpt"}


def test_before_the_first_answer_another_may_follow_after_a_while() -> None:
    shell = Asked(believed=False)
    shell.waits("first", lane="urgent")
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert (found["kind"], found["payable_in_s"]) == ("first_answer", 0.3)


# ---------------------------------------------------------------------------------------------------- places


def test_places_in_flight_that_are_taken_are_told_with_those_that_are_kept() -> None:
    shell = Asked(inflight_max=5)
    for _ in range(4):
        shell.waits()
    (found,) = shell.why(shell.waits())
    assert found == {
        "kind": "places",
        "of": "dispatcher",
        "inflight": 4,
        "most": 5,
        "kept": 1,
        "kept_for": ["urgent"],
    }


def test_a_limit_s_own_places_are_told_by_its_name() -> None:
    shell = limited(LevelBounds(LimitMetric.TOKENS, FULL, FULL, FULL, MINUTE_MS), inflight_max=1)
    shell.waits(lane="urgent")
    (found,) = shell.why(shell.waits(lane="urgent"))
    assert (found["kind"], found["of"], found["inflight"], found["most"]) == ("places", "gpt", 1, 1)


def test_answers_in_memory_that_leave_no_room_are_told() -> None:
    shell = Asked()
    shell.core.flights._held_bytes_max = 1
    (found,) = shell.why(shell.waits())
    assert (found["kind"], found["held_bytes"]) == ("memory", 0)


# ---------------------------------------------------------------------------------------------------- its turn


def test_a_lane_above_goes_first() -> None:
    shell = Asked()
    shell.waits("all", charge=FULL, lane="urgent")
    asked = shell.waits(lane="bulk")
    for _ in range(3):
        shell.waits(charge=200)
    found = shell.why(asked)
    assert found[0] == {"kind": "lane", "lane": "standard", "rule": "order", "requests": 3, "tokens": 600}
    assert (found[1]["kind"], found[1]["own"]) == ("limit", False)


def lanes(**fields: int) -> tuple[LaneRule, ...]:
    """Three lanes: the floor is bulk's, the ceiling standard's, the reserve that of both above bulk."""
    reserve_ppm = fields.get("reserve_ppm", 0)
    ceiling_ppm = fields.get("ceiling_ppm", 1_000_000)
    first = replace(STANDARD, floor_ppm=0, ceiling_ppm=ceiling_ppm, reserve_ppm=reserve_ppm)
    return (first, replace(BULK, floor_ppm=fields.get("floor_ppm", 0)), replace(URGENT, reserve_ppm=reserve_ppm))


def served_first(shell: Asked, lane: str) -> Ticket:
    """One of the standard lane, once the next call is of that other one."""
    shell.waits("all", charge=FULL)
    asked = [shell.waits(charge=500) for _ in range(30)][-1]
    shell.waits(charge=500, lane="bulk")
    for _ in range(30_000):
        pick = shell.core.limits.limit_queues()["gpt"].lanes.pick(shell.now_ms)
        if pick is not None and pick.ticket.source.partition.lane == lane:
            return asked
        shell.wait(50)
    raise AssertionError


def test_a_lane_below_that_is_owed_its_floor_goes_first() -> None:
    shell = Asked(lanes=lanes(floor_ppm=200_000))
    asked = served_first(shell, "bulk")
    assert shell.why(asked)[0] == {"kind": "lane", "lane": "bulk", "rule": "floor", "requests": 1, "tokens": 500}


def test_only_idle_lanes_have_their_reserve_kept() -> None:
    shell = Asked(lanes=lanes(floor_ppm=200_000, reserve_ppm=100_000))
    asked = served_first(shell, "bulk")
    money = shell.why(asked)[1]
    assert (money["kind"], money["kept"], money["kept_for"]) == ("limit", FULL // 10, ["urgent"])


def test_a_lane_that_has_had_its_ceiling_lets_one_below_go_first() -> None:
    shell = Asked(lanes=lanes(ceiling_ppm=500_000))
    asked = served_first(shell, "bulk")
    assert shell.why(asked)[0] == {"kind": "lane", "lane": "bulk", "rule": "ceiling", "requests": 1, "tokens": 500}


def test_another_tenant_s_turn_is_told_by_its_name() -> None:
    shell = Asked().emptied()
    both = [shell.waits(tenant="acme", charge=500), shell.waits(tenant="", charge=500)]
    first = shell.core.limits.limit_queues()["gpt"].lanes.pick(shell.now_ms)
    assert first is not None
    (waits,) = (each for each in both if each is not first.ticket)
    assert shell.why(waits)[0] == {"kind": "tenants", "tenant": first.ticket.candidate.tenant or None}
    assert [each["kind"] for each in shell.why(first.ticket)] == ["limit"]


def test_who_is_late_lets_those_go_first_who_are_not() -> None:
    shell = Asked().emptied()
    shell.core.limits.limit_queue("gpt", 0).lanes.durations.add("", 4_000)
    late = shell.waits(charge=10_000, deadline_ms=shell.now_ms + 14_000)
    shell.waits(charge=3_000)
    shell.wait(10_000 - 1_900)
    assert shell.why(late)[0]["kind"] != "late"
    shell.wait(1_900)
    in_time = shell.waits(charge=20_000)
    assert shell.why(late)[0] == {"kind": "late", "calls_take_s": 4.0, "requests": 1, "tokens": 20_000}
    assert shell.why(in_time)[0]["kind"] == "limit"


def test_a_tenant_s_cap_keeps_only_its_own() -> None:
    shell = Asked({"acme": TenantRule(cap_tokens=1_000), "few": TenantRule(inflight_max=1)})
    shell.waits(tenant="acme", charge=1_000)
    (found,) = shell.why(shell.waits(tenant="acme"))
    assert (found["kind"], found["cap"], found["most"]) == ("tenant_cap", "tokens_per_minute", 1_000)
    assert 59 < found["payable_in_s"] <= 60.1
    shell.waits(tenant="few")
    (found,) = shell.why(shell.waits(tenant="few"))
    assert found == {"kind": "tenant_cap", "cap": "inflight_max", "most": 1, "payable_in_s": None}
