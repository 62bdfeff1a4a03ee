from random import Random

import pytest

from headrace.broker.core import bounds
from headrace.consumers.narrowing import BLAMED_AFTER_MS, STRIKES_MAX, Narrowing


def test_a_record_is_blamed_as_a_decision_of_the_dispatcher_is() -> None:
    """Readers may not import the core; the two bounds mean the same there."""
    assert (STRIKES_MAX, BLAMED_AFTER_MS) == (bounds.STRIKES_MAX, bounds.BLAMED_AFTER_MS)


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


def test_of_two_records_that_are_refused_neither_is_blamed_until_one_stands_alone() -> None:
    narrowing = Narrowing(200)
    assert not any(narrowing.failed("ab", 0, refused=True) for _ in range(3))
    assert narrowing.count_max == 1


def test_what_failed_alone_is_tried_alone_again() -> None:
    narrowing = Narrowing(200)
    narrowing.failed("a", 0, refused=True)
    assert narrowing.count_max == 1


@pytest.mark.parametrize("before", ["nothing", "another culprit", "a transaction that passed", "a batch that failed"])
def test_the_hour_begins_with_the_first_failure_of_this_very_record(before: str) -> None:
    narrowing, now_ms = Narrowing(200), 3 * BLAMED_AFTER_MS
    if before == "another culprit":
        while not narrowing.failed("o", now_ms, refused=False):
            now_ms += BLAMED_AFTER_MS // 2
    elif before == "a transaction that passed":
        for _ in range(STRIKES_MAX):
            narrowing.failed("o", now_ms - BLAMED_AFTER_MS, refused=False)
        narrowing.passed(1)
    elif before == "a batch that failed":
        for _ in range(2):
            narrowing.failed("xy", now_ms, refused=False)
    told = [narrowing.failed("x", now_ms, refused=False) for _ in range(2)]
    told += [narrowing.failed("x", now_ms + 1, refused=False) for _ in range(STRIKES_MAX)]
    told += [narrowing.failed("x", now_ms + BLAMED_AFTER_MS - 1, refused=False)]
    assert not any(told)
    assert narrowing.failed("x", now_ms + BLAMED_AFTER_MS, refused=False)


@pytest.mark.parametrize(("failed", "most"), [(8, 4 << 8), (3, 1 << 3)])
def test_each_transaction_that_passes_doubles_what_the_next_may_take(failed: int, most: int) -> None:
    narrowing = Narrowing(10_000)
    narrowing.failed(range(failed), 0, refused=True)
    for _ in range(failed):
        narrowing.passed(1)
    assert narrowing.count_max == most
