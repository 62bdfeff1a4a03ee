"""Changes of a topic while it is read: partitions are added, or it is deleted and made anew.

aiokafka reports neither to a consumer without a group. Such a consumer keeps to the partitions first assigned, and
reads a topic that was made anew from the former offset: the records of the new log below that are skipped without an
error. So every reader checks again here, every ten seconds. Metadata version 10 (Kafka 2.8 and later), which aiokafka
does not speak, returns the topic's id: a topic of the same name that was created later has another one. An older server
returns no id; there only a log that ends before the reader's position shows that the topic was made anew.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of
from headrace.broker.errors import HeadraceError, MissingTopic, RightsError, Unreachable

LOOK_EVERY_S: Final = 10.0
_LOOK_WITHIN_S: Final = 5.0
_UNKNOWN_TOPIC, _TOPIC_DENIED = 3, 29
_ID_BYTES = 16
_NO_ID = bytes(_ID_BYTES)

_log = logging.getLogger("headrace.kafka")


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


class _MetadataResponse10(Response):  # type: ignore[misc]  # same
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest10(RequestStruct):  # type: ignore[misc]  # same
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _IdRequest(Request[_MetadataRequest10]):  # type: ignore[misc]  # same
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})


@dataclass(frozen=True, slots=True)
class TopicNow:
    """State of a topic at this moment.

    Attributes:
        partitions: Ascending.
        topic_id: Distinguishes it from every other topic that ever had its name; None where the server does not report
            it.
    """

    partitions: tuple[int, ...]
    topic_id: str | None


async def topic_now(client: AIOKafkaClient, topic: str, connection: KafkaConnection) -> TopicNow:
    """Look up one topic, without creating it.

    Raises:
        MissingTopic: There is none of that name.
        RightsError: This user may not even describe it, or there is none.
        KafkaError, OSError: As aiokafka says.
    """
    try:
        answer = await client.send(client.get_random_node(), _IdRequest(topic))
    except (NotImplementedError, IncompatibleBrokerVersion):  # before it is sent: an older server, or one unknown
        asked = MetadataRequest([topic], allow_auto_topic_creation=False)
        answer = await client.send(client.get_random_node(), asked)
    [told] = answer.to_object()["topics"]
    return _told(told, connection)


def _told(told: Mapping[str, Any], connection: KafkaConnection) -> TopicNow:
    topic, code = str(told["topic"]), int(told["error_code"])
    if code == _TOPIC_DENIED:
        raise RightsError(
            f"Kafka shows {user_of(connection)} no topic {topic}: grant DESCRIBE on it, which READ and WRITE include "
            "(or it does not exist)."
        )
    numbers = tuple(sorted(int(partition["partition"]) for partition in told["partitions"]))
    if code == _UNKNOWN_TOPIC or (not code and not numbers):
        raise MissingTopic(topic)
    if code:
        raise for_code(code)(topic)
    known = told.get("topic_id", _NO_ID)
    return TopicNow(numbers, None if known == _NO_ID else base64.urlsafe_b64encode(known).decode().rstrip("="))


class TopicWatch:
    """Repeated check of one topic, by one consumer of it.

    Attributes:
        topic_id: Id of the topic being read; None before the first check, and where the server does not report it.
        made_anew: Number of times it was found to be another topic than before.
    """

    def __init__(self, topic: str, connection: KafkaConnection) -> None:
        """It asks at `first`."""
        self.topic_id: str | None = None
        self.made_anew = 0
        self._topic = topic
        self._connection = connection
        self._former: set[str] = set()
        self._looked_s = 0.0

    async def first(self, consumer: AIOKafkaConsumer) -> TopicNow:
        """Check now, whenever the last check was; for a consumer that has just started.

        Raises:
            Unreachable: A node that lags behind still shows a former topic of this name.
            MissingTopic, RightsError, KafkaError, OSError: As `topic_now`.
        """
        now = await topic_now(consumer._client, self._topic, self._connection)  # noqa: SLF001  # it has no public way
        if now.topic_id in self._former:
            raise Unreachable(f"A Kafka node does not know yet that the topic {self._topic} was recreated: try again.")
        self._looked_s = time.monotonic()
        return now

    def is_new(self, now: TopicNow) -> bool:
        """Whether that is another topic than the one being read."""
        return self.topic_id is not None and now.topic_id is not None and now.topic_id != self.topic_id

    def reads(self, now: TopicNow) -> None:
        """Note that this topic is read from now on."""
        if self.is_new(now):
            self.made_anew += 1
            self._former.add(self.topic_id or "")
            _log.warning("The topic %s was deleted and recreated: it is read from its beginning.", self._topic)
        self.topic_id = now.topic_id or self.topic_id

    async def again(self, consumer: AIOKafkaConsumer) -> TopicNow | None:
        """Check again if it is time; None if it is not, or if Kafka does not answer."""
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return None
        with suppress(KafkaError, OSError, TimeoutError, HeadraceError):  # also while the topic is being deleted
            async with asyncio.timeout(_LOOK_WITHIN_S):
                return await self.first(consumer)
        self._looked_s = time.monotonic() - LOOK_EVERY_S / 2
        return None


async def read_all(consumer: AIOKafkaConsumer, topic: str, now: TopicNow, *, anew: bool) -> dict[int, int]:
    """Make a consumer without a group read all of the topic's partitions; return the new ones' first offsets.

    A partition that was added since is read from its first record, because it holds nothing older than the reader. So
    is all of a topic that was made anew, where offsets of the former one mean nothing.
    """
    assigned = {place.partition for place in consumer.assignment()}
    added = [KafkaPartition(topic, number) for number in now.partitions if anew or number not in assigned]
    if not added:
        return {}
    kept = [] if anew else [KafkaPartition(topic, number) for number in sorted(assigned)]
    begin: dict[KafkaPartition, int] = await consumer.beginning_offsets(added)
    positions = {place: await consumer.position(place) for place in kept} | begin
    consumer.assign(list(positions))
    for place, offset in positions.items():  # no await in between: assign() has forgotten every position
        consumer.seek(place, offset)
    return {place.partition: offset for place, offset in begin.items()}
