"""What the simulated OpenAI says to one call: a status with a body, or a stream."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.simulator import wording
from broker.simulator.books import IdCount
from broker.simulator.streams import Stream


@dataclass(frozen=True, slots=True)
class Reply:
    """What to write, and how long after the arrival. `count` is the book entry of the call's id, once it is known.

    With a `stream`, `body` is the whole answer, `delay_s` is when the stream ends, and it is told from the start.
    """

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    count: IdCount | None = None
    dropped: bool = False
    stream: Stream | None = None


def reply_headers(reply: Reply, elapsed_s: float) -> dict[str, str]:
    """All headers of a reply but those that HTTP itself needs."""
    return {
        "x-request-id": f"req_{uuid.uuid4().hex}",
        "openai-version": "2020-10-01",
        "openai-organization": wording.ORGANIZATION,
        "openai-processing-ms": str(round(elapsed_s * 1_000)),
        **reply.headers,
    }
