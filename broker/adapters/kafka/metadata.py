"""Kafka's Metadata in two versions that aiokafka does not speak: 8 returns a user's rights, 10 a topic's id.

From version 9 on, the message is encoded compactly and every structure ends in tags.
"""

from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of
from headrace.broker.errors import RightsError

UNKNOWN_TOPIC, TOPIC_DENIED = 3, 29
_ID_BYTES = 16
NO_ID: Final = bytes(_ID_BYTES)
_TAGS: Final = ("tags", TaggedFields)
_OPTIONS: Final = (
    ("allow_auto_topic_creation", Boolean),
    ("include_cluster_authorized_operations", Boolean),
    ("include_topic_authorized_operations", Boolean),
)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)

    @classmethod
    def repr(cls, value: bytes) -> str:
        return value.hex()


def _answer(array: type[Array], text: String, *end: tuple[str, Any], topic_id: tuple[tuple[str, Any], ...]) -> Schema:
    """Return the fields of an answer, each structure of which closes with `end`."""
    return Schema(
        ("throttle_time_ms", Int32),
        ("brokers", array(("node_id", Int32), ("host", text), ("port", Int32), ("rack", text), *end)),
        ("cluster_id", text),
        ("controller_id", Int32),
        (
            "topics",
            array(
                ("error_code", Int16),
                ("topic", text),
                *topic_id,
                ("is_internal", Boolean),
                (
                    "partitions",
                    array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", array(Int32)),
                        ("isr", array(Int32)),
                        ("offline_replicas", array(Int32)),
                        *end,
                    ),
                ),
                ("authorized_operations", Int32),
                *end,
            ),
        ),
        ("cluster_authorized_operations", Int32),
        *end,
    )


class _Response8(Response):  # type: ignore[misc]  # same
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = _answer(Array, String("utf-8"), topic_id=())


class _Request8(RequestStruct):  # type: ignore[misc]  # same
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _Response8
    SCHEMA = Schema(("topics", Array(String("utf-8"))), *_OPTIONS)


class RightsRequest(Request[_Request8]):  # type: ignore[misc]  # same
    """Query what this user may do with each topic."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        """The topics exist, or are reported as unknown; asking creates none."""
        self._topics = topics

    def build(self, request_struct_class: Any) -> Any:
        """Return what is sent; aiokafka calls this."""
        return request_struct_class(self._topics, False, False, True)


class _Response10(Response):  # type: ignore[misc]  # same
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = _answer(CompactArray, CompactString("utf-8"), _TAGS, topic_id=(("topic_id", _Uuid),))


class _Request10(RequestStruct):  # type: ignore[misc]  # same
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _Response10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), _TAGS)), *_OPTIONS, _TAGS
    )


class IdRequest(Request[_Request10]):  # type: ignore[misc]  # same
    """Query the id of a topic."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        """Asking does not create it."""
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        """Return what is sent; aiokafka calls this."""
        return request_struct_class([(NO_ID, self._topic, {})], False, False, False, {})


async def topics_told(
    client: AIOKafkaClient, topics: list[str], asked: RightsRequest | IdRequest
) -> list[dict[str, Any]]:
    """Return the topics that the server describes; one that does not speak the version says nothing beyond aiokafka's.

    Before it sends, aiokafka raises one of two errors: for a version that it has no class for, or for no version at
    all.
    """
    try:
        return _topics_of(await client.send(client.get_random_node(), asked))
    except (NotImplementedError, IncompatibleBrokerVersion):  # nothing was sent: an older server
        return await topics_plainly_told(client, topics)


async def topics_plainly_told(client: AIOKafkaClient, topics: list[str]) -> list[dict[str, Any]]:
    """Return the topics as aiokafka's own Metadata describes them; this creates none."""
    asked = MetadataRequest(topics, allow_auto_topic_creation=False)
    return _topics_of(await client.send(client.get_random_node(), asked))


def _topics_of(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.to_object()["topics"]
    return found


def not_shown(topic: str, connection: KafkaConnection) -> RightsError:
    """Return the error for a topic that this user may not even describe."""
    return RightsError(
        f"Kafka shows {user_of(connection)} no topic {topic}: grant DESCRIBE on it, which READ and WRITE include "
        "(or it does not exist)."
    )
