"""State of producers' own reply topics: whether a copy of an outcome can be written there now.

aiokafka waits forever for a topic that was deleted, and a topic that refuses one record fails the whole transaction
(docs/facts/kafka.md). So the state of a reply topic is queried right before each transaction that would write to it,
over a connection that stays open: one exchange of Metadata version 8 reports whether the topic exists, whether we may
write to it, and whether enough of its replicas are in sync. The query creates nothing.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.admin import closed, made
from headrace.broker.adapters.kafka.connection import KafkaConnection, user_of
from headrace.broker.adapters.kafka.metadata import TOPIC_DENIED, UNKNOWN_TOPIC
from headrace.broker.adapters.kafka.rights import described, may_write
from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import ReplyTopic
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES, MESSAGE_BYTES_MAX

_WITHIN_S = 1.0
_CONFIGS_AGE_S = 30.0
_TROUBLE = (KafkaError, OSError, TimeoutError, ValueError)  # ValueError: no node is known


class KafkaReplyTopics:
    """A `ReplyTopics` on aiokafka. It connects at the first look."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._client: AIOKafkaAdminClient | None = None
        self._connecting = asyncio.Lock()
        self._configs: dict[str, tuple[float, int, int]] = {}

    async def look(self, topics: Sequence[str]) -> Mapping[str, ReplyTopic]:
        """See `headrace.broker.ports.ReplyTopics.look`."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                client = await self._connected()
                told = await described(client._client, list(topics))  # noqa: SLF001 — sending is not part of its public side
                there = [str(topic["topic"]) for topic in told if not topic["error_code"]]
                await self._ask_configs(client, there)
        except _TROUBLE as reason:
            await self.close()
            raise LogUnavailable("Kafka does not describe the reply topics.") from reason
        return {topic["topic"]: self._state(topic) for topic in told}

    async def _connected(self) -> AIOKafkaAdminClient:
        async with self._connecting:
            if self._client is None:
                client = made(self._connection, client_id="headrace-replies", request_ms=round(_WITHIN_S * 1_000))
                try:
                    await client.start()
                except BaseException:
                    await closed(client)
                    raise
                self._client = client
            return self._client

    async def _ask_configs(self, client: AIOKafkaAdminClient, topics: Sequence[str]) -> None:
        """Refresh topics' size limits and min.insync.replicas; where they may not be read, assume Kafka's defaults."""
        now_s = time.monotonic()
        old = [name for name in topics if now_s - self._configs.get(name, (-_CONFIGS_AGE_S, 0, 0))[0] >= _CONFIGS_AGE_S]
        if not old:
            return
        for response in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in old]):
            for code, _, _, name, entries in response.resources:
                found = {} if code else {entry[0]: entry[1] for entry in entries}
                bytes_max = int(found.get("max.message.bytes", MESSAGE_BYTES_MAX))
                self._configs[name] = (now_s, bytes_max, int(found.get("min.insync.replicas", 1)))

    def _state(self, topic: Mapping[str, Any]) -> ReplyTopic:
        _, bytes_max, in_sync_min = self._configs.get(topic["topic"], (0.0, MESSAGE_BYTES_MAX, 1))
        return ReplyTopic(max(0, bytes_max - BATCH_OVERHEAD_BYTES), self._trouble(topic, in_sync_min))

    def _trouble(self, topic: Mapping[str, Any], in_sync_min: int) -> str:
        if topic["error_code"] == UNKNOWN_TOPIC:
            return "does not exist"
        if topic["error_code"] == TOPIC_DENIED or not may_write(topic):
            return f"may not be written by {user_of(self._connection)}"
        if topic["error_code"] or any(partition["leader"] < 0 for partition in topic["partitions"]):
            return "has a partition without a leader"
        if any(len(partition["isr"]) < in_sync_min for partition in topic["partitions"]):
            return "has fewer replicas in sync than its min.insync.replicas"
        return ""

    async def close(self) -> None:
        """See `headrace.broker.ports.ReplyTopics.close`."""
        client, self._client = self._client, None
        if client is not None:
            await closed(client)
