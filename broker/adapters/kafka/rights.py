"""Kafka rights of this user, checked before they are needed.

A consumer without the right to read a topic gets no error, only silence, and a topic that may not be described looks as
if it did not exist (docs/facts/kafka.md §6). So rights are queried: those of topics by Metadata version 8, which
aiokafka does not speak and which lists every allowed operation; those of a transactional id and a group by adding
offsets to a transaction of a producer that cannot exist, and that of a group alone by a heartbeat. Kafka checks the
rights first and only then refuses the producer: nothing changes, and no producer is fenced.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest

from headrace.broker.adapters.kafka.admin import admin_client
from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.metadata import (
    TOPIC_DENIED,
    UNKNOWN_TOPIC,
    RightsRequest,
    not_shown,
    topics_plainly_told,
    topics_told,
)
from headrace.broker.errors import HeadraceError, MissingTopic

_REQUEST_MS = 5_000
_NO_SUCH_PRODUCER = -1
_GROUP_DENIED, _TRANSACTIONAL_ID_DENIED = 30, 53
_OPERATIONS = {3: "READ", 4: "WRITE", 8: "DESCRIBE", 10: "DESCRIBE_CONFIGS"}
"""Kafka's numbers of operations; each is a bit of Metadata's answer."""
_NOT_TOLD = -(2**31)


@dataclass(frozen=True, slots=True)
class Seen:
    """Topics as this user sees them.

    Attributes:
        allowed: By topic that exists and may be described: READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS; None if this server
            does not report them.
        missing: Names without a topic.
        hidden: Topics, or names without one, that this user may not even describe.
    """

    allowed: Mapping[str, frozenset[str] | None]
    missing: tuple[str, ...]
    hidden: tuple[str, ...]


async def seen(connection: KafkaConnection, topics: Iterable[str]) -> Seen:
    """Look up what this user may do with each topic. This creates nothing, even where topics are auto-created.

    Raises:
        Unreachable, AuthenticationError: As `connection.explain_unreachable`.
    """
    async with kafka_errors_explained(connection), _admin(connection) as admin:
        answer = await _rights(admin._client, list(topics))  # noqa: SLF001  # sending is not part of its public side
    return Seen(
        {name: _operations(bits) for name, (code, bits) in answer.items() if code not in (UNKNOWN_TOPIC, TOPIC_DENIED)},
        tuple(name for name, (code, _) in answer.items() if code == UNKNOWN_TOPIC),
        tuple(name for name, (code, _) in answer.items() if code == TOPIC_DENIED),
    )


async def _rights(client: AIOKafkaClient, topics: list[str]) -> dict[str, tuple[int, int]]:
    """Return the error code and the bits of allowed operations of each topic."""
    found = await described(client, topics)
    return {topic["topic"]: (topic["error_code"], topic["authorized_operations"]) for topic in found}


async def described(client: AIOKafkaClient, topics: list[str]) -> list[dict[str, Any]]:
    """Describe each topic by Metadata version 8; a server that does not speak it reports no rights."""
    found = await topics_told(client, topics, RightsRequest(topics))
    return [{"authorized_operations": _NOT_TOLD, **topic} for topic in found]


def may_write(topic: Mapping[str, Any]) -> bool:
    """Whether this user may write to a topic described so, as far as the server reports it."""
    allowed = _operations(topic["authorized_operations"])
    return allowed is None or "WRITE" in allowed


def _operations(bits: int) -> frozenset[str] | None:
    if bits == _NOT_TOLD:
        return None
    return frozenset(name for number, name in _OPERATIONS.items() if bits >> number & 1)


async def denied_transactions(connection: KafkaConnection, transactional_id: str, group: str) -> list[str]:
    """List the rights that are missing to commit offsets of `group` under `transactional_id`, such as `WRITE on …`."""
    asked = AddOffsetsToTxnRequest(transactional_id, _NO_SUCH_PRODUCER, _NO_SUCH_PRODUCER, group)
    async with kafka_errors_explained(connection), _admin(connection) as admin:
        code = (await admin._send_request(asked)).error_code  # noqa: SLF001  # as above
    missing = []
    if code == _TRANSACTIONAL_ID_DENIED:
        missing.append(f"WRITE on the transactional id {transactional_id}")
    if code == _GROUP_DENIED:
        missing.append(f"READ on the group {group}")
    return missing


async def denied_group(connection: KafkaConnection, group: str) -> list[str]:
    """List the right that is missing to be a member of a group, as `READ on …`.

    A heartbeat of a member that cannot exist: Kafka checks the right first and then refuses the member.
    """
    asked = HeartbeatRequest(group, _NO_SUCH_PRODUCER, "")
    async with kafka_errors_explained(connection), _admin(connection) as admin:
        code = (await admin._send_request(asked)).error_code  # noqa: SLF001  # as above
    return [f"READ on the group {group}"] if code == _GROUP_DENIED else []


async def why_unseen(
    client: AIOKafkaClient, topic: str, connection: KafkaConnection, *, beside: Iterable[str] = ()
) -> HeadraceError:
    """Explain why Kafka does not show a topic to a connected client: it does not exist, or it is hidden.

    `beside` are the topics that it does show; the error names the one likely meant.
    """
    if any(found["error_code"] == TOPIC_DENIED for found in await topics_plainly_told(client, [topic])):
        return not_shown(topic, connection)
    return MissingTopic(topic, beside=beside)


def _admin(connection: KafkaConnection) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
    return admin_client(connection, client_id="headrace-rights", request_ms=_REQUEST_MS)
