"""The table of troubles: for each alert a world in which it fires, with its exact words, and resolves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.observability.alerts import BY_NAME
from headrace.broker.observability.rules import RUNBOOKS
from tests.rules.troubles import (
    all_failing,
    all_gone,
    backlog,
    breaker,
    changing_breaker,
    dead_letters,
    deadlines,
    dedupe,
    defect,
    foreign,
    gateway_errors,
    gateway_hang_ups,
    gateway_key_files,
    gateways_gone,
    held_back,
    kafka_away,
    lag,
    late,
    late_bulk,
    law,
    lost,
    no_gateway,
    no_leader,
    no_retrier,
    no_standby,
    redis_away,
    refusals,
    restarts,
    standby_without_kafka,
    stands_still,
    transactions,
)
from tests.rules.world import GATEWAY, JOB, LEADER, STANDBY, World


@dataclass(frozen=True)
class Case:
    """One trouble.

    Attributes:
        alert: The alert that it is about.
        play: Changes a healthy world; the trouble lasts from minute 10 on.
        labels: Of the alert, beside `job` and `severity`.
        summary: What it says, behind the budget's name.
        fires_at, quiet_at: Minutes at which it fires, and does not any more; `not_before`: at which it does not yet.
        beside: Other alerts that this trouble must raise as well, at `fires_at`.
        ignored: Alerts that may fire or not.
        minutes: Length of the world.
    """

    alert: str
    play: Callable[[World], object]
    summary: str
    labels: dict[str, str] = field(default_factory=dict)
    fires_at: float = 13
    not_before: float = 10.25
    quiet_at: float = 40
    beside: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    minutes: int = 60
    name: str = ""

    @property
    def expected(self) -> dict[str, object]:
        """As promtool compares it."""
        alert = BY_NAME[self.alert]
        return {
            "exp_labels": {"job": JOB, "severity": alert.severity.value, **self.labels},
            "exp_annotations": {
                "summary": f"{JOB}: {self.summary}",
                "description": alert.description,
                "runbook_url": f"{RUNBOOKS}{alert.runbook}.md",
            },
        }


YOUNG: Final = frozenset({"HeadraceObjectiveBurnsSlowly"})
"""In a world that is an hour old, ten minutes are a large part of a day."""

CASES: Final = (
    Case("HeadraceNoLeader", no_leader, "no dispatcher leads.", not_before=11.25),
    Case("HeadraceNoLeader", all_gone, "no dispatcher leads.", not_before=11.25, name="all gone"),
    Case(
        "HeadraceTwoLeaders",
        lambda world: world.set("headrace_leader", STANDBY, world.between(10, 20, 1)),
        "2 dispatchers say that they lead.",
        not_before=11.75,
    ),
    Case("HeadraceNoStandby", no_standby, "the leader has no standby.", not_before=19.5, fires_at=21),
    Case("HeadraceNoStandby", standby_without_kafka, "the leader has no standby.", fires_at=21, name="no kafka"),
    Case("HeadraceRestarting", restarts, "processes restarted 4 times in 15 minutes.", fires_at=17, not_before=14),
    Case("HeadraceKafkaAway", kafka_away, "Kafka answers none of the processes.", not_before=10.75),
    Case("HeadraceRedisAway", redis_away, "Redis does not answer 3 of the processes.", not_before=11.25),
    Case(
        "HeadraceTransactionsFailing",
        transactions,
        "18 transactions failed in 5 minutes, most of all.",
        fires_at=14.5,
        not_before=11,
    ),
    Case(
        "HeadraceDefectContained",
        defect,
        "1 defects in an hour at step encode.",
        {"step": "encode"},
        fires_at=10.75,
        not_before=9.75,
        quiet_at=80,
        minutes=90,
    ),
    Case("HeadraceDedupeWindowShort", dedupe, "ids are recognised for 30m 0s only.", fires_at=21, not_before=19.5),
    Case(
        "HeadraceQuotaExhausted",
        breaker("(account)", "quota"),
        "OpenAI refuses all calls: no credit is left, or a spend limit is reached.",
        {"model": "(account)", "cause": "quota"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceKeyRefused",
        breaker("(account)", "auth"),
        "OpenAI refuses the key, the organisation or the project.",
        {"model": "(account)", "cause": "auth"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceWrongServer",
        breaker("(account)", "not_the_api"),
        "what answers at `openai.base_url` is not OpenAI's API.",
        {"model": "(account)", "cause": "not_the_api"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceBreakerOpen",
        changing_breaker,
        "the breaker of gpt-4o stays open: upstream_error.",
        {"model": "gpt-4o"},
        fires_at=14,
        not_before=12.5,
    ),
    Case(
        "HeadraceLimitShut",
        lambda world: world.set("headrace_next_call_seconds", LEADER, world.between(10, 20, 7_200), model="gpt-4o"),
        "OpenAI lets no call on gpt-4o for 2h 0m 0s.",
        {"model": "gpt-4o"},
        fires_at=11.75,
    ),
    Case("HeadraceRefusals", refusals, "10.33% of the calls are refused with 429.", fires_at=19, not_before=14.5),
    Case(
        "HeadraceForeignTraffic",
        foreign,
        "other clients take 25% of gpt-4o.",
        {"model": "gpt-4o"},
        fires_at=22,
        not_before=14.5,
        quiet_at=50,
    ),
    Case(
        "HeadraceChargeLawChanged",
        law,
        "calls of gpt-4o are charged by another law: documented.",
        {"model": "gpt-4o", "law": "documented"},
        fires_at=73,
        not_before=71,
        quiet_at=140,
        minutes=150,
    ),
    Case(
        "HeadraceBacklogAboveObjective",
        backlog,
        "what waits in lane urgent takes 5m 0s.",
        {"lane": "urgent"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceLaneStandsStill",
        stands_still,
        "lane urgent has stood still for 10m 0s.",
        {"lane": "urgent"},
        fires_at=18,
        not_before=14,
    ),
    Case(
        "HeadraceLagGrowing",
        lag,
        "20 records wait in lane urgent, and none is taken.",
        {"lane": "urgent"},
        fires_at=15,
        not_before=12,
    ),
    Case(
        "HeadraceObjectiveBurnsFast",
        late(10, 20, 1),
        "47.37% of lane urgent's outcomes are late.",
        {"lane": "urgent"},
        fires_at=19,
        quiet_at=80,
        minutes=90,
        ignored=YOUNG,
    ),
    Case(
        "HeadraceObjectiveBurnsFast",
        late(10, 100, 0.08),
        "6.667% of lane urgent's outcomes are late.",
        {"lane": "urgent"},
        fires_at=60,
        quiet_at=240,
        minutes=250,
        name="six hours",
        ignored=YOUNG,
    ),
    Case(
        "HeadraceObjectiveBurnsSlowly",
        late_bulk(10, 200, 0.04),
        "3.733% of lane bulk's outcomes are late.",
        {"lane": "bulk"},
        fires_at=150,
        not_before=20,
        quiet_at=590,
        minutes=600,
    ),
    Case("HeadraceDeadlinesMissed", deadlines, "lane urgent: 13 missed deadlines.", {"lane": "urgent"}, quiet_at=30),
    Case(
        "HeadraceLaneFailing",
        all_failing,
        "lane urgent: all 15 outcomes failed.",
        {"lane": "urgent"},
        beside=frozenset({"HeadraceModelFailing"}),
    ),
    Case(
        "HeadraceModelFailing",
        all_failing,
        "gpt-4o: all 15 outcomes failed.",
        {"model": "gpt-4o"},
        beside=frozenset({"HeadraceLaneFailing"}),
    ),
    Case(
        "HeadraceDeadLettersRising",
        dead_letters,
        "90 dead letters in an hour: undecodable.",
        {"reason": "undecodable"},
    ),
    Case(
        "HeadraceRecordsLost",
        lost,
        "2 dead letters in an hour: crashed.",
        {"reason": "crashed"},
        fires_at=10.75,
        not_before=9.75,
        quiet_at=80,
        minutes=90,
    ),
    Case(
        "HeadraceRetrierAbsent",
        no_retrier,
        "7 requests are parked, and no retrier runs.",
        fires_at=16,
        not_before=14.5,
    ),
    Case(
        "HeadraceRetriesHeldBack",
        held_back,
        "12 retries are due, and lane urgent takes no more.",
        {"lane": "urgent"},
        fires_at=26,
        not_before=24.5,
        quiet_at=45,
    ),
    Case("HeadraceNoGateway", no_gateway, "no gateway accepts calls.", not_before=10.75),
    Case("HeadraceNoGateway", gateways_gone, "no gateway accepts calls.", not_before=10.75, name="all gone"),
    Case(
        "HeadraceGatewayNotReady",
        lambda world: world.set("headrace_gateway_ready", GATEWAY, world.between(10, 20, 0, 1)),
        f"the gateway {GATEWAY} does not accept calls.",
        {"instance": GATEWAY},
        fires_at=16,
        not_before=14.5,
    ),
    Case(
        "HeadraceGatewayErrors",
        gateway_errors,
        "20% of the gateways' answers are 5xx.",
        fires_at=19,
        not_before=14.5,
    ),
    Case(
        "HeadraceGatewayFull",
        lambda world: world.set("headrace_gateway_inflight", GATEWAY, world.between(10, 20, 2_250, 20)),
        f"the gateway {GATEWAY} is 90% full.",
        {"instance": GATEWAY},
        not_before=11.75,
    ),
    Case(
        "HeadraceGatewayHangUps",
        gateway_hang_ups,
        "20% of the gateways' clients hang up.",
        fires_at=26,
        not_before=19.5,
        quiet_at=50,
    ),
    Case(
        "HeadraceGatewayKeyFile",
        gateway_key_files,
        "2 gateways cannot use their key file as it is now.",
        not_before=10.75,
    ),
)
