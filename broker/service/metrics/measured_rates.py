"""Measured rates of limits, as operators see them: a gauge, and a line in the log when one begins or ends.

A limit whose server contradicts itself, or states no limit of tokens, is spent at a rate that the dispatcher measures
(`headrace.broker.core.budget.admission_guide`). Its levels, lane reserves and stated pauses then hold no call back.
"""

import structlog

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.budget.budget import Budget

_log = structlog.get_logger("budget")


class MeasuredRates:
    """The limits whose measured rate is followed."""

    def __init__(self, meter: Meter) -> None:
        """Observe no limit so far."""
        self._meter = meter
        self._begun_ms: dict[str, int] = {}

    def observe(self, limit: str, budget: Budget, now_ms: int) -> None:
        """Show a limit's measured rate, 0 while its server's own numbers are followed, and log each change between."""
        rate = budget.measured_tokens_per_minute
        self._meter.measured_rate(limit, rate or 0)
        if rate is not None and limit not in self._begun_ms:
            contradicted = budget.guide.measures_since_ms is not None
            why = "its server's numbers are in doubt" if contradicted else "no limit of tokens is stated"
            _log.info("measuring_begins", limit=limit, tokens_per_minute=rate, why=why)
            self._begun_ms[limit] = now_ms
        elif rate is None and limit in self._begun_ms:
            _log.info("measuring_ends", limit=limit, lasted_s=(now_ms - self._begun_ms.pop(limit)) / 1_000)

    def forget(self, limit: str) -> None:
        """Forget a limit that has no queues any more."""
        self._begun_ms.pop(limit, None)
        self._meter.measured_rate(limit, 0)
