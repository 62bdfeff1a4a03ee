"""HTTP handlers of OpenAI's Batch API: create, look, list, cancel."""

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiohttp import web

from headrace.broker.errors import PositionGone
from headrace.broker.gateway.batches.batch_object import batch_object
from headrace.broker.gateway.batches.catalogue import Catalogue, CataloguedBatch, CatalogueFollower
from headrace.broker.gateway.batches.kafka_away import while_kafka_answers
from headrace.broker.gateway.batches.lines import ENDPOINTS
from headrace.broker.gateway.batches.names import new_batch_id
from headrace.broker.gateway.batches.records import BatchCancelAsked, BatchCreated, ResultsPlace
from headrace.broker.gateway.batches.requests_of_files import limit_of
from headrace.broker.gateway.batches.state import BatchState
from headrace.broker.gateway.batches.store import BatchStore, FoldedBatch
from headrace.broker.gateway.batches.uploads import PURPOSE, kept_for
from headrace.broker.gateway.http.request_keys import KEY
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import (
    FINAL,
    INVALID_REQUEST,
    ApiError,
    forbidden,
    invalid_json,
    invalid_request,
    slow_request,
    too_large,
    unknown_id,
)
from headrace.schemas.bounded_json import Unreadable, parse

BULK: Final = "bulk"
UNFINISHED_MAX: Final = 1_000
"""Unfinished batches that one tenant may have."""
_BODY_BYTES_MAX: Final = 64 * 1024
_BODY_S: Final = 30.0
_LIST_DEFAULT, _LIST_MAX = 20, 100
_PAIRS_MAX, _NAME_MAX, _VALUE_MAX = 16, 64, 512
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WINDOW_MAX_S: Final = 7 * 86_400
"""As long as the lanes and the results keep a record."""
_FOLDS_MAX: Final = 500


@dataclass(slots=True)
class _Looked:
    """A batch that was asked for, folded as far as it was read."""

    folded: FoldedBatch
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class BatchRequests:
    """Handlers below `/v1/batches`.

    Args:
        store: The batches topic.
        follower: The catalogue.
        results: Name of the results topic.
    """

    def __init__(self, store: BatchStore, follower: CatalogueFollower, results: str) -> None:
        self._store = store
        self._follower = follower
        self._results = results
        self._looked: OrderedDict[str, _Looked] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.post("/v1/batches", self.create),
            web.get("/v1/batches", self.list_batches),
            web.get("/v1/batches/{batch_id}", self.about),
            web.post("/v1/batches/{batch_id}/cancel", self.cancel),
        ]

    @while_kafka_answers
    async def create(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/batches`."""
        key: ClientKey = request[KEY]
        given = await _json_of(request)
        lane = _lane_of(key, request.headers.get("x-headrace-lane"))
        created = await self._created(key, given, lane, await self._follower.refresh())
        await self._store.list_in_catalogue(created)
        return web.json_response(batch_object(BatchState(created)))

    async def _created(self, key: ClientKey, given: Mapping[str, Any], lane: str, catalogue: Catalogue) -> BatchCreated:
        endpoint = _text_of(given, "endpoint")
        if endpoint not in ENDPOINTS:
            raise invalid_request(f"The endpoint is one of {', '.join(ENDPOINTS)}.", param="endpoint")
        window = _text_of(given, "completion_window")
        window_s = _window_s(window)
        now_s = int(self._store.utc_now().timestamp())
        file_id = _text_of(given, "input_file_id")
        file = catalogue.file(key.tenant, file_id, now_s)
        if file is None:
            raise invalid_request("There is no file with the id in 'input_file_id'.", param="input_file_id")
        if file.parts is None:
            raise invalid_request(f"The purpose of an input file is '{PURPOSE}'.", param="input_file_id")
        if catalogue.batches_of(key.tenant) >= UNFINISHED_MAX:
            raise invalid_request(f"There are {UNFINISHED_MAX} batches that have not ended: wait for some, or cancel.")
        metadata, output_s = _metadata_of(given), _output_s(given)
        partition, start = await self._store.place_for_batch()
        ends = await self._store.log.ends(self._results)
        return BatchCreated(
            id=new_batch_id(),
            tenant=key.tenant,
            key=key.name,
            lane=lane,
            models=key.models,
            endpoint=endpoint,
            input_file_id=file_id,
            source=file.parts,
            window=window,
            created_s=now_s,
            expires_s=now_s + window_s,
            output_s=output_s,
            metadata=metadata,
            partition=partition,
            start=start,
            results=ResultsPlace(
                home=secrets.randbelow(len(ends)), ends=tuple(ends[number] for number in sorted(ends))
            ),
        )

    @while_kafka_answers
    async def about(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/batches/{id}`."""
        return web.json_response(await self._object(await self._batch(request)))

    @while_kafka_answers
    async def list_batches(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/batches`."""
        key: ClientKey = request[KEY]
        rows = (await self._follower.refresh()).batches(key.tenant)
        limit, after = limit_of(request, _LIST_DEFAULT, _LIST_MAX), request.query.get("after")
        if after is not None:
            place = next((at for at, batch in enumerate(rows) if batch.created.id == after), None)
            if place is None:
                raise invalid_request("There is no object with the id in 'after' in this list.", param="after")
            rows = rows[place + 1 :]
        data = [await self._object(batch) for batch in rows[:limit]]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return web.json_response({"object": "list", "data": data, **ends, "has_more": len(rows) > limit})

    @while_kafka_answers
    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/batches/{id}/cancel`."""
        batch = await self._batch(request)
        about = await self._object(batch)
        if about["status"] in {"completed", "failed", "expired"}:
            message = f"Cannot cancel a batch with status '{about['status']}'."
            raise ApiError(409, message, type=INVALID_REQUEST, headers=FINAL)  # as OpenAI, but not tried again
        if about["status"] not in {"cancelling", "cancelled"}:
            await self._store.append(batch.created, BatchCancelAsked())
            about = await self._object(batch)
        return web.json_response(about)

    async def _batch(self, request: web.Request) -> CataloguedBatch:
        key: ClientKey = request[KEY]
        batch_id = request.match_info["batch_id"]
        found = (await self._follower.refresh()).batch(key.tenant, batch_id)
        if found is None:
            raise unknown_id("batch", batch_id)
        return found

    async def _object(self, batch: CataloguedBatch) -> dict[str, Any]:
        """Return OpenAI's object of a batch, as of now.

        A batch whose end is not in the catalogue yet has not ended for its client: its files would not be found.
        """
        if batch.finished is None:
            state = await self._folded(batch.created)
            if state.ended is None:
                return batch_object(state)
            await self._follower.refresh()
            if batch.finished is None:
                return batch_object(replace(state, ended=None, ended_ms=None))
        self._looked.pop(batch.created.id, None)
        return batch.finished.batch

    async def _folded(self, created: BatchCreated) -> BatchState:
        looked = self._looked.setdefault(created.id, _Looked(FoldedBatch(self._store, created)))
        self._looked.move_to_end(created.id)
        while len(self._looked) > _FOLDS_MAX:
            self._looked.popitem(last=False)
        async with looked.reading:
            try:
                return await looked.folded.refresh()
            except PositionGone as reason:
                raise unknown_id("batch", created.id) from reason


async def _json_of(request: web.Request) -> dict[str, Any]:
    """Read the JSON object of a request. Raises ApiError."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > _BODY_BYTES_MAX:
                    raise too_large("The body", _BODY_BYTES_MAX)
    except TimeoutError:
        raise slow_request() from None
    try:
        value = parse(bytes(body), bytes_max=_BODY_BYTES_MAX, nesting_max=16)
    except Unreadable:
        raise invalid_json() from None
    if not isinstance(value, dict):
        raise invalid_json()
    return value


def _lane_of(key: ClientKey, asked: str | None) -> str:
    """Return the lane of a batch: the one asked for, else the bulk lane if the key may use it, else the key's own."""
    if asked is None:
        return BULK if key.may_use_lane(BULK) else key.lane
    if not key.may_use_lane(asked):
        raise forbidden("This key may not use the lane in x-headrace-lane.", param="x-headrace-lane")
    return asked


def _text_of(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        raise invalid_request(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if not isinstance(value, str):
        raise invalid_request(f"Invalid type for '{name}': expected a string.", param=name, code="invalid_type")
    return value


def _window_s(window: str) -> int:
    """Return the seconds of a `completion_window`: OpenAI's `24h`, or another number of s, m, h or d."""
    found = _WINDOW.fullmatch(window)
    seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
    if not 1 <= seconds <= _WINDOW_MAX_S:
        message = "The completion_window is a time such as 24h, 30m or 2d, of seven days at most."
        raise invalid_request(message, param="completion_window")
    return seconds


def _metadata_of(given: Mapping[str, Any]) -> dict[str, str] | None:
    metadata = given.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise invalid_request("Invalid type for 'metadata': expected an object.", param="metadata", code="invalid_type")
    for name, value in metadata.items():
        if not isinstance(value, str):
            message = f"Invalid type for 'metadata.{name[:_NAME_MAX]}': expected a string."
            raise invalid_request(message, param=f"metadata.{name[:_NAME_MAX]}", code="invalid_type")
    if len(metadata) > _PAIRS_MAX or any(
        len(name) > _NAME_MAX or len(value) > _VALUE_MAX for name, value in metadata.items()
    ):
        message = (
            f"The metadata has at most {_PAIRS_MAX} pairs, with names of at most {_NAME_MAX} characters and values of "
            f"at most {_VALUE_MAX}."
        )
        raise invalid_request(message, param="metadata")
    return dict(metadata)


def _output_s(given: Mapping[str, Any]) -> int | None:
    asked = given.get("output_expires_after")
    if asked is None:
        return None
    if not isinstance(asked, dict) or asked.get("anchor") != "created_at" or isinstance(asked.get("seconds"), bool):
        raise invalid_request("The anchor of output_expires_after is created_at.", param="output_expires_after")
    return kept_for(asked.get("seconds", 0))
