"""Causes of open breakers, as metrics: a series each, which ends when its breaker closes or its leader stands by."""

from collections.abc import Iterator

from headrace.broker.adapters.prometheus.labels import ACCOUNT
from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.config import Role
from headrace.broker.core.dispatch import Dispatch


class BreakerCauses:
    """The causes that are shown."""

    def __init__(self, meter: Meter) -> None:
        """Show none."""
        self._meter = meter
        self._shown: set[tuple[str, str]] = set()

    def observe(self, core: Dispatch) -> None:
        """Show the cause of each open breaker; a process that stands by has no breakers, only beliefs of its past."""
        causes = set() if core.role is Role.FOLLOWING else set(_causes(core))
        for name, cause in self._shown - causes:
            self._meter.breaker_cause_over(name, cause)
        for name, cause in causes:
            self._meter.breaker_opened_by(name, cause)
        self._shown = causes


def _causes(core: Dispatch) -> Iterator[tuple[str, str]]:
    account = core.limits.account.breaker.tripped_by
    if account is not None:
        yield ACCOUNT, account.value
    for name, queue in core.limits.limit_queues().items():
        cause = queue.budget.breaker.tripped_by
        if cause is not None:
            yield name, cause.value
