"""When tokens that are missing count as taken by others: not before the mirrors have been right for a while."""

from headrace.broker.core.budget.missing_tokens import MERGED_MS, STANDS_MS, MissingTokens


def test_what_is_missing_counts_as_taken_once_it_has_stood_long_enough() -> None:
    missing = MissingTokens()
    missing.add(40, 0)
    missing.settle(STANDS_MS - 1)
    assert (missing.total, missing.taken) == (40, 0)
    missing.settle(STANDS_MS)
    assert (missing.total, missing.taken) == (40, 40)
    missing.settle(2 * STANDS_MS)
    assert missing.taken == 40, "once"


def test_more_that_is_missing_settles_what_was_before() -> None:
    missing = MissingTokens()
    missing.add(40, 0)
    missing.add(2, STANDS_MS)
    assert (missing.total, missing.taken) == (42, 40)


def test_what_is_missing_in_one_second_is_kept_together_and_no_longer_than_it_stands() -> None:
    missing = MissingTokens()
    for now_ms in range(0, 3 * STANDS_MS, 10):
        missing.add(1, now_ms)
    assert missing._pending is not None
    assert len(missing._pending) <= STANDS_MS // MERGED_MS + 1
    assert missing.taken + sum(tokens for _, tokens in missing._pending) == missing.total == 3 * STANDS_MS // 10
    missing.settle(4 * STANDS_MS)
    assert missing.taken == missing.total


def test_what_is_missing_while_the_mirrors_are_in_doubt_is_taken_by_none() -> None:
    missing = MissingTokens()
    missing.withdraw()
    missing.add(40, 0)
    missing.add(7, STANDS_MS)
    missing.withdraw()
    missing.settle(9 * STANDS_MS)
    assert (missing.total, missing.taken) == (47, 40), "what was settled before stands"
    missing.add(5, 9 * STANDS_MS)
    missing.settle(10 * STANDS_MS)
    assert (missing.total, missing.taken) == (52, 45)


def test_what_only_refusals_show_to_be_missing_explains_nothing() -> None:
    missing = MissingTokens()
    missing.add(40, 0, shown=False)
    missing.settle(STANDS_MS)
    assert (missing.total, missing.taken) == (0, 40)
