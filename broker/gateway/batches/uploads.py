"""Uploads: a multipart form whose file is streamed into records as it comes, and exists once its last record is there.

The form's fields may come in any order. What breaks off leaves parts that nothing points to; the topic's retention
removes them.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from headrace.broker.gateway.batches.names import new_file_id
from headrace.broker.gateway.batches.records import FileCreated, StoredParts
from headrace.broker.gateway.batches.store import PART_BYTES, BatchStore
from headrace.broker.gateway.shapes.errors import (
    INVALID_REQUEST,
    ApiError,
    invalid_request,
    slow_request,
    too_large,
)

PURPOSE: Final = "batch"
KEPT_MIN_S, KEPT_MAX_S = 3_600, 30 * 86_400
_FILENAME_MAX: Final = 255
_FIELD_BYTES_MAX: Final = 1_024
_FIELDS_MAX: Final = 16
_UPLOADS_AT_ONCE: Final = 32
"""Uploads that one replica takes at a time, each with a part in memory; later ones wait."""
_UPLOADS_OF_A_TENANT: Final = 8
"""Those of one tenant: its slow ones leave room for others."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of an upload; `part_s` is the time in which a client must send each part, of `PART_BYTES`, or the end."""

    bytes_max: int = 200 * 1024 * 1024
    part_s: float = 60.0


@dataclass(slots=True)
class _Form:
    """What has come of a form."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""
    parts: StoredParts | None = None
    sha256: str = ""


class Uploads:
    """Receiver of files."""

    def __init__(self, store: BatchStore, limits: UploadLimits) -> None:
        """It connects at the first upload."""
        self._store = store
        self._limits = limits
        self._room = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        self._rooms: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_UPLOADS_OF_A_TENANT))

    async def receive(self, request: web.Request, tenant: str) -> FileCreated:
        """Store the file of a form, and note it in the catalogue.

        Raises:
            ApiError: The form is wrong, too large or too slow.
            HeadraceError: Kafka does not take it.
        """
        if request.content_type != "multipart/form-data":
            message = "A file is uploaded as multipart/form-data, with the fields purpose and file."
            raise ApiError(415, message, type=INVALID_REQUEST, code="unsupported_content_type")
        if (request.content_length or 0) > self._limits.bytes_max + 64 * 1024:  # the form around the file
            raise too_large("The file", self._limits.bytes_max)
        async with self._rooms[tenant], self._room:
            file_id = new_file_id()
            created = self._created(await self._form(request, file_id, tenant), file_id, tenant)
            await self._store.list_in_catalogue(created)
            return created

    def _created(self, form: _Form, file_id: str, tenant: str) -> FileCreated:
        if form.parts is None:
            raise invalid_request("Missing required parameter: 'file'.", param="file")
        purpose = form.fields.get("purpose")
        if purpose is None:
            raise invalid_request("Missing required parameter: 'purpose'.", param="purpose")
        if purpose != PURPOSE:
            raise invalid_request("This gateway takes files with the purpose 'batch' alone.", param="purpose")
        now_s = int(self._store.utc_now().timestamp())
        kept_s = kept_for(form.fields.get("expires_after[seconds]"))
        return FileCreated(
            id=file_id,
            tenant=tenant,
            filename=form.filename or "batch.jsonl",
            purpose=PURPOSE,
            created_s=now_s,
            parts=form.parts,
            sha256=form.sha256,
            expires_s=None if kept_s is None else now_s + kept_s,
        )

    async def _form(self, request: web.Request, file_id: str, tenant: str) -> _Form:
        form = _Form()
        with _readable():
            reader = await request.multipart()
        for _ in range(_FIELDS_MAX):
            part = await self._in_time(reader)
            if part is None:
                return form
            if part.name == "file":
                if form.parts is not None:
                    raise invalid_request("A form holds one file.", param="file")
                form.filename = (part.filename or "")[:_FILENAME_MAX].encode(errors="replace").decode()
                await self._store_file(part, form, file_id, tenant)
            else:
                text = bytearray()
                async for chunk in self._chunks(part, _FIELD_BYTES_MAX):
                    text += chunk
                form.fields[str(part.name)[:_FILENAME_MAX]] = text.decode(errors="replace")
        raise invalid_request(f"A form has at most {_FIELDS_MAX - 1} fields.")

    async def _in_time(self, reader: MultipartReader) -> BodyPartReader | None:
        with _readable():
            async with asyncio.timeout(self._limits.part_s):
                part = await reader.next()
        if isinstance(part, MultipartReader):
            raise invalid_request("A form holds no other form.")
        return part

    async def _chunks(self, part: BodyPartReader, bytes_max: int) -> AsyncIterator[bytes]:
        size = of_part = 0
        left_s, now_s = self._limits.part_s, asyncio.get_running_loop().time
        while True:
            asked_s = now_s()
            with _readable():
                async with asyncio.timeout(left_s):
                    chunk = await part.read_chunk(64 * 1024)
            if not chunk:
                return
            size, of_part, left_s = size + len(chunk), of_part + len(chunk), left_s - (now_s() - asked_s)
            if of_part >= PART_BYTES:
                of_part, left_s = 0, self._limits.part_s
            if size > bytes_max:
                raise too_large("The file" if part.name == "file" else "A field of the form", bytes_max)
            yield bytes(chunk)

    async def _store_file(self, part: BodyPartReader, form: _Form, file_id: str, tenant: str) -> None:
        partition = await self._store.place_for_file()
        held, size, digest, offsets = bytearray(), 0, hashlib.sha256(), list[int]()
        async for chunk in self._chunks(part, self._limits.bytes_max):
            digest.update(chunk)
            size += len(chunk)
            held += chunk
            while len(held) >= PART_BYTES:
                content = bytes(held[:PART_BYTES])
                del held[:PART_BYTES]
                offsets.append(await self._store.append_part(partition, file_id, tenant, content))
        if held:
            offsets.append(await self._store.append_part(partition, file_id, tenant, bytes(held)))
        form.parts = StoredParts(partition=partition, offsets=tuple(offsets), size=size)
        form.sha256 = digest.hexdigest()


@contextmanager
def _readable() -> Iterator[None]:
    """Translate what aiohttp raises for a form that it cannot read, or that does not come, to an ApiError."""
    try:
        yield
    except TimeoutError:
        raise slow_request() from None
    except (HttpProcessingError, ValueError, TypeError, LookupError, RuntimeError, AssertionError):
        raise invalid_request("The multipart form cannot be read.") from None


def kept_for(given: object) -> int | None:
    """Return for how many seconds a file is kept; None: as long as the topic keeps it.

    Raises:
        ApiError: It is no number from an hour to thirty days.
    """
    if given is None:
        return None
    text = str(given)
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not KEPT_MIN_S <= seconds <= KEPT_MAX_S:
        message = f"The seconds after which a file expires are a whole number from {KEPT_MIN_S} to {KEPT_MAX_S}."
        raise invalid_request(message, param="expires_after.seconds")
    return seconds
