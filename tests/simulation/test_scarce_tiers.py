"""What goes wrong among requests whose service tier rests is found out, turn by turn."""

from unittest.mock import patch

import pytest

from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.ticket import Ticket
from tests.simulation.run import simulate
from tests.simulation.scenario import Scenario

SEEDS = [seed for seed in range(60) if max(Scenario.drawn(seed).scarcity.values(), default=0.0) == 1.0]


def found(*sentences: str) -> None:
    """One of the runs must be broken, with one of these sentences; those behind it are not played."""
    said = list[tuple[str, ...]]()
    for seed in SEEDS:
        said.append(simulate(seed).broken)
        if any(sentence in told for told in said[-1] for sentence in sentences):
            return
    pytest.fail(f"{said}")


@pytest.mark.timeout(60)
def test_there_are_such_runs_and_they_are_kept() -> None:
    assert len(SEEDS) >= 4
    assert [simulate(seed).broken for seed in SEEDS] == [()] * len(SEEDS)


@pytest.mark.timeout(60)
def test_one_that_should_rest_and_waits_for_its_turn_is_found() -> None:
    with patch.object(LimitQueue, "_is_misplaced", lambda *_: False):
        found("waits for its turn, and its tier rests")


@pytest.mark.timeout(60)
def test_one_that_rests_for_nothing_is_found() -> None:
    whole = LimitQueue._is_misplaced
    with patch.object(
        LimitQueue, "_is_misplaced", lambda self, ticket: not ticket.in_tier_lanes and whole(self, ticket)
    ):
        found("waits apart, and its tier does not rest")


@pytest.mark.timeout(60)
def test_a_sum_that_is_wrong_is_found() -> None:
    whole = LimitQueue.remove

    def remove(self: LimitQueue, ticket: Ticket) -> None:
        whole(self, ticket)
        if ticket.candidate.tier:
            self.lanes.queue(ticket.source.partition.lane).waiting_tokens += 1

    with patch.object(LimitQueue, "remove", remove):
        found("the sums of some lane do not agree with its tickets")
