"""Tokens and money of published outcomes as metrics: what `headrace_outcomes_total` counts, in tokens and dollars.

Tenants and templates have no labels unless the settings ask for them: each is a time series for as long as Prometheus
keeps it, and producers choose the names.
"""

from collections.abc import Sequence

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.service.containment import Containment, surviving
from headrace.broker.service.metrics.payload_facts import usage_kinds
from headrace.broker.settings.metrics import MetricsSettings
from headrace.broker.spending.sums import key_of
from headrace.schemas.money import PICO_PER_USD
from headrace.schemas.spending import Spent


class OutcomeCosts:
    """Counter of the outcomes of each committed transaction."""

    def __init__(self, meter: Meter, containment: Containment, settings: MetricsSettings) -> None:
        self.containment = containment
        self._meter = meter
        self._settings = settings

    @surviving("metrics")
    def count(self, outcomes: Sequence[Spent]) -> None:
        """Count outcomes whose commit has returned."""
        for outcome in outcomes:
            self._count(outcome)

    def _count(self, outcome: Spent) -> None:
        pico_usd = None if outcome.cost is None else outcome.cost.pico_usd
        tokens = usage_kinds(outcome.usage)
        if pico_usd is None and not tokens:
            return
        key, usd = key_of(outcome), (pico_usd or 0) / PICO_PER_USD
        self._meter.outcome_cost(key.lane, key.model, key.tier, usd)
        if pico_usd is None and outcome.cost is not None:
            self._meter.unpriced(key.model)
        if self._settings.by_tenant:
            self._meter.tenant_cost(key.tenant, usd)
        if self._settings.by_template:
            self._meter.template_cost(key.template, usd)
        for kind, count in tokens.items():
            self._meter.outcome_tokens(key.lane, key.model, key.tier, kind, count)
            if self._settings.by_tenant:
                self._meter.tenant_tokens(key.tenant, kind, count)
            if self._settings.by_template:
                self._meter.template_tokens(key.template, kind, count)
