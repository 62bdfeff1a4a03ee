"""When tokens that are missing count as taken by others: not before the mirrors have been right for a while."""

from headrace.broker.core.budget.foreign_claims import KEPT_EVERY_MS, STANDS_MS, ForeignClaims


def test_what_is_missing_counts_as_taken_once_it_has_stood_long_enough() -> None:
    claims = ForeignClaims()
    claims.add(40, 0)
    claims.settle(STANDS_MS - 1)
    assert (claims.missing, claims.taken) == (40, 0)
    claims.settle(STANDS_MS)
    assert (claims.missing, claims.taken) == (40, 40)
    claims.settle(2 * STANDS_MS)
    assert claims.taken == 40, "once"


def test_more_that_is_missing_settles_what_was_before() -> None:
    claims = ForeignClaims()
    claims.add(40, 0)
    claims.add(2, STANDS_MS)
    assert (claims.missing, claims.taken) == (42, 40)


def test_what_is_missing_in_one_second_is_kept_together_and_no_longer_than_it_stands() -> None:
    claims = ForeignClaims()
    for now_ms in range(0, 3 * STANDS_MS, 10):
        claims.add(1, now_ms)
    assert claims._pending is not None
    assert len(claims._pending) <= STANDS_MS // KEPT_EVERY_MS + 1
    assert claims.taken + sum(tokens for _, tokens in claims._pending) == claims.missing == 3 * STANDS_MS // 10
    claims.settle(4 * STANDS_MS)
    assert claims.taken == claims.missing


def test_what_is_missing_while_the_mirrors_are_in_doubt_is_taken_by_none() -> None:
    claims = ForeignClaims()
    claims.withdraw()
    claims.add(40, 0)
    claims.add(7, STANDS_MS)
    claims.withdraw()
    claims.settle(9 * STANDS_MS)
    assert (claims.missing, claims.taken) == (47, 40), "what was settled before stands"
    claims.add(5, 9 * STANDS_MS)
    claims.settle(10 * STANDS_MS)
    assert (claims.missing, claims.taken) == (52, 45)
