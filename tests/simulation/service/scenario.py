"""What a run is made of, all drawn from the seed: how much work, how small the buffers, how likely each fault is.

Every probability has a name, so that a failing run says which troubles it was made of. A third of them are nothing in
any one run: a run without crashes finds other mistakes than a run that consists of them.
"""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from broker.settings.lanes import LANE_DEFAULTS
from broker.settings.whole import Settings

PREFIX = "s"
WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)
"""The true wall time when a world begins."""
MODELS = ("gpt-4o-mini", "gpt-4o")
LANES = ("urgent", "standard", "bulk")
FORGETFUL = 0.05
"""The share of runs in which nothing but Redis forgetting happens."""
POISONED = 0.25
POISON = "whoever counts this dies"
AGED = 0.2
"""The share of runs whose ledger is kept for less than the run, so that leaders lead for longer than it is kept."""
UNCOORDINATED = 0.3
"""The share of runs in which the coordinators go away though partitions answer."""
TENANTS = (None, None, "acme", "globex")


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities; each is drawn between nothing and the value given here.

    Of a record: that it is sent again, under another body, as garbage, with a short deadline, that it is cancelled, or
    replayed once it has failed. `poison`: that it ends whoever reads it.
    Of a call: that OpenAI fails, refuses for long, never answers, or that its answer is on its way for long.
    Of a transaction: that its request or its reply is lost, that its markers come late.
    Of a question to Redis: that it, or its reply, is lost; that whoever is cancelled meanwhile does not hear of it.
    Of a message: that it takes long.
    Once a second, of the world: that a dispatcher or the retrier crashes, stands still, leaves, or is cut off from
    Kafka or from Redis; that Kafka or Redis goes away, that Redis is emptied or goes back to what it knew before; that
    the coordinator gives up a producer; that retention strikes, or a batch rots. Of a start: that the clock is wrong.
    Once a second besides: that retention removes lines of the ledger, or that the coordinators alone go away.
    """

    duplicate: float = 0.5
    conflict: float = 0.08
    garbage: float = 0.1
    hasty: float = 0.15
    cancel: float = 0.2
    replay: float = 0.7
    call_fails: float = 0.25
    call_refused_for_long: float = 0.1
    call_unanswered: float = 0.05
    commit_lost: float = 0.05
    commit_unknown: float = 0.05
    markers_late: float = 0.5
    lease_lost: float = 0.05
    slow: float = 0.05
    crash: float = 0.2
    crash_retrier: float = 0.1
    stall: float = 0.1
    drain: float = 0.06
    cut_from_kafka: float = 0.06
    cut_from_redis: float = 0.06
    kafka_away: float = 0.04
    redis_away: float = 0.06
    redis_emptied: float = 0.06
    redis_restored: float = 0.05
    producer_expires: float = 0.05
    retention: float = 0.02
    wrong_clock: float = 0.6
    poison: float = 0.06
    deaf: float = 0.3
    ledger_removed: float = 0.5
    coordinators_away: float = 0.1

    @classmethod
    def drawn(cls, chance: Random) -> "Faults":
        """Some of each, and none of a third of them."""
        worst = cls()
        later = dict.fromkeys(("poison", "deaf", "ledger_removed", "coordinators_away"), 0.0)
        names = [each.name for each in fields(cls) if each.name not in later]
        return cls(
            **{name: chance.random() * getattr(worst, name) * (chance.random() > 1 / 3) for name in names}, **later
        )

    def poisoned(self, chance: Random) -> "Faults":
        """In a quarter of the runs a few records are poison, in others cancellations are lost."""
        poison = chance.random() * Faults().poison * (chance.random() < POISONED)
        return replace(self, poison=poison, deaf=chance.random() * Faults().deaf * (chance.random() < 0.5))

    def aged(self, chance: Random) -> "Faults":
        """In a fifth of the runs the ledger forgets what is needed no more, in others the coordinators go away.

        Of an id that the ledger has forgotten nothing is promised when it comes again: in those runs none does.
        """
        away = chance.random() * Faults().coordinators_away * (chance.random() < UNCOORDINATED)
        removed = chance.random() * Faults().ledger_removed * (chance.random() < AGED)
        found = replace(self, coordinators_away=away, ledger_removed=removed)
        none_again = replace(found, duplicate=0.0, conflict=0.0, garbage=0.0, cancel=0.0, replay=0.0)
        return none_again if removed else found

    @classmethod
    def of_a_forgetful_redis(cls) -> "Faults":
        """Nothing but a Redis that forgets, often: whoever leads must go on leading."""
        calm = cls(**{each.name: 0.0 for each in fields(cls)})
        return replace(calm, redis_emptied=0.5, duplicate=0.5, markers_late=0.5)

    @property
    def leave_leaders_alone(self) -> bool:
        """Whether nothing but Redis forgetting happens to a leader."""
        others = replace(self.of_a_forgetful_redis(), redis_emptied=self.redis_emptied)
        return self == others


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    Attributes:
        seed: What all chance comes from.
        faults: How likely trouble is.
        settings: Of every process.
        dispatchers: How many there are, but for moments.
        partitions: Partitions a lane, when the run begins.
        requests: Ids that producers send.
        span_s: How long producers send and faults strike.
        tokens_per_minute: What OpenAI grants each model.
        requests_per_minute: The same in requests.
        latency_s: How long calls take, at least and at most.
    """

    seed: int
    faults: Faults
    settings: Settings
    dispatchers: int
    partitions: int
    requests: int
    span_s: float
    tokens_per_minute: int
    requests_per_minute: int
    latency_s: tuple[float, float]

    @classmethod
    def drawn(cls, seed: int) -> "Scenario":
        """The run that belongs to a seed."""
        chance = Random(f"scenario {seed}")
        tokens_per_minute = chance.choice((6_000, 20_000, 100_000, 1_000_000))
        requests_per_minute = chance.choice((600, 10_000))
        limits = {"tokens_per_minute": tokens_per_minute, "requests_per_minute": requests_per_minute}
        believed = chance.random() < 0.5
        return cls(
            seed=seed,
            faults=Faults.of_a_forgetful_redis()
            if chance.random() < FORGETFUL
            else Faults.drawn(chance).poisoned(Random(f"poison {seed}")).aged(Random(f"age {seed}")),
            settings=_settings(chance, dict.fromkeys(MODELS, limits if believed else {})),
            dispatchers=chance.choice((1, 2, 2, 3)),
            partitions=chance.randint(1, 2),
            requests=chance.randint(5, 50),
            span_s=chance.choice((4.0, 8.0, 16.0)),
            tokens_per_minute=tokens_per_minute,
            requests_per_minute=requests_per_minute,
            latency_s=chance.choice(((0.05, 0.4), (0.5, 2.0), (1.0, 8.0))),
        )


def _settings(chance: Random, limits: dict[str, Any]) -> Settings:
    buffer_max = chance.choice((4, 12, 100))
    lanes: dict[str, dict[str, Any]] = {
        lane: LANE_DEFAULTS[lane] | {"buffer_max": buffer_max, "deadline_s": chance.choice((20, 40))} for lane in LANES
    }
    lanes["standard"]["serial"] = chance.random() < 0.3
    return Settings.model_validate(
        {
            "kafka": {"topic_prefix": PREFIX},
            "limits": limits,
            "lanes": lanes,
            "dispatcher": {
                "inflight_max": chance.choice((1, 4, 40)),
                "held_bytes_max": chance.choice((1_100_000, 10_000_000)),
                "grace_s": chance.choice((10, 14, 30)),
            },
            "retry": {"in_place_max_s": chance.choice((1, 1, 3, 60)), "attempts_max": chance.choice((2, 5))},
        }
    )
