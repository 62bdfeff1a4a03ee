"""Sums beside the results topic where requests, answers and the totals topic are hostile, through kills and outages."""

import asyncio
import json
from collections.abc import Sequence
from random import Random

import pytest

from headrace.broker.adapters.prices.price_list import price_list
from headrace.broker.core.setback import Setback
from headrace.broker.price_ports import PriceList
from headrace.broker.service.spending.totals_topic import REST_MAX_MS
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas import topics
from headrace.schemas.spending import TotalUnreadable, decode_total
from tests.hostile.spending import Sums, hostile_answer, hostile_request, hostile_totals, of_results, of_totals
from tests.unit.service.rig import PREFIX, WALL, Process, World, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

STEPS, EACH_STEP = 12, 18
ROUGH_STEPS, EACH_ROUGH_STEP = 25, 12
TOTALS = topics.totals_topic(PREFIX)
HOUR = int(WALL.timestamp()) // 3_600
SETTINGS = settings_of(metrics={"by_tenant": True, "by_template": True}, dispatcher={"lease_ttl_s": 2})
LIST = price_list(SETTINGS)


STEPS_CONTAINED = ("totals", "cost", "encode", "metrics", "call", "status")


class SummingProcess(Process):
    """A dispatcher with real prices, which looks at the totals topic and follows it."""

    def prices(self) -> PriceList | None:
        return LIST

    def start(self) -> "SummingProcess":
        super().start()
        follower = self.dispatcher.spending_follower
        assert follower is not None
        self.tasks += [
            asyncio.create_task(follower.run(), name="totals follower"),
            asyncio.create_task(self._watch_totals(), name="totals"),
        ]
        return self

    async def _watch_totals(self) -> None:
        while True:
            await self.dispatcher.totals_topic.check()
            await asyncio.sleep(1)


def submitted(world: World, numbers: range, chance: Random) -> None:
    for number in numbers:
        lane = chance.choice(("urgent", "standard", "bulk"))
        fields = hostile_request(number, chance)
        name = f"r{number - 1}" if number > numbers.start and chance.random() < 0.05 else f"r{number}"
        world.submit(name, lane, **fields)
        if chance.random() < 0.03:
            world.cancel(name)


def read(world: World) -> Sums:
    found = []
    for fetched in world.kafka.committed(TOTALS):
        try:
            decode_total(fetched.record)
        except TotalUnreadable:
            continue
        found.append(fetched.record)
    return of_totals(found)


async def settled(world: World) -> None:
    """Wait until the results say nothing more for a while."""
    async with asyncio.timeout(4_000):
        seen = -1
        while seen != len(world.outcomes()):
            seen = len(world.outcomes())
            await asyncio.sleep(60)


def refuse_totals(world: World, setback: Setback | None) -> None:
    """Have Kafka take no record of the totals topic; None: have it take them again."""
    world.kafka.policy = lambda topic, _: setback if topic == TOTALS else None


def leader_of(processes: Sequence[SummingProcess]) -> SummingProcess | None:
    return next((each for each in processes if each.health.role == "leader"), None)


def without_zeros(sums: Sums) -> dict[tuple[str, str], dict[str, int]]:
    return {name: {of: count for of, count in told.items() if count} for name, told in sums.items()}


@VIRTUAL_TIME
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 3, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 60))])
async def test_sums_are_the_results_whatever_senders_servers_and_other_writers_say(seed: int) -> None:
    """Even seeds kill leaders; in odd ones the answers of commits are lost."""
    chance = Random(f"hostile sums {seed}")
    world = World(latency_s=0.3, script=lambda asked: hostile_answer(asked, chance))
    world.kafka.create(TOTALS)
    processes = [SummingProcess(world, f"p{number}", settings=SETTINGS).start() for number in range(2)]
    await until(lambda: any(each.health.role == "leader" for each in processes))
    for step in range(STEPS):
        submitted(world, range(step * EACH_STEP, (step + 1) * EACH_STEP), chance)
        for _ in range(chance.randrange(4)):
            world.kafka.append(TOTALS, hostile_totals(chance, HOUR))
        await asyncio.sleep(chance.random() * 8)
        if seed % 2 and chance.random() < 0.4:
            world.kafka.commit_faults.append(chance.choice(list(CommitFault)))
            await asyncio.sleep(20)  # the transaction after it has no sums: were its answer lost too, so would they be
        elif not seed % 2 and chance.random() < 0.3 and (leader := leader_of(processes)) is not None:
            await leader.kill()
            processes.remove(leader)
            processes.append(SummingProcess(world, f"q{step}", settings=SETTINGS).start())
    await settled(world)
    outcomes = world.outcomes()
    assert set(world.counts().values()) == {1}
    assert without_zeros(read(world)) == without_zeros(of_results(outcomes))
    assert leader_of(processes) is not None
    for each in processes:
        shown = each.status.spending.shown()
        assert (shown["caught_up"], shown["topic"]["lost"], shown["topic"]["unwritten"]) == (True, 0, 0)
        assert shown["last_25_hours"]["outcomes"] == len(outcomes)
        assert json.loads(json.dumps(shown)) == shown
        assert {
            step: each.metric("headrace_contained_total", {"step": step}) for step in STEPS_CONTAINED
        } == dict.fromkeys(STEPS_CONTAINED, 0)
        await each.end()


@VIRTUAL_TIME
@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [5, *(pytest.param(seed, marks=pytest.mark.long) for seed in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10))]
)
async def test_outcomes_that_no_sum_counts_are_those_that_the_status_calls_lost(seed: int) -> None:
    """The topic is missing at first, and refuses or denies for hours; Kafka is away; no process dies."""
    chance = Random(f"troubles of totals {seed}")
    world = World(latency_s=0.3, script=lambda asked: hostile_answer(asked, chance))
    process = SummingProcess(world, "p", settings=SETTINGS).start()
    await until(lambda: process.health.role == "leader")
    for step in range(ROUGH_STEPS):
        submitted(world, range(step * EACH_ROUGH_STEP, (step + 1) * EACH_ROUGH_STEP), chance)
        match chance.randrange(9):
            case 0:
                world.kafka.create(TOTALS)
            case 1:
                refuse_totals(world, chance.choice([Setback.REFUSED, Setback.DENIED]))
            case 2 | 3:
                refuse_totals(world, None)
            case 4:
                world.kafka.stop()
                await asyncio.sleep(chance.choice([1, 30, 300, 4_000]))
                world.kafka.start_again()
            case 5:
                await asyncio.sleep(chance.choice([60, 1_800, 3_600, 7_200]))
        await asyncio.sleep(chance.random() * 20)
    refuse_totals(world, None)
    world.kafka.create(TOTALS)
    await asyncio.sleep(REST_MAX_MS / 1_000)
    for step in range(ROUGH_STEPS, ROUGH_STEPS + 3):
        submitted(world, range(step * EACH_ROUGH_STEP, (step + 1) * EACH_ROUGH_STEP), chance)
        await settled(world)
    told, summed = without_zeros(of_results(world.outcomes())), without_zeros(read(world))
    topic = process.status.spending.shown()["topic"]
    counted = sum(sums["outcomes"] for (kind, _), sums in summed.items() if kind == "lane")
    assert set(world.counts().values()) == {1}
    assert (topic["trouble"], topic["unwritten"], topic["lost"]) == (None, 0, len(world.outcomes()) - counted)
    assert topic["lost"] or summed == told
    await process.end()
