"""When a service tier is unavailable, so that some of its requests are parked."""

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import HOLD_TROUBLE_AFTER_MS
from headrace.broker.core.budget.tier_breaker import TierBreaker
from headrace.broker.core.requests.parking import _of_tier


def tripped() -> TierBreaker:
    breaker = TierBreaker()
    breaker.trip(Meaning.TIER_UNAVAILABLE, 0, 60_000)
    return breaker


def test_a_tier_is_unavailable_once_its_breaker_has_been_open_for_a_while() -> None:
    assert _of_tier(tripped(), HOLD_TROUBLE_AFTER_MS - 1) is None
    found = _of_tier(tripped(), HOLD_TROUBLE_AFTER_MS)
    assert found is not None
    assert found.until_ms >= 60_000


def test_a_tier_that_serves_again_or_was_forgotten_is_available_though_its_requests_still_wait_apart() -> None:
    breaker = tripped()
    breaker.close()
    assert _of_tier(breaker, HOLD_TROUBLE_AFTER_MS) is None
    assert _of_tier(None, HOLD_TROUBLE_AFTER_MS) is None
