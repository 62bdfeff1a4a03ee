from random import Random

import pytest

from consumers.narrowing import BLAMED_AFTER_MS, STRIKES_MAX, Narrowing


def test_a_refused_queue_is_halved_until_its_culprit_stands_alone() -> None:
    narrowing, queue, failures = Narrowing(200), list(range(200)), 0
    while True:
        batch = queue[: narrowing.count_max]
        if 137 not in batch:
            narrowing.passed(len(batch))
            del queue[: len(batch)]
            continue
        failures += 1
        if narrowing.failed(batch, 0, refused=True):
            break
    assert (batch, queue[0]) == ([137], 137)
    assert failures <= 10


def test_an_error_that_may_be_chance_is_believed_the_second_time() -> None:
    narrowing = Narrowing(200)
    assert not narrowing.failed(range(10), 0, refused=False)
    assert narrowing.count_max == 200
    assert not narrowing.failed(range(10), 0, refused=False)
    assert narrowing.count_max == 5


def test_an_error_of_a_single_record_that_may_be_chance_is_believed_after_an_hour() -> None:
    narrowing = Narrowing(200)
    assert not any(narrowing.failed(["x"], 0, refused=False) for _ in range(10 * STRIKES_MAX))
    assert narrowing.failed(["x"], BLAMED_AFTER_MS, refused=False)
    narrowing = Narrowing(200)
    instants_ms = [number * BLAMED_AFTER_MS for number in range(STRIKES_MAX + 1)]
    told = [narrowing.failed(["x"], at_ms, refused=False) for at_ms in instants_ms]
    assert told == [False] * STRIKES_MAX + [True]


def test_a_refusal_of_a_single_record_is_believed_the_second_time() -> None:
    narrowing = Narrowing(200)
    assert [narrowing.failed(["x"], 0, refused=True) for _ in range(2)] == [False, True]


def test_what_passes_makes_the_next_failure_a_first_one_and_the_transactions_grow_again() -> None:
    narrowing = Narrowing(8)
    narrowing.failed(range(8), 0, refused=True)
    counts = []
    for _ in range(6):
        counts.append(narrowing.count_max)
        narrowing.passed(narrowing.count_max)
        assert not narrowing.failed(["y"], 0, refused=False)
    assert counts == [4, 2, 1, 1, 8, 8]


@pytest.mark.parametrize("seed", range(100))
def test_whatever_is_refused_everything_else_passes_in_order_and_in_few_transactions(seed: int) -> None:
    chance = Random(seed)
    narrowing, queue = Narrowing(200), list(range(chance.randint(1, 500)))
    culprits = {each for each in queue if chance.random() < chance.choice((0, 0.01, 0.2))}
    total, passed, failures = len(queue), [], 0
    while queue:
        batch = queue[: narrowing.count_max]
        if culprits.isdisjoint(batch):
            narrowing.passed(len(batch))
            passed.extend(batch)
            del queue[: len(batch)]
            continue
        failures += 1
        if narrowing.failed(batch, 0, refused=True):
            culprits.discard(batch[0])
            passed.append(-batch[0])
            del queue[0]
            narrowing.passed(1)
    assert [abs(each) for each in passed] == list(range(total))
    assert failures <= 14 * max(1, sum(each < 0 for each in passed) + 1)
