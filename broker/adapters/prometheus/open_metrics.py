"""OpenMetrics for scrapers that ask for it: the only text form that carries exemplars.

It is stricter than the plain form. A histogram with bounds below zero has no sum there, and without one it may have no
count; prometheus_client writes the count, and its own parser then refuses the whole scrape. So such a histogram is
written as families of no type, one for each of its series, which keep their names.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

OPEN_METRICS: Final = CONTENT_TYPE_LATEST
_MEDIA_TYPE: Final = "application/openmetrics-text"


def prefers_open_metrics(accept: str) -> bool:
    """Whether the header `Accept` names OpenMetrics, as Prometheus' does; a weight of 0 refuses it."""
    for one in str(accept).split(","):
        name, *parameters = (part.strip().lower() for part in one.split(";"))
        if name == _MEDIA_TYPE:
            return not any(
                parameter.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for parameter in parameters
            )
    return False


def open_metrics(registry: CollectorRegistry) -> bytes:
    """Render a scrape with its exemplars."""
    rendered: bytes = generate_latest(_Valid(registry))  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return rendered


class _Valid:
    """Families of a registry, as OpenMetrics allows them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """See `CollectorRegistry.collect`."""
        for family in self._registry.collect():
            names = {sample.name for sample in family.samples}
            if family.type == "histogram" and f"{family.name}_count" in names and f"{family.name}_sum" not in names:
                yield from _by_series(family, sorted(names - {f"{family.name}_created"}))
            else:
                yield family


def _by_series(family: Metric, names: Iterable[str]) -> Iterator[Metric]:
    for name in names:
        series = Metric(name, family.documentation, "unknown")
        series.samples = [sample._replace(exemplar=None) for sample in family.samples if sample.name == name]
        yield series
