"""The table of panels: each figure that the page, the dashboard or an alert shows, defined once.

A panel has a PromQL query over the metrics of `headrace.broker.adapters.prometheus.families`, and, where the live page
shows it too, the place of the same figure in the document that the page receives: `/status` with `lately` beside it.
A test runs a dispatcher and compares both.

Every query aggregates over the processes of one budget, which share Prometheus' label `job`: several budgets may be
scraped by one Prometheus. Rates are over `RATE_WINDOW`, four scrapes of 15 s and one to spare.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

RATE_WINDOW: Final = "75s"


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


class Group(Enum):
    """Rows of the dashboard and parts of the page, in their order."""

    LANES = "Lanes"
    LIMITS = "Limits"
    CALLS = "Calls to OpenAI"
    OUTCOMES = "Outcomes and failures"
    PROCESSES = "Processes, Kafka and Redis"


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
    group: Group
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


def _quantile(share: float, histogram: str, label: str) -> str:
    """Return the query of a quantile of a histogram, by job and `label`."""
    by = f"job, {label}, le" if label else "job, le"
    return f"histogram_quantile({share:g}, sum by ({by}) (rate(headrace_{histogram}_bucket[{RATE_WINDOW}])))"


def _rate(counter: str, *labels: str, where: str = "", window: str = RATE_WINDOW) -> str:
    """Return the query of a counter's rate, by job and labels."""
    by = ", ".join(("job", *labels))
    return f"sum by ({by}) (rate(headrace_{counter}_total{{{where}}}[{window}]))".replace("{}", "")


PANELS: Final[tuple[Panel, ...]] = (
    # ------------------------------------------------------------------ lanes
    Panel(
        key="backlog_seconds",
        group=Group.LANES,
        title="Time to empty",
        meaning="Time until all requests that wait in the lane could be called, by the limit that binds them.",
        unit=Unit.SECONDS,
        query="max by (job, lane) (headrace_backlog_seconds)",
        by=("lane",),
        record="job_lane:headrace_backlog_seconds:max",
        warn_query="max by (job, lane) (headrace_lane_objective_seconds > 0)",
        figure="lanes.*.waiting_seconds",
        warn_figure="lanes.*.objective_s",
    ),
    Panel(
        key="backlog_requests",
        group=Group.LANES,
        title="Waiting requests",
        meaning="Requests taken from the lane that wait for a call; the lane's buffer bounds them.",
        unit=Unit.REQUESTS,
        query="sum by (job, lane) (headrace_backlog_requests)",
        by=("lane",),
        figure="lanes.*.waiting",
    ),
    Panel(
        key="lag_requests",
        group=Group.LANES,
        title="Lag in Kafka",
        meaning="Records of the lane in Kafka that are not taken yet, because its buffer is full or nothing takes.",
        unit=Unit.REQUESTS,
        query="max by (job, lane) (headrace_lag_requests)",
        by=("lane",),
        record="job_lane:headrace_lag_requests:max",
        figure="lanes.*.lag.requests",
    ),
    Panel(
        key="oldest_seconds",
        group=Group.LANES,
        title="Oldest waiting request",
        meaning="Time since the lane's oldest waiting request was taken.",
        unit=Unit.SECONDS,
        query="max by (job, lane) (headrace_backlog_oldest_seconds)",
        by=("lane",),
        figure="lanes.*.oldest_s",
    ),
    Panel(
        key="taken_per_second",
        group=Group.LANES,
        title="Requests taken",
        meaning="Requests that the leader takes from the lane, per second.",
        unit=Unit.PER_SECOND,
        query=_rate("requests_taken", "lane"),
        by=("lane",),
        record="job_lane:headrace_requests_taken:rate",
    ),
    Panel(
        key="queue_wait_p95",
        group=Group.LANES,
        title="Wait for a call, p95",
        meaning="95th percentile of the time from taking a request to its first call.",
        unit=Unit.SECONDS,
        query=_quantile(0.95, "queue_wait_seconds", "lane"),
        by=("lane",),
    ),
    Panel(
        key="late_share",
        group=Group.LANES,
        title="Outcomes later than the objective",
        meaning="Share of the lane's outcomes that came later than its objective, counted from their submission.",
        unit=Unit.SHARE,
        query=f"{_rate('outcomes_late', 'lane', window='5m')} / {_rate('outcomes_timed', 'lane', window='5m')}",
        by=("lane",),
        warn=0.01,
    ),
    # ------------------------------------------------------------------ limits
    Panel(
        key="limit_left",
        group=Group.LIMITS,
        title="Left of the limit",
        meaning="What the bucket holds, as a share of its capacity. Near 0 all the time: the quota is used up.",
        unit=Unit.SHARE,
        query="max by (job, model, limit) (headrace_limit_level)"
        " / max by (job, model, limit) (headrace_limit_capacity > 0)",
        by=("model", "limit"),
    ),
    Panel(
        key="utilisation",
        group=Group.LIMITS,
        title="Use of the limit",
        meaning="Tokens or requests paid in the last 60 s, as a share of what the limit allows in that time.",
        unit=Unit.SHARE,
        query="max by (job, model, limit) (headrace_utilisation_ratio)",
        by=("model", "limit"),
    ),
    Panel(
        key="charged_tokens",
        group=Group.LIMITS,
        title="Tokens charged per minute",
        meaning="Tokens that answered calls were priced at, per minute, by lane.",
        unit=Unit.TOKENS_PER_MINUTE,
        query=f"60 * {_rate('charge_tokens', 'model', 'lane')}",
        by=("model", "lane"),
    ),
    Panel(
        key="foreign_share",
        group=Group.LIMITS,
        title="Foreign traffic",
        meaning="Tokens that other clients of the account took, as a share of the limit. Above 10 %: find them.",
        unit=Unit.SHARE,
        query=f"60 * {_rate('foreign_tokens', 'model', window='10m')} / on (job, model)"
        ' max by (job, model) (headrace_limit_capacity{limit="tokens/60s"} > 0)',
        by=("model",),
        record="job_model:headrace_foreign_tokens:share10m",
        warn=0.10,
    ),
    Panel(
        key="measured_rate",
        group=Group.LIMITS,
        title="Measured rate",
        meaning="Tokens a minute that are spent by measurement, where the server's own numbers are in doubt; else 0.",
        unit=Unit.TOKENS_PER_MINUTE,
        query="max by (job, model) (headrace_measured_tokens_per_minute)",
        by=("model",),
        figure="limits.*.measured_tokens_per_minute",
    ),
    Panel(
        key="charge_error",
        group=Group.LIMITS,
        title="Error of the predicted charge, p95",
        meaning="95th percentile of predicted minus charged tokens of a call. Above 2: the law is not understood.",
        unit=Unit.TOKENS,
        query=_quantile(0.95, "charge_error_tokens", "model"),
        by=("model",),
    ),
    Panel(
        key="charge_law",
        group=Group.LIMITS,
        title="Charge law",
        meaning="The law by which calls of a limit are priced; it changes if the server begins to charge differently.",
        unit=Unit.YES_NO,
        query="max by (job, model, law) (headrace_charge_law)",
        by=("model", "law"),
    ),
    # ------------------------------------------------------------------ calls
    Panel(
        key="inflight",
        group=Group.CALLS,
        title="Calls in flight",
        meaning="Calls to OpenAI that have no answer yet.",
        unit=Unit.COUNT,
        query="sum by (job, model) (headrace_inflight)",
        by=("model",),
    ),
    Panel(
        key="calls_per_second",
        group=Group.CALLS,
        title="Answers by what they mean",
        meaning="Answered calls per second, by the meaning of the answer.",
        unit=Unit.PER_SECOND,
        query=_rate("attempts", "result"),
        by=("result",),
        figure="lately.calls_per_second.*",
    ),
    Panel(
        key="refused_share",
        group=Group.CALLS,
        title="Share of 429s",
        meaning="Share of calls answered with 429. Above 1 %: another client spends, or a limit is unknown.",
        unit=Unit.SHARE,
        query=f"{_rate('throttles', window='5m')} / {_rate('attempts', window='5m')}",
        record="job:headrace_throttles:share5m",
        warn=0.01,
        figure="lately.refused_share",
    ),
    Panel(
        key="upstream_p95",
        group=Group.CALLS,
        title="Duration of calls, p95",
        meaning="95th percentile of the time from a call to its answer.",
        unit=Unit.SECONDS,
        query=_quantile(0.95, "upstream_seconds", "model"),
        by=("model",),
    ),
    Panel(
        key="breaker_open",
        group=Group.CALLS,
        title="Open breakers",
        meaning="Breakers of limits or of the account that are open, by what opened them: OpenAI does not serve these.",
        unit=Unit.YES_NO,
        query="max by (job, model, cause) (headrace_breaker_cause)",
        by=("model", "cause"),
        record="job_model_cause:headrace_breaker_cause:max",
        warn=1.0,
    ),
    Panel(
        key="tier_waiting",
        group=Group.CALLS,
        title="Waiting for a service tier",
        meaning="Requests that wait for a service tier without capacity; other tiers are served meanwhile.",
        unit=Unit.REQUESTS,
        query="max by (job, model, tier) (headrace_tier_waiting)",
        by=("model", "tier"),
    ),
    # ------------------------------------------------------------------ outcomes and failures
    Panel(
        key="outcomes_per_second",
        group=Group.OUTCOMES,
        title="Outcomes",
        meaning="Outcomes published per second, by lane and status.",
        unit=Unit.PER_SECOND,
        query=_rate("outcomes", "lane", "status"),
        by=("lane", "status"),
    ),
    Panel(
        key="outcome_p95",
        group=Group.OUTCOMES,
        title="Submission to outcome, p95",
        meaning="95th percentile of the time from a request's submission to its outcome.",
        unit=Unit.SECONDS,
        query=_quantile(0.95, "outcome_seconds", "lane"),
        by=("lane",),
    ),
    Panel(
        key="failed_per_second",
        group=Group.OUTCOMES,
        title="Failed outcomes",
        meaning="Outcomes with status failed per second, by reason; cancelled requests are among them.",
        unit=Unit.PER_SECOND,
        query=_rate("outcomes", "reason", where='status="failed"'),
        by=("reason",),
    ),
    Panel(
        key="dead_letters",
        group=Group.OUTCOMES,
        title="Dead letters in an hour",
        meaning="Dead letters written in the last hour, by reason.",
        unit=Unit.COUNT,
        query="sum by (job, reason) (increase(headrace_dead_letters_total[1h]))",
        by=("reason",),
        figure="failed_lately.dead_letters.*",
    ),
    Panel(
        key="retries_waiting",
        group=Group.OUTCOMES,
        title="Parked requests",
        meaning="Requests that wait in the failures topic until the retrier puts them back.",
        unit=Unit.REQUESTS,
        query="sum by (job, kind) (headrace_retries_waiting)",
        by=("kind",),
        figure="parked",
    ),
    Panel(
        key="contained",
        group=Group.OUTCOMES,
        title="Contained defects in an hour",
        meaning="Exceptions in Headrace's own code that ended one request or observation. Each is a defect: report it.",
        unit=Unit.COUNT,
        query="sum by (job, step) (increase(headrace_contained_total[1h]))",
        by=("step",),
        warn=1.0,
    ),
    # ------------------------------------------------------------------ processes
    Panel(
        key="leaders",
        group=Group.PROCESSES,
        title="Leaders",
        meaning="Dispatchers that lead; exactly one should.",
        unit=Unit.COUNT,
        query="sum by (job) (headrace_leader)",
        record="job:headrace_leader:sum",
    ),
    Panel(
        key="kafka_ready",
        group=Group.PROCESSES,
        title="Kafka answers",
        meaning="1 where Kafka answers the process.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_kafka_ready)",
        by=("instance",),
        figure="ready.kafka",
    ),
    Panel(
        key="redis_ready",
        group=Group.PROCESSES,
        title="Redis answers",
        meaning="1 where Redis answers the process; without it no standby can take over.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_redis_ready)",
        by=("instance",),
        figure="ready.redis",
    ),
    Panel(
        key="transactions",
        group=Group.PROCESSES,
        title="Transactions",
        meaning="Transactions per second by result. One that is not committed: Kafka is slow, away or refuses.",
        unit=Unit.PER_SECOND,
        query=_rate("transactions", "result"),
        by=("result",),
    ),
    Panel(
        key="transaction_p95",
        group=Group.PROCESSES,
        title="Duration of transactions, p95",
        meaning="95th percentile of the time from a transaction's begin to its commit.",
        unit=Unit.SECONDS,
        query=_quantile(0.95, "transaction_seconds", ""),
    ),
    Panel(
        key="dedupe_window",
        group=Group.PROCESSES,
        title="Dedupe window",
        meaning="Time for which an answered id is recognised; below its setting, a late duplicate is paid again.",
        unit=Unit.SECONDS,
        query="min by (job) (headrace_dedupe_window_seconds > 0)",
        figure="dedupe.window_s",
    ),
    Panel(
        key="memory",
        group=Group.PROCESSES,
        title="Memory",
        meaning="Resident memory of each process, in bytes.",
        unit=Unit.COUNT,
        query="max by (job, instance) (process_resident_memory_bytes)",
        by=("instance",),
    ),
)

BY_KEY: Final = {panel.key: panel for panel in PANELS}
"""Panels by their keys."""
