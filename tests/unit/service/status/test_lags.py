"""What Kafka still holds of a lane, and how old that figure is."""

import asyncio
from collections.abc import Sequence

from headrace.broker.service.intake.lane_intake import LaneIntake
from headrace.broker.service.status.lags import ANSWER_WITHIN_S, ASKED_EVERY_S, Lags
from headrace.broker.settings.whole import Settings
from headrace.broker.testing.kafka_doors import MemoryLane
from tests.unit.service.rig import Process, World, led, settings_of, until
from tests.unit.service.test_dispatcher import served
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

TAKEN = 10
LANES = {"urgent": {"order": 1, "buffer_max": TAKEN}, "bulk": {"order": 2, "buffer_max": TAKEN}}
FEW = settings_of(lanes=LANES)


class SilentLane(MemoryLane):
    """Says where its log ends while `answers` is set."""

    answers: asyncio.Event

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        if hasattr(self, "answers"):
            await self.answers.wait()
        return await super().bounds(partitions)


class SilentProcess(Process):
    lane_type = SilentLane


def silent(intake: LaneIntake) -> asyncio.Event:
    """From now on Kafka does not say where that lane ends, until the event is set."""
    assert isinstance(intake.log, SilentLane)
    intake.log.answers = asyncio.Event()
    return intake.log.answers


class Fewer(Process):
    """Takes a few records of each lane."""

    def __init__(self, world: World, owner: str, *, settings: Settings) -> None:
        super().__init__(world, owner, settings=settings.model_copy(update={"lanes": FEW.lanes}))


async def backlogged(world: World, made: type[Process] = Process) -> Process:
    """A leader that holds as much of bulk as it takes, while OpenAI is away, and as much again stands in Kafka."""
    world.upstream.is_cut = True
    process = made(world, "me", settings=FEW).start()
    await led(process)
    for number in range(5 * TAKEN):
        world.submit(f"r{number}", "bulk", number % 2)
    await until(lambda: len(process.core.registry.tickets()) > 0)
    await asyncio.sleep(1)
    return process


async def test_the_lag_is_what_was_not_taken_and_grows_older_until_it_is_asked_again() -> None:
    world = World()
    process = await backlogged(world)
    lags = Lags(process.intakes, world.clock)
    assert lags.of("bulk", world.clock.now_ms()) is None
    await lags.measure()
    lag = lags.of("bulk", world.clock.now_ms())
    assert lag is not None
    assert lag.requests == 5 * TAKEN - len(process.core.registry.tickets()) >= 4 * TAKEN
    await asyncio.sleep(7)
    aged = lags.of("bulk", world.clock.now_ms())
    assert aged is not None
    assert (aged.requests, round(aged.age_s - lag.age_s)) == (lag.requests, 7)
    idle = lags.of("urgent", world.clock.now_ms())
    assert idle is not None
    assert idle.requests == 0
    await process.kill()


async def test_a_kafka_that_does_not_answer_leaves_the_figure_with_its_age_and_holds_up_nobody() -> None:
    world = World()
    process = await backlogged(world, SilentProcess)
    lags = Lags(process.intakes, world.clock)
    await lags.measure()
    for intake in process.intakes.values():
        silent(intake)
    began_ms = world.clock.now_ms()
    await lags.measure()
    lag = lags.of("bulk", world.clock.now_ms())
    assert lag is not None
    assert lag.requests >= 4 * TAKEN
    assert lag.age_s >= ANSWER_WITHIN_S
    assert world.clock.now_ms() - began_ms <= len(process.intakes) * (ANSWER_WITHIN_S * 1_000 + 10)
    process.link.cut()  # and one that cannot be reached
    await lags.measure()
    assert lags.of("bulk", world.clock.now_ms()) is not None
    await process.kill()


async def test_of_a_lane_that_is_not_taken_nothing_is_known() -> None:
    world = World()
    process = await backlogged(world)
    lags = Lags(process.intakes, world.clock)
    await lags.measure()
    await process.intakes["bulk"].halt()
    assert await process.intakes["bulk"].lag() is None
    await lags.measure()
    assert lags.of("bulk", world.clock.now_ms()) is None
    lags.forget()
    assert lags.of("urgent", world.clock.now_ms()) is None
    await process.kill()


async def test_an_intake_that_is_halted_while_kafka_is_asked_has_no_lag() -> None:
    world = World()
    process = await backlogged(world, SilentProcess)
    intake = process.intakes["bulk"]
    answers = silent(intake)
    asked = asyncio.create_task(intake.lag())
    await asyncio.sleep(0)
    await intake.halt()
    answers.set()
    assert await asked is None
    await process.kill()


async def test_status_and_metrics_tell_the_lag_of_a_leader_alone() -> None:
    world = World()
    async with served(world, Fewer) as serving:
        await serving.leading()
        world.upstream.is_cut = True
        for number in range(5 * TAKEN):
            world.submit(f"r{number}", "bulk", number % 2)
        await asyncio.sleep(3 * ASKED_EVERY_S)
        told = serving.process.status.snapshot(world.clock.now_ms())["lanes"]["bulk"]
        assert told["lag"]["requests"] >= 3 * TAKEN
        assert told["lag"]["age_s"] <= ASKED_EVERY_S + 1
        metric = serving.process.metric("headrace_lag_requests", {"lane": "bulk"})
        assert metric == told["lag"]["requests"]
        assert serving.process.metric("headrace_lag_age_seconds", {"lane": "bulk"}) <= ASKED_EVERY_S + 1
        serving.dispatcher.leave()
        await serving.ended_after_s()
