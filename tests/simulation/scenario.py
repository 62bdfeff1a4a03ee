"""What a run is made of: how much work, how small the buffers, and how likely each fault is, all drawn from the seed.

Every probability has a name, so that a failing run says which troubles it was made of. About a third of them are zero
in any one run: a run without crashes finds other mistakes than a run that consists of them. One run in three is a
quarrel: few ids, sent again and again with one body or another, slow calls, and leaders that do not last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from random import Random

from headrace.broker.core.config import DispatchRules, LaneRule, LeaseTimes, RetryRules, TenantRule
from headrace.broker.core.units import PPM

MINUTE_MS = 60_000
TENANTS = ("", "", "dear", "frugal", "narrow")
KEYS = ("k", "l")
TIERS = ("", "flex", "priority")
SCARCE = 0.25
"""The share of runs in which service tiers have too little capacity."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities; each is drawn between nothing and the value given here.

    Of a record: that it is sent again, under another body, as garbage, with a deadline hard to meet, above every limit,
    that it is cancelled.
    Of a call: that it fails, is never answered, is answered late, blames the account, is sent late.
    Of a transaction: that it is lost before it is stored, or stored and never confirmed.
    Of a leader, once a second: that it crashes, stands still, loses its producer, is overthrown, or overthrown by
    somebody who dies at once, that it drains, or is cut off from Redis. Of a promotion: that retention has struck.
    """

    duplicate: float = 0.5
    conflict: float = 0.08
    garbage: float = 0.1
    hasty: float = 0.15
    oversized: float = 0.03
    refused: float = 0.03
    replay: float = 0.7
    cancel: float = 0.4
    marker: float = 0.2
    misjudged: float = 0.2
    call_fails: float = 0.3
    call_unanswered: float = 0.05
    call_slow: float = 0.1
    account: float = 0.03
    sent_late: float = 0.1
    commit_lost: float = 0.1
    commit_unknown: float = 0.1
    crash: float = 0.06
    stall: float = 0.04
    producer_dies: float = 0.06
    interregnum: float = 0.15
    overthrown: float = 0.06
    drain: float = 0.04
    redis_away: float = 0.04
    retention: float = 0.15

    def quarrel(self) -> "Faults":
        """The same where everybody speaks at once."""
        return replace(self, duplicate=0.75, conflict=0.4, garbage=0.2, call_slow=0.4, interregnum=0.3)

    @classmethod
    def drawn(cls, chance: Random) -> "Faults":
        """Some of each, and none of a third of them."""
        worst = cls()
        names = [each.name for each in fields(cls)]
        return cls(**{name: chance.random() * getattr(worst, name) * (chance.random() > 1 / 3) for name in names})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    Attributes:
        seed: What all chance comes from.
        faults: How likely trouble is.
        rules: The machine's settings.
        partitions: Partitions a lane, when the run begins.
        requests: Ids that producers send.
        span_ms: How long producers send and faults strike.
        answer_bytes_max: What an answer may weigh.
        tokens_per_minute: What OpenAI grants each model.
        requests_per_minute: The same in requests.
        believed: Whether the operator has configured the limits; otherwise the first answer tells.
        keyed: How likely a request has one of a few ordering keys.
        scarcity: By service tier asked for, how likely one of its calls is refused for want of capacity; empty: no
            request asks for one.
        scarce_until_ms: Until when.
        models: Models asked for, a limit each.
    """

    seed: int
    faults: Faults
    rules: DispatchRules
    partitions: int
    requests: int
    span_ms: int
    answer_bytes_max: int
    tokens_per_minute: int
    requests_per_minute: int
    believed: bool
    keyed: float = 0.0
    scarcity: Mapping[str, float] = field(default_factory=dict)
    scarce_until_ms: int = 0
    models: tuple[str, ...] = field(default=("small", "large"))

    @classmethod
    def drawn(cls, seed: int) -> "Scenario":
        """The run that belongs to a seed."""
        chance = Random(seed)
        faults = Faults.drawn(chance)
        quarrel = chance.random() < 1 / 3
        tiers = Random(f"tiers {seed}")
        return cls(
            seed=seed,
            faults=faults.quarrel() if quarrel else faults,
            rules=_lifted(_shared(_rules(chance), Random(f"shares {seed}")), Random(f"lifts {seed}")),
            partitions=chance.randint(1, 3),
            requests=chance.randint(8, 30) if quarrel else chance.randint(20, 120),
            span_ms=chance.choice((4_000, 15_000, 40_000)),
            answer_bytes_max=chance.choice((5_000, 100_000, 1_100_000)),
            tokens_per_minute=chance.choice((20_000, 60_000, 200_000)),
            requests_per_minute=chance.choice((300, 1_000, 10_000)),
            believed=chance.random() < 0.5,
            keyed=Random(f"keys {seed}").choice((0.0, 0.3, 0.9)),
            scarcity=_scarcity(tiers),
            scarce_until_ms=tiers.choice((4_000, 40_000, 10 * MINUTE_MS)),
        )

    @classmethod
    def crowded(cls, seed: int) -> "Scenario":
        """The same with far more work than quota, so that lanes wait for long; nothing is above every limit."""
        drawn = cls.drawn(seed)
        return replace(
            drawn,
            faults=replace(drawn.faults, oversized=0.0, account=0.0),
            requests=300,
            tokens_per_minute=60_000,
            keyed=drawn.keyed / 3,
        )


def _scarcity(chance: Random) -> Mapping[str, float]:
    """In some runs nothing to all of the calls of each tier."""
    if chance.random() >= SCARCE:
        return {}
    return {tier: chance.choice((0.0, 0.1, 0.5, 0.9, 1.0)) if tier else 0.0 for tier in TIERS}


def _rules(chance: Random) -> DispatchRules:
    buffer_max = chance.choice((4, 12, 100))
    buffer_bytes_max = chance.choice((20_000, 1 << 20))
    lanes = (
        LaneRule("urgent", 0, 100_000, 0, buffer_max, buffer_bytes_max),
        LaneRule("standard", 1, 0, 250_000, buffer_max, buffer_bytes_max),
        LaneRule("bulk", 2, 0, 100_000, buffer_max, buffer_bytes_max),
    )
    return DispatchRules(
        lanes=lanes,
        retry=RetryRules(in_place_max_ms=chance.choice((200, 200, 5_000, 60_000)), attempts_max=chance.choice((2, 5))),
        lease=LeaseTimes(),
        inflight_max=chance.choice((1, 4, 40)),
        held_bytes_max=chance.choice((150_000, 10_000_000)),
        parked_bytes_max=chance.choice((3_000, 1_000_000)),
        dedupe_window_ms=60 * MINUTE_MS,
        dedupe_ids_max=10_000,
    )


def _shared(rules: DispatchRules, chance: Random) -> DispatchRules:
    """The same with a ceiling, a lane that keeps its order to the end, and tenants with caps; a draw of its own."""
    urgent, standard, bulk = rules.lanes
    lanes = (
        replace(urgent, ceiling_ppm=chance.choice((PPM, 500_000))),
        replace(standard, serial=chance.random() < 0.5),
        bulk,
    )
    return replace(rules, lanes=lanes, tenants=_tenants(chance))


def _lifted(rules: DispatchRules, chance: Random) -> DispatchRules:
    """The same with lifts for those whose deadline is near; a draw of its own as well."""
    urgent, standard, bulk = rules.lanes
    lifts = (0, 50_000, 200_000)
    lanes = (
        urgent,
        replace(standard, lift_ppm=chance.choice(lifts)),
        replace(bulk, lift_ppm=chance.choice(lifts)),
    )
    return replace(rules, lanes=lanes)


def _tenants(chance: Random) -> Mapping[str, TenantRule]:
    """One that is worth more, and in half of all runs two that are capped."""
    tenants = {"dear": TenantRule(weight=3_000)}
    if chance.random() < 0.5:
        tenants["frugal"] = TenantRule(cap_tokens=chance.choice((4_000, 15_000)))
        tenants["narrow"] = TenantRule(inflight_max=chance.choice((1, 2)))
    return tenants
