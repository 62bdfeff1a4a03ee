"""Every batch is looked at before aiokafka unpacks it, and one can be had as bytes."""

import asyncio
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from headrace.broker.adapters.kafka.batches import UNPACKED_BYTES_MAX
from headrace.broker.adapters.kafka.fetch import ScreeningClient, fetched_batch, fetched_packed
from headrace.broker.errors import LogUnavailable
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from tests.unit.adapters.raw_batches import ZSTD, batch, one

PLACE = TopicPartition("lane", 3)
GOOD = batch(7, [one(b"a")])


class Client:
    """Answers a fetch with these bytes."""

    looked_up = 0
    leader_then: int | None = None

    def __init__(self, data: Any, *, error: int = 0, version: int = 11, leader: int | None = 1) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: leader)
        self.asked: list[Any] = []
        self.groups: list[ConnectionGroup] = []
        head = (3, error, 9)
        fields = (*head, 9, 0, [(5, 7)], -1, data) if version >= 11 else (*head, 9, 0, [(5, 7)], data)
        self.response = SimpleNamespace(API_VERSION=version, topics=[("lane", [fields])], throttle_time_ms=0)

    async def send(self, node_id: int, request: Any, **how: Any) -> Any:
        self.asked.append((node_id, request))
        self.groups.append(how.get("group", ConnectionGroup.DEFAULT))
        return self.response

    def force_metadata_update(self) -> asyncio.Future[bool]:
        """It finds what has become of the leader."""
        self.looked_up += 1
        self.cluster.leader_for_partition = lambda _: self.leader_then
        future = asyncio.get_running_loop().create_future()
        future.set_result(True)
        return future


def consumer_of(client: Client) -> Any:
    """As `start_consumer` leaves one."""
    fetcher = SimpleNamespace(_client=ScreeningClient(client), _max_partition_fetch_bytes=1_000)
    return SimpleNamespace(_client=client, _fetcher=fetcher)


def fetch() -> FetchRequest:
    return FetchRequest(0, 1, 1, 1, [("lane", [(3, 7, 1)])])


@pytest.mark.slow
async def test_what_is_fetched_is_screened_and_all_else_is_the_clients() -> None:
    bomb = batch(0, [one(b"\0" * (UNPACKED_BYTES_MAX + 1))], codec=ZSTD)
    client = Client(bomb)
    screening = ScreeningClient(client)
    response = await screening.send(1, fetch())
    assert response.topics[0][1][0][:-1] == (3, 0, 9, 9, 0, [(5, 7)], -1)
    assert response.topics[0][1][0][-1] != bomb
    assert screening.cluster is client.cluster
    other = Client(bomb)
    assert (await ScreeningClient(other).send(1, "metadata")).topics[0][1][0][-1] == bomb


async def turns_during(work: Awaitable[Any]) -> int:
    """How often another task had its turn meanwhile."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    other = asyncio.create_task(turn())
    await asyncio.sleep(0)
    await work
    other.cancel()
    return turns


@pytest.mark.slow
async def test_the_loop_goes_on_while_batches_just_below_the_bound_are_looked_at_and_one_is_handed_on() -> None:
    each = batch(0, [one(b"\0" * (UNPACKED_BYTES_MAX - 1_000))], codec=ZSTD)
    client = Client(each * 100)
    assert await turns_during(ScreeningClient(client).send(1, fetch())) > 0
    assert client.response.topics[0][1][0][-1] == each


@pytest.mark.slow
async def test_the_loop_goes_on_while_a_batch_of_many_records_is_read_one_by_one() -> None:
    many: Any = consumer_of(Client(batch(7, [one(None)] * 50_000)))
    assert await turns_during(fetched_batch(many, PLACE, 7)) > 0


@pytest.mark.parametrize(("data", "expected"), [(GOOD, GOOD), (None, b""), (b"", b""), ("no bytes", b"")])
async def test_good_batches_pass_and_no_exception_ends_the_fetching(data: Any, expected: bytes) -> None:
    response = await ScreeningClient(Client(data)).send(1, fetch())
    assert response.topics[0][1][0][-1] == expected


@pytest.mark.parametrize("version", [4, 11])
async def test_a_batch_is_read_from_its_leader_by_any_version(version: int) -> None:
    consumer: Any = consumer_of(Client(GOOD, version=version))
    pieces = await fetched_batch(consumer, PLACE, 7)
    assert pieces is not None
    (fetched,) = pieces.found
    assert isinstance(fetched, Fetched)
    assert (fetched.offset, fetched.record.value) == (7, b"a")
    assert consumer._client.asked[0][0] == 1
    aborted: Any = consumer_of(Client(batch(7, [one(b"a")], attributes=0x10, producer_id=5), version=version))
    pieces = await fetched_batch(aborted, PLACE, 7)
    assert pieces is not None
    assert (list(pieces.found), pieces.next_offset) == ([], 8)


@pytest.mark.parametrize("leader", [None, -1])
async def test_a_leader_that_is_not_known_is_asked_for(leader: int | None) -> None:
    client = Client(GOOD, leader=leader)
    client.leader_then = 2
    assert (await fetched_packed(consumer_of(client), PLACE, 7)).upcoming(9) == Upcoming([7], 8)
    assert (client.looked_up, client.asked[0][0]) == (1, 2)
    assert client.groups == [ConnectionGroup.COORDINATION], "behind the consumer's own fetch it would wait for that"


async def test_a_node_that_leads_no_more_has_the_leader_looked_up() -> None:
    client = Client(None, error=NotLeaderForPartitionError.errno)
    with pytest.raises(NotLeaderForPartitionError):
        await fetched_packed(consumer_of(client), PLACE, 7)
    assert client.looked_up == 1


async def test_what_is_fetched_packed_is_announced_by_its_headers_alone() -> None:
    garbage = batch(7, [one(b"a"), one(b"b")], codec=ZSTD, packed=b"garbage")
    fetched = await fetched_packed(consumer_of(Client(garbage)), PLACE, 7)
    assert fetched.upcoming(9) == Upcoming([7, 8], 9)
    assert fetched.take(1) == UnreadableRange(7, 8)


class Answers(Client):
    """Gives one answer after another: data, and up to where the log is readable; None: a quota puts the fetch off."""

    def __init__(self, *answers: tuple[bytes, int] | None) -> None:
        super().__init__(b"")
        self.answers = iter(answers)

    async def send(self, node_id: int, request: Any, **how: Any) -> Any:
        await super().send(node_id, request, **how)
        if (answer := next(self.answers)) is None:
            return SimpleNamespace(API_VERSION=11, topics=[], throttle_time_ms=5)
        data, stable_end = answer
        fields = (3, 0, stable_end, stable_end, 0, None, -1, data)
        return SimpleNamespace(API_VERSION=11, topics=[("lane", [fields])], throttle_time_ms=0)

    def asked_from(self) -> list[int]:
        """The offset of each fetch."""
        return [request.topics[0][1][0][1] for _, request in self.asked]


async def test_a_fetch_that_a_quota_puts_off_says_nothing_of_the_end_and_is_repeated() -> None:
    client = Answers(None, None, (GOOD, 8))
    assert (await fetched_packed(consumer_of(client), PLACE, 7)).upcoming(9) == Upcoming([7], 8)
    assert client.asked_from() == [7, 7, 7]


async def test_fetches_without_records_are_passed_up_to_the_end_of_the_log() -> None:
    markers = [batch(offset, [one(b"", key=b"\0" * 4)], attributes=0x20, producer_id=5) for offset in (7, 8)]
    client = Answers((markers[0], 9), (markers[1], 9), (b"", 9))
    fetched = await fetched_packed(consumer_of(client), PLACE, 7)
    assert (fetched.upcoming(9), fetched.position) == (None, 9)
    assert client.asked_from() == [7, 8, 9]


async def test_a_kafka_that_withholds_what_it_says_is_there_is_no_end_of_the_log() -> None:
    with pytest.raises(LogUnavailable, match=r"lane/3 has records from offset 7 on; Kafka sends none\."):
        await fetched_packed(consumer_of(Answers((b"", 9))), PLACE, 7)


async def test_a_node_of_which_nothing_is_known_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.broker.adapters.kafka.fetch._METADATA_WITHIN_S", 0.01)
    client = Client(GOOD, leader=None)
    client.force_metadata_update = asyncio.get_running_loop().create_future  # type: ignore[method-assign]
    with pytest.raises(LeaderNotAvailableError):
        await fetched_packed(consumer_of(client), PLACE, 7)


async def test_what_kafka_does_not_answer_is_told_and_nothing_is_nothing() -> None:
    leaderless: Any = consumer_of(Client(GOOD, leader=-1))
    with pytest.raises(LeaderNotAvailableError):
        await fetched_batch(leaderless, PLACE, 7)
    gone: Any = consumer_of(Client(None, error=OffsetOutOfRangeError.errno))
    with pytest.raises(OffsetOutOfRangeError):
        await fetched_batch(gone, PLACE, 7)
    empty: Any = consumer_of(Client(None))
    assert await fetched_batch(empty, PLACE, 7) is None
    silent: Any = consumer_of(Client(None))
    silent._client.response.topics = []
    assert await fetched_batch(silent, PLACE, 7) is None


async def test_a_loop_whose_own_threads_are_all_taken_goes_on_fetching() -> None:
    """Looking up a host can block for many seconds, and asyncio has a few threads for all of that."""
    loop, ends = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = loop.run_in_executor(None, ends.wait)
    try:
        packed = batch(7, [one(b"a")], codec=ZSTD)
        consumer = consumer_of(Client(packed))
        async with asyncio.timeout(5):
            assert (await consumer._fetcher._client.send(1, fetch())).topics[0][1][0][-1] == packed
            pieces = await fetched_batch(consumer, PLACE, 7)
        assert pieces is not None
        assert len(pieces.found) == 1
    finally:
        ends.set()
        await blocked


async def test_a_client_that_is_released_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    screening = ScreeningClient(Client(batch(7, [one(b"a")], codec=ZSTD)))
    await screening.send(1, fetch())
    made = set(threading.enumerate()) - before
    assert len(made) == 1
    screening.release()
    for thread in made:
        thread.join(5)
    assert not any(thread.is_alive() for thread in made)
