"""What a Kafka that hangs, or answers in part, may not do to us: each step of a door has an end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata, RecordMetadata

from headrace.broker.adapters.kafka import admin as kafka_admin
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.adapters.kafka.offsets import KafkaOffsets
from headrace.broker.adapters.kafka.transactions import KafkaTransactions
from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOWHERE = KafkaConnection("127.0.0.1:1")
RECORD = Outgoing("topic", Record(None, b"{}"))
PLACES = [TopicPartition("topic", 0), TopicPartition("topic", 1)]


async def _for_ever(*_: object, **__: object) -> Any:
    await asyncio.get_running_loop().create_future()


async def _took_s(work: Awaitable[object]) -> float:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    with pytest.raises(ProducerDead):
        await asyncio.wait_for(work, 100)
    return loop.time() - begun_s


# ---------------------------------------------------------------------- transactions


async def test_a_producer_that_never_starts_is_given_up_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = KafkaTransactions(NOWHERE, transactional_id="t")
    producer = transactions._made()
    producer.start = _for_ever
    monkeypatch.setattr(transactions, "_made", lambda: producer)
    assert 10 <= await _took_s(transactions.open()) < 15
    assert transactions._producer is None, "it is closed, and another one is needed"


async def _at_once(*_: object, **__: object) -> Any:
    sent: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
    sent.set_result(RecordMetadata("topic", 0, KafkaPartition("topic", 0), 7, 0, 0, 0))
    return sent


async def _an_unsent(*_: object, **__: object) -> Any:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("step", "hangs"),
    [
        ("begin_transaction", _for_ever),
        ("send", _for_ever),
        ("send", _an_unsent),
        ("send_offsets_to_transaction", _for_ever),
        ("commit_transaction", _for_ever),
    ],
)
@pytest.mark.parametrize("within_s", [2.0, 10.0])
async def test_a_transaction_whose_step_hangs_is_unknown_when_its_time_is_over(
    step: str, hangs: Callable[..., Awaitable[Any]], within_s: float
) -> None:
    steps = dict.fromkeys(
        ("begin_transaction", "send", "send_offsets_to_transaction", "commit_transaction"), _at_once
    ) | {step: hangs}
    transactions = KafkaTransactions(NOWHERE, transactional_id="t", commit_within_s=within_s)
    client = SimpleNamespace(force_metadata_update=_for_ever)
    transactions._producer = SimpleNamespace(**steps, client=client, _txn_manager=None)
    took_s = await _took_s(transactions.transact([RECORD], {PLACES[0]: StoredOffset(1, "")}))
    assert took_s == pytest.approx(within_s + 0.5), "half a second to ask whether a topic is missing"


# ---------------------------------------------------------------------- lanes


class Hanging:
    """A consumer that has moved on when its caller is cancelled."""

    def __init__(self) -> None:
        self.sought: list[tuple[KafkaPartition, int]] = []
        self._fetcher = SimpleNamespace(_max_partition_fetch_bytes=0)

    def assign(self, _: Sequence[KafkaPartition]) -> None:
        pass

    def seek(self, place: KafkaPartition, offset: int) -> None:
        self.sought.append((place, offset))

    async def getmany(self, *_: object, **__: object) -> Mapping[KafkaPartition, Sequence[object]]:
        return dict(await _for_ever())


async def test_after_a_cancelled_take_reading_goes_on_at_what_was_not_taken() -> None:
    lane, consumer = KafkaLane(NOWHERE, topic="topic"), Hanging()
    lane._consumer = consumer
    await lane.start({0: 7, 1: 9})
    taking = asyncio.create_task(lane.take(0, 10))
    await asyncio.sleep(1)
    consumer.sought.clear()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert consumer.sought == [(KafkaPartition("topic", 0), 7)]
    assert (lane.position(0), lane.position(1)) == (7, 9)


@pytest.mark.parametrize(
    ("partitions", "bytes_max"),
    [(1, 1024 * 1024), (32, 1024 * 1024), (300, 32 * 1024 * 1024 // 300), (9_999, 16 * 1024)],
)
async def test_what_a_lane_fetches_ahead_is_bounded_over_all_its_partitions(partitions: int, bytes_max: int) -> None:
    lane, consumer = KafkaLane(NOWHERE, topic="topic"), Hanging()
    lane._consumer = consumer
    await lane.start(dict.fromkeys(range(partitions), 0))
    assert consumer._fetcher._max_partition_fetch_bytes == bytes_max


class Raising(Hanging):
    """A consumer whose unpacking raises what no Kafka error is."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self._client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=lambda _: None))

    def last_stable_offset(self, _: KafkaPartition) -> int | None:
        return None

    async def getmany(self, *_: object, **__: object) -> Mapping[KafkaPartition, Sequence[object]]:
        raise self.error


@pytest.mark.parametrize("error", [MemoryError(), EOFError(), AssertionError(), KeyError(1), RecursionError()])
async def test_no_exception_of_the_client_ends_who_reads_a_lane(error: Exception) -> None:
    lane = KafkaLane(NOWHERE, topic="topic")
    lane._consumer = Raising(error)
    await lane.start({0: 7})
    assert [await lane.take(0, 10) for _ in range(2)] == [[], []]
    with pytest.raises(LogUnavailable):  # it is asked as bytes, and this double has no leader to ask
        await lane.take(0, 10)
    await lane.wait([0], 10)
    assert await lane.timestamps_ms({0: 7}) == {}
    assert lane.position(0) == 7


# ---------------------------------------------------------------------- offsets


class Admin:
    """Answers what it was told to, one answer after the other, the last one for ever; an error is raised."""

    def __init__(self, *answers: Mapping[int, int] | Exception) -> None:
        self.answers = list(answers)
        self.is_closed = False
        self.hangs = self.lingers = False

    async def start(self) -> None:
        if self.hangs:
            await _for_ever()

    async def close(self) -> None:
        self.is_closed = True
        if self.lingers:
            await _for_ever()

    async def list_consumer_group_offsets(
        self, _: str, *, partitions: Sequence[KafkaPartition]
    ) -> dict[KafkaPartition, OffsetAndMetadata]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {
            place: OffsetAndMetadata(answer[place.partition], "m") for place in partitions if place.partition in answer
        }


def _offsets(monkeypatch: pytest.MonkeyPatch, admin: Admin) -> KafkaOffsets:
    monkeypatch.setattr(kafka_admin, "AIOKafkaAdminClient", lambda **_: admin)
    return KafkaOffsets(NOWHERE, group="g")


async def test_an_answer_of_offsets_that_is_empty_or_partial_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin({}, {0: 5}, KafkaConnectionError(), {1: 6}, {0: 5, 1: -1})
    found = await _offsets(monkeypatch, admin).read(PLACES)
    assert found == {PLACES[0]: StoredOffset(5, "m"), PLACES[1]: StoredOffset(-1, "m")}
    assert admin.is_closed


@pytest.mark.parametrize("answer", [{}, {0: 5}, KafkaConnectionError()], ids=["empty", "partial", "error"])
async def test_offsets_that_stay_incomplete_are_no_answer(
    monkeypatch: pytest.MonkeyPatch, answer: Mapping[int, int] | Exception
) -> None:
    admin = Admin(answer)
    with pytest.raises(LogUnavailable, match="stay incomplete"):
        await asyncio.wait_for(_offsets(monkeypatch, admin).read(PLACES), 10)
    assert admin.is_closed


async def test_a_kafka_that_does_not_say_its_offsets_is_waited_for_fifteen_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin, loop = Admin({}), asyncio.get_running_loop()
    admin.hangs = True
    begun_s = loop.time()
    with pytest.raises(LogUnavailable):
        await asyncio.wait_for(_offsets(monkeypatch, admin).read(PLACES), 100)
    assert loop.time() - begun_s == pytest.approx(15)
    assert admin.is_closed


async def test_offsets_that_were_told_do_not_wait_for_a_connection_that_never_says_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin, loop = Admin({0: 5, 1: 6}), asyncio.get_running_loop()
    admin.lingers = True
    begun_s = loop.time()
    found = await asyncio.wait_for(_offsets(monkeypatch, admin).read(PLACES), 100)
    assert found == {PLACES[0]: StoredOffset(5, "m"), PLACES[1]: StoredOffset(6, "m")}
    assert loop.time() - begun_s == pytest.approx(kafka_admin.CLOSE_WITHIN_S)
