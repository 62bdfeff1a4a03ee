"""The oracle is told of each row what the simulator plays, and a run is compared with what that allows."""

from itertools import islice

import pytest

from benchmarks.limits.calls import calls_of
from benchmarks.limits.dispatching import settings_of
from benchmarks.limits.enforced import law_of, oracle_of
from benchmarks.limits.measure import figures
from benchmarks.limits.rows import ROWS, Row, Way
from benchmarks.limits.world import Record, Witness
from headrace.broker.simulator.admission import Admitted, Refusal
from headrace.broker.simulator.behaviours.enforcement import Foreign

NAMES = [row.name for row in ROWS]
OPENED_US = 20_000

a_row = pytest.mark.parametrize("row", ROWS, ids=NAMES)
ENFORCED = [row for row in ROWS if row.cap_tokens_per_minute is None]  # no server knows of an operator's own cap


@pytest.mark.parametrize("row", ENFORCED, ids=[row.name for row in ENFORCED])
def test_the_simulator_admits_what_the_oracle_admits_and_nothing_a_microsecond_earlier(row: Row) -> None:
    asked = calls_of(row)
    limiter, law = Witness(row).limiter, law_of(row, 0)
    before_us, insists = OPENED_US, any(isinstance(play, Foreign) and play.insists for play in row.behaviours())
    for number, (at_us, tokens) in enumerate(islice(oracle_of(row, asked, 0, OPENED_US).admissions(), 2_000)):
        call = asked[number % len(asked)]
        if at_us > before_us + 1 and not insists:
            early = limiter.admit(call.model, call.charge(law(at_us - 1)), at_us - 1)
            assert isinstance(early, Refusal), (number, at_us)
        assert tokens == call.charge(law(at_us))
        assert isinstance(limiter.admit(call.model, tokens, at_us), Admitted), (number, at_us)
        before_us = at_us


@a_row
def test_a_row_makes_at_least_two_thousand_calls(row: Row) -> None:
    assert len(calls_of(row)) >= 2_000
    assert len({call.id for call in calls_of(row)}) == len(calls_of(row))


@pytest.mark.parametrize(
    "name", ["bucket-6s", "limit-doubled", "hidden-bucket-1s", "fixed-window", "foreign-insisting"]
)
def test_who_does_what_the_oracle_does_has_all_of_the_ideal_but_what_no_call_was_left_for(name: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    asked = calls_of(row)
    made = [(*each, 1) for each in islice(oracle_of(row, asked, 0, OPENED_US).admissions(), len(asked))]
    own = figures(row, asked, Record(admitted=made, calls=len(made), first_us=OPENED_US))
    phases = [own.whole, own.first, *([own.after] if own.after else [])]
    for phase in phases:
        assert 0.985 <= phase.share <= 1.0
    assert own.slower == 1.0


@a_row
def test_the_dispatcher_is_told_the_limit_of_a_minute_and_nothing_else(row: Row) -> None:
    ((_, limit),) = settings_of(row).limits.items()
    assert limit.tokens_per_minute == row.tokens_per_minute
    assert settings_of(row).limit_for("gpt-4o-mini") == settings_of(row).limit_for(calls_of(row)[-1].model)


def test_there_are_fourteen_behaviours_and_six_over_http() -> None:
    assert len({row.plays for row in ROWS}) >= 14
    assert sum(row.way is Way.HTTP for row in ROWS) >= 6
    assert len(set(NAMES)) == len(NAMES)
    assert all(row.first_s <= 60 for row in ROWS)


def test_half_of_the_rate_is_half_of_what_comes_in_and_the_phases_add_up() -> None:
    row = next(row for row in ROWS if row.name == "bucket").virtual()
    asked = calls_of(row)
    made, at_us, left = [], OPENED_US, row.tokens_per_minute
    for call in asked:
        tokens = call.charge(law_of(row, 0)(at_us))
        left -= tokens
        if left < 0:  # the bucket is used up at once; then at half of its rate
            at_us += 2 * tokens * 60_000_000 // row.tokens_per_minute
        made.append((at_us, tokens, 1))
    refused = [OPENED_US + 1_000_000] * 3 + [made[-1][0]] * 2
    own = figures(row, asked, Record(admitted=made, refused=refused, calls=len(made), first_us=OPENED_US))
    assert own.after is not None
    seconds = own.after.seconds
    assert own.after.share == pytest.approx(0.5 * seconds / (30 + seconds), abs=0.01)  # the level of 30 s is there too
    assert own.first.share == pytest.approx(0.75, abs=0.01)
    assert (own.first.refused, own.after.refused, own.whole.refused) == (3, 2, 5)
    assert own.first.calls + own.after.calls == own.whole.calls == len(made)
    assert own.whole.refused_per_1000 == pytest.approx(5_000 / len(made))
    assert own.slower == pytest.approx(2.0, abs=0.02)
