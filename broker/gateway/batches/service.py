"""Composition of files and batches: doors in, routes and a running task out."""

import asyncio
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from headrace.broker.batch_ports import BatchDoors
from headrace.broker.clock import WallClock
from headrace.broker.gateway.batches.catalogue import CatalogueFollower
from headrace.broker.gateway.batches.requests_of_batches import BatchRequests
from headrace.broker.gateway.batches.requests_of_files import FileRequests
from headrace.broker.gateway.batches.runner import BatchRunner
from headrace.broker.gateway.batches.store import BatchStore
from headrace.broker.gateway.batches.uploads import UploadLimits, Uploads
from headrace.broker.tasks import ended
from headrace.schemas.topics import batches_topic, results_topic


class Batches:
    """Files and batches of one replica. `async with` runs the batches; leaving it leaves them to other replicas.

    Args:
        doors: The doors to Kafka.
        prefix: The topics' prefix.
        clock: The wall clock; default: one made now.
        uploads: Bounds of an upload.

    Nothing is connected before it is entered or a route is called, so a gateway may start while Kafka is away.

    Attributes:
        runner: Runs the batches.
    """

    def __init__(
        self,
        doors: BatchDoors,
        prefix: str,
        *,
        clock: WallClock | None = None,
        uploads: UploadLimits | None = None,
    ) -> None:
        now, topic = clock or WallClock(), batches_topic(prefix)
        self._log = doors.seekable()
        self._submissions = doors.submissions()
        store = BatchStore(self._log, prefix, now.utc_now)
        follower = CatalogueFollower(self._log, topic)
        self._files = FileRequests(store, follower, Uploads(store, uploads or UploadLimits()))
        self._batches = BatchRequests(store, follower, results_topic(prefix))
        self.runner = BatchRunner(
            store,
            self._submissions,
            prefix,
            follower=follower,
            share=doors.share(topic, group=f"{prefix}.gateway"),
            utc_ms=now.utc_ms,
        )
        self._serving: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        """List the routes; their handlers take the `ClientKey` from `request[KEY]` and raise `ApiError`."""
        return [*self._files.routes(), *self._batches.routes()]

    def shown(self) -> dict[str, Any]:
        """Return the batches that this replica runs, by their ids, for `/status`."""
        return {"batches_running": sorted(self.runner.running)}

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self.runner.serve(), name="batches")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._serving is not None:
            await ended(self._serving)
        await self._submissions.close()
        await self._log.close()
