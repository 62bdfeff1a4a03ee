"""The real doors to Kafka, held to the contracts that their doubles pass too."""

import pytest

from broker.adapters.kafka_connection import KafkaConnection
from broker.local.services import LocalServices
from tests.contract.kafka_world import KafkaWorld
from tests.contract.lane_log_contract import LaneLogContract
from tests.contract.ledger_log_contract import LedgerLogContract
from tests.contract.offset_store_contract import OffsetStoreContract
from tests.contract.transaction_log_contract import TransactionLogContract
from tests.integration.kafka_world import real_world


@pytest.fixture
async def real(services: LocalServices) -> KafkaWorld:
    return await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "doors")


class TestKafkaTransactions(TransactionLogContract):
    @pytest.fixture
    async def world(self, real: KafkaWorld) -> KafkaWorld:
        return real


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
