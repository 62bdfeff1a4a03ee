"""`/v1/headrace/requests/ID`: the outcome of a request, or where it is; and its cancellation."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.call_options import can_be_given
from headrace.broker.gateway.calls import Calls
from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.request_keys import KEY
from headrace.broker.gateway.http.sending import send_whole
from headrace.broker.gateway.ids import internal_id
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.refusals import api_error, is_operators
from headrace.broker.gateway.request_report import UNKNOWN, not_known, public_report
from headrace.broker.gateway.shapes.answers import outcome_headers
from headrace.broker.gateway.shapes.errors import unknown_id
from headrace.broker.gateway.shapes.failures import error_of
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.outcome import Completed, Outcome

OBJECT: Final = "headrace.request"
_LEADER_WITHIN_S: Final = 3.0
_PAUSES_S: Final = (0.3, 0.7, 1.0)
"""Pauses before a request is looked for again: one that was accepted a moment ago is not yet with the leader, and one
that ends meanwhile is no more with the leader and not yet among the outcomes that were read."""
_log = structlog.get_logger("gateway")

AskLeader = Callable[[str, float], Awaitable[Mapping[str, Any]]]
"""Asks the leader for its report on a request, within so many seconds."""


@dataclass(eq=False)
class Requests:
    """Handlers for one request by its id."""

    calls: Calls
    where_is: AskLeader
    limits: BodyLimits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; an id may have slashes."""
        path = "/v1/headrace/requests/{id:.+}"
        return [web.get(path, self.get), web.delete(path, self.delete)]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with the outcome, or with the report of the leader.

        A request that neither has is looked for once more: it may have been answered between the two looks, or have
        been put on its lane a moment ago.
        """
        key, given = _named(request)
        internal = internal_id(key.tenant, given)
        for pause_s in (*_PAUSES_S, None):
            outcome = await self._outcome(internal, given)
            if outcome is not None and outcome.tenant == key.tenant:
                headers = outcome_headers(outcome, given)
                return await self._sent(request, 200, _told(given, outcome), headers)
            report = await self._report(internal)
            if report["status"] != UNKNOWN:
                told = {"id": given, "object": OBJECT, **report}
                return await self._sent(request, 200, told, {"x-headrace-id": given})
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise unknown_id("request", given)

    async def _outcome(self, internal: str, given: str) -> Outcome | None:
        try:
            return await self.calls.earlier(internal)
        except HeadraceError as reason:
            raise api_error(reason, given) from reason

    async def _report(self, internal: str) -> dict[str, Any]:
        """Return what the leader knows; while there is none, that the request may be there."""
        try:
            async with asyncio.timeout(_LEADER_WITHIN_S):
                return public_report(await self.where_is(internal, _LEADER_WITHIN_S))
        except (HeadraceError, TimeoutError) as reason:
            _log.info("leader_not_asked", reason=str(reason))
            return not_known("a dispatcher that can be asked")

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Ask for a cancellation."""
        key, given = _named(request)
        try:
            await self.calls.cancel(key, internal_id(key.tenant, given))
        except HeadraceError as reason:
            if is_operators(reason):
                _log.warning("cancel_not_sent", reason=str(reason))
            raise api_error(reason, given) from reason
        told = {"id": given, "object": OBJECT, "status": "cancelling"}
        return await self._sent(request, 202, told, {"x-headrace-id": given})

    async def _sent(
        self, request: web.Request, status: int, told: Mapping[str, Any], headers: Mapping[str, str]
    ) -> web.StreamResponse:
        return await send_whole(request, status, headers, json_bytes(told), within_s=self.limits.within_s)


def _named(request: web.Request) -> tuple[ClientKey, str]:
    """Return the key and the id. Raises ApiError 404 for an id that no client can have chosen."""
    key: ClientKey = request[KEY]
    given = request.match_info["id"]
    if not can_be_given(given):
        raise unknown_id("request", given)
    return key, given


def _told(given: str, outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as a client may see it: nothing of the dispatcher's terms and topics."""
    timings = outcome.timings.model_dump(mode="json", exclude_none=True)
    told = {
        "id": given,
        "object": OBJECT,
        "status": outcome.status,
        "lane": outcome.lane,
        "model": outcome.model,
        "attempts": outcome.attempts,
        "usage": None if outcome.usage is None else outcome.usage.model_dump(mode="json"),
        "cost": None if outcome.cost is None else outcome.cost.model_dump(mode="json"),
        "metadata": outcome.metadata,
        "timings": timings,
    }
    if isinstance(outcome, Completed):
        return {**told, "response": outcome.response, "error": None}
    return {**told, "response": None, "reason": str(outcome.reason), "error": error_of(outcome).body()["error"]}
