"""Specimens of what the core's parts work on: real values, with the few fields that a test cares about."""

from itertools import count

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading, Snapshot
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.breaker import TROUBLE
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import DispatchRules, LaneRule, LeaseTimes, RetryRules
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.pricing.unshown_input import KnownReferences
from headrace.broker.core.ticket import Candidate, LanePartition, Source, Ticket, TicketNumber

HOUR_MS = 3_600_000
FAR_MS = 10 * HOUR_MS
URGENT = LaneRule("urgent", 0, 200_000, 0, 1_000, 1 << 30)
STANDARD = LaneRule("standard", 1, 0, 300_000, 1_000, 1 << 30)
BULK = LaneRule("bulk", 2, 0, 100_000, 1_000, 1 << 30)
LANES = (BULK, URGENT, STANDARD)  # in no particular order

_numbers = count(1)


def identity(name: str = "x", *, run: int = 0, body: str = "body") -> Identity:
    return Identity(name.encode().ljust(16, b"."), run, body.encode().ljust(8, b"."))


def candidate(
    name: str = "x",
    *,
    run: int = 0,
    body: str = "body",
    attempt: int = 0,
    limit: str = "gpt",
    charge: int = 100,
    deadline_ms: int = FAR_MS,
    refusal: tuple[str, str] | None = None,
    tenant: str = "",
    order: bytes = b"",
    tenant_mark: bytes = b"",
) -> Candidate:
    return Candidate(
        identity(name, run=run, body=body),
        attempt,
        "gpt",
        limit,
        Prices.flat(charge),
        deadline_ms,
        refusal,
        tenant=tenant,
        order=order,
        tenant_mark=tenant_mark,
    )


def place(lane: str = "standard", number: int = 0) -> LanePartition:
    return LanePartition(lane, number)


def ticket(
    content: Candidate | None = None, *, lane: str = "standard", offset: int = 0, size: int = 10, number: int = 0
) -> Ticket:
    """A waiting ticket, priced as its candidate says; `number` is its partition's."""
    content = candidate() if content is None else content
    made = Ticket(TicketNumber(next(_numbers)), Source(place(lane, number), offset), size, 0, content)
    made.charge = content.prices.tokens[0]
    return made


def verdict(
    meaning: Meaning = Meaning.OK,
    *,
    wait_ms: int | None = None,
    remaining: int | None = None,
    capacity: int = 60_000,
    requested: int | None = None,
    metric: LimitMetric = LimitMetric.TOKENS,
    counts: bool | None = None,
) -> Verdict:
    """What an answer means; `remaining` comes with headers, `requested` with a 429's snapshot."""
    snapshot = None
    if requested is not None:
        snapshot = Snapshot(metric, MINUTE_MS, capacity, capacity, requested, None, wait_ms)
    readings = () if remaining is None else (Reading(LimitMetric.TOKENS, capacity, remaining, MINUTE_MS),)
    counted = meaning in TROUBLE
    return Verdict(
        meaning=meaning,
        retryable=meaning not in {Meaning.OK, Meaning.TOO_LARGE, Meaning.REJECTED},
        wait_ms=wait_ms,
        readings=readings,
        snapshot=snapshot,
        counts_as_attempt=counted if counts is None else counts,
        sentence=f"It was {meaning}.",
    )


def budget(
    limit: str = "gpt",
    now_ms: int = 0,
    checkpoint: Checkpoint | None = None,
    *,
    tokens: int | None = 60_000,
    believed: bool = True,
    inflight_max: int | None = None,
    known: KnownReferences | None = None,
) -> Budget:
    """A mirror of a thousand tokens a second, full and believed unless said otherwise."""
    settings = LimitBeliefs(limit, tokens, None, inflight_max=inflight_max)
    if checkpoint is None and believed and tokens is not None:
        level = LevelBounds(LimitMetric.TOKENS, tokens, tokens, tokens, MINUTE_MS)
        checkpoint = Checkpoint(limit, now_ms, (level,), 0, 0, 1_000_000, tolerated_burst_tokens=tokens)
    made = Budget(settings, now_ms, checkpoint, known)
    made.believed = made.believed or believed
    return made


def rules(
    *,
    lanes: tuple[LaneRule, ...] = LANES,
    inflight_max: int = 1_000,
    held_bytes_max: int = 1 << 30,
    parked_bytes_max: int = 1_000_000,
    attempts_max: int = 5,
    in_place_max_ms: int = 60_000,
    ids_max: int = 10_000,
) -> DispatchRules:
    return DispatchRules(
        lanes=lanes,
        retry=RetryRules(in_place_max_ms, attempts_max),
        lease=LeaseTimes(),
        inflight_max=inflight_max,
        held_bytes_max=held_bytes_max,
        parked_bytes_max=parked_bytes_max,
        dedupe_window_ms=HOUR_MS,
        dedupe_ids_max=ids_max,
    )
