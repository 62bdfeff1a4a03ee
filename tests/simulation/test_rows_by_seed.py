"""Limits that no header describes: what the benchmark promises of one seed holds of others as well."""

from dataclasses import dataclass, fields, replace

import pytest

from benchmarks.limits.calls import calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.measure import Figures, figures
from benchmarks.limits.rows import HIDDEN, ROWS, SHARED, Row
from headrace.broker.simulator.settings import UpstreamSettings
from tests.long_proofs import with_long

SEEDS = with_long([1, 4, 5], 1)
"""Seeds from which the servers draw; the first belongs to every `make test`, the others to `make test-long`."""


@dataclass(frozen=True, slots=True)
class Reseeded(Row):
    """A row whose server draws from another seed."""

    seed: int = 0

    def upstream(self) -> UpstreamSettings:
        return replace(Row.upstream(self), seed=self.seed)


def played(plays: str, seed: int) -> Figures:
    """Headrace, once all calls of the row were admitted."""
    [found] = [row for row in ROWS if row.name == plays]
    row = Reseeded(**{each.name: getattr(found, each.name) for each in fields(Row)}, seed=seed)
    asked = calls_of(row)
    own = figures(row, asked, dispatch(row, asked))
    assert own.whole.calls == len(asked)
    return own


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plays", ["foreign", "foreign-insisting"])
def test_where_others_spend_little_is_refused_and_next_to_nothing_is_left(plays: str, seed: int) -> None:
    """Those who insist take all they want before us: the limit is in debt then, and says no more than that."""
    own = played(plays, seed).whole
    assert own.refused_per_1000 <= SHARED.refused_max
    assert own.share >= SHARED.share_min


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plays", with_long(["quantised-6s", "quantised-1s"], 1))
def test_a_count_by_the_second_or_by_six_behind_the_minute_is_found_out_within_a_minute(plays: str, seed: int) -> None:
    own = played(plays, seed).after
    assert own is not None
    assert own.seconds > 60
    assert own.refused_per_1000 <= HIDDEN.refused_max
    assert own.share >= HIDDEN.share_min
