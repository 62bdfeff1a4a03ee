"""By how much a call's charge may differ from ours where both follow the same law."""

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.units import ROUNDING_TOKENS


def charge_rounding(metric: LimitMetric) -> int:
    """Return by how much laws and recordings may differ for one call: some tokens, and no call."""
    return ROUNDING_TOKENS if metric is LimitMetric.TOKENS else 0
