import random

import pytest

from headrace.broker.spending.sizes import bucket_of, quantile, size_of


@pytest.mark.parametrize("tokens", [1, 2, 3, 10, 333, 400, 10_000, 1_050_000])
def test_the_middle_of_a_bucket_is_within_three_percent_or_half_a_token_of_each_size_in_it(tokens: int) -> None:
    assert abs(size_of(bucket_of(tokens)) - tokens) <= max(0.03 * tokens, 0.5)


def test_what_cost_nothing_has_a_bucket_of_its_own() -> None:
    assert (bucket_of(0), bucket_of(-5), size_of(0)) == (0, 0, 0)


def test_a_quantile_is_within_three_percent_of_the_sorted_sizes() -> None:
    rng = random.Random(7)
    drawn = sorted(rng.randint(300, 500) for _ in range(999))
    sizes: dict[int, int] = {}
    for each in drawn:
        sizes[bucket_of(each)] = sizes.get(bucket_of(each), 0) + 1
    for share in (0.0, 0.5, 0.95, 1.0):
        true = drawn[round(share * 998)]
        assert quantile(sizes, share) == pytest.approx(true, rel=0.03)


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
