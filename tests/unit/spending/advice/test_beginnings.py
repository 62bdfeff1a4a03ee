import random

import pytest

from headrace.broker.spending.advice.beginnings import beginnings_of, cacheable, common_prefix, has_cache


@pytest.mark.parametrize(("tokens", "cached"), [(0, 0), (1_023, 0), (1_024, 1_024), (1_050, 1_024), (2_000, 1_936)])
def test_a_beginning_is_cached_from_1024_tokens_on_but_for_half_a_step_on_average(tokens: int, cached: int) -> None:
    assert cacheable(tokens) == cached


def test_the_estimate_of_a_cached_beginning_is_right_on_average() -> None:
    lengths = range(1_024 + 128, 5_000)
    steps = sum(length // 128 * 128 for length in lengths)
    assert sum(map(cacheable, lengths)) == pytest.approx(steps, rel=0.001)


def test_the_common_prefix_is_that_of_a_comparison_by_characters() -> None:
    rng = random.Random(7)
    for _ in range(500):
        one, other = ("".join(rng.choices("ab", k=rng.randint(0, 12))) for _ in range(2))
        slow = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        assert common_prefix(one, other) == slow


def test_a_longer_beginning_is_shared_by_fewer() -> None:
    texts = [f"all {'a' if n < 20 else 'b'} {n:02}" for n in range(40)]
    found = beginnings_of(texts)
    assert found.common_chars == len("all ")
    assert (len("all "), 1.0) in found.shared[0]
    assert any(length >= len("all a ") and share <= 0.5 for length, share in found.shared[0])


def test_texts_that_are_all_the_same_share_all_of_it() -> None:
    found = beginnings_of(["same"] * 10)
    assert found.common_chars == 4
    assert {(4, 1.0)} == {pair for pairs in found.shared for pair in pairs}


def test_models_since_gpt_4o_have_a_cache() -> None:
    assert all(map(has_cache, ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "o3", "ft:gpt-4o-mini:acme")))
    assert all(
        map(has_cache, ("gpt-4.1-mini", "gpt-4.5-preview", "gpt-10", "o4-mini", "chatgpt-4o-latest", "codex-mini"))
    )
    assert not any(map(has_cache, ("gpt-4", "gpt-4-turbo", "gpt-4-32k", "gpt-3.5-turbo", "text-embedding-3-small")))


def test_nothing_is_known_of_the_caches_of_other_makers() -> None:
    assert not any(
        map(has_cache, ("llama-3.3-70b", "claude-sonnet-4", "mistral-large", "my-gpt-4o", "gpt-oss-120b", ""))
    )
