import random

from headrace.broker.spending.advice.sampling import HashSample, hash_of


def test_two_samples_of_the_same_ids_in_any_order_hold_the_same_ones() -> None:
    ids = [f"lead-{n}" for n in range(1_000)]
    one, other = HashSample[str](50), HashSample[str](50)
    for sample, seed in ((one, 1), (other, 2)):
        random.Random(seed).shuffle(ids)
        for each in ids:
            if sample.wants(key := hash_of(each)):
                sample.put(key, each)
    assert sorted(one) == sorted(other)
    assert len(one) == 50
    assert dict(one.items()) == dict(other.items())


def test_the_value_that_must_go_is_the_one_with_the_largest_key() -> None:
    sample = HashSample[str](2)
    assert sample.put(5, "five") is None
    assert sample.put(9, "nine") is None
    assert not sample.wants(10)
    assert not sample.wants(5)
    assert sample.put(7, "seven") == (9, "nine")
    assert sample.shrink() == (7, "seven")
    assert (sample.get(5), sample.get(7)) == ("five", None)


def test_hashes_of_ids_are_spread_evenly_and_take_any_text() -> None:
    below = sum(hash_of(f"lead-{n}") < 2**63 for n in range(2_000))
    assert 900 < below < 1_100
    assert hash_of("\ud800") >= 0
