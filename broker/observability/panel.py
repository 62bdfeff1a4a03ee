"""A panel: what defines one figure, and how its query is written."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

RATE_WINDOW: Final = "150s"
"""Two scrapes of 60 s and a half to spare, or ten of 15 s: a rate needs two samples."""


class Unit(Enum):
    """Units of figures, by the names that Grafana has for them (its `@grafana/data` value formats)."""

    SECONDS = "s"
    SHARE = "percentunit"
    REQUESTS = "short"
    TOKENS = "locale"
    TOKENS_PER_MINUTE = "tokens/min"
    PER_SECOND = "cps"
    YES_NO = "bool_yes_no"
    COUNT = "none"
    BYTES = "bytes"
    DOLLARS = "currencyUSD"


class PanelGroup(Enum):
    """Rows of the dashboard and parts of the page, in their order."""

    LANES = "Lanes"
    LIMITS = "Limits"
    CALLS = "Calls to OpenAI"
    OUTCOMES = "Outcomes and failures"
    PROCESSES = "Processes, Kafka and Redis"
    GATEWAYS = "Gateways"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure.

    Attributes:
        key: Name in the page, the dashboard and the alerts; never changed.
        group: Where it is shown.
        title: A noun phrase of at most 40 characters.
        meaning: One sentence: what it counts, and what a high or low figure means.
        unit: Of the figure.
        query: PromQL; its result has the label `job` and the labels of `by`.
        by: Labels that tell its series apart.
        record: Name of the recording rule that holds it, where an alert reads it; None: none does.
        warn: Threshold from which the page marks the figure and an alert may fire; None: none, or one for each series.
        warn_query: PromQL of a threshold for each series, such as the objective of a lane.
        figure: Place in the page's document, names with dots between them; `*` is any key of `by`. None: not there.
        warn_figure: Place of the threshold for each series.
    """

    key: str
    group: PanelGroup
    title: str
    meaning: str
    unit: Unit
    query: str
    by: tuple[str, ...] = ()
    record: str | None = None
    warn: float | None = None
    warn_query: str | None = None
    figure: str | None = None
    warn_figure: str | None = None


LED: Final = "and on (job, instance) (headrace_leader == 1)"
"""Leaves out what a process believed when it last led."""

DISPATCHERS: Final = 'and on (job, instance) headrace_info{process="dispatcher"}'
"""Leaves out retriers, which elect a leader of their own."""

OURS: Final = "and on (job, instance) headrace_info"
"""Leaves out processes that are not Headrace, whose client libraries use the same names."""


def quantile(share: float, histogram: str, label: str) -> str:
    """Return the query of a quantile of a histogram, by job and `label`."""
    by = f"job, {label}, le" if label else "job, le"
    return f"histogram_quantile({share:g}, sum by ({by}) (rate(headrace_{histogram}_bucket[{RATE_WINDOW}])))"


def rate(counter: str, *labels: str, where: str = "", window: str = RATE_WINDOW) -> str:
    """Return the query of a counter's rate, by job and labels."""
    by = ", ".join(("job", *labels))
    return f"sum by ({by}) (rate(headrace_{counter}_total{{{where}}}[{window}]))".replace("{}", "")
