"""Server span of each call, and the span of its record on the way to Kafka, which is the server span's child.

The client's `traceparent` is the parent; a call without one begins a trace. The record carries the context of its own
sending, so that the dispatcher's spans stand below it, as behind any producer.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from headrace.broker.gateway.http.middlewares import Handler
from headrace.broker.gateway.http.request_keys import KEY, LANE
from headrace.broker.gateway.http.sending import HANGUP_STATUS
from headrace.broker.gateway.shapes.requests import ENDPOINT_OF_PATH
from headrace.broker.observability.spans import SERVE, Attribute
from headrace.broker.span_ports import EndedSpan, Spans, Value
from headrace.broker.trace_context import TraceContext, read_context
from headrace.schemas.ids import tenant_mark

SERVING: Final = web.RequestKey("serving", TraceContext)
"""Where a request has the `TraceContext` of its server span."""
_SERVER_ERROR: Final = 500


@dataclass(eq=False)
class ServerSpans:
    """Middleware that makes a span of each call; of other requests it makes none."""

    spans: Spans

    @web.middleware
    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve a request within its span."""
        if request.path not in ENDPOINT_OF_PATH:
            return await handler(request)
        parent = read_context(request.headers.get("traceparent"), request.headers.get("tracestate"))
        context = self._context(parent, request.path)
        request[SERVING] = context
        start_ns, status = time.time_ns(), HANGUP_STATUS
        try:
            response = await handler(request)
            status = response.status
        finally:
            error = str(status) if status >= _SERVER_ERROR else "hung_up" if status == HANGUP_STATUS else ""
            given = _attributes(request, status)
            self.spans.record(
                EndedSpan(SERVE, request.path, context, parent, start_ns, time.time_ns(), given, error=error)
            )
        return response

    def _context(self, parent: TraceContext | None, path: str) -> TraceContext:
        trace_id = secrets.randbits(128) or 1 if parent is None else parent.trace_id
        sampled = self.spans.sampled(parent, trace_id, SERVE, path)
        return TraceContext(trace_id, secrets.randbits(64) or 1, sampled, "" if parent is None else parent.state)


def _attributes(request: web.Request, status: int) -> Mapping[str, Value]:
    given: dict[str, Value] = {
        Attribute.HTTP_METHOD: request.method if request.method == "POST" else "_OTHER",
        Attribute.HTTP_ROUTE: request.path,
        Attribute.URL_PATH: request.path,
        Attribute.URL_SCHEME: request.scheme,
    }
    if status != HANGUP_STATUS:
        given[Attribute.HTTP_STATUS] = status
    if lane := request.get(LANE):
        given[Attribute.LANE] = lane
    if (key := request.get(KEY)) is not None:
        given[Attribute.TENANT] = tenant_mark(key.tenant).hex()
    return given
