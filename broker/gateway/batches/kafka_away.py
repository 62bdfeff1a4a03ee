"""Kafka's errors as the answer that SDKs try again: 503, and when."""

import functools
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiohttp import web

from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.shapes.errors import unavailable

_RETRY_AFTER_S: Final = 2.0

_log = structlog.get_logger("headrace.gateway")
_Self = TypeVar("_Self")
_Handler = Callable[[_Self, web.Request], Awaitable[web.StreamResponse]]


def while_kafka_answers(handler: _Handler[_Self]) -> _Handler[_Self]:
    """Answer 503 where the handler meets an error of Kafka; what an operator must mend is in the log alone."""

    @functools.wraps(handler)
    async def answered(requests: _Self, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(requests, request)
        except HeadraceError as reason:
            _log.warning("batches_unavailable", path=request.path, reason=str(reason))
            message = "Files and batches are not available at the moment. Try again."
            raise unavailable(message, retry_after_s=_RETRY_AFTER_S) from reason

    return answered
