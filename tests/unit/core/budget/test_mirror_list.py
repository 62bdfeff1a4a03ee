from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import ALIKE_PARTS, AnyMirror, MirrorList, alike, same_rate, same_size

TOKENS, REQUESTS = LimitMetric


def bucket(capacity: int, period_ms: int = MINUTE_MS, metric: LimitMetric = TOKENS, *, project: bool = False) -> Mirror:
    return Mirror(metric, capacity, period_ms, 0, project=project)


def test_mirrors_are_listed_as_they_were_made_and_by_metric() -> None:
    mirrors, made = MirrorList(), [bucket(5), bucket(7, metric=REQUESTS), bucket(6)]
    for each in made:
        mirrors.add(each)
    assert list(mirrors) == made
    assert (mirrors.of(TOKENS), mirrors.of(REQUESTS)) == ([made[0], made[2]], [made[1]])
    assert mirrors.made == 3


def test_the_shortest_is_the_smallest_bucket_of_tokens_that_refills_soonest() -> None:
    mirrors = MirrorList()
    assert mirrors.shortest is None
    for each in (bucket(1, DAY_MS), bucket(9), bucket(8, project=True), bucket(1, 1_000, REQUESTS)):
        mirrors.add(each)
    assert mirrors.shortest is not None
    assert mirrors.shortest.capacity == 8


def test_mirrors_that_are_not_kept_are_gone_and_where_all_are_kept_nothing_changes() -> None:
    mirrors = MirrorList()
    mirrors.add(bucket(5))
    mirrors.add(bucket(6))
    assert not mirrors.keep(lambda mirror: mirror.capacity > 4)
    assert mirrors.made == 2
    assert mirrors.keep(lambda mirror: mirror.capacity > 5)
    assert [mirror.capacity for mirror in mirrors] == [6]
    assert mirrors.made == 3


def test_a_bucket_is_found_by_owner_capacity_and_period() -> None:
    mirrors = MirrorList()
    window = FixedWindowMirror(TOKENS, 5, MINUTE_MS, MINUTE_MS, 5)
    for each in (window, bucket(5), bucket(5, DAY_MS), bucket(6, project=True)):
        mirrors.add(each)
    own = TOKENS, False
    assert mirrors.find(own, None, None) is mirrors.of(TOKENS)[1]
    assert mirrors.find(own, 5, DAY_MS + DAY_MS // ALIKE_PARTS) is mirrors.of(TOKENS)[2]
    assert mirrors.find((TOKENS, True), None, MINUTE_MS) is mirrors.of(TOKENS)[3]
    assert mirrors.find(own, 6, None) is None
    assert mirrors.find(own, 5, 1_000) is None
    assert mirrors.find((REQUESTS, False), None, None) is None


def test_a_mirror_is_alone_among_those_of_its_metric_and_owner() -> None:
    mirrors, one, projects = MirrorList(), bucket(5), bucket(5, project=True)
    for each in (one, projects, bucket(5, metric=REQUESTS)):
        mirrors.add(each)
    assert mirrors.is_alone(one)
    assert mirrors.is_alone(projects)
    mirrors.add(bucket(6, DAY_MS))
    assert not mirrors.is_alone(one)
    assert mirrors.is_alone(projects)


def test_rates_and_periods_are_alike_within_a_twentieth() -> None:
    assert same_rate(bucket(60_000), bucket(6_000, 6_000))
    assert not same_rate(bucket(60_000), bucket(6_000, 6_400))
    assert (alike(63_000, 60_000), alike(63_001, 60_000)) == (True, False)


def test_buckets_of_one_size_count_the_same_of_one_owner() -> None:
    mirrors = [
        Mirror(metric, capacity, period_ms, 0, project=project)
        for metric in LimitMetric
        for project in (False, True)
        for capacity in (100, 101)
        for period_ms in (1_000, 2_000)
    ]
    assert sum(same_size(one, other) for one in mirrors for other in mirrors) == 2 * len(mirrors)


def test_the_first_of_that_metric_owner_and_period_is_found_whatever_it_is() -> None:
    mirrors = MirrorList()
    counter = FixedWindowMirror(TOKENS, 7, MINUTE_MS, MINUTE_MS, 7)
    made: list[AnyMirror] = [bucket(5, DAY_MS), bucket(6, project=True), counter, bucket(8)]
    for each in made:
        mirrors.add(each)
    assert mirrors.of_period((TOKENS, False), MINUTE_MS + 1) is made[2]
    assert mirrors.of_period((TOKENS, True), MINUTE_MS) is made[1]
    assert mirrors.of_period((TOKENS, True), DAY_MS) is None
    assert mirrors.of_period((REQUESTS, False), MINUTE_MS) is None
