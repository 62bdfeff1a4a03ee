"""By how much charges may differ from ours."""

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS
from headrace.broker.core.budget.charge_rounding import charge_rounding
from headrace.broker.core.units import ROUNDING_TOKENS


def test_laws_and_recordings_differ_by_some_tokens_and_by_no_call() -> None:
    assert (charge_rounding(TOKENS), charge_rounding(REQUESTS)) == (ROUNDING_TOKENS, 0)
