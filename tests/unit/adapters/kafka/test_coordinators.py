"""What aiokafka says while it looks up coordinators, and what is made of it."""

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.coordinators import KafkaCoordinators
from headrace.broker.errors import LogUnavailable
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class Client:
    """One that knows no node for the first so many questions, as after an answer that names none."""

    def __init__(self, nodeless: int) -> None:
        self.nodeless = nodeless
        self.asked = 0

    async def bootstrap(self) -> None:
        """It has connected."""

    async def close(self) -> None:
        """It has nothing to close."""

    async def coordinator_lookup(self, *_: object) -> int:
        """As aiokafka's."""
        self.asked += 1
        assert self.asked > self.nodeless, "Did we not perform bootstrap?"
        return 1

    async def send(self, *_: object, **__: object) -> object:
        """Each node answers well."""
        return object()


def coordinators(client: Client, monkeypatch: pytest.MonkeyPatch) -> KafkaCoordinators:
    monkeypatch.setattr("headrace.broker.adapters.kafka.coordinators.AIOKafkaClient", lambda **_: client)
    return KafkaCoordinators(KafkaConnection("127.0.0.1:1"), transactional_id="generation.dispatcher")


async def test_a_kafka_that_tells_of_no_node_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(nodeless=3)
    asking = coordinators(client, monkeypatch)
    await asking.check()
    assert client.asked == 5
    await asking.close()


async def test_a_kafka_that_tells_of_no_node_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = coordinators(Client(nodeless=1_000), monkeypatch)
    with pytest.raises(LogUnavailable, match="do not answer: it names no node"):
        await asking.check()
    await asking.close()
