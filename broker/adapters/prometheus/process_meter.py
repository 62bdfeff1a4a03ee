"""Metrics that every process has, how a scrape is rendered, and how a figure reaches a family.

No function raises, whatever its arguments: a figure that a scrape cannot carry is cut or left out, and a text is made
encodable.
"""

import math
import re
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from headrace.broker.adapters.prometheus.families import ProcessFamilies
from headrace.broker.adapters.prometheus.labels import FoldedGauge, shortened, text_of
from headrace.broker.adapters.prometheus.open_metrics import OPEN_METRICS, open_metrics, prefers_open_metrics

FIGURE_MAX: Final = 1e15
"""The largest figure that is shown or added: a counter still counts single tokens above it, and cannot overflow."""

_TRACE_ID: Final = re.compile("[0-9a-f]{32}")


class ProcessMeter:
    """Metrics of one process, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, registry: CollectorRegistry, families: ProcessFamilies) -> None:
        """`families` are those of the process's kind, registered in `registry`."""
        self._registry = registry
        self._common = families

    def render(self) -> bytes:
        """Render the text of a scrape, of `content_type`."""
        return generate_latest(self._registry)

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """Render a scrape and its content type: OpenMetrics, with exemplars, if the header `accept` names it."""
        if prefers_open_metrics(accept):
            return open_metrics(self._registry), OPEN_METRICS
        return self.render(), self.content_type

    def info(self, prefix: str, version: str, process: str) -> None:
        """Name the process: its topic prefix, its release, and what it is (`dispatcher`, `retrier`, `gateway`)."""
        set_to(self._common.info, 1, prefix, version, process)

    def spans(self, result: str, count: int) -> None:
        """Count spans of traces that the collector took (`exported`), or that were lost (`lost`)."""
        add_to(self._common.spans, result, by=count)

    def begin_contained(self, step: str) -> None:
        """Begin this counter at 0: of one that is born with its first event, Prometheus never sees that event."""
        add_to(self._common.contained, step, by=0)

    def contained(self, step: str) -> None:
        """Count an exception in our own code that ended one request, or one observation, at that step."""
        add_to(self._common.contained, step)


def add_to(family: Counter, *labels: str, by: float = 1) -> None:
    """Add to a counter; a negative amount adds nothing."""
    figure = _figure(by)
    if figure is not None and figure >= 0:
        (family.labels(*map(text_of, labels)) if labels else family).inc(figure)


def set_to(family: Gauge, value: float, *labels: str) -> None:
    """Set a level."""
    figure = _figure(value)
    if figure is not None:
        (family.labels(*map(text_of, labels)) if labels else family).set(figure)


def set_folded(gauge: FoldedGauge, value: float, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Set the level of `names`, shown under `labels`."""
    figure = _figure(value)
    if figure is not None:
        gauge.set(figure, tuple(map(shortened, names)), tuple(map(text_of, labels)))


def observe_in(family: Histogram, value: float, *labels: str, trace_id: str | None = None) -> None:
    """Add a value to a histogram, with the trace id as its exemplar if it is one."""
    figure = _figure(value)
    if figure is not None:
        is_id = isinstance(trace_id, str) and _TRACE_ID.fullmatch(trace_id) is not None
        exemplar = {"trace_id": trace_id} if is_id and trace_id else None
        (family.labels(*map(text_of, labels)) if labels else family).observe(figure, exemplar)


def _figure(value: float) -> float | None:
    """Cut a figure to what a scrape can carry; None for a non-figure, or nan, which would spoil every later sum."""
    try:
        number = float(value)
    except OverflowError:
        return FIGURE_MAX if value > 0 else -FIGURE_MAX
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else max(-FIGURE_MAX, min(number, FIGURE_MAX))
