import random
from datetime import timedelta

import pytest

from headrace.broker.spending.advice.groups import (
    GROUP_BYTES_MAX,
    LANES_MAX,
    REQUESTS_LEAST,
    REQUESTS_SAMPLED,
    OutcomeGroup,
    RequestPool,
)
from headrace.broker.spending.advice.records import facts_of_request
from headrace.broker.spending.advice.sampling import hash_of
from tests.unit.spending.advice.made import NOON, answered, asked


def group_of(seconds: list[float]) -> OutcomeGroup:
    group = OutcomeGroup("welcome", "gpt-4o")
    for n, second in enumerate(seconds):
        group.add(answered(n, called_at=NOON + timedelta(seconds=second)), hash_of(str(n)))
    return group


def test_a_steady_prefix_is_found_in_the_cache_by_all_calls_but_the_first() -> None:
    assert group_of([float(n) for n in range(1_000)]).hit_share(1.0) == pytest.approx(0.999, abs=0.001)


def test_a_prefix_that_is_used_once_an_hour_is_never_found() -> None:
    assert group_of([n * 3_600.0 for n in range(24)]).hit_share(1.0) == 0


def test_of_two_calls_a_minute_apart_each_hour_one_finds_the_prefix() -> None:
    seconds = [n * 3_600.0 + second for n in range(24) for second in (0, 60)]
    assert group_of(seconds).hit_share(1.0) == pytest.approx(0.5, abs=0.02)


def test_a_rare_prefix_in_a_busy_group_is_found_less_often() -> None:
    group = group_of([n * 60.0 for n in range(1_000)])
    assert group.hit_share(0.02) < 0.3
    assert group.hit_share(1.0) > 0.9


def test_lanes_tiers_and_reasons_beyond_their_bound_are_not_kept() -> None:
    group = OutcomeGroup("welcome", "gpt-4o")
    for n in range(200):
        group.add(answered(n, lane=f"lane-{n}", tier_served=f"tier-{n}"), n)
        group.add(answered(n, status="failed", reason=f"reason-{n}"), n)
    assert max(len(group.lanes), len(group.tiers), len(group.failed)) == LANES_MAX
    assert group.answered.metered == 200


def test_a_pool_that_is_full_counts_the_bytes_of_what_it_keeps() -> None:
    pool = RequestPool("welcome")
    for n in range(3 * REQUESTS_SAMPLED):
        if pool.sample.wants(hash_of(str(n))):
            pool.put(hash_of(str(n)), facts_of_request(asked(n, "mill " * n), "bulk"))
    assert len(pool.sample) == REQUESTS_SAMPLED
    assert pool.packed_bytes == sum(len(facts.packed) for _, facts in pool.sample.items())


def test_prompts_of_any_script_that_hardly_compress_take_no_more() -> None:
    pool = RequestPool("welcome")
    for n in range(40):
        rng = random.Random(n)
        noise = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(70_000))
        pool.put(hash_of(str(n)), facts_of_request(asked(n, noise), "bulk"))
    assert pool.packed_bytes <= GROUP_BYTES_MAX


def test_a_pool_keeps_fewer_requests_where_their_text_would_take_more_than_its_bytes() -> None:
    pool = RequestPool("welcome")
    for n in range(60):
        noise = random.Random(n).randbytes(32_000).hex()
        pool.put(hash_of(str(n)), facts_of_request(asked(n, noise), "bulk"))
    assert REQUESTS_LEAST <= len(pool.sample) < 60 < REQUESTS_SAMPLED
    held = sum(len(facts.packed) for _, facts in pool.sample.items())
    assert held == pool.packed_bytes
    assert held <= GROUP_BYTES_MAX or len(pool.sample) == REQUESTS_LEAST
