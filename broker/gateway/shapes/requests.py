"""Stand-in until the real one is merged."""

from dataclasses import dataclass
from typing import Any

from headrace.broker.gateway.shapes.stream import StreamShape


@dataclass(frozen=True)
class LaneBody:
    body: dict[str, Any]
    stream: bool = False


def read_body(endpoint: str, sent: dict[str, Any]) -> LaneBody:
    return LaneBody({k: v for k, v in sent.items() if k != "stream"}, bool(sent.get("stream")))


def stream_shape(endpoint: str, wanted: LaneBody, given: str) -> StreamShape | None:
    return None
