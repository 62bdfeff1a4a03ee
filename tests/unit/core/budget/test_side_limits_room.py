"""What a limit of input keeps for others, and what answers show to be missing from it."""

import pytest

from headrace.broker.core.budget.room_for_others import FORGIVEN, MOST_PARTS, RAISED_PPM
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_side_limits import DEAR, PER_MINUTE, Limit, carries, names, shows

CARRIED = 1_000


def taken_from(limit: Limit, tokens: int, now_ms: int) -> None:
    """One call, whose answer shows that others have taken so many."""
    left = limit.left(now_ms) - CARRIED - tokens
    reset = f"{(PER_MINUTE - left) // 100}s"
    limit.call(carries(CARRIED), now_ms, shows("input-tokens", PER_MINUTE, left, reset))


def begun() -> Limit:
    limit = Limit()
    limit.call(carries(CARRIED), 0, shows("input-tokens", PER_MINUTE, PER_MINUTE - CARRIED, "10s"))
    return limit


def test_refusals_make_a_limit_of_input_keep_room() -> None:
    limit, room = begun(), PER_MINUTE * RAISED_PPM // PPM // MOST_PARTS
    for number in range(FORGIVEN + 1):
        at_ms = 60_000 * (number + 1)
        assert limit.at(carries(CARRIED), at_ms) == at_ms
        limit.call(carries(CARRIED), at_ms, shows("input-tokens", PER_MINUTE, 1_500, "45s"))
        limit.call(carries(CARRIED), at_ms + 600, names("input-tokens", used=PER_MINUTE - 900, requested=CARRIED))
        after_ms = limit.at(carries(CARRIED), at_ms + 1_100)
        assert after_ms is not None
        kept = room if number == FORGIVEN else 0
        assert after_ms - at_ms - 1_100 == pytest.approx(max(1_000, (CARRIED - 900 + kept) * 10), abs=600)


def test_what_others_take_of_input_counts_in_tokens_of_such_calls() -> None:
    limit = begun()
    assert limit.budget.sides.missing_tokens() == 0
    taken_from(limit, 800, 20_000)
    assert limit.budget.sides.missing_tokens() == pytest.approx(800 * DEAR // CARRIED, abs=15)
    taken_from(limit, 500, 60_000)
    assert limit.budget.sides.missing_tokens() == pytest.approx(1_300 * DEAR // CARRIED, abs=25)


def test_without_a_limit_of_input_nothing_is_missing() -> None:
    limit = Limit()
    limit.call(carries(CARRIED), 0, shows("project-tokens", PER_MINUTE, 100))
    assert not limit.budget.sides
    assert limit.budget.sides.missing_tokens() == 0


def test_a_call_of_which_nothing_is_known_does_not_wait() -> None:
    limit = begun()
    limit.call(carries(CARRIED), 600, shows("input-tokens", PER_MINUTE, 0, "60s"))
    assert limit.budget.sides.payable_at(carries(CARRIED), 0, 1_100) > 1_100
    assert limit.budget.sides.payable_at(None, 0, 1_100) == 1_100
