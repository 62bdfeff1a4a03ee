"""Counts of a plan: the keys of its outcomes are words of their own, whatever the core's classes are called."""

from typing import get_args

import pytest

from headrace.broker.core import commands
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.planner.record import LaneRecord, RunRecord

DECISIONS: dict[str, commands.Decision] = {
    "completed": commands.Complete(),
    "rejected": commands.Fail("rejected", "No."),
    "park": commands.Park("quota", "Later.", 1_000, 1, 1),
    "withdraw": commands.Withdraw(0, 1, "Cancelled."),
    "bury": commands.DeadLetterOnly("undecodable", "Not JSON."),
    "discard": commands.Discard(),
    "remember": commands.Remember(CancelRecord(b"i" * 16, 0)),
}


@pytest.mark.parametrize(("key", "decision"), DECISIONS.items())
def test_each_decision_is_counted_under_its_key(key: str, decision: commands.Decision) -> None:
    lane = LaneRecord()

    RunRecord().settle(lane, decision, 5, late=False)

    assert lane.outcomes == {key: 1}


def test_every_decision_has_a_key() -> None:
    assert {type(decision) for decision in DECISIONS.values()} == set(get_args(commands.Decision))


def test_only_an_answer_can_be_late() -> None:
    lane = LaneRecord()

    for decision in DECISIONS.values():
        RunRecord().settle(lane, decision, 5, late=True)

    assert (lane.late, lane.missed) == (1, 1)
