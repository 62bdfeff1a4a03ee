"""The processes' rows of the table of panels (`headrace.broker.observability.panels`)."""

from typing import Final

from headrace.broker.observability.panel import (
    DISPATCHERS,
    OURS,
    Panel,
    PanelGroup,
    Unit,
    quantile,
    rate,
)

PROCESS_PANELS: Final[tuple[Panel, ...]] = (
    Panel(
        key="leaders",
        group=PanelGroup.PROCESSES,
        title="Leaders",
        meaning="Dispatchers that lead; exactly one should. The retriers' leader is not counted.",
        unit=Unit.COUNT,
        query=f"sum by (job) (headrace_leader {DISPATCHERS})",
        record="job:headrace_leader:sum",
    ),
    Panel(
        key="kafka_ready",
        group=PanelGroup.PROCESSES,
        title="Kafka answers",
        meaning="1 where Kafka answers the process.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_kafka_ready)",
        by=("instance",),
        record="job_instance:headrace_kafka_ready:min",
        figure="ready.kafka",
    ),
    Panel(
        key="redis_ready",
        group=PanelGroup.PROCESSES,
        title="Redis answers",
        meaning="1 where Redis answers the process; without it no standby can take over.",
        unit=Unit.YES_NO,
        query="min by (job, instance) (headrace_redis_ready)",
        by=("instance",),
        record="job_instance:headrace_redis_ready:min",
        figure="ready.redis",
    ),
    Panel(
        key="transactions",
        group=PanelGroup.PROCESSES,
        title="Transactions",
        meaning="Transactions per second by result. One that is not committed: Kafka is slow, away or refuses.",
        unit=Unit.PER_SECOND,
        query=rate("transactions", "result"),
        by=("result",),
    ),
    Panel(
        key="transaction_p95",
        group=PanelGroup.PROCESSES,
        title="Duration of transactions, p95",
        meaning="95th percentile of the time from a transaction's begin to its commit.",
        unit=Unit.SECONDS,
        query=quantile(0.95, "transaction_seconds", ""),
    ),
    Panel(
        key="dedupe_window",
        group=PanelGroup.PROCESSES,
        title="Dedupe window",
        meaning="Time for which an answered id is recognised; below its setting, a late duplicate is paid again.",
        unit=Unit.SECONDS,
        query="min by (job) (headrace_dedupe_window_seconds > 0)",
        record="job:headrace_dedupe_window_seconds:min",
        figure="dedupe.window_s",
    ),
    Panel(
        key="memory",
        group=PanelGroup.PROCESSES,
        title="Memory",
        meaning="Resident memory of each process.",
        unit=Unit.BYTES,
        query=f"max by (job, instance) (process_resident_memory_bytes {OURS})",
        by=("instance",),
    ),
)
