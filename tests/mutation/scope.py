"""The modules that are mutated: where a fault would lose, double or misdeliver an outcome.

Left out: doors to third parties (their contract suites run against real servers), what only observes (metrics, status,
logs, forecasts, web), prices and pacing (`make bench-limits` holds them against 20 behaviours, `make bench-limiters`
against servers drawn by seed), and settings.
"""

HELD: tuple[str, ...] = (
    # What is committed, and in which order.
    "headrace.broker.core.requests.outbox",
    "headrace.broker.core.requests.failing_decisions",
    "headrace.broker.core.requests.transactions",
    "headrace.broker.core.requests.level_turns",
    "headrace.broker.core.requests.settling",
    "headrace.broker.core.requests.ledger_notes",
    "headrace.broker.service.publishing.publication",
    "headrace.broker.service.publishing.ledger_steps",
    "headrace.broker.service.publishing.records",
    "headrace.broker.service.publishing.short_forms",
    "headrace.broker.service.publishing.outcomes",
    "headrace.broker.service.driver",
    "headrace.broker.service.calls.bill",
    "headrace.broker.service.calls.caller",
    "headrace.broker.service.calls.finish_reason",
    # Which (id, run) a record is, and what has become of it.
    "headrace.broker.core.identity.dedupe",
    "headrace.broker.core.requests.triage",
    "headrace.broker.core.identity.outcome_index",
    "headrace.broker.core.requests.registry",
    "headrace.broker.core.identity.pending_cancels",
    "headrace.broker.core.budget.size_credence",
    "headrace.broker.core.requests.succession",
    "headrace.broker.core.lease",
    "headrace.broker.service.intake.grants",
    "headrace.broker.service.intake.pricer",
    "headrace.schemas.copies",
    "headrace.schemas.unreadable",
    # Who leads, and what it knows.
    "headrace.broker.service.leadership.standby",
    "headrace.broker.service.leadership.renewal",
    "headrace.broker.service.leadership.promotion",
    "headrace.broker.service.leadership.ledger_follower",
    "headrace.broker.service.leadership.ledger_reach",
    "headrace.broker.service.publishing.ledger_lines",
    # What ends a process, and what one record may break.
    "headrace.broker.core.progress.poison_records",
    "headrace.broker.core.requests.interrupted_calls",
    "headrace.broker.core.requests.recall",
    "headrace.broker.service.intake.entry",
    "headrace.broker.service.containment",
    # The retrier.
    "headrace.consumers.retries.releases",
    "headrace.consumers.retries.retrier",
    "headrace.consumers.retries.restored_progress",
    "headrace.consumers.retries.culprits",
    "headrace.consumers.retries.dead_letter_writer",
    "headrace.consumers.retries.retry_budget",
    "headrace.consumers.retries.record_cache",
    "headrace.consumers.retries.fresh_rate",
    "headrace.consumers.retries.heap",
    "headrace.consumers.retries.rewriting",
    "headrace.consumers.narrowing",
    # What a service is handed.
    "headrace.consumers.deliveries",
    "headrace.consumers.handling",
    "headrace.consumers.results",
    # Attempts and deadlines.
    "headrace.broker.core.requests.due",
    "headrace.broker.core.requests.retry",
    # What is parked, so that a limit stops no other.
    "headrace.broker.core.requests.parking",
)
"""Each survivor of these is argued away in the list."""

TO_COME: tuple[str, ...] = (
    "headrace.broker.core.requests.attempts",
    "headrace.broker.core.dispatch",
    "headrace.broker.core.requests.eviction",
    "headrace.broker.core.requests.in_flight",
    "headrace.broker.core.requests.predecessor",
    "headrace.broker.core.requests.role_transitions",
    "headrace.broker.core.progress.open_offsets",
    "headrace.broker.core.lanes.ordering_keys",
    "headrace.broker.core.progress.partition_progress",
    "headrace.broker.core.progress.offset_map",
    "headrace.broker.core.answers.verdict",
    "headrace.broker.core.pricing.law_identification",
    "headrace.broker.service.leadership.lease_only",
    "headrace.broker.service.intake.lane_intake",
    "headrace.broker.service.intake.cautious_intake",
    "headrace.broker.service.intake.handover",
    "headrace.broker.service.leadership.leadership",
    "headrace.broker.service.status.queue_position",
    "headrace.broker.service.retrier",
    "headrace.schemas.bounded_json",
    "headrace.schemas.codec",
    "headrace.schemas.ids",
    "headrace.schemas.ledger",
    "headrace.schemas.record",
    "headrace.schemas.replay_codec",
    "headrace.schemas.request_codec",
)
"""They can be mutated by name. Their survivors are not all killed or argued away yet, so a run over them fails."""

MODULES = (*HELD, *TO_COME)
