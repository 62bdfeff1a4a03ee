"""Outcomes that come later than their lane promises."""

from headrace.broker.core.events import StoodBy
from tests.unit.service.rig import MODEL, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LANES = {"urgent": {"order": 1, "objective_s": 5}, "bulk": {"order": 2}}


def counted(process: Process, lane: str = "urgent") -> tuple[float, float]:
    labels = {"lane": lane}
    return process.metric("headrace_outcomes_timed_total", labels), process.metric(
        "headrace_outcomes_late_total", labels
    )


async def test_an_outcome_is_late_if_it_came_later_after_its_submission_than_the_objective() -> None:
    world = World(latency_s=1.0)
    process = Process(world, "a", settings=settings_of(lanes=LANES))
    process.start()
    await led(process)
    world.submit("early")
    await until(lambda: counted(process)[0] == 1)
    early = counted(process)
    world.upstream.latency_s = 6.0
    world.submit("late")
    await until(lambda: counted(process)[0] == 2)
    await process.end()
    assert (early, counted(process)) == ((1, 0), (2, 1))


async def test_the_time_to_the_next_call_is_shown_while_a_limit_is_used_up_for_long() -> None:
    """A limit per day whose level is known refuses no call, so that no pause is stated either."""
    world = World(latency_s=0.1)
    day = {"tokens_per_minute": 600_000, "requests_per_minute": 6_000, "requests_per_day": 2}
    process = Process(world, "a", settings=settings_of(lanes=LANES, limits={MODEL: day}))
    process.start()
    await led(process)
    for number in range(4):
        world.submit(f"lead-{number}", tenant="acme")
    await until(lambda: len(world.outcomes()) == 2)
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    waits_s = process.metric("headrace_next_call_seconds", {"model": MODEL})
    tenants = process.status.snapshot(process.clock.now_ms())["lanes"]["urgent"]["tenants"]
    process.core.on(StoodBy(), process.clock.now_ms())
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    await process.kill()
    assert waits_s > 10_000
    assert tenants == {"acme": 2}
    assert process.metric("headrace_next_call_seconds", {"model": MODEL}) == 0


async def test_cancelled_requests_and_lanes_without_an_objective_are_not_counted() -> None:
    world = World(latency_s=10.0)
    process = Process(world, "a", settings=settings_of(lanes=LANES))
    process.start()
    await led(process)
    world.submit("cancelled")
    world.submit("other", lane="bulk")
    await until(lambda: len(world.upstream.asked) > 0)
    world.cancel("cancelled")
    await until(lambda: len(world.outcomes()) == 2)
    await process.end()
    assert counted(process) == (0, 0)
    assert counted(process, "bulk") == (0, 0)
    assert process.status.snapshot(process.clock.now_ms())["lanes"]["urgent"]["objective_s"] == 5
    assert process.status.snapshot(process.clock.now_ms())["lanes"]["bulk"]["objective_s"] is None
