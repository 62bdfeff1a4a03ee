from dataclasses import replace

from broker.core.config import Pause, Role
from tests.unit.core.specimens import BULK, LANES, URGENT, rules


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
