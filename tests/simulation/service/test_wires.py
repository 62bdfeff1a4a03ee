"""What a network does to the doubles leaves them what they are: the contract suites hold across it."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryTransactions
from headrace.broker.testing.lease import MemoryLeaseStore
from tests.contract.coordinators_contract import CoordinatorsContract
from tests.contract.kafka_world import KafkaWorld
from tests.contract.lane_log_contract import LaneLogContract
from tests.contract.lease_contract import TTL_MS, LeaseContract, LeaseWorld
from tests.contract.ledger_log_contract import LedgerLogContract
from tests.contract.offset_store_contract import OffsetStoreContract
from tests.contract.transaction_log_contract import TransactionLogContract
from tests.simulation.service.loops import Conductor
from tests.simulation.service.scenario import Faults
from tests.simulation.service.wires import Lease, Link, Transactions, Wires
from tests.unit.testing.worlds import MemoryWorld
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class _OneLoop(Conductor):
    """The world's time is the running loop's."""

    def after(self, delay_s: float, event: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(delay_s, event)


def _wires() -> Wires:
    made = Wires(_OneLoop(Random(1)), Faults(slow=0.2), Random(2))
    made.faults = Faults(slow=0.2, lease_lost=0.0, commit_lost=0.0, commit_unknown=0.0)
    return made


class _FarKafka(MemoryWorld):
    """The cluster at the other end of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.wires = _wires()
        self.link: KafkaLink = Link(self.kafka, self.wires)

    def producer(self) -> MemoryTransactions:
        return Transactions(self.link, self.wires, transactional_id="t.dispatcher")


class TestTransactions(TransactionLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return _FarKafka()


class TestOffsets(OffsetStoreContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return _FarKafka()


class TestLanes(LaneLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return _FarKafka()


class TestLedger(LedgerLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return _FarKafka()


class TestCoordinators(CoordinatorsContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return _FarKafka()


class _FarRedis:
    def __init__(self) -> None:
        self.now_ms = 1_000
        self.store = MemoryLeaseStore(lambda: self.now_ms)
        self.wires = Wires(_OneLoop(Random(1)), Faults(slow=0.0, lease_lost=0.0), Random(2))

    def lease(self, token: str) -> Lease:
        return Lease(self.store, "headrace:lease", self.wires, ttl_ms=TTL_MS, token=token)

    async def expire(self) -> None:
        self.now_ms += TTL_MS

    async def persist(self) -> None:
        entry = self.store.get("headrace:lease")
        assert entry is not None
        self.store.set("headrace:lease", entry[0])

    async def prolong(self, life_ms: int) -> None:
        entry = self.store.get("headrace:lease")
        assert entry is not None
        self.store.set("headrace:lease", entry[0], px=life_ms)


class TestLease(LeaseContract):
    @pytest.fixture
    async def world(self) -> LeaseWorld:
        return _FarRedis()
