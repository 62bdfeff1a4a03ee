"""Topics that change under open clients and readers, on a real Kafka."""

import pytest

from headrace.broker.local.services import LocalServices
from tests.contract.changing_topics_contract import PARTITIONS, ChangingTopics, ChangingTopicsContract
from tests.integration.real_topics import topics_of


class TestRealTopics(ChangingTopicsContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> ChangingTopics:
        return await topics_of(services, PARTITIONS)
