"""A request that was checked and written down, before it is sent. Nothing here is connected to anything."""

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from broker.errors import InvalidRequest
from schemas.bounded_json import Unreadable
from schemas.codec import Record, Undecodable, decode_request, encode_request
from schemas.ids import uuid7
from schemas.request import GenerationRequest
from schemas.request_codec import validated_request


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that was checked, and the lane it is for. Made by `submission`."""

    request: GenerationRequest
    lane: str
    record: Record


class Asked(TypedDict, total=False):
    """What `submit` and `generate` may be asked beside the body; see `schemas.request.GenerationRequest`."""

    endpoint: str
    tenant: str | None
    id: str | None
    deadline: datetime | None
    stream: bool
    template: str | None
    metadata: Mapping[str, Any] | None
    reply_to: str | None


def new_id() -> str:
    """A UUIDv7: ids of later requests sort behind earlier ones."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def submission(
    fields: Mapping[str, Any],
    *,
    lane: str,
    ordering_key: str | None = None,
    traceparent: str | None = None,
    source: str = "headrace.client",
) -> Submission:
    """Check a request and write it down; what passes here, the dispatcher reads.

    Args:
        fields: The request as JSON has it; without an `id` it gets a new one.
        lane: Such as `standard`.
        ordering_key: Requests of one key start in the order in which they were submitted.
        traceparent: W3C trace context, handed on.
        source: Who asks, for CloudEvents' `source`.

    Raises:
        InvalidRequest: One sentence that says what is wrong; it repeats nothing of the prompt.
    """
    given = {**fields, "id": new_id()} if fields.get("id") is None else fields
    try:
        request = validated_request(given)
        record = encode_request(
            request, source=source, time=datetime.now(UTC), ordering_key=ordering_key, traceparent=traceparent
        )
    except Unreadable as reason:
        raise InvalidRequest(str(reason)) from None
    except (ValueError, TypeError, RecursionError) as reason:
        raise InvalidRequest(f"The request cannot be written as JSON ({type(reason).__name__}).") from None
    read = decode_request(record.value, record.headers)
    if isinstance(read, Undecodable):
        raise InvalidRequest(read.message)
    return Submission(request, lane, record)


async def each(submissions: Iterable[Submission] | AsyncIterable[Submission]) -> AsyncIterator[Submission]:
    """The submissions, whichever way they come."""
    if isinstance(submissions, AsyncIterable):
        async for prepared in submissions:
            yield prepared
    else:
        for prepared in submissions:
            yield prepared
