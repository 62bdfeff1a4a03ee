from dataclasses import replace

import pytest

from headrace.broker.core.config import LeaseTimes, Pause, Role, TenantRule
from tests.unit.core.specimens import BULK, LANES, URGENT, rules

TIMES = LeaseTimes()


def test_a_process_has_one_of_three_roles() -> None:
    assert [role.value for role in Role] == ["following", "leading", "suspended"]


def test_why_no_call_starts_is_one_word_of_the_status() -> None:
    assert [pause.value for pause in Pause] == ["suspended", "unproved", "leaving"]


def test_the_rules_carry_their_units_in_their_names() -> None:
    assert rules().lanes == LANES
    assert rules(inflight_max=7, held_bytes_max=8).inflight_max == 7


def test_a_lane_is_serial_if_its_rule_says_so() -> None:
    made = rules(lanes=(URGENT, replace(BULK, serial=True)))
    assert [made.is_serial(lane) for lane in ("urgent", "bulk", "control")] == [False, True, False]


def test_the_first_lane_is_the_first_in_order_wherever_it_stands() -> None:
    assert rules().first_lane == "urgent"


def test_a_tenant_is_capped_by_tokens_or_by_calls_in_flight() -> None:
    assert [TenantRule().capped, TenantRule(cap_tokens=1).capped, TenantRule(inflight_max=1).capped] == [
        False,
        True,
        True,
    ]


def test_the_times_are_those_of_the_protocol() -> None:
    assert (TIMES.ttl_ms, TIMES.renew_every_ms, TIMES.poll_every_ms) == (2_000, 400, 200)
    assert (TIMES.margin_ms, TIMES.proof_ms, TIMES.silence_ms) == (400, 1_500, 500)
    assert (TIMES.answer_ms, TIMES.reclaim_ms) == (1_000, 1_400)


def test_a_living_leader_has_the_time_of_its_slowest_question_or_of_its_pause_to_set_its_key_again() -> None:
    assert LeaseTimes(renew_every_ms=600, answer_ms=500).reclaim_ms == 1_000
    assert LeaseTimes(renew_every_ms=500, answer_ms=700).reclaim_ms == 1_100


@pytest.mark.parametrize(
    "change",
    [
        {"poll_every_ms": 500},
        {"poll_every_ms": 0},
        {"renew_every_ms": 600},
        {"renew_every_ms": 0},
        {"answer_ms": 1_200},
        {"margin_ms": 0},
        {"margin_ms": 2_000},
        {"proof_ms": 1_601},
        {"proof_ms": 0},
    ],
)
def test_times_that_contradict_each_other_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        LeaseTimes(**change)


def test_a_lost_renewal_and_one_more_within_the_trusted_part_of_a_lease_are_enough() -> None:
    times = LeaseTimes(renew_every_ms=599)
    assert times.reclaim_ms < times.ttl_ms, "a killed leader is replaced when its key runs out, and no later"
