"""HTTP handlers of OpenAI's Files API: uploads, lists, contents, deletions."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import structlog
from aiohttp import web

from headrace.broker.errors import HeadraceError, PositionGone
from headrace.broker.gateway.batches.batch_object import uploaded_object
from headrace.broker.gateway.batches.catalogue import CataloguedFile, CatalogueFollower
from headrace.broker.gateway.batches.kafka_away import while_kafka_answers
from headrace.broker.gateway.batches.records import FileDeleted
from headrace.broker.gateway.batches.store import BatchStore
from headrace.broker.gateway.batches.uploads import Uploads
from headrace.broker.gateway.http.request_keys import KEY
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import ApiError, invalid_request, unknown_id

FILES_MAX: Final = 10_000
"""Uploaded files that one tenant may have: all replicas hold a few hundred bytes of each."""

_log = structlog.get_logger("headrace.gateway")


class FileRequests:
    """Handlers below `/v1/files`."""

    def __init__(self, store: BatchStore, follower: CatalogueFollower, uploads: Uploads) -> None:
        self._store = store
        self._follower = follower
        self._uploads = uploads

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [
            web.post("/v1/files", self.upload),
            web.get("/v1/files", self.list_files),
            web.get("/v1/files/{file_id}", self.about),
            web.get("/v1/files/{file_id}/content", self.content),
            web.delete("/v1/files/{file_id}", self.delete),
        ]

    @while_kafka_answers
    async def upload(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/files`."""
        key: ClientKey = request[KEY]
        if (await self._follower.refresh()).files_of(key.tenant) >= FILES_MAX:
            raise invalid_request(f"There are {FILES_MAX} files, the most that are kept: delete some.")
        return web.json_response(uploaded_object(await self._uploads.receive(request, key.tenant)))

    @while_kafka_answers
    async def list_files(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/files`."""
        key: ClientKey = request[KEY]
        catalogue = await self._follower.refresh()
        found = sorted(catalogue.files(key.tenant, self._now_s()), key=lambda file: int(file.about["created_at"]))
        purpose, order = request.query.get("purpose"), request.query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise invalid_request("The order is asc or desc.", param="order")
        if order == "desc":
            found.reverse()
        objects = [file.about for file in found if purpose in {None, file.about["purpose"]}]
        return web.json_response(page_of(request, objects, limit_default=FILES_MAX, limit_max=FILES_MAX))

    @while_kafka_answers
    async def about(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/files/{id}`."""
        return web.json_response((await self._file(request)).about)

    @while_kafka_answers
    async def delete(self, request: web.Request) -> web.StreamResponse:
        """`DELETE /v1/files/{id}`."""
        file, key = await self._file(request), request[KEY]
        await self._store.list_in_catalogue(FileDeleted(id=file.id, tenant=key.tenant))
        return web.json_response({"id": file.id, "object": "file", "deleted": True})

    @while_kafka_answers
    async def content(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/files/{id}/content`."""
        file = await self._file(request)
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.content_length = int(file.about["bytes"])
        if file.batch is not None and file.batch.finished is not None:
            created, end = file.batch.created, file.batch.finished.end
            pieces = self._store.answers(created, end, is_output=file.is_output)
        elif file.parts is not None:
            pieces = self._store.parts(file.parts, file.id)
        else:
            raise unknown_id("file", file.id)
        try:
            first = await anext(pieces, b"")  # an error before the first byte still has a status of its own
        except PositionGone as reason:  # retention took the content, and its record in the catalogue later or not yet
            raise no_such_file(file.id) from reason
        await response.prepare(request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
        except HeadraceError as reason:  # the client notices by the length that it has not got everything
            _log.warning("content_broken_off", file=file.id, reason=str(reason))
            if request.transport is not None:
                request.transport.close()
            return response
        await response.write_eof()
        return response

    async def _file(self, request: web.Request) -> CataloguedFile:
        key: ClientKey = request[KEY]
        file_id = request.match_info["file_id"]
        found = (await self._follower.refresh()).file(key.tenant, file_id, self._now_s())
        if found is None:
            raise no_such_file(file_id)
        return found

    def _now_s(self) -> int:
        return int(self._store.utc_now().timestamp())


def no_such_file(file_id: str) -> ApiError:
    """Make the error for a file that the tenant has not."""
    return unknown_id("file", file_id)


def page_of(
    request: web.Request, objects: Sequence[dict[str, Any]], *, limit_default: int, limit_max: int
) -> dict[str, Any]:
    """Return the page of a list that a request asks for by `after` and `limit`.

    Raises:
        ApiError: `limit` is out of bounds, or `after` is not in the list.
    """
    limit = limit_of(request, limit_default, limit_max)
    rows = iter(objects)
    after = request.query.get("after")
    if after is not None and not any(row["id"] == after for row in rows):
        raise invalid_request("There is no object with the id in 'after' in this list.", param="after")
    data = list(islice(rows, limit))
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": next(rows, None) is not None,
    }


def limit_of(request: web.Request, limit_default: int, limit_max: int) -> int:
    """Return the `limit` of a list. Raises ApiError if it is out of bounds."""
    text = request.query.get("limit", str(limit_default))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= limit_max:
        raise invalid_request(f"The limit is a whole number from 1 to {limit_max}.", param="limit")
    return limit
