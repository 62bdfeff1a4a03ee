"""Each way in which a reply topic cannot be written is told, by what Metadata says of it."""

from typing import Any

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.reply_topics import KafkaReplyTopics
from headrace.schemas.topics import MESSAGE_BYTES_MAX

WRITE, READ = 1 << 4, 1 << 3
NOT_TOLD = -(2**31)


def described(code: int = 0, bits: int = WRITE, **partition: Any) -> dict[str, Any]:
    healthy = {"leader": 1, "isr": [1, 2]}
    return {
        "topic": "acme.answers",
        "error_code": code,
        "authorized_operations": bits,
        "partitions": [healthy, healthy | partition],
    }


@pytest.mark.parametrize(
    ("topic", "trouble"),
    [
        (described(), ""),
        (described(bits=NOT_TOLD), ""),
        (described(isr=[2]), ""),
        (described(3, 0), "does not exist"),
        (described(29, NOT_TOLD), "may not be written by user ANONYMOUS"),
        (described(bits=READ), "may not be written by user ANONYMOUS"),
        (described(leader=-1), "has a partition without a leader"),
        (described(5), "has a partition without a leader"),
    ],
)
def test_what_is_wrong_with_a_topic_is_told(topic: dict[str, Any], trouble: str) -> None:
    state = KafkaReplyTopics(KafkaConnection("kafka:9092"))._state(topic)
    assert (state.trouble, state.bytes_max) == (trouble, MESSAGE_BYTES_MAX - 1_024)


def test_too_few_replicas_in_sync_are_a_trouble_where_the_topic_wants_more() -> None:
    door = KafkaReplyTopics(KafkaConnection("kafka:9092"))
    door._configs["acme.answers"] = (0.0, 10_000, 2)
    assert door._state(described()).trouble == ""
    state = door._state(described(isr=[2]))
    assert (state.trouble, state.bytes_max) == ("has fewer replicas in sync than its min.insync.replicas", 8_976)
