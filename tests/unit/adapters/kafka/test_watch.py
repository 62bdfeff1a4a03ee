"""A topic is looked at in a way that names its id, and another id means another topic."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from headrace.broker.adapters.kafka import watch as kafka_watch
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.watch import TopicNow, TopicWatch, topic_now
from headrace.broker.errors import MissingTopic, RightsError, Unreachable

CONNECTION = KafkaConnection("kafka:9092")


class Client:
    """Answers Metadata with one topic; `topic_id` None: a server of before topics had ids."""

    def __init__(self, *partitions: int, code: int = 0, topic_id: bytes | None = b"\1" * 16) -> None:
        self.partitions, self.code, self.topic_id = partitions, code, topic_id
        self.asked: list[Any] = []

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        self.asked.append(request)
        if self.topic_id is None and type(request).__name__ == "IdRequest":
            raise IncompatibleBrokerVersion("too old")
        told: dict[str, Any] = {"topic": "t", "error_code": self.code}
        told["partitions"] = [{"partition": number} for number in self.partitions]
        if self.topic_id is not None:
            told["topic_id"] = self.topic_id
        return SimpleNamespace(to_object=lambda: {"topics": [told]})


def consumer(client: Client) -> Any:
    return SimpleNamespace(_client=client)


async def test_a_topic_is_told_with_its_id() -> None:
    assert await topic_now(Client(2, 0, 1), "t", CONNECTION) == TopicNow((0, 1, 2), "AQEBAQEBAQEBAQEBAQEBAQ")


async def test_an_older_server_tells_the_partitions_and_is_not_asked_to_create_the_topic() -> None:
    client = Client(0, topic_id=None)
    assert await topic_now(client, "t", CONNECTION) == TopicNow((0,), None)
    assert client.asked[1]._allow_auto_topic_creation is False


@pytest.mark.parametrize(
    ("client", "error"),
    [
        (Client(code=3), MissingTopic),
        (Client(), MissingTopic),
        (Client(0, code=29), RightsError),
        (Client(0, code=5), KafkaError),
    ],
)
async def test_what_is_no_topic_says_why(client: Client, error: type[Exception]) -> None:
    with pytest.raises(error):
        await topic_now(client, "t", CONNECTION)


async def test_another_id_is_another_topic_and_a_node_that_lags_behind_is_not_believed() -> None:
    watch, client = TopicWatch("t", CONNECTION), Client(0)
    first = await watch.first(consumer(client))
    assert not watch.is_new(first)
    watch.reads(first)
    client.topic_id = b"\2" * 16
    second = await watch.first(consumer(client))
    assert watch.is_new(second)
    watch.reads(second)
    assert (watch.made_anew, watch.topic_id, watch.is_new(second)) == (1, second.topic_id, False)
    client.topic_id = b"\1" * 16
    with pytest.raises(Unreachable, match="does not know yet"):
        await watch.first(consumer(client))


async def test_a_server_without_ids_is_never_said_to_have_made_a_topic_anew() -> None:
    watch, client = TopicWatch("t", CONNECTION), Client(0, topic_id=None)
    watch.reads(await watch.first(consumer(client)))
    assert not watch.is_new(await watch.first(consumer(client)))
    assert watch.topic_id is None


async def test_it_is_looked_again_only_when_it_is_time_and_no_error_ends_the_reader() -> None:
    watch, client = TopicWatch("t", CONNECTION), Client(0)
    watch.reads(await watch.first(consumer(client)))
    assert await watch.again(consumer(client)) is None
    assert len(client.asked) == 1
    watch._looked_s -= kafka_watch.LOOK_EVERY_S
    client.code = 3  # deleted, and not made anew yet
    assert await watch.again(consumer(client)) is None
    watch._looked_s -= kafka_watch.LOOK_EVERY_S / 2  # then it looks again sooner
    client.code, client.partitions = 0, (0, 1)
    now = await watch.again(consumer(client))
    assert now is not None
    assert now.partitions == (0, 1)
