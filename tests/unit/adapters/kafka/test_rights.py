"""What a server answers about rights is read as it is meant, also by servers that do not tell."""

from types import SimpleNamespace
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.rights import _operations, _rights, why_unseen
from headrace.broker.errors import MissingTopic, RightsError

NOT_TOLD = -(2**31)


class Client:
    """Answers Metadata; `speaks_rights`: whether it knows the version that tells of them."""

    def __init__(self, *topics: tuple[str, int, int], speaks_rights: bool = True) -> None:
        self._topics = topics
        self._speaks_rights = speaks_rights
        self.asked: list[str] = []

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        self.asked.append(type(request).__name__)
        if not self._speaks_rights and type(request).__name__ == "RightsRequest":
            raise IncompatibleBrokerVersion("too old")
        found: list[dict[str, Any]] = [
            {"topic": name, "error_code": code} | ({"authorized_operations": bits} if self._speaks_rights else {})
            for name, code, bits in self._topics
        ]
        return SimpleNamespace(to_object=lambda: {"topics": found})


def test_each_allowed_operation_is_a_bit() -> None:
    assert _operations(0b1_1111_1000) == frozenset({"READ", "WRITE", "DESCRIBE"})
    assert _operations(1 << 10) == frozenset({"DESCRIBE_CONFIGS"})
    assert _operations(0) == frozenset()
    assert _operations(NOT_TOLD) is None


async def test_rights_are_read_of_a_server_that_tells_them() -> None:
    client = Client(("a", 0, 1 << 3), ("b", 29, 0))
    assert await _rights(client, ["a", "b"]) == {"a": (0, 8), "b": (29, 0)}


async def test_a_server_that_does_not_tell_rights_still_tells_what_is_there() -> None:
    client = Client(("a", 0, 0), ("b", 3, 0), speaks_rights=False)
    assert await _rights(client, ["a", "b"]) == {"a": (0, NOT_TOLD), "b": (3, NOT_TOLD)}
    assert client.asked == ["RightsRequest", "MetadataRequest"]


async def test_a_hidden_topic_is_told_from_a_missing_one() -> None:
    crm = KafkaConnection("kafka:9093", "SASL_SSL", "PLAIN", "crm", "hush")
    hidden = await why_unseen(Client(("t", 29, 0)), "t", crm)
    assert isinstance(hidden, RightsError)
    assert "shows user crm no topic t: grant DESCRIBE" in str(hidden)
    assert isinstance(await why_unseen(Client(("t", 3, 0)), "t", crm), MissingTopic)


async def test_nothing_is_created_by_asking() -> None:
    class Watching(Client):
        async def send(self, node: int, request: Any) -> Any:
            fields = request.build(Fields)
            assert fields.sent[:2] == (["t"], False)
            return await super().send(node, request)

    class Fields:
        API_VERSION = 4

        def __init__(self, *sent: Any) -> None:
            self.sent = sent

    watching = Watching(("t", 3, 0))
    await _rights(watching, ["t"])
    await why_unseen(watching, "t", KafkaConnection("kafka:9092"))
    await _rights(Watching(("t", 3, 0), speaks_rights=False), ["t"])
    assert watching.asked == ["RightsRequest", "MetadataRequest"]
