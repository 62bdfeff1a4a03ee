"""Runs in processes of their own: the same results, progress, and nothing left behind."""

import multiprocessing

import pytest

from headrace.broker.cli.simulate.side_by_side import cores, play_all, serve
from headrace.broker.planner.plan import Outlook, Plan, quotas_for
from headrace.broker.planner.workload import Span, Stream, Workload
from headrace.broker.settings.whole import Settings

pytestmark = pytest.mark.timeout(60)  # processes start


def plan_of(requests: int) -> Plan:
    workload = Workload((Stream("a", "urgent", per_hour=360_000, input_tokens=Span(500, 500)),), None)
    settings = Settings()
    quotas = quotas_for(settings, workload, tokens_per_minute=6_000_000, requests_per_minute=None)
    return Plan(settings, workload, quotas, requests_max=requests)


def told(outlooks: list[Outlook]) -> list[tuple[float, int, float | None, int]]:
    waits = [(each.record.lanes["urgent"].wait_ms.mean, each.record.ended_ms) for each in outlooks]
    return [(each.factor, each.record.settled, *wait) for each, wait in zip(outlooks, waits, strict=True)]


def test_few_requests_are_played_one_run_after_another() -> None:
    heard: list[int] = []
    outlooks = play_all([(plan_of(1_500), 1.0), (plan_of(1_500), 2.0)], heard.append, 2)
    assert [(each.factor, each.record.settled) for each in outlooks] == [(1.0, 1_500), (2.0, 1_500)]
    assert heard == sorted(heard)
    assert heard[-1] > 1_500


def test_many_are_played_side_by_side_with_the_same_results() -> None:
    runs = [(plan_of(1_000), factor) for factor in (1.0, 2.0, 0.9)]
    heard: list[int] = []
    assert told(play_all(runs, heard.append, 2, requests_min=3_000)) == told(play_all(runs, lambda _: None, 1))
    assert heard == sorted(heard)
    assert heard[-1] == sum(plan.requests_max or 0 for plan, _ in runs)
    assert multiprocessing.active_children() == []


def test_an_interruption_leaves_no_run_behind() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play_all([(plan_of(10**6), 1.0), (plan_of(10**6), 2.0)], interrupt, 2)
    assert multiprocessing.active_children() == []


def test_a_run_that_dies_is_told() -> None:
    def kill(_: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(RuntimeError, match=r"run [01] ended without a result: exit code -9"):
        play_all([(plan_of(10**6), 1.0), (plan_of(10**6), 2.0)], kill, 2)
    assert multiprocessing.active_children() == []


def test_a_run_tells_how_far_it_is_and_at_last_what_it_found() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    serve(theirs, plan_of(2_000), 1.0)
    heard = []
    while not isinstance(told := ours.recv(), Outlook):
        heard.append(told)
    assert told.record.settled == 2_000
    assert heard == sorted(heard) != []


def test_a_run_whose_parent_is_gone_ends() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    ours.close()
    serve(theirs, plan_of(10**6), 1.0)


def test_there_is_a_core() -> None:
    assert cores() >= 1
