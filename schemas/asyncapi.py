"""The AsyncAPI document: which topic carries which message, for people and code generators in other languages.

AsyncAPI 3.0 with the Kafka bindings 0.5.0; payloads are the JSON Schemas in the same directory.
"""

from collections.abc import Mapping
from typing import Any

from headrace.schemas import headers as names
from headrace.schemas.topics import TopicSpec, topics

PREFIX = "generation"
LANES = ("urgent", "standard", "bulk")

_CARRIED = {
    "requests": ({"request": names.TYPE_REQUESTED}, "receive"),
    "control": ({"control": names.TYPE_CANCELLED}, "receive"),
    "results": ({"completed": names.TYPE_COMPLETED, "failed": names.TYPE_FAILED}, "send"),
    "failures": ({"retryable": names.TYPE_RETRYABLE}, "send"),
    "chunks": ({"chunk": names.TYPE_CHUNK}, "send"),
    "dead-letters": ({"dead-letter": names.TYPE_DEAD_LETTERED}, "send"),
    "totals": ({"total": ""}, "send"),
    "ledger": ({"ledger": ""}, "send"),
}
"""By kind of topic: its messages (JSON Schema, CloudEvents type) and what the dispatcher does with them."""


def asyncapi_document(prefix: str = PREFIX, lanes: tuple[str, ...] = LANES) -> dict[str, Any]:
    """Build the document for one prefix, as a JSON value."""
    specs = topics(prefix, lanes)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headrace",
            "version": "1",
            "description": "Generation requests in, outcomes out. Values are JSON; CloudEvents attributes are headers.",
        },
        "defaultContentType": "application/json",
        "channels": {_name(spec, prefix): _channel(spec, prefix) for spec in specs},
        "operations": {f"{_action(spec, prefix)}-{_name(spec, prefix)}": _operation(spec, prefix) for spec in specs},
        "components": {
            "messages": {
                schema: _message(schema, event_type)
                for carried, _ in _CARRIED.values()
                for schema, event_type in carried.items()
            }
        },
    }


def moved_channels(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each channel change that would leave readers or writers of the old document waiting in vain.

    These are removed channels, addresses, messages and directions. Topics' partitions, replicas and settings may
    change.
    """
    found = []
    for name, channel in old["channels"].items():
        now = new["channels"].get(name)
        if now is None:
            found.append(f"channel {name} was removed or renamed")
            continue
        if now["address"] != channel["address"]:
            found.append(f"channel {name} moved from {channel['address']} to {now['address']}")
        gone = sorted(set(channel["messages"]) - set(now["messages"]))
        found += [f"channel {name} carries no {message} any more" for message in gone]
    gone = sorted(set(old["operations"]) - set(new["operations"]))
    return found + [f"operation {name} was removed or reversed" for name in gone]


def _name(spec: TopicSpec, prefix: str) -> str:
    return spec.name.removeprefix(prefix + ".")


def _carried(spec: TopicSpec, prefix: str) -> tuple[dict[str, str], str]:
    return _CARRIED[_name(spec, prefix).split(".")[0]]


def _action(spec: TopicSpec, prefix: str) -> str:
    return _carried(spec, prefix)[1]


def _channel(spec: TopicSpec, prefix: str) -> dict[str, Any]:
    carried, _ = _carried(spec, prefix)
    return {
        "address": spec.name,
        "messages": {schema: {"$ref": f"#/components/messages/{schema}"} for schema in carried},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replication,
                "topicConfiguration": {
                    "cleanup.policy": spec.configs["cleanup.policy"].split(","),
                    "retention.ms": int(spec.configs["retention.ms"]),
                    "max.message.bytes": int(spec.configs["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(spec: TopicSpec, prefix: str) -> dict[str, Any]:
    return {"action": _action(spec, prefix), "channel": {"$ref": f"#/channels/{_name(spec, prefix)}"}}


def _message(schema: str, event_type: str) -> dict[str, Any]:
    message: dict[str, Any] = {"name": schema, "contentType": "application/json"}
    if schema == "dead-letter":
        return {
            **message,
            "summary": "Key, value and headers of the original; further headers say why it is here.",
        }
    message["payload"] = {"$ref": f"./{schema}.json"}
    if event_type:
        message["headers"] = {
            "type": "object",
            "properties": {names.CE_TYPE: {"const": event_type}, names.CE_SUBJECT: {"type": "string"}},
        }
    return message
