"""OpenMetrics for scrapers that ask for it: the only text form that carries exemplars."""

from typing import Final

from prometheus_client import CollectorRegistry
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
    rendered: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return rendered
