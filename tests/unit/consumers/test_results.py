"""What a reader tells Kafka, and when: which outcomes are handled, and that it is open, committed and closed."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from headrace.broker.client_ports import Appended, Arrived, Pending
from headrace.broker.errors import Unreachable
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_dead_letter, encode_outcome
from headrace.schemas.outcome import Completed, Outcome
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
PUBLISHED_MS = 1_780_000_000_000


def outcome(name: str) -> Record:
    return encode_outcome(Completed(id=name, response={}), time=NOW)


@dataclass
class Log:
    """An `OutcomeLog` of one partition that notes what it is told; `steps` are records, and errors to be raised."""

    steps: deque[Record | Exception]
    said: list[str] = field(default_factory=list)
    made_anew: int = 0
    buffered: int = 0
    away: int = 0
    _offset: int = -1

    async def open(self) -> None:
        self.said.append("open")
        if self.away:
            self.away -= 1
            raise Unreachable("away")

    async def next(self, *, timeout_ms: int) -> Arrived | None:
        if not self.steps:
            await asyncio.sleep(timeout_ms / 1_000)
            return None
        step = self.steps.popleft()
        if isinstance(step, Exception):
            raise step
        self._offset += 1
        return Arrived(0, self._offset, PUBLISHED_MS + self._offset, step, 1)

    def mark_handled(self, arrived: Arrived) -> None:
        self.said.append(f"handled {arrived.offset}")

    async def commit(self) -> None:
        self.said.append("commit")

    async def ends(self) -> dict[int, int]:
        self.said.append("ends")
        return {0: len(self.steps)}

    async def is_past(self, ends: dict[int, int]) -> bool:
        return self._offset + 1 >= ends[0]

    async def close(self) -> None:
        self.said.append("close")


@dataclass
class Letters:
    """A `SubmitLog` that is checked and closed."""

    said: list[str] = field(default_factory=list)

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        self.said.append(f"append {topic}")
        return Appended(topic, 0, 0, 0)

    async def begin(self, topic: str, record: Record, *, timeout_s: float) -> Pending:
        raise NotImplementedError

    async def check(self, topic: str) -> None:
        self.said.append(f"check {topic}")

    async def close(self) -> None:
        self.said.append("close")


class Rig:
    """A reader of its own log."""

    def __init__(self, *steps: Record | Exception, follow: bool = False, topic: str | None = None) -> None:
        self.log, self.letters = Log(deque(steps)), Letters()
        self.topic = ""
        rig = self

        class Doors(MemoryClientDoors):
            def outcomes(self, topic: str, *, group: str | None, start: object) -> Log:  # type: ignore[override]  # its own log
                rig.topic = topic
                return rig.log

            def submissions(self) -> Letters:  # type: ignore[override]  # its own log
                return rig.letters

        kafka = MemoryKafka(lambda: 0)
        doors = Doors(kafka, KafkaLink(kafka))
        self.reader = ResultReader(connection=doors, group="mailer", follow=follow, topic=topic)


async def test_each_outcome_is_handled_once_the_next_is_asked_for_and_the_last_is_committed() -> None:
    rig = Rig(outcome("a"), Record(None, b"{", ()), outcome("b"))
    async with rig.reader as reader:
        assert [each.id async for each in reader] == ["a", "b"]
    assert [each for each in rig.log.said if each.startswith("handled")] == ["handled 0", "handled 1", "handled 2"]
    assert rig.log.said[:2] == ["open", "ends"]
    assert rig.log.said[-2:] == ["commit", "close"]


@pytest.mark.parametrize(("asked", "read"), [(None, "generation.results"), ("mine", "mine")])
def test_the_topic_that_is_named_is_read_in_the_place_of_the_results(asked: str | None, read: str) -> None:
    assert Rig(topic=asked).topic == read


async def test_a_reader_says_when_kafka_took_the_outcome_that_was_returned_last() -> None:
    rig = Rig(outcome("a"), outcome("b"))
    async with rig.reader as reader:
        assert reader.published_at is None
        at = [reader.published_at async for _ in reader]
    assert at == [datetime.fromtimestamp((PUBLISHED_MS + offset) / 1_000, UTC) for offset in (0, 1)]


async def test_a_reader_that_is_open_is_not_opened_again_and_one_that_was_closed_is() -> None:
    rig = Rig(follow=True)
    await rig.reader.open()
    await rig.reader.open()
    assert rig.log.said == ["open"], "nor is a reader that follows told where the topic ends"
    await rig.reader.close()
    await rig.reader.open()
    assert rig.log.said == ["open", "close", "open"]


async def test_handle_opens_checks_commits_and_closes_what_it_writes_to() -> None:
    rig, handled = Rig(outcome("a")), list[str]()

    async def handle(each: Outcome) -> None:
        await asyncio.sleep(1)
        handled.append(each.id)

    made = await rig.reader.handle(handle, dead_letters="mine", concurrency=2)
    assert (handled, made.handled) == (["a"], 1)
    assert rig.letters.said == ["check mine", "close"]
    assert rig.log.said[0] == "open"
    assert rig.log.said[-2:] == ["handled 0", "commit"]


async def test_handle_tries_as_often_and_pauses_as_long_as_it_is_told() -> None:
    rig, loop = Rig(outcome("a")), asyncio.get_running_loop()
    called: list[float] = []

    async def handle(_: Outcome) -> None:
        called.append(round(loop.time(), 3))
        raise ValueError

    await rig.reader.handle(handle, dead_letters="mine", attempts_max=3, pause_s=4)
    assert [at - called[0] for at in called] == [0, 4, 12]
    assert rig.letters.said == ["check mine", "append mine", "close"]


async def test_a_reader_that_follows_waits_out_a_kafka_that_is_away_ever_longer() -> None:
    rig, loop = Rig(*[Unreachable("away")] * 3, outcome("a"), follow=True), asyncio.get_running_loop()
    begun = loop.time()
    async with rig.reader as reader:
        assert (await anext(reader)).id == "a"
        assert round(loop.time() - begun, 3) == pytest.approx(0.2 + 0.4 + 0.8)
    assert rig.log.said == ["open", *["close", "open"] * 3, "close"]


async def test_a_kafka_that_is_still_away_is_asked_again() -> None:
    rig = Rig(Unreachable("away"), outcome("a"), follow=True)
    async with rig.reader as reader:
        rig.log.away = 1
        assert (await anext(reader)).id == "a"


async def test_a_reader_that_does_not_follow_says_that_kafka_is_away() -> None:
    rig = Rig(Unreachable("away"), outcome("a"))
    async with rig.reader as reader:
        with pytest.raises(Unreachable):
            await anext(reader)


async def test_a_reader_that_is_stopped_ends_at_once_and_commits() -> None:
    rig = Rig(outcome("a"), follow=True)
    async with rig.reader as reader:
        assert (await anext(reader)).id == "a"
        asyncio.get_running_loop().call_later(0.1, reader.stop)
        begun = asyncio.get_running_loop().time()
        assert [each async for each in reader] == []
        assert asyncio.get_running_loop().time() - begun == pytest.approx(0.1)
    assert rig.log.said[-2:] == ["commit", "close"]
    assert "handled 0" in rig.log.said


async def test_what_was_in_hand_when_the_reader_is_stopped_is_committed_once_it_is_handled() -> None:
    rig = Rig(outcome("a"), outcome("b"), follow=True)
    async with rig.reader as reader:
        async for each in reader:
            assert each.id == "a"
            reader.stop()
        assert rig.log.said == ["open", "handled 0", "commit"]


async def test_while_none_is_at_hand_each_is_committed_once_it_is_handled() -> None:
    rig = Rig(outcome("a"), outcome("b"))
    async with rig.reader as reader:
        assert [each.id async for each in reader] == ["a", "b"]
    assert rig.log.said[:5] == ["open", "ends", "handled 0", "commit", "handled 1"]


async def test_a_second_after_the_last_commit_what_is_handled_since_is_committed_and_nothing_before() -> None:
    rig = Rig(outcome("a"), outcome("b"), outcome("c"))
    rig.log.buffered = 1
    rig.reader._committed_at -= 10
    async with rig.reader as reader:
        assert [each.id async for each in reader] == ["a", "b", "c"]
    assert rig.log.said[:6] == ["open", "ends", "handled 0", "commit", "handled 1", "handled 2"]


async def test_an_outcome_that_is_not_handled_is_handed_out_again() -> None:
    rig = Rig(outcome("a"), follow=True)

    async def handle(_: Outcome) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await rig.reader.handle(handle, dead_letters=None, attempts_max=1)
    rig.log.steps.append(outcome("a"))
    assert (await anext(rig.reader)).id == "a"
    assert rig.reader.duplicates == 0


async def test_an_outcome_that_has_come_is_handed_out_although_the_end_is_reached() -> None:
    rig = Rig()
    async with rig.reader as reader:
        reader._come = Arrived(0, 0, 0, outcome("a"), 1)
        assert [each.id async for each in reader] == ["a"]


async def test_a_wait_that_is_over_leaves_no_task() -> None:
    def waiting() -> set[str]:
        return {each.get_name() for each in asyncio.all_tasks()} & {"next outcome", "stop"}

    rig = Rig(follow=True)
    async with rig.reader as reader:
        asking = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0.1)
        assert waiting() == {"next outcome", "stop"}
        rig.log.steps.append(outcome("a"))
        assert (await asking).id == "a"
        assert waiting() == set()


async def test_a_dead_letter_of_the_services_own_is_read_as_the_outcome_that_it_was() -> None:
    was = outcome("a")
    letter = encode_dead_letter(
        was.key,
        was.value,
        was.headers,
        reason="handler_failed",
        origin=("t", 0, 0),
        attempts=1,
        run=0,
        failed_at=NOW,
        max_bytes=1_000_000,
    )
    rig = Rig(letter)
    async with rig.reader as reader:
        (read,) = [each async for each in reader]
    assert isinstance(read, Completed)
    assert (read.id, reader.undecodable) == ("a", 0)


async def test_while_more_are_at_hand_every_five_hundred_are_committed_together() -> None:
    rig = Rig(*[outcome(f"{number}") for number in range(1_100)])
    rig.log.buffered = 1
    async with rig.reader as reader:
        async for each in reader:
            if each.id == "1099":
                break
    before = [place for place, word in enumerate(rig.log.said) if word == "commit"]
    assert [rig.log.said[place - 1] for place in before] == ["handled 499", "handled 999"]


async def test_what_came_before_a_reader_was_closed_is_not_handed_out_afterwards() -> None:
    rig = Rig(follow=True)
    await rig.reader.open()
    rig.reader._come = Arrived(0, 0, 0, outcome("before"), 1)
    await rig.reader.close()
    await rig.reader.open()
    rig.log.steps.append(outcome("after"))
    assert (await anext(rig.reader)).id == "after"
