"""What a run is made of, all drawn from the seed: how much work, how small the buffers, how likely each fault is.

Every probability has a name, so that a failing run says which troubles it was made of. A third of them are nothing in
any one run: a run without crashes finds other mistakes than a run that consists of them.
"""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.whole import Settings

PREFIX = "s"
WALL = datetime(2026, 12, 1, 9, tzinfo=UTC)
"""The true wall time when a world begins."""
MODELS = ("gpt-4o-mini", "gpt-4o")
LANES = ("urgent", "standard", "bulk")
FORGETFUL = 0.05
"""The share of runs in which nothing but Redis forgetting happens, or Redis being away."""
ABSENT = 0.5
"""The share of those in which it is away."""
ROOMY: dict[str, Any] = {"tokens_per_minute": 10_000_000, "requests_per_minute": 10_000}
POISONED = 0.25
POISON = "whoever counts this dies"
AGED = 0.35
"""The share of runs whose ledger is kept for less than the run, so that leaders lead for longer than it is kept."""
UNCOORDINATED = 0.3
"""The share of runs in which the coordinators go away though partitions answer."""
DEADLY_CALL = "whoever sends this dies"
A_CALL_KILLS_WITHIN_S = (0.0, 0.0), (0.0, 3.0), (1.5, 3.0)
"""How long after its beginning a deadly call ends its process: at once, by chance before the ledger says that it began,
or after that."""
FLAW_IN_READING, FLAW_IN_CALLING = "this shows a defect in counting", "this shows a defect in calling"
FLAWED, MISTAKEN, DEADLY = 0.15, 0.08, 0.03
"""The shares of runs with requests that show a defect of ours, with an operator's mistake, and with a deadly call."""
HOSTILE, REFUSING, ODDLY_ANSWERED = 0.1, 0.06, 0.1
"""The shares of runs with hostile records, with answers that Kafka refuses, and with answers that are none."""
ELSEWHERE = 0.06
"""The share of runs in which another server answers every call for a while."""
SCARCE = 0.1
"""The share of runs in which OpenAI has no capacity for a service tier, for a while."""
TIERS = (None, None, "flex", "priority")
SCARCE_TIER = "flex"
ISOLATED, FROZEN = 0.1, 0.25
"""The shares of runs in which processes are cut off from everything but OpenAI, and in which they freeze."""
LASTING = 0.008
"""The share of runs that last for minutes, with a dedupe window of one: what is parked outlives it."""
TIGHT = 0.04
"""The share of runs with far more work than tokens."""
TIGHT_LIMITS: dict[str, Any] = {"tokens_per_minute": 20_000, "requests_per_minute": 10_000}
WINDOW_S, LASTS_S, PARKED_FOR_S = 60, 120.0, 85.0
TENANTS = (None, None, "acme", "globex")


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities; each is drawn between nothing and the value given here.

    Of a record: that it is sent again, under another body, as garbage, with a short deadline, that it is cancelled, or
    replayed once it has failed. `poison`: that it ends whoever reads it. `flaw`: that it shows a defect of ours.
    `deadly`: that there is one whose call ends its process.
    Of a call: that OpenAI fails, refuses for long, never answers, or that its answer is on its way for long.
    `mistake`: that an operator's mistake has every call refused for a while. `answered_oddly`: that a 200 brings none.
    `elsewhere`: that for a while another server answers every call, from the beginning on or later.
    `scarce`: while a service tier has too little capacity, that one of its calls is refused for that.
    `hostile`: that there are records that no client would write. `refused`: of an id, that Kafka takes no answer to it.
    Of a transaction: that its request or its reply is lost, that its markers come late.
    Of a question to Redis: that it, or its reply, is lost; that whoever is cancelled meanwhile does not hear of it.
    Of a message: that it takes long.
    Once a second, of the world: that a dispatcher or the retrier crashes, stands still, leaves, or is cut off from
    Kafka, from Redis or from both (`isolate`); that a dispatcher stands still in the middle of an instant (`freeze`);
    that Kafka or Redis goes away, that Redis is emptied or goes back to what it knew before; that the coordinator gives
    up a producer; that retention strikes, or a batch rots; that retention removes lines of the ledger, or that the
    coordinators alone go away. Of a start: that the clock is wrong.
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
    flaw: float = 0.1
    mistake: float = 1.0
    deadly: float = 1.0
    isolate: float = 0.3
    freeze: float = 1.0
    hostile: float = 1.0
    refused: float = 0.1
    answered_oddly: float = 0.2
    elsewhere: float = 1.0
    scarce: float = 1.0

    @classmethod
    def drawn(cls, chance: Random) -> "Faults":
        """Some of each, and none of a third of them."""
        worst = cls()
        names = [each.name for each in fields(cls) if each.name not in _LATER]
        return cls(
            **{name: chance.random() * getattr(worst, name) * (chance.random() > 1 / 3) for name in names},
            **dict.fromkeys(_LATER, 0.0),
        )

    def usual(self, seed: int) -> "Faults":
        """What came later, each from a chance of its own."""
        first = self.poisoned(Random(f"poison {seed}")).aged(Random(f"age {seed}"))
        return first.flawed(Random(f"flaws {seed}")).strange(Random(f"strange {seed}"))

    def poisoned(self, chance: Random) -> "Faults":
        """In a quarter of the runs a few records are poison, in others cancellations are lost."""
        poison = chance.random() * Faults().poison * (chance.random() < POISONED)
        return replace(self, poison=poison, deaf=chance.random() * Faults().deaf * (chance.random() < 0.5))

    def aged(self, chance: Random) -> "Faults":
        """In many runs (`AGED`) the ledger forgets what is needed no more, in others the coordinators go away.

        Of an id that the ledger has forgotten nothing is promised when it comes again: in those runs none does.
        """
        away = chance.random() * Faults().coordinators_away * (chance.random() < UNCOORDINATED)
        removed = chance.random() * Faults().ledger_removed * (chance.random() < AGED)
        found = replace(self, coordinators_away=away, ledger_removed=removed)
        none_again = replace(found, duplicate=0.0, conflict=0.0, garbage=0.0, cancel=0.0, replay=0.0)
        return none_again if removed else found

    def flawed(self, chance: Random) -> "Faults":
        """Some runs have flawed requests, an operator's mistake, a deadly call, isolated or frozen processes."""
        flaw = chance.random() * Faults().flaw * (chance.random() < FLAWED)
        mistake, deadly = float(chance.random() < MISTAKEN), float(chance.random() < DEADLY)
        isolate = chance.random() * Faults().isolate * (chance.random() < ISOLATED)
        freeze = chance.random() * Faults().freeze * (chance.random() < FROZEN)
        slow = 0.3 if isolate else self.slow
        return replace(self, flaw=flaw, mistake=mistake, deadly=deadly, isolate=isolate, freeze=freeze, slow=slow)

    def strange(self, chance: Random) -> "Faults":
        """Some runs have hostile records, others answers that Kafka refuses, that are none, or another server's."""
        refused = chance.random() * Faults().refused * (chance.random() < REFUSING)
        oddly = chance.random() * Faults().answered_oddly * (chance.random() < ODDLY_ANSWERED)
        hostile = float(chance.random() < HOSTILE and not self.ledger_removed)
        elsewhere = float(chance.random() < ELSEWHERE)
        return replace(self, hostile=hostile, refused=refused, answered_oddly=oddly, elsewhere=elsewhere)

    def short_of_capacity(self, chance: Random) -> "Faults":
        """In some runs a service tier refuses half of its calls, or all, for a while."""
        return replace(self, scarce=chance.choice((0.5, 1.0)) if chance.random() < SCARCE else 0.0)

    @classmethod
    def of_a_forgetful_redis(cls) -> "Faults":
        """Nothing but a Redis that forgets, often: whoever leads must go on leading."""
        calm = cls(**{each.name: 0.0 for each in fields(cls)})
        return replace(calm, redis_emptied=0.5, duplicate=0.5, markers_late=0.5)

    @classmethod
    def of_an_absent_redis(cls) -> "Faults":
        """Nothing but a Redis that is away, often and for long: the leader must go on leading and calling."""
        return replace(cls.of_a_forgetful_redis(), redis_emptied=0.0, redis_away=0.3, markers_late=0.0)

    @classmethod
    def of_a_lasting_run(cls) -> "Faults":
        """Leaders that die now and then while much is parked for longer than the dedupe window."""
        calm = cls(**{each.name: 0.0 for each in fields(cls)})
        return replace(calm, crash=0.03, crash_retrier=0.02, duplicate=0.4, cancel=0.1, call_refused_for_long=0.3)

    @property
    def leave_leaders_alone(self) -> bool:
        """Whether nothing happens to a leader but a Redis that forgets, or is away; a tier may be short."""
        only_redis = replace(
            self.of_a_forgetful_redis(),
            redis_emptied=self.redis_emptied,
            redis_away=self.redis_away,
            markers_late=self.markers_late,
            scarce=self.scarce,
        )
        return self == only_redis


_LATER = frozenset(
    {"poison", "deaf", "ledger_removed", "coordinators_away", "flaw", "mistake", "deadly", "isolate", "freeze"}
    | {"hostile", "refused", "answered_oddly", "elsewhere", "scarce"}
)
"""Drawn from chances of their own, so that the runs of known seeds stay what they were."""


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
        refused_for_s: How long a project's daily limit tells to wait.
        last_model_refused_for_s: The same for the last model, if it differs: then copies come due out of order.
        words: How long texts are.
        sent_within_s: How long after the first record of an id the last one may come.
        a_call_kills_within_s: How long after its beginning a deadly call ends its process, at least and at most.
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
    refused_for_s: float = 4.0
    last_model_refused_for_s: float | None = None
    sent_within_s: float | None = None
    words: tuple[int, ...] = (10, 100, 1_000)
    a_call_kills_within_s: tuple[float, float] = A_CALL_KILLS_WITHIN_S[-1]

    @property
    def is_roomy(self) -> bool:
        """Whether no limit, bound or order keeps a request from being called at once; its service tier may."""
        return replace(self.faults, scarce=0.0) == Faults.of_an_absent_redis()

    @property
    def lasts(self) -> bool:
        """Whether it outlives the dedupe window."""
        return self.sent_within_s is not None

    @property
    def longest_refusal_s(self) -> float:
        """For how long a request may be parked at once."""
        return max(self.refused_for_s, self.last_model_refused_for_s or 0.0)

    @classmethod
    def drawn(cls, seed: int) -> "Scenario":
        """The run that belongs to a seed."""
        chance = Random(f"scenario {seed}")
        tokens_per_minute = chance.choice((6_000, 20_000, 100_000, 1_000_000))
        requests_per_minute = chance.choice((600, 10_000))
        limits = {"tokens_per_minute": tokens_per_minute, "requests_per_minute": requests_per_minute}
        believed = chance.random() < 0.5
        scenario = cls(
            seed=seed,
            faults=Faults.of_a_forgetful_redis() if chance.random() < FORGETFUL else Faults.drawn(chance).usual(seed),
            settings=_settings(chance, dict.fromkeys(MODELS, limits if believed else {})),
            dispatchers=chance.choice((1, 2, 2, 3)),
            partitions=chance.randint(1, 2),
            requests=chance.randint(5, 50),
            span_s=chance.choice((4.0, 8.0, 16.0)),
            tokens_per_minute=tokens_per_minute,
            requests_per_minute=requests_per_minute,
            latency_s=chance.choice(((0.05, 0.4), (0.5, 2.0), (1.0, 8.0))),
            a_call_kills_within_s=Random(f"kills {seed}").choice(A_CALL_KILLS_WITHIN_S),
        )
        return scenario._of_its_kind()._short_of_capacity()

    def _of_its_kind(self) -> "Scenario":
        """The same as it is, or of a kind of which there are few."""
        scenario, kind = self, Random(f"kind {self.seed}")
        if scenario.faults.leave_leaders_alone:
            return scenario._roomy() if kind.random() < ABSENT else scenario
        drawn = kind.random()
        if drawn < LASTING:
            return scenario._lasting()
        if drawn < LASTING + TIGHT:
            return scenario._tight()
        return replace(scenario, last_model_refused_for_s=kind.choice((None, 9.0, 1.6)))

    def _short_of_capacity(self) -> "Scenario":
        return replace(self, faults=self.faults.short_of_capacity(Random(f"capacity {self.seed}")))

    def _tight(self) -> "Scenario":
        """The same with far more work than tokens, and leaders that die: what is spent must be known to the next."""
        faults = replace(
            self.faults,
            crash=0.15,
            ledger_removed=0.0,
            call_refused_for_long=0.0,
            mistake=0.0,
            deadly=0.0,
            poison=0.0,
            elsewhere=0.0,
        )
        models = Settings.model_validate({"limits": dict.fromkeys(MODELS, TIGHT_LIMITS)}).limits
        roomy = self.settings.dispatcher.model_copy(update={"inflight_max": 40, "held_bytes_max": 10_000_000})
        settings = self.settings.model_copy(update={"limits": models, "dispatcher": roomy})
        return replace(self, faults=faults, settings=settings, requests=60, span_s=16.0, words=(1_000,), **TIGHT_LIMITS)

    def _roomy(self) -> "Scenario":
        """The same with a Redis that is away, and with room for every call at once."""
        lanes = {lane: LANE_DEFAULTS[lane] | {"buffer_max": 100, "deadline_s": 40} for lane in LANES}
        settings = self.settings.model_copy(
            update={
                "lanes": Settings.model_validate({"lanes": lanes}).lanes,
                "limits": Settings.model_validate({"limits": dict.fromkeys(MODELS, ROOMY)}).limits,
                "dispatcher": self.settings.dispatcher.model_copy(
                    update={"inflight_max": 100, "held_bytes_max": 10_000_000}
                ),
            }
        )
        return replace(
            self, faults=Faults.of_an_absent_redis(), settings=settings, latency_s=(0.05, 0.4), span_s=16.0, **ROOMY
        )

    def _lasting(self) -> "Scenario":
        """The same over minutes, with a dedupe window of one minute."""
        lanes = {
            name: lane.model_copy(update={"deadline_s": 300, "serial": False, "buffer_max": 100})
            for name, lane in self.settings.lanes.items()
        }
        settings = self.settings.model_copy(
            update={
                "lanes": lanes,
                "dedupe": self.settings.dedupe.model_copy(update={"window_s": WINDOW_S}),
                "retry": self.settings.retry.model_copy(update={"in_place_max_s": 1}),
            }
        )
        return replace(
            self,
            faults=Faults.of_a_lasting_run(),
            settings=settings,
            dispatchers=2,
            span_s=LASTS_S,
            refused_for_s=PARKED_FOR_S,
            sent_within_s=WINDOW_S / 2,
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
