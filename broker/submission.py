"""Submission: a request that was checked and encoded before it is sent. Nothing here is connected to anything."""

import json
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from headrace.broker.errors import InvalidRequest
from headrace.schemas.bounded_json import Unreadable
from headrace.schemas.expectation import Expectation
from headrace.schemas.ids import request_digest, uuid7
from headrace.schemas.instants import to_wire
from headrace.schemas.nearest import listed, nearest, shown
from headrace.schemas.record import Record
from headrace.schemas.refusals import refusal_of
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import Undecodable, decode_request, encode_request, validated_request

_NO_JSON = (
    "The request cannot be written as JSON: it holds NaN, half of a surrogate pair, itself, or an object that JSON "
    "does not have, such as a set."
)
_OF_THE_BODY = frozenset(
    {
        "background", "dimensions", "encoding_format", "frequency_penalty", "input", "instructions", "logprobs",
        "max_completion_tokens", "max_output_tokens", "max_tokens", "messages", "model", "n", "parallel_tool_calls",
        "presence_penalty", "reasoning", "reasoning_effort", "response_format", "seed", "service_tier", "stop", "store",
        "stream_options", "temperature", "text", "tool_choice", "tools", "top_p", "user",
    }
)  # fmt: skip
"""Parameters of OpenAI's that belong into the body; beside it they would be carried and ignored."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that was checked, and the lane it is for. Made by `submission`."""

    request: GenerationRequest
    lane: str
    record: Record

    @property
    def expectation(self) -> Expectation:
        """What its outcome must say; this distinguishes it from the outcome of another request with the same id."""
        body = json.loads(self.record.value or b"{}")["body"]  # as the dispatcher reads it: a tuple is a list there
        digest = request_digest(self.request.endpoint, body)
        return Expectation(self.request.id, self.request.tenant, self.request.endpoint, digest)


class Envelope(TypedDict, total=False):
    """Options of `submit` and `generate` beside the body; see `headrace.schemas.request.GenerationRequest`.

    A `deadline` may also be a timedelta, counted from the moment at which the request is checked.
    """

    endpoint: str
    tenant: str | None
    id: str | None
    deadline: datetime | timedelta | None
    stream: bool
    template: str | None
    metadata: Mapping[str, Any] | None
    reply_to: str | None


def new_id() -> str:
    """Return a UUIDv7: ids of later requests sort behind earlier ones."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def submission(  # noqa: PLR0913  # keywords, each with a default
    fields: Mapping[str, Any],
    *,
    lane: str,
    ordering_key: str | None = None,
    traceparent: str | None = None,
    source: str = "headrace.client",
    allow_unknown: bool = False,
) -> Submission:
    """Check a request and encode it; what passes here, the dispatcher can read.

    Args:
        fields: The request as JSON has it; without an `id` it gets a new one. A `deadline` may also be an aware
            datetime, or a timedelta that counts from now.
        lane: Such as `standard`.
        ordering_key: Requests of one key start in the order in which they were submitted.
        traceparent: W3C trace context, passed on.
        source: The sender, for CloudEvents' `source`.
        allow_unknown: Send fields that this release does not know, such as those of a later one. A dispatcher keeps
            them either way: only a producer can tell a field of a later release from a misspelt one.

    Raises:
        InvalidRequest: One sentence that says what is wrong; it repeats nothing of the prompt.
    """
    if not allow_unknown:
        _check_names(fields)
    now = datetime.now(UTC)
    given = {**fields, "id": new_id()} if fields.get("id") is None else {**fields}
    if "deadline" in given:
        given["deadline"] = _instant_of(given["deadline"], now)
    try:
        request = validated_request(given)
        record = encode_request(request, source=source, time=now, ordering_key=ordering_key, traceparent=traceparent)
    except Unreadable as reason:
        raise InvalidRequest(str(reason)) from None
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequest(_NO_JSON) from None
    read = decode_request(record.value, record.headers)
    if isinstance(read, Undecodable):
        raise InvalidRequest(read.message)
    if (refusal := refusal_of(request)) is not None:
        raise InvalidRequest(refusal)
    _check_deadline(request.deadline, now)
    return Submission(request, lane, record)


def _check_names(fields: Mapping[str, Any]) -> None:
    for name in fields:
        if name in GenerationRequest.model_fields:
            continue
        if name in _OF_THE_BODY:
            raise InvalidRequest(f"The field {name} belongs in body, beside model: move it there.")
        near = nearest(str(name), GenerationRequest.model_fields)
        meant = f": did you mean {near}?" if near else f", only {listed(GenerationRequest.model_fields)}."
        raise InvalidRequest(f"There is no field {shown(str(name))}{meant}")


def _instant_of(deadline: object, now: datetime) -> object:
    """Turn a timedelta into the instant that it means; leave all else to the request's own validation."""
    if isinstance(deadline, datetime) and deadline.utcoffset() is None:
        raise InvalidRequest(
            "The field deadline is not valid: the datetime has no time zone. Make it an aware one, such as "
            "datetime.now(UTC) + timedelta(minutes=5), or give the timedelta itself, which counts from now."
        )
    if not isinstance(deadline, timedelta):
        return deadline
    if deadline <= timedelta(0):
        raise InvalidRequest("The field deadline is not valid: a timedelta counts from now, so it must be above zero.")
    try:
        return now + deadline
    except OverflowError:
        raise InvalidRequest("The field deadline is not valid: a time lies in the years 1 to 9999.") from None


def _check_deadline(deadline: datetime | None, now: datetime) -> None:
    if deadline is not None and deadline <= now:
        raise InvalidRequest(
            f"The field deadline is not valid: {to_wire(deadline)} has passed (it is {to_wire(now)} now), so name a "
            "later time, or leave it out."
        )


async def each(submissions: Iterable[Submission] | AsyncIterable[Submission]) -> AsyncIterator[Submission]:
    """Yield the submissions of either kind of iterable."""
    if isinstance(submissions, AsyncIterable):
        async for prepared in submissions:
            yield prepared
    else:
        for prepared in submissions:
            yield prepared
