"""The modules that are mutated: where a fault would lose, double or misdeliver an outcome.

Left out: doors to third parties (their contract suites run against real servers), what only observes (metrics, status,
logs, forecasts, web), prices and pacing (`make bench-limits` holds them against 20 behaviours), and settings.
"""

HELD: tuple[str, ...] = (
    # What is committed, and in which order.
    "broker.core.requests.outbox",
    "broker.core.requests.failing_decisions",
    "broker.core.requests.transactions",
    "broker.core.requests.settling",
    "broker.core.requests.ledger_notes",
    "broker.service.publishing.records",
    "broker.service.publishing.short_forms",
    "broker.service.publishing.outcomes",
    "broker.service.driver",
    "broker.service.calls.caller",
    "broker.service.calls.finish_reason",
    # Which (id, run) a record is, and what has become of it.
    "broker.core.identity.dedupe",
    "broker.core.requests.triage",
    "broker.core.identity.outcome_index",
    "broker.core.requests.registry",
    "broker.core.identity.pending_cancels",
    "broker.core.budget.size_credence",
    "broker.core.requests.succession",
    "broker.core.lease",
    "broker.service.intake.grants",
    "broker.service.intake.pricer",
    "schemas.copies",
    "schemas.unreadable",
    # Who leads, and what it knows.
    "broker.service.leadership.standby",
    "broker.service.leadership.renewal",
    "broker.service.leadership.promotion",
    "broker.service.leadership.ledger_follower",
    "broker.service.leadership.ledger_reach",
    "broker.service.publishing.ledger_lines",
    # What ends a process, and what one record may break.
    "broker.core.progress.poison_records",
    "broker.core.requests.interrupted_calls",
    "broker.core.requests.recall",
    "broker.service.intake.entry",
    "broker.service.containment",
    # The retrier.
    "consumers.retries.releases",
    "consumers.retries.retrier",
    "consumers.retries.standing",
    "consumers.retries.culprits",
    "consumers.retries.letters",
    "consumers.retries.allowances",
    "consumers.retries.bodies",
    "consumers.retries.fresh",
    "consumers.retries.heap",
    "consumers.retries.rewriting",
    "consumers.narrowing",
    # What a service is handed.
    "consumers.deliveries",
    "consumers.handling",
    "consumers.results",
    # Attempts and deadlines.
    "broker.core.requests.due",
    "broker.core.requests.retry",
    # What is parked, so that a limit stops no other.
    "broker.core.requests.parking",
)
"""Each survivor of these is argued away in the list."""

TO_COME: tuple[str, ...] = (
    "broker.core.requests.attempts",
    "broker.core.dispatch",
    "broker.core.requests.eviction",
    "broker.core.requests.in_flight",
    "broker.core.requests.predecessor",
    "broker.core.requests.role_transitions",
    "broker.core.progress.open_offsets",
    "broker.core.lanes.ordering_keys",
    "broker.core.progress.partition_progress",
    "broker.core.progress.offset_map",
    "broker.core.answers.verdict",
    "broker.core.pricing.law_identification",
    "broker.service.leadership.lease_only",
    "broker.service.intake.lane_intake",
    "broker.service.intake.cautious_intake",
    "broker.service.intake.handover",
    "broker.service.leadership.leadership",
    "broker.service.status.queue_position",
    "broker.service.retrier",
    "schemas.bounded_json",
    "schemas.codec",
    "schemas.ids",
    "schemas.ledger",
    "schemas.record",
    "schemas.replay_codec",
    "schemas.request_codec",
)
"""They can be mutated by name. Their survivors are not all killed or argued away yet, so a run over them fails."""

MODULES = (*HELD, *TO_COME)
