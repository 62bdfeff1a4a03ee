"""What the middlewares know of a request, for its handler and for each other."""

from typing import Final

from aiohttp import web

from headrace.broker.gateway.keys.key import ClientKey

KEY: Final = web.RequestKey("headrace_key", ClientKey)
"""The key that the request showed."""
ENDPOINT: Final = web.RequestKey("headrace_endpoint", str)
"""What was asked for, as metrics name it: an endpoint, `models`, `requests`, `files` or `batches`."""
LANE: Final = web.RequestKey("headrace_lane", str)
"""The lane of a call."""
