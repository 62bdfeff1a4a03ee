"""Troubles: how each changes the series of a healthy world, from minute 10 on."""

from collections.abc import Callable

from tests.rules.world import GATEWAY, LEADER, OTHER_GATEWAY, RETRIER, STANDBY, Values, World, counter, flat, series


def breaker(model: str, cause: str) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_breaker_cause", LEADER, world.between(10, 20, 1, None), model=model, cause=cause
    )


def changing_breaker(world: World) -> None:
    """Each probe fails for another reason, minute by minute."""
    for first, cause in ((10, "overloaded"), (11, "upstream_error"), (12, "overloaded"), (13, "upstream_error")):
        values = world.between(first, 20 if first == 13 else first + 1, 1, None)
        name = series("headrace_breaker_cause", LEADER, model="gpt-4o", cause=cause)
        before = world.held.get(name, values)
        world.held[name] = [old if old is not None else new for old, new in zip(before, values, strict=True)]


def no_leader(world: World) -> None:
    world.set("headrace_leader", LEADER, world.between(10, 20, 0, 1))


def all_gone(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.remove(instance, world.at(10), world.at(20))


def no_standby(world: World) -> None:
    world.remove(STANDBY, world.at(10), world.at(30))


def standby_without_kafka(world: World) -> None:
    world.set("headrace_kafka_ready", STANDBY, world.between(10, 30, 0, 1))


def restarts(world: World) -> None:
    starts: list[float | None] = []
    for scrape in range(world.scrapes):
        inside = min(max(scrape - world.at(10), 0), world.at(6))
        starts.append(1_000_000 + inside // world.at(1.5) * 90)
    world.set("process_start_time_seconds", STANDBY, starts)


def kafka_away(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.set("headrace_kafka_ready", instance, world.between(10, 20, 0, 1))
    world.set("headrace_leader", LEADER, world.between(10, 20, 0, 1))  # suspended
    no_gateway(world)
    world.set(_ANSWERS, GATEWAY, world.grows(10, 20, 20), **_CALL, status="503")


def redis_away(world: World) -> None:
    for instance in (LEADER, STANDBY, RETRIER):
        world.set("headrace_redis_ready", instance, world.between(10, 20, 0, 1))


def transactions(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(10)), (0, world.at(10)), (rate, world.scrapes - world.at(20)))
    world.set("headrace_transactions_total", LEADER, stops, result="committed")
    world.set("headrace_transactions_total", LEADER, world.grows(10, 20, 4), result="unknown")


def defect(world: World) -> None:
    world.set(
        "headrace_contained_total",
        LEADER,
        [*flat(0, world.at(10)), *flat(1, world.scrapes - world.at(10))],
        step="encode",
    )


def lost(world: World) -> None:
    after = world.scrapes - world.at(10)
    world.set("headrace_dead_letters_total", LEADER, [*flat(0, world.at(10)), *flat(2, after)], reason="crashed")


def dedupe(world: World) -> None:
    world.set("headrace_dedupe_window_seconds", LEADER, world.between(10, 30, 1_800, 3_600))


def refusals(world: World) -> None:
    world.set("headrace_throttles_total", LEADER, world.grows(10, 20, 2), model="gpt-4o", limit="requests/60s")


def foreign(world: World) -> None:
    world.set("headrace_foreign_tokens_total", LEADER, world.grows(10, 25, 25_000), model="gpt-4o")


def law(world: World) -> None:
    world.set("headrace_charge_law", LEADER, world.between(0, 70, 1), model="gpt-4o", law="chat-2025")
    world.set(
        "headrace_charge_law",
        LEADER,
        world.between(70, world.scrapes * world.interval_s / 60, 1, None),
        model="gpt-4o",
        law="documented",
    )


def backlog(world: World) -> None:
    world.set("headrace_backlog_seconds", LEADER, world.between(10, 20, 300, 2), lane="urgent")


def stands_still(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(10)), (0, world.at(10)), (rate, world.scrapes - world.at(20)))
    world.set("headrace_outcomes_total", LEADER, stops, lane="urgent", model="gpt-4o", status="completed", reason="")
    world.set("headrace_backlog_oldest_seconds", LEADER, world.between(10, 20, 600, 2), lane="urgent")


def lag(world: World) -> None:
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


def late(first: float, last: float, share: float) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_outcomes_late_total", LEADER, world.grows(first, last, 20 * share), lane="urgent"
    )


def late_bulk(first: float, last: float, share: float) -> Callable[[World], object]:
    return lambda world: world.set(
        "headrace_outcomes_late_total", LEADER, world.grows(first, last, 20 * share), lane="bulk"
    )


def failing(world: World, values: Values, **labels: str) -> None:
    world.set("headrace_outcomes_total", LEADER, values, status="failed", **labels)


def deadlines(world: World) -> None:
    """Born with its first event, as this counter is: its labels are not known beforehand."""
    born = [*flat(None, world.at(10)), *counter((1, world.at(4)), (0, world.scrapes - world.at(14)), start=1)]
    failing(world, born, lane="urgent", model="gpt-4o", reason="deadline_exceeded")


def all_failing(world: World) -> None:
    rate = world.interval_s / 3
    stops = counter((rate, world.at(5)), (0, world.at(15)), (rate, world.scrapes - world.at(20)))
    labels = {"lane": "urgent", "model": "gpt-4o"}
    world.set("headrace_outcomes_total", LEADER, stops, status="completed", reason="", **labels)
    world.set("headrace_outcomes_total", LEADER, stops, status="completed", reason="", lane="bulk", model="gpt-4o")
    born = [*flat(None, world.at(10)), *counter((1, world.at(4)), (0, world.scrapes - world.at(14)), start=3)]
    failing(world, born, **labels, reason="rejected")


def dead_letters(world: World) -> None:
    world.set("headrace_dead_letters_total", LEADER, world.grows(10, 20, 30), reason="undecodable")


def no_retrier(world: World) -> None:
    world.set("headrace_parked_requests", LEADER, world.between(5, 30, 7))
    world.remove(RETRIER, world.at(10), world.at(20))


def held_back(world: World) -> None:
    world.set("headrace_retries_held_back", RETRIER, world.between(10, 40, 12), lane="urgent")


_ANSWERS, _CALL = "headrace_gateway_answers_total", {"endpoint": "chat.completions", "lane": "urgent"}


def no_gateway(world: World) -> None:
    for instance in (GATEWAY, OTHER_GATEWAY):
        world.set("headrace_gateway_ready", instance, world.between(10, 20, 0, 1))


def gateways_gone(world: World) -> None:
    for instance in (GATEWAY, OTHER_GATEWAY):
        world.remove(instance, world.at(10), world.at(20))


def gateway_errors(world: World) -> None:
    world.set(_ANSWERS, GATEWAY, world.grows(10, 25, 10), **_CALL, status="503")


def gateway_hang_ups(world: World) -> None:
    world.set("headrace_gateway_hang_ups_total", GATEWAY, world.grows(10, 30, 10))
    world.set(_ANSWERS, GATEWAY, world.grows(10, 30, 10), **_CALL, status="499")


def gateway_key_files(world: World) -> None:
    for instance in (GATEWAY, OTHER_GATEWAY):
        world.set("headrace_gateway_key_file_ready", instance, world.between(10, 20, 0, 1))
