"""The table of troubles: for each alert a world in which it fires, with its exact words, and resolves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.observability.alerts import BY_NAME
from headrace.broker.observability.rules import RUNBOOKS
from tests.rules.world import JOB, LEADER, RETRIER, STANDBY, Values, World, counter, flat, series


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


def _breaker(model: str, cause: str) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_breaker_cause", LEADER, world.between(10, 20, 1, None), model=model, cause=cause
    )


def _changing_breaker(world: World) -> None:
    """Each probe fails for another reason, minute by minute."""
    for first, cause in ((10, "overloaded"), (11, "upstream_error"), (12, "overloaded"), (13, "upstream_error")):
        values = world.between(first, 20 if first == 13 else first + 1, 1, None)
        name = series("headrace_breaker_cause", LEADER, model="gpt-4o", cause=cause)
        before = world.held.get(name, values)
        world.held[name] = [old if old is not None else new for old, new in zip(before, values, strict=True)]


def _no_leader(world: World) -> None:
    world.set("headrace_leader", LEADER, world.between(10, 20, 0, 1))


def _all_gone(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.remove(instance, world.at(10), world.at(20))


def _no_standby(world: World) -> None:
    world.remove(STANDBY, world.at(10), world.at(30))


def _standby_without_kafka(world: World) -> None:
    world.set("headrace_kafka_ready", STANDBY, world.between(10, 30, 0, 1))


def _restarts(world: World) -> None:
    starts: list[float | None] = []
    for scrape in range(world.scrapes):
        inside = min(max(scrape - world.at(10), 0), world.at(6))
        starts.append(1_000_000 + inside // world.at(1.5) * 90)
    world.set("process_start_time_seconds", STANDBY, starts)


def _kafka_away(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.set("headrace_kafka_ready", instance, world.between(10, 20, 0, 1))
    world.set("headrace_leader", LEADER, world.between(10, 20, 0, 1))  # suspended


def _redis_away(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.set("headrace_redis_ready", instance, world.between(10, 20, 0, 1))


def _transactions(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(10)), (0, world.at(10)), (rate, world.scrapes - world.at(20)))
    world.set("headrace_transactions_total", LEADER, stops, result="committed")
    world.set("headrace_transactions_total", LEADER, world.grows(10, 20, 4), result="unknown")


def _defect(world: World) -> None:
    world.set(
        "headrace_contained_total",
        LEADER,
        [*flat(0, world.at(10)), *flat(1, world.scrapes - world.at(10))],
        step="encode",
    )


def _lost(world: World) -> None:
    after = world.scrapes - world.at(10)
    world.set("headrace_dead_letters_total", LEADER, [*flat(0, world.at(10)), *flat(2, after)], reason="crashed")


def _dedupe(world: World) -> None:
    world.set("headrace_dedupe_window_seconds", LEADER, world.between(10, 30, 1_800, 3_600))


def _refusals(world: World) -> None:
    world.set("headrace_throttles_total", LEADER, world.grows(10, 20, 2), model="gpt-4o", limit="requests/60s")


def _foreign(world: World) -> None:
    world.set("headrace_foreign_tokens_total", LEADER, world.grows(10, 25, 25_000), model="gpt-4o")


def _law(world: World) -> None:
    world.set("headrace_charge_law", LEADER, world.between(0, 70, 1), model="gpt-4o", law="chat-2025")
    world.set(
        "headrace_charge_law",
        LEADER,
        world.between(70, world.scrapes * world.interval_s / 60, 1, None),
        model="gpt-4o",
        law="documented",
    )


def _backlog(world: World) -> None:
    world.set("headrace_backlog_seconds", LEADER, world.between(10, 20, 300, 2), lane="urgent")


def _stands_still(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(10)), (0, world.at(10)), (rate, world.scrapes - world.at(20)))
    world.set("headrace_outcomes_total", LEADER, stops, lane="urgent", model="gpt-4o", status="completed", reason="")
    world.set("headrace_backlog_oldest_seconds", LEADER, world.between(10, 20, 600, 2), lane="urgent")


def _lag(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(10)), (0, world.at(10)), (rate, world.scrapes - world.at(20)))
    lag = [
        *flat(0, world.at(10)),
        *(float(number) for number in range(world.at(10))),
        *flat(0, world.scrapes - world.at(20)),
    ]
    world.set("headrace_requests_taken_total", LEADER, stops, lane="urgent")
    world.set("headrace_lag_requests", LEADER, lag, lane="urgent")
    world.set("headrace_backlog_requests", LEADER, world.between(10, 20, 0, 3), lane="urgent")


def _late(first: float, last: float, share: float) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_outcomes_late_total", LEADER, world.grows(first, last, 20 * share), lane="urgent"
    )


def _late_bulk(first: float, last: float, share: float) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_outcomes_late_total", LEADER, world.grows(first, last, 20 * share), lane="bulk"
    )


def _failing(world: World, values: Values, **labels: str) -> None:
    world.set("headrace_outcomes_total", LEADER, values, status="failed", **labels)


def _deadlines(world: World) -> None:
    """Born with its first event, as this counter is: its labels are not known beforehand."""
    born = [*flat(None, world.at(10)), *counter((1, world.at(4)), (0, world.scrapes - world.at(14)), start=1)]
    _failing(world, born, lane="urgent", model="gpt-4o", reason="deadline_exceeded")


def _all_failing(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(5)), (0, world.at(15)), (rate, world.scrapes - world.at(20)))
    labels = {"lane": "urgent", "model": "gpt-4o"}
    world.set("headrace_outcomes_total", LEADER, stops, status="completed", reason="", **labels)
    world.set("headrace_outcomes_total", LEADER, stops, status="completed", reason="", lane="bulk", model="gpt-4o")
    born = [*flat(None, world.at(10)), *counter((1, world.at(4)), (0, world.scrapes - world.at(14)), start=3)]
    _failing(world, born, **labels, reason="rejected")


def _dead_letters(world: World) -> None:
    world.set("headrace_dead_letters_total", LEADER, world.grows(10, 20, 30), reason="undecodable")


def _no_retrier(world: World) -> None:
    world.set("headrace_parked_requests", LEADER, world.between(5, 30, 7))
    world.remove(RETRIER, world.at(10), world.at(20))


def _held_back(world: World) -> None:
    world.set("headrace_retries_held_back", RETRIER, world.between(10, 40, 12), lane="urgent")


YOUNG: Final = frozenset({"HeadraceObjectiveBurnsSlowly"})
"""In a world that is an hour old, ten minutes are a large part of a day."""

CASES: Final = (
    Case("HeadraceNoLeader", _no_leader, "no dispatcher leads.", not_before=11.25),
    Case("HeadraceNoLeader", _all_gone, "no dispatcher leads.", not_before=11.25, name="all gone"),
    Case(
        "HeadraceTwoLeaders",
        lambda world: world.set("headrace_leader", STANDBY, world.between(10, 20, 1)),
        "2 dispatchers say that they lead.",
        not_before=11.75,
    ),
    Case("HeadraceNoStandby", _no_standby, "the leader has no standby.", not_before=19.5, fires_at=21),
    Case("HeadraceNoStandby", _standby_without_kafka, "the leader has no standby.", fires_at=21, name="no kafka"),
    Case("HeadraceRestarting", _restarts, "processes restarted 4 times in 15 minutes.", fires_at=17, not_before=14),
    Case("HeadraceKafkaAway", _kafka_away, "Kafka answers none of the processes.", not_before=10.75),
    Case("HeadraceRedisAway", _redis_away, "Redis does not answer 3 of the processes.", not_before=11.25),
    Case(
        "HeadraceTransactionsFailing",
        _transactions,
        "18 transactions failed in 5 minutes, most of all.",
        fires_at=14.5,
        not_before=11,
    ),
    Case(
        "HeadraceDefectContained",
        _defect,
        "1 defects in an hour at step encode.",
        {"step": "encode"},
        fires_at=10.75,
        not_before=9.75,
        quiet_at=80,
        minutes=90,
    ),
    Case("HeadraceDedupeWindowShort", _dedupe, "ids are recognised for 30m 0s only.", fires_at=21, not_before=19.5),
    Case(
        "HeadraceQuotaExhausted",
        _breaker("(account)", "quota"),
        "OpenAI refuses all calls: no credit is left, or a spend limit is reached.",
        {"model": "(account)", "cause": "quota"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceKeyRefused",
        _breaker("(account)", "auth"),
        "OpenAI refuses the key, the organisation or the project.",
        {"model": "(account)", "cause": "auth"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceWrongServer",
        _breaker("(account)", "not_the_api"),
        "what answers at `openai.base_url` is not OpenAI's API.",
        {"model": "(account)", "cause": "not_the_api"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceBreakerOpen",
        _changing_breaker,
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
    Case("HeadraceRefusals", _refusals, "10.33% of the calls are refused with 429.", fires_at=19, not_before=14.5),
    Case(
        "HeadraceForeignTraffic",
        _foreign,
        "other clients take 25% of gpt-4o.",
        {"model": "gpt-4o"},
        fires_at=22,
        not_before=14.5,
        quiet_at=50,
    ),
    Case(
        "HeadraceChargeLawChanged",
        _law,
        "calls of gpt-4o are charged by another law: documented.",
        {"model": "gpt-4o", "law": "documented"},
        fires_at=73,
        not_before=71,
        quiet_at=140,
        minutes=150,
    ),
    Case(
        "HeadraceBacklogAboveObjective",
        _backlog,
        "what waits in lane urgent takes 5m 0s.",
        {"lane": "urgent"},
        fires_at=11.75,
    ),
    Case(
        "HeadraceLaneStandsStill",
        _stands_still,
        "lane urgent has stood still for 10m 0s.",
        {"lane": "urgent"},
        fires_at=18,
        not_before=14,
    ),
    Case(
        "HeadraceLagGrowing",
        _lag,
        "20 records wait in lane urgent, and none is taken.",
        {"lane": "urgent"},
        fires_at=15,
        not_before=12,
    ),
    Case(
        "HeadraceObjectiveBurnsFast",
        _late(10, 20, 1),
        "47.37% of lane urgent's outcomes are late.",
        {"lane": "urgent"},
        fires_at=19,
        quiet_at=80,
        minutes=90,
        ignored=YOUNG,
    ),
    Case(
        "HeadraceObjectiveBurnsFast",
        _late(10, 100, 0.08),
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
        _late_bulk(10, 200, 0.04),
        "3.733% of lane bulk's outcomes are late.",
        {"lane": "bulk"},
        fires_at=150,
        not_before=20,
        quiet_at=590,
        minutes=600,
    ),
    Case("HeadraceDeadlinesMissed", _deadlines, "lane urgent: 13 missed deadlines.", {"lane": "urgent"}, quiet_at=30),
    Case(
        "HeadraceLaneFailing",
        _all_failing,
        "lane urgent: all 15 outcomes failed.",
        {"lane": "urgent"},
        beside=frozenset({"HeadraceModelFailing"}),
    ),
    Case(
        "HeadraceModelFailing",
        _all_failing,
        "gpt-4o: all 15 outcomes failed.",
        {"model": "gpt-4o"},
        beside=frozenset({"HeadraceLaneFailing"}),
    ),
    Case(
        "HeadraceDeadLettersRising",
        _dead_letters,
        "90 dead letters in an hour: undecodable.",
        {"reason": "undecodable"},
    ),
    Case(
        "HeadraceRecordsLost",
        _lost,
        "2 dead letters in an hour: crashed.",
        {"reason": "crashed"},
        fires_at=10.75,
        not_before=9.75,
        quiet_at=80,
        minutes=90,
    ),
    Case(
        "HeadraceRetrierAbsent",
        _no_retrier,
        "7 requests are parked, and no retrier runs.",
        fires_at=16,
        not_before=14.5,
    ),
    Case(
        "HeadraceRetriesHeldBack",
        _held_back,
        "12 retries are due, and lane urgent takes no more.",
        {"lane": "urgent"},
        fires_at=26,
        not_before=24.5,
        quiet_at=45,
    ),
)
