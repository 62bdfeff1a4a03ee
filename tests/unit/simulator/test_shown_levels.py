"""What a server states where it enforces several limits of one metric, limit by limit and number by number."""

import pytest

from headrace.broker.simulator.account import Account, Scene
from headrace.broker.simulator.admission import SECOND_US, Admitted, HeaderTriple, Metric, Refusal
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import EnforcedWindow, Kind
from headrace.broker.simulator.behaviours.profiles import (
    ShownLevels,
    ShownWindow,
    StatedNumbers,
    StatedRefusals,
    StatedWait,
)
from headrace.broker.simulator.rules import Limits

MINUTE = EnforcedWindow()
SIX = EnforcedWindow(seconds=6.0)


def account(*behaviours: Behaviour) -> Account:
    return Account(Limits(60_000, 600), 0, Scene(behaviours))


def level_after(charge: int, *behaviours: Behaviour) -> HeaderTriple:
    admitted = account(*behaviours).admit(charge, 0)
    assert isinstance(admitted, Admitted)
    return admitted.levels[Metric.TOKENS]


@pytest.mark.parametrize(
    ("window", "level"),
    [
        (ShownWindow.LONGEST, HeaderTriple(60_000, 55_000, 5_000)),
        (ShownWindow.SHORTEST, HeaderTriple(6_000, 1_000, 5_000)),
        (ShownWindow.TIGHTEST, HeaderTriple(6_000, 1_000, 5_000)),
        (ShownWindow.MIXED, HeaderTriple(60_000, 1_000, 5_000)),
    ],
)
def test_headers_show_one_limit_of_several(window: ShownWindow, level: HeaderTriple) -> None:
    for order in ((MINUTE, SIX), (SIX, MINUTE)):
        assert level_after(5_000, *order, ShownLevels(window)) == level


def test_the_tightest_is_another_one_later() -> None:
    windows = account(MINUTE, EnforcedWindow(Kind.FIXED, seconds=6.0), ShownLevels(ShownWindow.TIGHTEST))
    assert isinstance(windows.admit(5_900, 0), Admitted)
    assert windows.levels()[Metric.TOKENS].limit == 6_000
    later = windows.admit(100, 6 * SECOND_US)
    assert isinstance(later, Admitted)
    assert later.levels[Metric.TOKENS] == HeaderTriple(6_000, 5_900, 6_000)
    assert windows.refilled(12 * SECOND_US - 1)[Metric.TOKENS].limit == 6_000


def test_a_limit_that_is_not_shown_stands_in_no_header_and_refuses_without_numbers() -> None:
    hidden = account(MINUTE, EnforcedWindow(seconds=6.0, shown=False))
    assert level_after(5_000, MINUTE, EnforcedWindow(seconds=6.0, shown=False)).limit == 60_000
    assert isinstance(hidden.admit(5_000, 0), Admitted)
    refused = hidden.admit(2_000, 0)
    assert isinstance(refused, Refusal)
    assert (refused.limit, refused.wait_stated, refused.numbers_stated) == (60_000, False, True)
    silent = account(EnforcedWindow(shown=False))
    assert silent.levels() == {}
    assert isinstance(silent.admit(60_000, 0), Admitted)
    refused = silent.admit(1, 0)
    assert isinstance(refused, Refusal)
    assert not refused.numbers_stated


@pytest.mark.parametrize(
    ("numbers", "stated"),
    [
        (StatedNumbers.REFUSING, (6_000, 5_000, 6 * SECOND_US, True)),
        (StatedNumbers.SHOWN, (60_000, 5_000, 60 * SECOND_US, True)),
        (StatedNumbers.MINUTE, (60_000, 50_000, 60 * SECOND_US, True)),
        (StatedNumbers.NONE, (6_000, 5_000, 6 * SECOND_US, False)),
    ],
)
def test_a_refusal_states_these_numbers(numbers: StatedNumbers, stated: tuple[int, int, int, bool]) -> None:
    windows = account(MINUTE, SIX, StatedRefusals(numbers))
    assert isinstance(windows.admit(5_000, 0), Admitted)
    refused = windows.admit(2_000, 0)
    assert isinstance(refused, Refusal)
    assert (refused.limit, refused.used, refused.period_us, refused.numbers_stated) == stated
    assert (refused.requested, refused.wait_ms) == (2_000, 1_000)


@pytest.mark.parametrize(
    ("wait", "stated"),
    [
        (StatedWait.EXACT, (1_500, True)),
        (StatedWait.SECONDS, (2_000, True)),
        (StatedWait.MINUTE, (60_000, True)),
        (StatedWait.NONE, (1_500, False)),
    ],
)
def test_a_refusal_states_this_wait(wait: StatedWait, stated: tuple[int, bool]) -> None:
    bucket = account(MINUTE, StatedRefusals(wait=wait))
    assert isinstance(bucket.admit(59_500, 0), Admitted)
    refused = bucket.admit(2_000, 0)
    assert isinstance(refused, Refusal)
    assert (refused.wait_ms, refused.wait_stated) == stated


def test_a_call_above_a_limit_is_told_so_in_any_manner() -> None:
    refused = account(SIX, StatedRefusals(wait=StatedWait.MINUTE)).admit(6_001, 0)
    assert isinstance(refused, Refusal)
    assert refused.wait_ms is None


def test_input_tokens_are_counted_without_those_from_the_cache() -> None:
    limited = account(EnforcedWindow(counts=Metric.INPUT_TOKENS, cached=0.5))
    admitted = limited.admit(900, 0, 60_000)
    assert isinstance(admitted, Admitted)
    assert admitted.levels == {Metric.INPUT_TOKENS: HeaderTriple(60_000, 30_000, 30_000)}
    refused = limited.admit(900, 0, 60_002)
    assert isinstance(refused, Refusal)
    assert (refused.metric, refused.requested, refused.wait_ms) == (Metric.INPUT_TOKENS, 30_001, 1)
    tallies = limited.tallies()
    assert (tallies[Metric.INPUT_TOKENS].charged, tallies[Metric.TOKENS].charged) == (60_000, 900)
    assert tallies[Metric.TOKENS].offered is None
    assert tallies[Metric.INPUT_TOKENS].offered == 120_000  # of which half come from the cache
    assert tallies[Metric.INPUT_TOKENS].share == 0.5
