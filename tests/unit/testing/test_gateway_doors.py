"""The gateway's doors to the Kafka in memory pass their contract."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from headrace.broker.client_ports import GatewayDoors
from headrace.broker.clock import WallClock
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from tests.contract.gateway_doors_contract import GatewayDoorsContract

TOPIC = "generation.results"


class MemoryWorld:
    """See `GatewayWorld`."""

    def __init__(self) -> None:
        self._clock = WallClock(asyncio.get_running_loop().time)
        self._kafka = MemoryKafka(self._clock.utc_ms)
        self._kafka.create(TOPIC, 3)
        self.topic = TOPIC
        self.doors: GatewayDoors = MemoryClientDoors(self._kafka, KafkaLink(self._kafka))

    async def publish(self, outcomes: Collection[Completed]) -> None:
        for each in outcomes:
            record = encode_outcome(each, time=datetime.now(UTC))
            self._kafka.append(
                TOPIC, record, partition=self._kafka.partition_for(TOPIC, record), at_ms=self._clock.utc_ms()
            )


class TestMemoryGatewayDoors(GatewayDoorsContract):
    @pytest.fixture
    async def world(self) -> MemoryWorld:
        return MemoryWorld()
