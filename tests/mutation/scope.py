"""The modules that are mutated: where a fault would lose, double or misdeliver an outcome.

Left out: doors to third parties (their contract suites run against real servers), what only observes (metrics, status,
logs, forecasts, web), prices and pacing (`make bench-limits` holds them against 20 behaviours), and settings.
"""

HELD: tuple[str, ...] = (
    # What is committed, and in which order.
    "broker.core.outbox",
    "broker.core.doubts",
    "broker.core.batches",
    "broker.core.settling",
    "broker.core.notes",
    "broker.service.publication",
    "broker.service.short_forms",
    "broker.service.outcomes",
    "broker.service.driver",
    "broker.service.calling",
    "broker.service.finish",
    # Which (id, run) a record is, and what has become of it.
    "broker.core.identity",
    "broker.core.reception",
    "broker.core.fates",
    "broker.core.register",
    "broker.core.cancels",
    "broker.core.credence",
    "broker.core.succession",
    "broker.core.term",
    "broker.service.grants",
    "broker.service.pricing",
    "schemas.copies",
    "schemas.unreadable",
    # Who leads, and what it knows.
    "broker.service.standby",
    "broker.service.renewal",
    "broker.service.promotion",
    "broker.service.ledger_follower",
    "broker.service.ledger_reach",
    "broker.service.ledger_codec",
    # What ends a process, and what one record may break.
    "broker.core.suspects",
    "broker.core.casualties",
    "broker.core.care",
    "broker.service.entry",
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
    "broker.core.deadlines",
    "broker.core.retry",
    # What is parked, so that a limit stops no other.
    "broker.core.holding",
)
"""Each survivor of these is argued away in the list."""

TO_COME: tuple[str, ...] = (
    "broker.core.attempts",
    "broker.core.dispatch",
    "broker.core.eviction",
    "broker.core.flights",
    "broker.core.inheritance",
    "broker.core.open_offsets",
    "broker.core.order",
    "broker.core.progress",
    "broker.core.progress_map",
    "broker.core.verdict",
    "broker.core.witness",
    "broker.service.elected",
    "broker.service.intake",
    "broker.service.leadership",
    "broker.service.place",
    "broker.service.retrying",
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
