"""Wastes planted by seed are found, each with its saving, and nothing is found where nothing is planted."""

import random

import pytest

from benchmarks.advice.prices import price
from benchmarks.advice.prose import Prose
from benchmarks.advice.workloads import WASTES, Workload, six_wastes, workload
from headrace.broker.spending.advice.advisor import Advisor
from headrace.broker.spending.advice.finding import AdviceFinding, Waste

TOLERANCE = 0.1
SEEDS = 20
EACH = [kind for kinds in WASTES for kind in kinds]


def found_in(played: Workload, *, requests_first: bool = False) -> list[AdviceFinding]:
    advisor = Advisor(price=price)
    for request, lane in played.requests if requests_first else []:
        advisor.request(request, lane)
    for outcome in played.outcomes:
        advisor.outcome(outcome)
    for request, lane in [] if requests_first else played.requests:
        advisor.request(request, lane)
    return advisor.findings()


def check(played: Workload, found: list[AdviceFinding]) -> None:
    """Each planted waste is found in its template with its saving, and nothing else is found."""
    assert {(each.kind, each.template) for each in found} == {(each.kind, each.template) for each in played.planted}
    for planted in played.planted:
        (match,) = [each for each in found if each.kind is planted.kind]
        assert match.tokens_a_day == pytest.approx(planted.tokens / played.days, rel=TOLERANCE)
        assert match.micro_usd_a_day == pytest.approx(planted.micro_usd / played.days, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_six_planted_wastes_are_found_with_their_savings(seed: int) -> None:
    played = workload(seed, six_wastes(seed), templates=1, calls=100)
    check(played, found_in(played, requests_first=bool(seed % 2)))


@pytest.mark.slow
def test_nothing_is_found_in_a_clean_workload() -> None:
    assert found_in(workload(7, calls=150)) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_six_planted_wastes_are_found_over_many_seeds(seed: int) -> None:
    played = workload(seed, six_wastes(seed))
    check(played, found_in(played, requests_first=bool(seed % 2)))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_found_in_many_clean_workloads(seed: int) -> None:
    assert found_in(workload(1_000 + seed)) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize("seed", range(3))
def test_each_waste_alone_is_found_and_no_other(kind: Waste, seed: int) -> None:
    played = workload(2_000 + seed, [kind], templates=2)
    check(played, found_in(played))


def test_the_tokens_of_the_benchmark_are_no_fixed_share_of_its_bytes() -> None:
    """The benchmark counts tokens by words, so that the estimate by bytes has something to get wrong."""
    prose = Prose(random.Random(7))
    ident, text = prose.ident(), prose.paragraphs(200)
    assert len(ident.text) / ident.tokens < 2
    assert len(text.text) / text.tokens > 4.5
