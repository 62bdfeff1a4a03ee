"""What of an outcome is summed, and the wire format of those sums: a record of the totals topic.

One record states what one *series* has summed in one hour under one combination of lane, model, tenant, template and
tier. Only one leader ever writes a series, and only in one hour; its later record of the same key replaces the earlier
one. The sums of all series of a key add up, so a leader need not read what its predecessors wrote.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from headrace.schemas.instants import Instant
from headrace.schemas.outcome import Completed, Cost, Failed, Timings, Usage
from headrace.schemas.record import Record

VERSION: Final = 1
HOUR_S: Final = 3_600
AMOUNT_MAX: Final = 10**30
"""Largest sum that is believed: a trillion dollars are 10^24 pico-dollars, and a status shows sums as floats."""
SIZE_BUCKET_MAX: Final = 1_000
"""Last bucket of sizes that is believed; an outcome of twenty million tokens is in bucket 292."""
OTHERS: Final = "(others)"
"""Name of what is counted together, because an hour has more tenants, templates, models or tiers than it may hold."""


class TotalUnreadable(ValueError):  # noqa: N818 — what it is, as LedgerUnreadable
    """A record of the totals topic that this release cannot read."""


_SUMMED: Final = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


class SpentUsage(Usage):
    """The usage of an outcome that is summed, without fields of a later release."""

    model_config = _SUMMED


class SpentCost(Cost):
    """The cost of an outcome that is summed, likewise."""

    model_config = _SUMMED


class SpentTimings(BaseModel):
    """Of an outcome's instants the one that sums need."""

    model_config = _SUMMED

    finished_at: Annotated[AwareDatetime | None, Field(strict=True)] = None


class SpentOutcome(BaseModel):
    """The fields of an outcome that are summed; of a Completed or Failed, or of an outcome's JSON."""

    model_config = _SUMMED

    status: Literal["completed", "failed"]
    lane: str | None = None
    tenant: str | None = None
    template: str | None = None
    model: str | None = None
    tier_asked: str | None = None
    tier_served: str | None = None
    attempts: int = 0
    charge_tokens: int | None = None
    finish: str | None = None
    usage: SpentUsage | None = None
    cost: SpentCost | None = None
    timings: SpentTimings = SpentTimings()


class AdvisedTimings(SpentTimings):
    """The instants and spans of an outcome that advice needs."""

    submitted_at: Instant | None = None
    taken_at: Instant | None = None
    called_at: Instant | None = None
    queue_ms: int | None = None
    upstream_ms: int | None = None


class AdvisedOutcome(SpentOutcome):
    """The same and what advice needs beside it: the id, by which its request is found, and the request's digest."""

    id: str
    run: int = 0
    reason: str | None = None
    endpoint: str | None = None
    request_digest: str | None = None
    timings: AdvisedTimings = AdvisedTimings()


AnySpent = TypeVar("AnySpent", bound=SpentOutcome)


class Spent(NamedTuple):
    """The same fields of an outcome that is known to be valid, at a fiftieth of the cost; see `spent`."""

    status: str
    lane: str | None
    tenant: str | None
    template: str | None
    model: str | None
    tier_asked: str | None
    tier_served: str | None
    attempts: int
    charge_tokens: int | None
    finish: str | None
    usage: Usage | None
    cost: Cost | None
    timings: Timings


def spent(outcome: Completed | Failed) -> Spent:
    """Return the fields that are summed of an outcome."""
    return Spent(
        status=outcome.status,
        lane=outcome.lane,
        tenant=outcome.tenant,
        template=outcome.template,
        model=outcome.model,
        tier_asked=outcome.tier_asked,
        tier_served=getattr(outcome, "tier_served", None),
        attempts=outcome.attempts,
        charge_tokens=getattr(outcome, "charge_tokens", None),
        finish=getattr(outcome, "finish", None),
        usage=outcome.usage,
        cost=outcome.cost,
        timings=outcome.timings,
    )


@dataclass(frozen=True, slots=True)
class SpendingKey:
    """What a sum is of. `hour` counts hours since 1970, UTC; an empty text: the outcomes named none.

    `tier` is the tier served, else the one asked for; `band` as in `Cost`.
    """

    hour: int
    lane: str = ""
    model: str = ""
    tenant: str = ""
    template: str = ""
    tier: str = ""
    band: str = ""


class SpendingTotal(BaseModel):
    """Sums over outcomes.

    `calls` are HTTP calls and `metered` the outcomes with usage. Of these `unpriced` are those whose price list has no
    price for them, and `without_cost` those that carry no cost, since costs were switched off. `cut` are the outcomes
    that ended with `length`. `failed_pico_usd` is the part of `pico_usd` that Failed outcomes cost,
    `cut_pico_usd` that of those cut off. `sizes` counts the metered ones by the bucket of their tokens
    (`headrace.broker.spending.sizes`).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    outcomes: int = 0
    completed: int = 0
    calls: int = 0
    cut: int = 0
    metered: int = 0
    unpriced: int = 0
    without_cost: int = 0
    charge_tokens: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    image_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    pico_usd: int = 0
    failed_pico_usd: int = 0
    cut_pico_usd: int = 0
    sizes: dict[int, int] = Field(default_factory=dict)


class TotalValue(SpendingTotal):
    """Value of a record of the totals topic.

    The key is a JSON array: hour, lane, model, tenant, template, tier, band and series. A reader adds up the values of
    all series of a key, and of each takes the last.
    """

    model_config = ConfigDict(extra="allow", frozen=True, title="TotalRecord")

    v: int


_DEFAULTS: Final = {"v": VERSION}


def encode_total(key: SpendingKey, series: str, total: SpendingTotal) -> Record:
    """Encode one record; its key names what is summed and by which series."""
    return Record(total_key(key, series), total_value(total.model_dump(mode="json", exclude_defaults=True)))


def total_key(key: SpendingKey, series: str) -> bytes:
    """Encode the key of a record."""
    return _json([key.hour, key.lane, key.model, key.tenant, key.template, key.tier, key.band, series])


def total_value(sums: Mapping[str, Any]) -> bytes:
    """Encode the value of a record; sums that are zero may be left out."""
    return _json({**_DEFAULTS, **sums})


def decode_total(record: Record) -> tuple[SpendingKey, str, SpendingTotal]:
    """Decode one record: its key, its series and its sums, which are zero where the record deletes its key.

    Raises:
        TotalUnreadable: It is none, or of another version.
    """
    try:
        *named, series = json.loads(record.key or b"")
        value = {"v": VERSION} if record.value is None else json.loads(record.value)
        if value.pop("v") != VERSION:
            raise TotalUnreadable("a total of another version")
        hour, *words = named
        if not isinstance(hour, int) or not all(isinstance(word, str) for word in (*words, series)):
            raise TotalUnreadable("a total with an odd key")
        total = SpendingTotal.model_validate(value)
        if not _is_possible(total):
            raise TotalUnreadable("a total with sums that no outcomes have")
        return SpendingKey(hour, *words), series, total
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ValidationError) as reason:
        raise TotalUnreadable(f"a total cannot be read ({type(reason).__name__})") from reason


def _is_possible(total: SpendingTotal) -> bool:
    """Whether outcomes can add up to it: one record of a foreign writer must not spoil the sums of a day."""
    counts = dict(vars(total))
    buckets = counts.pop("sizes")
    amounts = *counts.values(), *buckets.values()
    smallest, largest = min(buckets, default=0), max(buckets, default=0)
    return min(amounts) >= 0 and max(amounts) <= AMOUNT_MAX and smallest >= 0 and largest <= SIZE_BUCKET_MAX


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def _json(value: object) -> bytes:
    return _ENCODER.encode(value).encode()
