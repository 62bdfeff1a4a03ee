"""Bodies of requests: read within bounds of size and time, and as one JSON object."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from headrace.broker.gateway.shapes.errors import (
    ApiError,
    invalid_json,
    invalid_request,
    slow_request,
    too_large,
    unsupported_content_type,
)
from headrace.schemas.bounded_json import NESTING_MAX, Unreadable, parse

_JSON_TYPES: Final = frozenset({"application/json", "application/octet-stream"})
"""The second is what aiohttp says of a request without a type."""


FALSE_ENCODING: Final = (HttpProcessingError, PayloadEncodingError, web.RequestPayloadError)
"""What aiohttp raises for a body whose transfer or content encoding does not hold, wherever it is read."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bounds of a body; `within_s` is the time for reading one, and for a client to take one."""

    bytes_max: int
    within_s: float


def false_encoding() -> ApiError:
    """Make the error for a body whose transfer or content encoding does not hold."""
    return invalid_request("The body is not encoded as its headers say.")


async def read_object(request: web.Request, limits: BodyLimits) -> dict[str, Any]:
    """Read the JSON object of a request.

    Raises:
        ApiError: 400, 408, 413 or 415.
    """
    if request.content_type not in _JSON_TYPES:
        raise unsupported_content_type(request.content_type)
    if (request.content_length or 0) > limits.bytes_max:
        raise too_large("The body", limits.bytes_max)
    try:
        async with asyncio.timeout(limits.within_s):
            body = await request.read()
    except TimeoutError:
        raise slow_request() from None
    except HTTPRequestEntityTooLarge:
        raise too_large("The body", limits.bytes_max) from None
    except (*FALSE_ENCODING, ValueError):
        raise false_encoding() from None
    try:
        value = parse(body, bytes_max=limits.bytes_max, nesting_max=NESTING_MAX)
    except Unreadable as reason:
        raise (invalid_json() if not body.strip() else invalid_request(str(reason))) from None
    if not isinstance(value, dict):
        raise invalid_json()
    return value
