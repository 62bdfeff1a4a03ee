"""`GET /v1/models`: the models that a key may ask for, as far as they are known.

A gateway has no key of the account, so it cannot ask OpenAI. It knows the names in the key file, and the models that
the leader has called.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.request_keys import KEY
from headrace.broker.gateway.http.sending import send_whole
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import unknown_model
from headrace.schemas.cloudevents import json_bytes

_WILD: Final = frozenset("*?[")
KnownModels = Callable[[], Awaitable[Iterable[str]]]
"""Asks for the names of models that the dispatcher knows; nothing while it cannot be asked."""


@dataclass(eq=False)
class Models:
    """Handlers of models."""

    known: KnownModels
    limits: BodyLimits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/v1/models", self.all), web.get("/v1/models/{model:.+}", self.one)]

    async def all(self, request: web.Request) -> web.StreamResponse:
        """List the models."""
        key: ClientKey = request[KEY]
        named = {pattern for pattern in key.models if not _WILD & set(pattern)}
        known = {model for model in await self.known() if key.may_use_model(model)}
        told = {"object": "list", "data": [_model(name) for name in sorted(named | known)]}
        return await send_whole(request, 200, {}, json_bytes(told), within_s=self.limits.within_s)

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer for one model, which the key allows."""
        key: ClientKey = request[KEY]
        name = request.match_info["model"]
        if not key.may_use_model(name):
            raise unknown_model(name)
        return await send_whole(request, 200, {}, json_bytes(_model(name)), within_s=self.limits.within_s)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "headrace"}
