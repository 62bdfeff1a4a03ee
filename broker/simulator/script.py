"""Scripted answers of a test to chosen calls, and their overlay on the usual reply."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.broker.simulator.accounting import IdCount
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.streams import Break


@dataclass(frozen=True, slots=True)
class Scripted:
    """A scripted answer to a chosen call.

    With a `status` the call is answered `delay_s` later with `body` (an object, or text such as an HTML page) and takes
    nothing from the buckets unless `charged`. Without one it is handled as usual, with `headers` added and `delay_s`,
    if given, as its latency. `dropped` cuts the connection after the delay instead of answering; `broken` says where a
    stream, if the answer is one, stops short. While `held` is not set nothing is answered, though the delay is over.
    """

    status: int | None = None
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float | None = None
    charged: bool = False
    dropped: bool = False
    broken: Break | None = None
    held: asyncio.Event | None = None


Script = Callable[[int, Mapping[str, Any]], Scripted | None]


def scripted_reply(scripted: Scripted, count: IdCount) -> Reply:
    """Build the reply of a script that names a status."""
    return Reply(
        scripted.status or 200,
        scripted.body,
        scripted.headers,
        scripted.delay_s or 0.0,
        count,
        scripted.dropped,
        held=scripted.held,
    )


def overlaid(reply: Reply, scripted: Scripted) -> Reply:
    """Apply the script to a usual reply; a refusal by the limiter stays one."""
    if scripted.status is not None and reply.status == 200 and reply.count is not None:
        return scripted_reply(replace(scripted, headers={**reply.headers, **scripted.headers}), reply.count)
    stream = reply.stream
    if stream is not None and scripted.broken is not None:
        stream = replace(stream, broken=scripted.broken)
    return replace(
        reply,
        headers={**reply.headers, **scripted.headers},
        delay_s=reply.delay_s if scripted.delay_s is None else scripted.delay_s,
        dropped=scripted.dropped,
        stream=stream,
        held=scripted.held,
    )
