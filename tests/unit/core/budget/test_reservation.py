from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.reservation import Reservation

SENT = Reservation(3, charge=400, paid=440, stated=False, sent_ms=1_000, burst=0, endpoint="responses", unsettled=0)


def test_a_call_takes_its_tokens_as_they_were_marked_up_and_one_request() -> None:
    assert (SENT.amount(LimitMetric.TOKENS), SENT.amount(LimitMetric.REQUESTS)) == (440, 1)


def test_what_has_flowed_in_since_is_the_buckets_own_and_nothing_before() -> None:
    assert SENT.refilled(60_000, 60_000, 4_500) == 3_500
    assert SENT.refilled(6_000, 60_000, 1_005) == 0
    assert SENT.refilled(60_000, 60_000, 900) == 0
