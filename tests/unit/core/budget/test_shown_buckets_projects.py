"""A project's buckets beside those of the account: headers and refusals of their own, and every call pays both."""

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.shown_buckets import PROJECT_UNSHOWN_MAX
from tests.unit.core.shown import CAPACITY, MARK, SENT_MS, Limit, stated

PROJECTS = CAPACITY // 2


def owners(limit: Limit) -> list[tuple[int, bool]]:
    return [(mirror.capacity, mirror.project) for mirror in limit.buckets.of(LimitMetric.TOKENS)]


def test_a_call_waits_for_the_projects_bucket_and_for_the_accounts() -> None:
    limit = Limit()
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.show(hearing, 29_500, 59_000, PROJECTS, project=True)
    assert owners(limit) == [(CAPACITY, False), (PROJECTS, True)]
    now_ms = hearing.now_ms
    assert limit.buckets.payable_at(400, 0, now_ms) == now_ms
    assert limit.buckets.payable_at(1_000, 0, now_ms) > now_ms + 900
    assert not limit.buckets.can_hold(PROJECTS + 1)
    number = limit.sends.append(now_ms, 300)
    limit.buckets.pay(300, number, now_ms)
    assert [level.low for level in limit.buckets.levels(now_ms)] == [CAPACITY - 1_000 - 302, 500 - 302]


def test_a_projects_bucket_of_the_accounts_own_size_is_another_one() -> None:
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        hearing = limit.send(1_000, sent_ms)
        limit.show(hearing, 1_000 * call, 1_000 * call)
        limit.show(hearing, 40_000 + 1_000 * call, 40_000 + 1_000 * call, project=True)
    assert owners(limit) == [(CAPACITY, False), (CAPACITY, True)]
    lows = [level.low for level in limit.buckets.levels(SENT_MS[-1])]
    assert lows[0] - lows[1] == 40_000


def test_a_refusal_of_a_project_sets_its_own_bucket() -> None:
    limit = Limit()
    limit.show(limit.send(1, 0), 1, 1)
    limit.show(limit.send(1, 1), 2, 4, PROJECTS, project=True)
    hearing = limit.send(1_000, 30)
    snapshot = stated(LimitMetric.TOKENS, PROJECTS, MINUTE_MS, project=True)
    limit.buckets.observe_refusal(snapshot, 200, hearing)
    account, project = limit.buckets.levels(hearing.now_ms)
    assert (account.project, project.project) == (False, True)
    assert account.low > 58_000
    assert project.low <= 210


def test_a_bucket_of_a_project_that_only_refusals_name_is_not_paid() -> None:
    """A day's limit that was used up, by what one refusal says, would let through a call in 90 s for ever."""
    limit = Limit()
    limit.show(limit.send(1, 0), 1, 1)
    limit.show(limit.send(1, 1), 2, 4, PROJECTS, project=True)
    snapshot = stated(LimitMetric.REQUESTS, 960, DAY_MS, project=True)
    assert limit.buckets.observe_refusal(snapshot, 0, limit.send(1, 30)) is None
    assert limit.sizes(LimitMetric.REQUESTS) == []


def test_the_account_counts_in_windows_and_the_project_in_a_bucket() -> None:
    """Of each owner it is found out alone how its limit refills."""
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        hearing = limit.send(1_000, sent_ms)
        limit.show(hearing, 1_000 * call, MARK - sent_ms)
        used = 10_000 + 1_000 * call
        limit.show(hearing, used, 2 * used, PROJECTS, project=True)
    found = {mirror.project: mirror.refill for mirror in limit.buckets.of(LimitMetric.TOKENS)}
    assert found == {False: Refill.FIXED, True: Refill.BUCKET}
    pattern = limit.buckets.token_pattern
    assert pattern is not None
    assert pattern.refill is Refill.FIXED, "laws are judged by the account's"


def test_both_may_count_in_windows() -> None:
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        hearing = limit.send(1_000, sent_ms)
        limit.show(hearing, 1_000 * call, MARK - sent_ms)
        limit.show(hearing, 1_000 * call, MINUTE_MS, PROJECTS, project=True)
    found = {mirror.project: mirror.refill for mirror in limit.buckets.of(LimitMetric.TOKENS)}
    assert found == {False: Refill.FIXED, True: Refill.SLIDING}


def test_the_smallest_bucket_of_the_shortest_period_is_the_one_to_keep_step_with() -> None:
    limit = Limit()
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.show(hearing, 1_000, 2_000, PROJECTS, project=True)
    shortest = limit.buckets.shortest()
    assert shortest is not None
    assert (shortest.capacity, shortest.project) == (PROJECTS, True)


def test_a_projects_level_is_inherited_as_a_projects() -> None:
    limit = Limit()
    limit.buckets.inherit(LevelBounds(LimitMetric.TOKENS, 5, 5, PROJECTS, MINUTE_MS, project=True), 0)
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert owners(limit) == [(PROJECTS, True), (CAPACITY, False)]
    assert [level.project for level in limit.buckets.levels(0)] == [True, False]


def test_a_projects_size_that_is_disproved_is_dropped_alone() -> None:
    limit = Limit()
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.show(hearing, 10, 2_000, 300, project=True)
    limit.buckets.disown(300, None, 1, 30)
    assert owners(limit) == [(CAPACITY, False)]
    limit.show(limit.send(1_000, 60), 2_000, 4_000, PROJECTS, project=True)
    assert owners(limit) == [(CAPACITY, False), (PROJECTS, True)]


def test_a_project_that_headers_no_longer_show_is_forgotten() -> None:
    limit = Limit()
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.show(hearing, 10, 2_000, 300, project=True)
    for shown in (False, True, False, False, True, False, False):
        limit.buckets.record_project(shown=shown)
    assert owners(limit) == [(CAPACITY, False), (300, True)]
    limit.buckets.record_project(shown=False)
    assert owners(limit) == [(CAPACITY, False)]
    for _ in range(5):
        limit.buckets.record_project(shown=False)
    limit.show(limit.send(1_000, 60), 2_000, 4_000, PROJECTS, project=True)
    assert owners(limit) == [(CAPACITY, False), (PROJECTS, True)]


def test_a_project_that_is_forgotten_may_show_its_buckets_by_turns_again() -> None:
    limit = Limit()
    for _ in range(2):
        for call in range(6):
            limit.show(limit.send(100, 100 * call), 100, 10, PROJECTS * (1 + call % 2), project=True)
        assert sorted(owners(limit)) == [(PROJECTS, True), (2 * PROJECTS, True)]
        for shown in (True, *[False] * PROJECT_UNSHOWN_MAX):
            limit.buckets.record_project(shown=shown)
        assert not owners(limit)
