import asyncio

import looptime
import pytest

from broker.cli.patience import within
from broker.errors import Unreachable


class Kafka:
    def __init__(self, away_for: int) -> None:
        self.asked = 0
        self._away_for = away_for

    async def answer(self) -> str:
        self.asked += 1
        if self.asked <= self._away_for:
            raise Unreachable("No Kafka listens.")
        return "here"


def test_kafka_is_asked_again_and_its_absence_told_once() -> None:
    told: list[str] = []
    kafka = Kafka(away_for=5)
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        answer = runner.run(within(60, kafka.answer, say=lambda reason: told.append(str(reason))))
    assert (answer, kafka.asked, told) == ("here", 6, ["No Kafka listens."])


def test_patience_ends_in_time_with_the_reason() -> None:
    kafka = Kafka(away_for=10_000)
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        loop = runner.get_loop()
        with pytest.raises(Unreachable, match="No Kafka listens"):
            runner.run(within(10, kafka.answer))
        assert loop.time() <= 10
    assert kafka.asked >= 5
