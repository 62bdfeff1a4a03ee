"""Reply of the simulated OpenAI to one call: a status with a body, or a stream."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import IdCount, Page
from headrace.broker.simulator.streams import AnswerStream

REQUEST_ID: Final = "x-request-id"


@dataclass(slots=True)  # one for each of a million planned calls: freezing costs as much as the rest of it
class Reply:
    """A reply, and its delay after the arrival. `count` is the book entry of the call's id, once it is known.

    With a `stream`, `body` is the whole answer, `delay_s` is when the stream ends, and it is sent from the start.
    `late_headers`, if given, is called when the answer is sent and takes precedence: it includes settlements until
    then. `page` counts its usage, once it is written out whole, and a bill is kept for the request id and endpoint in
    `billed_to`. None of it is sent before `held` is set.
    """

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    count: IdCount | None = None
    dropped: bool = False
    stream: AnswerStream | None = None
    late_headers: Callable[[int], Mapping[str, str]] | None = None
    page: Page | None = None
    held: asyncio.Event | None = None
    billed_to: tuple[str, str] | None = None


def reply_headers(reply: Reply, arrived_s: float, now_s: float) -> dict[str, str]:
    """Return all headers of a reply but those that HTTP itself needs."""
    late = {} if reply.late_headers is None else reply.late_headers(int(now_s * 1_000_000))
    return {
        REQUEST_ID: f"req_{uuid.uuid4().hex}",
        "openai-version": "2020-10-01",
        "openai-organization": wording.ORGANIZATION,
        "openai-processing-ms": str(round((now_s - arrived_s) * 1_000)),
        **reply.headers,
        **late,
    }
