"""The real doors to Kafka, held to the contracts that their doubles pass too."""

import asyncio
import gc
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import uuid4

import pytest

from headrace.broker.adapters.kafka.chunks import KafkaChunks
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.reply_topics import KafkaReplyTopics
from headrace.broker.adapters.kafka.results import KafkaResults
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicShape, TopicSpec, chunks_topic, topics
from tests.contract.chunk_log_contract import ChunkLogContract, ChunkWorld
from tests.contract.chunk_reader_contract import ChunkReaderContract, ChunkTopic
from tests.contract.coordinators_contract import CoordinatorsContract
from tests.contract.kafka_world import KafkaWorld, outgoing
from tests.contract.lane_log_contract import LaneLogContract
from tests.contract.ledger_log_contract import LedgerLogContract
from tests.contract.offset_store_contract import OffsetStoreContract
from tests.contract.reply_topics_contract import ReplyTopicsContract, ReplyTopicsWorld
from tests.contract.totals_log_contract import TotalsLogContract
from tests.contract.transaction_log_contract import TransactionLogContract
from tests.integration.kafka_world import producing, real_world
from tests.integration.real_topics import delete_topic


@pytest.fixture
async def real(services: LocalServices) -> KafkaWorld:
    return await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "doors")


class TestKafkaTransactions(TransactionLogContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real

    @pytest.mark.timed
    async def test_given_up_over_a_topic_that_is_gone_it_is_closed_at_once(
        self, real: KafkaWorld, services: LocalServices
    ) -> None:
        gone, connection = f"doors-gone-{uuid4().hex[:8]}", KafkaConnection(services.endpoints.bootstrap_servers)
        await create_missing(connection, [TopicSpec(gone, 1, 1, {})])
        first, second = real.producer(), real.producer()
        await first.open()
        await first.transact([*outgoing(gone, "kept"), *outgoing(real.results_topic, "kept")], {})
        await delete_topic(connection, gone)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await first.transact([*outgoing(gone, "never"), *outgoing(real.results_topic, "never")], {})
        begun_s = asyncio.get_running_loop().time()
        await first.close()
        took_s = asyncio.get_running_loop().time() - begun_s
        print(f"closed after {took_s:.3f} s")
        await second.open()
        await second.transact(outgoing(real.results_topic, "second"), {})
        assert [record.value for record in await real.results()] == [b"kept", b"second"]
        await second.close()
        assert took_s < 1


class TestKafkaOffsets(OffsetStoreContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


class TestKafkaLane(LaneLogContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


class TestKafkaLedger(LedgerLogContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


class TestKafkaTotals(TotalsLogContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


class TestKafkaCoordinators(CoordinatorsContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


class Door(Protocol):
    async def close(self) -> None: ...


async def open_lane(world: KafkaWorld) -> tuple[Door, Awaitable[object]]:
    lane = world.lane()
    return lane, lane.partitions()


async def open_ledger(world: KafkaWorld) -> tuple[Door, Awaitable[object]]:
    ledger = world.ledger()
    return ledger, ledger.open(0)


async def open_coordinators(world: KafkaWorld) -> tuple[Door, Awaitable[object]]:
    coordinators = world.coordinators()
    return coordinators, coordinators.check()


@pytest.mark.parametrize("opening", [open_lane, open_ledger, open_coordinators])
async def test_whoever_is_cancelled_while_a_door_opens_leaves_nothing_open(
    real: KafkaWorld, opening: Callable[[KafkaWorld], Awaitable[tuple[Door, Awaitable[object]]]]
) -> None:
    """As a retrier that wakes and finds that another leads; at whichever of a start's waits that happens."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context["message"]))
    cancelled = 0
    for after_ms in range(30):
        door, opened = await opening(real)
        task = asyncio.ensure_future(opened)
        await asyncio.sleep(after_ms / 1_000)
        cancelled += task.cancel()
        await asyncio.wait({task})
        await door.close()
        del door, opened, task
    gc.collect()
    assert said == []
    assert cancelled > 1


class RealChunks:
    """The results topic in place of that of chunks: it is read already."""

    def __init__(self, real: KafkaWorld, connection: KafkaConnection) -> None:
        self._real = real
        self._connection = connection

    def chunks(self) -> KafkaChunks:
        return KafkaChunks(self._connection, topic=self._real.results_topic)

    def away(self) -> KafkaChunks:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return KafkaChunks(KafkaConnection(f"127.0.0.1:{taken.getsockname()[1]}"), topic="chunks")

    async def values(self, count: int) -> dict[bytes | None, list[bytes | None]]:
        by_key: defaultdict[bytes | None, list[bytes | None]] = defaultdict(list)
        reader = KafkaResults(self._connection, topic=self._real.results_topic, group=None, start="earliest")
        await reader.open()
        async with asyncio.timeout(20):
            while count:
                if (arrived := await reader.next(timeout_ms=200)) is not None:
                    by_key[arrived.record.key].append(arrived.record.value)
                    count -= 1
        await reader.close()
        return by_key


class TestKafkaChunks(ChunkLogContract):
    @pytest.fixture
    async def chunk_world(self, real: KafkaWorld, services: LocalServices) -> ChunkWorld:
        return RealChunks(real, KafkaConnection(services.endpoints.bootstrap_servers))


class RealReplyWorld:
    def __init__(self, connection: KafkaConnection) -> None:
        self.prefix = f"replies-{uuid4().hex[:8]}"
        self._connection = connection

    def door(self) -> KafkaReplyTopics:
        return KafkaReplyTopics(self._connection)

    def away(self) -> KafkaReplyTopics:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return KafkaReplyTopics(KafkaConnection(f"127.0.0.1:{taken.getsockname()[1]}"))

    async def create(self, topic: str, bytes_max: int) -> None:
        await create_missing(self._connection, [TopicSpec(topic, 2, 1, {"max.message.bytes": str(bytes_max)})])

    async def delete(self, topic: str) -> None:
        await delete_topic(self._connection, topic)


class TestKafkaReplyTopics(ReplyTopicsContract):
    @pytest.fixture
    async def reply_world(self, services: LocalServices) -> ReplyTopicsWorld:
        return RealReplyWorld(KafkaConnection(services.endpoints.bootstrap_servers))


class RealChunkTopic:
    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self.connection, self.prefix = connection, prefix

    async def write(self, *records: Record) -> None:
        async with producing(self.connection) as producer:
            for record in records:
                await producer.send_and_wait(
                    f"{self.prefix}.chunks", record.value or b"", key=record.key, headers=list(record.headers)
                )


class TestRealChunkReader(ChunkReaderContract):
    @pytest.fixture
    async def topic(self, services: LocalServices) -> ChunkTopic:
        connection, prefix = KafkaConnection(services.endpoints.bootstrap_servers), f"chunks-{uuid4().hex[:8]}"
        specs = topics(prefix, ("standard",), {"chunks": TopicShape(partitions=3)}, nodes=1)
        await create_missing(connection, [spec for spec in specs if spec.name == chunks_topic(prefix)])
        return RealChunkTopic(connection, prefix)
