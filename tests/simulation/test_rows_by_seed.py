"""Limits that no header describes: what the benchmark promises of one seed holds of others as well."""

from dataclasses import dataclass, replace

import pytest

from benchmarks.limits.calls import calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.measure import figures
from benchmarks.limits.rows import HIDDEN, ROWS, SHARED, Row
from broker.simulator.settings import UpstreamSettings


@dataclass(frozen=True, slots=True)
class Reseeded(Row):
    """A row whose server draws from another seed."""

    seed: int = 0

    def upstream(self) -> UpstreamSettings:
        return replace(Row.upstream(self), seed=self.seed)


@pytest.mark.parametrize("seed", [1, 4, 5])
@pytest.mark.parametrize("plays", ["foreign", "foreign-insisting"])
def test_where_others_spend_little_is_refused_and_next_to_nothing_is_left(plays: str, seed: int) -> None:
    """Those who insist take all they want before us: the limit is in debt then, and says no more than that."""
    [found] = [row for row in ROWS if row.name == plays]
    row = Reseeded(found.name, found.plays, found.promise, tokens_per_minute=found.tokens_per_minute, seed=seed)
    asked = calls_of(row)
    own = figures(row, asked, dispatch(row, asked)).whole
    assert own.calls == len(asked)
    assert own.refused_per_1000 <= SHARED.refused_max
    assert own.share >= SHARED.share_min


@pytest.mark.parametrize("seed", [1, 4, 5])
@pytest.mark.parametrize("plays", ["quantised-6s", "quantised-1s"])
def test_a_count_by_the_second_or_by_six_behind_the_minute_is_found_out_within_a_minute(plays: str, seed: int) -> None:
    [found] = [row for row in ROWS if row.name == plays]
    row = Reseeded(found.name, found.plays, found.promise, calls=found.calls, seed=seed)
    asked = calls_of(row)
    own = figures(row, asked, dispatch(row, asked))
    assert own.after is not None
    assert own.after.seconds > 60
    assert own.whole.calls == len(asked)
    assert own.after.refused_per_1000 <= HIDDEN.refused_max
    assert own.after.share >= HIDDEN.share_min
