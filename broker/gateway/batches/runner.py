"""All batches of one replica: a run for each unfinished batch in the partitions that the group assigns to it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from headrace.broker.batch_ports import GroupShare
from headrace.broker.client_ports import SubmitLog
from headrace.broker.errors import HeadraceError
from headrace.broker.gateway.batches.catalogue import CataloguedBatch, CatalogueFollower
from headrace.broker.gateway.batches.run import BatchRun
from headrace.broker.gateway.batches.store import BatchStore
from headrace.broker.tasks import ended

RUNS_MAX: Final = 64
"""Batches that one replica runs at once, each with a mebibyte or two in hand; later ones wait as `validating`."""
_LOOK_EVERY_S: Final = 0.5
_AFTER_ERROR_S: Final = 2.0

_log = structlog.get_logger("headrace.gateway")


@dataclass(slots=True)
class _Started:
    task: asyncio.Task[None]
    partition: int


class BatchRunner:
    """Runner of this replica's batches.

    Args:
        store: The batches topic.
        submissions: The lanes and the control topic.
        prefix: The topics' prefix.
        follower: The catalogue.
        share: This replica's partitions of the batches topic.
        utc_ms: The wall clock.
    """

    def __init__(  # noqa: PLR0913  # its collaborators
        self,
        store: BatchStore,
        submissions: SubmitLog,
        prefix: str,
        *,
        follower: CatalogueFollower,
        share: GroupShare,
        utc_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._prefix = prefix
        self._follower = follower
        self._share = share
        self._utc_ms = utc_ms
        self._started: dict[str, _Started] = {}

    @property
    def running(self) -> Mapping[str, int]:
        """The batches that run here, each with its partition."""
        return {batch_id: each.partition for batch_id, each in self._started.items() if not each.task.done()}

    async def serve(self) -> None:
        """Run batches until cancelled."""
        is_joined = False
        try:
            while True:
                try:
                    if not is_joined:
                        await self._share.open()
                        is_joined = True
                    await self._look()
                except HeadraceError as reason:
                    _log.warning("batches_not_read", reason=str(reason))
                    await asyncio.sleep(_AFTER_ERROR_S)
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            await ended(*(each.task for each in self._started.values()))
            await self._share.close()

    async def _look(self) -> None:
        """Start what is to be run here, and stop what another replica runs now."""
        catalogue = await self._follower.refresh()
        assigned = self._share.assigned
        for batch_id, each in list(self._started.items()):
            if each.partition not in assigned:
                await ended(each.task)
            if each.task.done():
                del self._started[batch_id]
        for batch in catalogue.unfinished(assigned):
            if len(self._started) >= RUNS_MAX:
                break
            if batch.created.id not in self._started:
                self._start(batch)

    def _start(self, batch: CataloguedBatch) -> None:
        created = batch.created
        task = asyncio.create_task(self._run(batch), name=f"run {created.id}")
        self._started[created.id] = _Started(task, created.partition)

    async def _run(self, batch: CataloguedBatch) -> None:
        """Run one batch; after an error `_look` starts it again from its records."""
        created = batch.created
        try:
            await BatchRun(self._store, self._submissions, self._prefix, created, self._utc_ms).run()
        except HeadraceError as reason:
            _log.warning("batch_interrupted", batch=created.id, reason=str(reason))
            await asyncio.sleep(_AFTER_ERROR_S)
        except Exception as error:  # noqa: BLE001 — a defect costs this batch a pause, and the others nothing
            _log.exception("batch_crashed", batch=created.id, error=type(error).__name__)
            await asyncio.sleep(_AFTER_ERROR_S)
        else:
            await self._follower.refresh()  # or the next look would start it once more
