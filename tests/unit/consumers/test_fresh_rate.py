"""How far the lanes have grown, asked each second; a lane that does not answer is told of once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from structlog.testing import capture_logs

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.consumers.retries.fresh_rate import FreshWork
from headrace.consumers.retries.retry_budget import RetryBudgetRules, RetryBudgets
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


@dataclass
class Lane:
    """A `LaneLog` of which only the bounds are asked."""

    numbers: list[int] = field(default_factory=lambda: [0, 1])
    end: int = 0
    error: Exception | None = None
    looked_up: int = 0
    asked: list[Sequence[int]] = field(default_factory=list)
    topic_id: str | None = None

    async def partitions(self) -> list[int]:
        self.looked_up += 1
        return [*self.numbers]

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        self.asked.append(partitions)
        if self.error is not None:
            raise self.error
        return dict.fromkeys(partitions, (5, self.end))

    async def first_timestamp_ms(self, partition: int) -> int | None:
        raise NotImplementedError

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        raise NotImplementedError

    async def start(self, positions: Mapping[int, int]) -> None:
        raise NotImplementedError

    async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
        raise NotImplementedError

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        raise NotImplementedError

    def rewind(self, partition: int, offset: int) -> None:
        raise NotImplementedError

    def position(self, partition: int) -> int:
        raise NotImplementedError

    def is_at_end(self, partition: int) -> bool:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Watch:
    """The watch over some lanes, under way."""

    def __init__(self, **lanes: Lane) -> None:
        self.clock = WallClock(asyncio.get_running_loop().time)
        self.retry_budgets = RetryBudgets(RetryBudgetRules(share=1.0, floor_per_s=0.01), lanes)
        self.retry_budgets.begin(self.clock.now_ms())
        self.task = asyncio.create_task(FreshWork(lanes, self.retry_budgets, self.clock).watch())

    def taken(self, lane: str) -> int:
        count = 0
        while self.retry_budgets[lane].take(self.clock.now_ms()):
            count += 1
        return count

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_what_all_partitions_have_grown_by_is_told_each_second() -> None:
    lane = Lane(end=100)
    watch = Watch(bulk=lane)
    await asyncio.sleep(0.5)
    lane.end = 110
    assert watch.taken("bulk") == 0
    await asyncio.sleep(1)
    assert watch.taken("bulk") == 20
    assert lane.asked == [[0, 1]] * 2
    await watch.end()


async def test_partitions_are_looked_up_every_thirty_seconds() -> None:
    lane = Lane()
    watch = Watch(bulk=lane)
    await asyncio.sleep(29.5)
    lane.numbers = [0, 1, 2]
    assert (lane.looked_up, lane.asked[-1]) == (1, [0, 1])
    await asyncio.sleep(1)
    assert (lane.looked_up, lane.asked[-1]) == (2, [0, 1, 2])
    await asyncio.sleep(30)
    assert lane.looked_up == 3
    await watch.end()


async def test_a_lane_that_does_not_answer_stops_no_other_and_is_told_of_once_until_it_answers_again() -> None:
    away, there = Lane(error=LogUnavailable("No answer.")), Lane()
    with capture_logs() as told:
        watch = Watch(urgent=away, bulk=there)
        await asyncio.sleep(5.5)
        assert (len(there.asked), len(told)) == (6, 1)
        away.error = None
        await asyncio.sleep(1)
        away.error = gone = MissingTopic("t.requests.urgent")
        await asyncio.sleep(3)
        away.error = ValueError("what a record held")
        await asyncio.sleep(1)
    assert "t.requests.urgent" in str(gone)
    lines = [(each["event"], each["lane"], each["reason"]) for each in told]
    assert lines == [
        ("fresh_work_unknown", "urgent", "No answer."),
        ("fresh_work_unknown", "urgent", str(gone)),
    ]
    await watch.end()


async def test_of_a_defect_of_ours_only_the_type_is_told() -> None:
    with capture_logs() as told:
        watch = Watch(bulk=Lane(error=ValueError("what a record held")))
        await asyncio.sleep(0.5)
    assert [each["reason"] for each in told] == ["ValueError"]
    await watch.end()
