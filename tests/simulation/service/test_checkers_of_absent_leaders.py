"""Leaders that are superseded or suspended break no promise, though a checker once thought so."""

from tests.simulation.service.checkers import (
    deadlines_are_true,
    deaths_are_few,
)
from tests.simulation.service.history import Deadly
from tests.simulation.service.run import run
from tests.simulation.service.scenario import Scenario


def test_a_leader_that_was_superseded_and_reads_a_deadly_record_too_is_not_counted() -> None:
    """It was cut off from Redis and had nothing to commit, so it did not know of the next leader (seed 40003080)."""
    history = run(Scenario.drawn(40_003_080))
    assert history.killed_superseded == ["id-12"]
    assert history.killed == [(Deadly.DECODED, "id-12")] * 5
    assert list(deaths_are_few.check(history)) == []


def test_a_suspended_leader_cuts_off_no_call_at_its_deadline() -> None:
    """What became of a transaction was not known from 5.97 s on, until the lead was claimed again at 8.02 s."""
    history = run(Scenario.drawn(50_018_195))
    assert list(deadlines_are_true.check(history)) == []
    claim = next(each for each in history.commits if each.at_s > 8)
    history.commits = [each for each in history.commits if each is not claim]
    assert ["id-37" in each for each in deadlines_are_true.check(history)] == [True]
