"""Limits to enforce, how they are metered, and changes during the run. Instants are seconds since the opening."""

import math
from dataclasses import dataclass
from enum import StrEnum

from headrace.broker.simulator.admission import Metric, RefusedCost
from headrace.broker.simulator.behaviours.bounds import Behaviour, bounded, share
from headrace.broker.simulator.pricing import ChatLaw


class Kind(StrEnum):
    """Metering method of a limit."""

    BUCKET = "bucket"
    FIXED = "fixed"
    SLIDING = "sliding"
    TWO = "approximate"


@dataclass(frozen=True, slots=True)
class EnforcedWindow(Behaviour):
    """One limit in place of the usual two; several are enforced together, and none but these.

    Inferred: gateways and compatible servers combine such limits. Over `seconds` it allows the minute's limit for that
    time, times `factor`. Windows begin `mark_s` before the opening, as those of a clock do. One that is not `shown`
    stands in no header and in no message. Of input tokens the share `cached` is not counted.
    """

    kind: Kind = Kind.BUCKET
    counts: Metric = Metric.TOKENS
    seconds: float = bounded(60.0, 0.01, 86_400.0)
    factor: float = bounded(1.0, 0.000_001, 1_000_000.0)
    mark_s: float = bounded(0.0, 0.0, 86_400.0)
    shown: bool = True
    cached: float = share(0.0)


@dataclass(frozen=True, slots=True)
class ChargeFactor(Behaviour):
    """A constant factor on every charge, whatever the law. Inferred: a gateway may count by another tokenizer."""

    factor: float = bounded(1.25, 0.01, 100.0)


@dataclass(frozen=True, slots=True)
class StoredInput(Behaviour):
    """Tokens behind the ids that a request names: each stored prompt and each file has half to one and a half of them.

    Former responses and conversations carry what was billed for them without this behaviour too. Evidence: the debit of
    calls with `previous_response_id` follows the billed input (the facts' §2.2); for prompts and files inferred.
    """

    prompt: int = bounded(3_000, 0, 1_000_000)
    file: int = bounded(4_000, 0, 1_000_000)


@dataclass(frozen=True, slots=True)
class Period(Behaviour):
    """Buckets of another period than a minute, stated in headers: a period's share of the limit, and resets to match.

    Evidence: buckets that hold a full minute are what 1,189 of 1,191 recorded token rows show (the facts' §0.1); 68
    rows show days and two show 30 days. 6 s and 1 s are inferred: "can be quantized" (§1), here shown openly.
    """

    seconds: float = bounded(60.0, 0.01, 86_400.0)


@dataclass(frozen=True, slots=True)
class RequestBound(Behaviour):
    """A request limit so low that it, not the token limit, refuses.

    Evidence: recorded 429s on `requests per min (RPM)` with limits of 3 and 500 (the facts' §4.2, template 1).
    """

    requests_per_minute: int = bounded(60, 1)


@dataclass(frozen=True, slots=True)
class PerDay(Behaviour):
    """Additional daily limits. Headers then show the day in place of the minute, without saying so.

    Evidence: 68 recorded rows of requests refill over 86,400 s (the facts' §0.5), and 429s on `requests per day (RPD)`.
    Tokens per day are documented (§1); their headers are inferred from one organisation's 30-day bucket.
    """

    requests: int | None = bounded(None, 1)
    tokens: int | None = bounded(None, 1)

    def __post_init__(self) -> None:
        Behaviour.__post_init__(self)
        if self.requests is None and self.tokens is None:
            raise ValueError("a daily limit counts requests, tokens or both")


@dataclass(frozen=True, slots=True)
class ProjectLimits(Behaviour):
    """A project's own buckets of each model, with a share of the account's limits; headers and 429s name the project.

    Evidence: 43 recorded rows of project-tokens and 7 of project-requests (the facts' §3), and template 2 (§4.2).
    """

    share: float = bounded(0.5, 0.000_001, 1.0)


@dataclass(frozen=True, slots=True)
class SharedLimit(Behaviour):
    """Models that draw from one limit, which has a name of its own; a 429 names both.

    Evidence: shared limits are documented; `Request too large for gpt-4.1-2025-04-14 (for limit gpt-4.1)` is recorded
    (the facts' §1). That `Rate limit reached` names both in the same way is inferred. `models` are shell patterns.
    """

    limit_name: str = "shared-models"
    models: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        if not self.limit_name or not self.models or not all(self.models):
            raise ValueError("a shared limit has a name and at least one model")


@dataclass(frozen=True, slots=True)
class LimitChange(Behaviour):
    """A factor on the limits of a minute (or of `Period`) from some instant on; units in use stay in use.

    Evidence: "tier tables change without notice" (the facts' §1); gpt-5 was seen with 30,000 and later with 500,000.
    The effect on the level at that instant is inferred.
    """

    at_s: float = bounded(30.0, 0.0, math.inf)
    factor: float = bounded(0.5, 0.000_001, 1_000_000.0)


@dataclass(frozen=True, slots=True)
class ChargeLaw(Behaviour):
    """Charge law from some instant on; several of them make a law that changes midway.

    Evidence: the laws are read off recorded headers (the facts' §2), which show the change of 2025-03-18 to 2025-03-20.
    `usage`, with output settled at the end of the call, is inferred there from 18 rows.
    """

    law: ChatLaw = ChatLaw.CHAT_2025
    from_s: float = bounded(0.0, 0.0, math.inf)


@dataclass(frozen=True, slots=True)
class HiddenBucket(Behaviour):
    """Hidden buckets that hold less, beside the minute that headers show.

    Evidence: "a shorter-window enforcement may exist in addition" (the facts' §1): documented, never recorded.
    """

    seconds: float = bounded(1.0, 0.001, 59.999)


@dataclass(frozen=True, slots=True)
class Quantised(Behaviour):
    """A hidden count for each window of `seconds`, reset at its mark, beside the minute that headers show.

    Evidence: "60,000 requests/minute may be enforced as 1,000 requests/second" (help centre), and Azure's RPM over 1 s
    or 10 s (the facts' §1, §3): documented, never recorded.
    """

    seconds: float = bounded(1.0, 0.001, 59.999)


@dataclass(frozen=True, slots=True)
class FixedWindows(Behaviour):
    """Counts that restart at each mark, by default a minute apart, in place of buckets. Inferred; gateways do it."""

    seconds: float = bounded(60.0, 0.01, 86_400.0)


@dataclass(frozen=True, slots=True)
class SlidingWindows(Behaviour):
    """An exact count of the last minute's units, in place of buckets. Inferred; home-made limiters do it."""

    seconds: float = bounded(60.0, 0.01, 86_400.0)


@dataclass(frozen=True, slots=True)
class ApproximateWindows(Behaviour):
    """This minute's count and a share of the last one's, in place of buckets. Inferred; gateways and CDNs do it."""

    seconds: float = bounded(60.0, 0.01, 86_400.0)


@dataclass(frozen=True, slots=True)
class ChargedRefusals(Behaviour):
    """Cost of a refused call: a request, or all that is left up to its charge.

    Evidence: "unsuccessful requests contribute to your per-minute limit" (the facts' §2.4): documented, never recorded.
    """

    cost: RefusedCost = RefusedCost.ALL


@dataclass(frozen=True, slots=True)
class Foreign(Behaviour):
    """Other clients of the account: bursts that take from the same limits, not from those of our project.

    Inferred; any account with a second service shows it. They come from our first call on, at random (exponential gaps
    by the seed), or `regular`. `share` and `burst` are shares of a minute's tokens; `tokens_per_minute` and
    `burst_tokens` give the same in tokens, and take precedence. Each burst has `requests` requests. Units beyond the
    level are refused to them too, and lost; those that `insists` retry until they have all of it, before us: the limit
    goes into debt.
    """

    share: float = bounded(0.3, 0.0, 10.0)
    burst: float = bounded(0.05, 0.000_1, 1.0)
    tokens_per_minute: int | None = bounded(None, 1)
    burst_tokens: int | None = bounded(None, 1)
    requests: int = bounded(1, 0, 1_000_000)
    regular: bool = False
    insists: bool = False
    from_s: float = 0.0
    to_s: float = bounded(math.inf, "from_s", math.inf)
