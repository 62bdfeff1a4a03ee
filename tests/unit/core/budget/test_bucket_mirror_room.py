"""Room that a bucket keeps for others, and calls that would leave little beside it."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.room_for_others import MOST_PARTS
from tests.unit.core.shown import CAPACITY


def test_no_call_waits_for_a_full_bucket_because_of_room() -> None:
    """A call of half a bucket beside a reserve of a third would wait until nothing is spent by any lane above it."""
    bucket = Mirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    bucket.pay(CAPACITY, 0, 0)
    amount, reserved = CAPACITY // 2, CAPACITY // 3
    without_ms = bucket.payable_at(amount, reserved, 0)
    bucket.room = CAPACITY // MOST_PARTS
    assert without_ms < bucket.payable_at(amount, reserved, 0) < without_ms + (MINUTE_MS - without_ms) * 3 // 4
    assert bucket.payable_at(CAPACITY, 0, 0) == pytest.approx(MINUTE_MS, abs=10)
    assert bucket.payable_at(500, 0, 0) == pytest.approx(500 + CAPACITY // MOST_PARTS, abs=10), "a small one leaves all"
