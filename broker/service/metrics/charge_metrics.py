"""Charge law believed for each limit: as metrics, and as a line of the log when it changes.

The core decides on evidence and reports nothing; here its law statuses are read once a second. Metrics call a limit by
the label `model`, as they do everywhere.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.tariff import LawStatus

KEPT_MAX: Final = 1_000

_log = structlog.get_logger("charges")


class Charges:
    """Last observation of each limit and endpoint."""

    def __init__(self, meter: Meter) -> None:
        """Nothing has been seen."""
        self._meter = meter
        self._seen: dict[tuple[str, str], tuple[Law | None, int]] = {}

    def observe(self, limit: str, standings: Sequence[LawStatus]) -> None:
        """Read the law statuses of a limit; the one with the most evidence stands for the limit."""
        for standing in standings:
            self._compare(limit, standing)
        known = [standing for standing in standings if standing.law is not None]
        if known:
            first = max(known, key=lambda standing: standing.pieces)
            self._meter.charge_law(limit, str(first.law))

    def _compare(self, limit: str, standing: LawStatus) -> None:
        key = limit, standing.endpoint
        is_silent = standing.law is None and not standing.errors_seen  # as of a model that does not exist
        if key not in self._seen and (is_silent or len(self._seen) >= KEPT_MAX):
            return
        law, errors_seen = self._seen.get(key, (None, 0))
        fresh = standing.errors_seen - errors_seen
        if fresh < 0:  # the tariff of another term has begun anew
            fresh = standing.errors_seen
        for tokens in standing.errors[-fresh:] if fresh else ():
            self._meter.charge_error(limit, tokens)
        self._seen[key] = standing.law, standing.errors_seen
        if standing.law is not law and standing.law is not None:
            say = _log.info if law is None else _log.warning
            say(
                "charge_law",
                limit=limit,
                endpoint=standing.endpoint,
                law=standing.law.value,
                before=None if law is None else law.value,
                identified=standing.identified,
                evidence=standing.pieces,
                error_tokens=standing.error_tokens,
            )
