"""The numbers at the end."""

import json
from collections.abc import Iterable

import pytest

from headrace.broker.cli.demo.comparison import Comparison, SideResult, headrace_result, naive_result, nearest_rank
from headrace.broker.cli.demo.tally import LeadTally
from headrace.broker.simulator.accounting import Books, IdCount
from headrace.broker.simulator.naive import NaiveReport
from headrace.broker.simulator.rules import Limits
from tests.unit.cli.demo.leads_of import jobs_of


def books(charges_at_us: Iterable[tuple[int, int]], *, throttled: int = 0) -> Books:
    kept = Books(Limits(tokens_per_minute=10_000, requests_per_minute=500), 0)
    for charge, at_us in charges_at_us:
        kept.arrive()
        kept.admit(IdCount(), "gpt-4o-mini", charge, at_us)
    for _ in range(throttled):
        kept.arrive()
        kept.answer(429, None)
    return kept


def side(answered: int = 10, failed: int = 0, waits_s: tuple[float, ...] = (2.0, 3.0)) -> SideResult:
    return SideResult(
        leads=10,
        answered=answered,
        failed=failed,
        throttled=0,
        calls=10,
        charged_tokens=4_000,
        share=0.4,
        elapsed_s=61.26,
        urgent=2,
        urgent_waits_s=waits_s,
    )


def test_the_share_is_what_was_charged_of_the_bucket_and_the_refill_until_the_last_admission() -> None:
    tally = LeadTally(jobs_of("bulk", "bulk"))
    found = headrace_result(tally, books([(9_000, 1_000_000), (6_000, 61_000_000)]).snapshot(with_ids=False))
    assert found.share == pytest.approx(15_000 / (10_000 + 10_000))
    assert found.charged_tokens == 15_000


def test_headrace_is_judged_by_what_its_reader_saw_and_by_the_books() -> None:
    tally = LeadTally(jobs_of("bulk", "bulk", "urgent"))
    tally.answer("lead-0-email", 4.0)
    tally.fail("lead-1-email", 5.0)
    tally.answer("lead-2-email", 11.0)
    found = headrace_result(tally, books([(400, 0)] * 3, throttled=2).snapshot(with_ids=False))
    assert (found.leads, found.answered, found.failed, found.throttled, found.calls) == (3, 2, 1, 2, 5)
    assert (found.urgent, found.urgent_waits_s, found.elapsed_s) == (1, (3.0,), 11.0)


def test_the_workers_are_judged_by_their_own_report_and_by_the_books() -> None:
    report = NaiveReport(
        answered=1,
        failed=2,
        failed_ids=("lead-1-email", "lead-2-email"),
        urgent_waits_s=(),
        throttled=6,
        elapsed_s=20.0,
        error_example=None,
    )
    tally = LeadTally(jobs_of("bulk", "bulk", "urgent"))
    tally.answer("lead-0-email", 4.0)
    found = naive_result(tally, report, books([(400, 0)], throttled=6).snapshot(with_ids=False))
    assert (found.answered, found.failed, found.throttled, found.calls) == (1, 2, 6, 7)
    assert (found.urgent, found.urgent_waits_s, found.wait_median_s, found.wait_p95_s) == (1, (), None, None)


@pytest.mark.parametrize(
    ("values", "share", "rank"),
    [([3.0, 1.0, 2.0], 0.95, 3.0), ([5.0], 0.95, 5.0), ([float(n) for n in range(1, 101)], 0.95, 95.0), ([1, 2], 0, 1)],
)
def test_the_nearest_rank_is_a_value_that_was_measured(values: list[float], share: float, rank: float) -> None:
    assert nearest_rank(values, share) == rank


def test_of_nothing_there_is_no_rank() -> None:
    with pytest.raises(ValueError, match="no value"):
        nearest_rank([], 0.95)


def test_headrace_keeps_its_word_if_every_lead_is_answered_and_none_failed() -> None:
    assert Comparison(side(4, 6), side(10, 0)).kept


@pytest.mark.parametrize("headrace", [side(9, 0), side(9, 1), side(10, 1)])
def test_otherwise_it_does_not(headrace: SideResult) -> None:
    assert not Comparison(side(10, 0), headrace).kept


def test_json_has_null_where_nothing_was_measured() -> None:
    empty = side(0, 10, ())
    told = json.loads(json.dumps(empty.as_json()))
    assert told["urgent"] == {"leads": 2, "answered": 0, "wait_median_s": None, "wait_p95_s": None}
    assert (told["seconds"], told["share"]) == (61.3, 0.4)
