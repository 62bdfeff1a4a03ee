"""The topic `calls`, followed by each gateway: it writes its own calls there, and knows those of all others.

A repetition must see all that was noted before it came, by a gateway that may be dead. So `repeated` asks Kafka where
the topic ends, and waits until everything below is read.
"""

import asyncio
import contextlib
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import structlog

from headrace.broker.client_ports import ClientDoors, SubmitLog
from headrace.broker.clock import WallClock
from headrace.broker.errors import HeadraceError, LogUnavailable, Unreachable
from headrace.broker.gateway.joins.call_index import CallIndex
from headrace.broker.gateway.joins.call_records import CallRecord, decoded, encoded
from headrace.broker.tasks import ended
from headrace.schemas.record import Record

APPEND_WITHIN_S: Final = 10.0
CAUGHT_UP_WITHIN_S: Final = 10.0
_POLL_MS: Final = 200
_AFTER_ERROR_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.005
_GATHER_S: Final = 0.05
"""Time in which records gather, to be read or written together: a request to Kafka for each call costs as much as all
else that a gateway does for it. Only first attempts are written at once, since their requests wait for that."""
_RECEIVED_WAITING_MAX: Final = 10_000

_log = structlog.get_logger("calls")


class CallLog:
    """Calls of all gateways of one prefix; used with `async with`."""

    def __init__(self, doors: ClientDoors, topic: str, *, window_s: float, log: SubmitLog, clock: WallClock) -> None:
        """A call can be joined for `window_s` after it was opened; `log` writes."""
        self._topic = topic
        self._clock = clock
        self._writer = log
        self._window_s = window_s
        self._index = CallIndex(window_ms=round(window_s * 1_000))
        self._reader = doors.outcomes(topic, group=None, start=clock.utc_now() - timedelta(seconds=window_s))
        self._is_open = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._asked = 0
        self._received: list[Record] = []
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(self._follow(), name="follow calls")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telling is not None:
            await asyncio.wait({self._telling}, timeout=1.0)
        for task in (self._following, self._telling):
            if task is not None:
                await ended(task)
        await self._reader.close()

    @property
    def is_ready(self) -> bool:
        """Whether the topic is being followed."""
        return self._is_open.is_set()

    # ------------------------------------------------------------------ for calls

    async def opened(self, digest: str, call_id: str) -> None:
        """Note a first attempt, before its request is sent.

        Raises:
            LogUnavailable, MissingTopic, RightsError, AuthenticationError: As `SubmitLog.append`.
        """
        record = encoded(CallRecord(digest, call_id, "opened"))
        await self._writer.append(self._topic, record, timeout_s=APPEND_WITHIN_S)
        self._index.opened(digest, call_id, self._clock.utc_ms())

    async def repeated(self, digest: str) -> str | None:
        """Return the id of the call that a repetition joins; None if there is none.

        Raises:
            LogUnavailable: The topic could not be read to its end: whether there is one is not known.
        """
        self._asked += 1
        try:
            async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
                await self._is_open.wait()
                ends = await self._reader.ends()
                while not await self._reader.is_past(ends):  # noqa: ASYNC110 — it is asked for; no event tells of it
                    await asyncio.sleep(_LOOK_EVERY_S)
        except (TimeoutError, Unreachable) as reason:
            raise LogUnavailable(
                "Kafka does not answer in time: whether this call was made before is not known."
            ) from reason
        finally:
            self._asked -= 1
        return self._index.repeated(digest, self._clock.utc_ms())

    def waits(self, call_id: str) -> None:
        """Note that a client waits for the call here."""
        self._index.waits(call_id)

    def left(self, call_id: str) -> None:
        """Note that a client waits for it here no longer."""
        self._index.left(call_id)

    def received(self, digest: str, call_id: str) -> None:
        """Note that a client has received the answer; written a moment later, and lost if Kafka is away."""
        self._index.received(call_id)
        if len(self._received) < _RECEIVED_WAITING_MAX:
            self._received.append(encoded(CallRecord(digest, call_id, "received")))
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_received(), name="calls received")

    async def _tell_received(self) -> None:
        while self._received:
            await asyncio.sleep(_GATHER_S)
            records, self._received = self._received, []
            with contextlib.suppress(HeadraceError):
                begun = [await self._writer.begin(self._topic, each, timeout_s=APPEND_WITHIN_S) for each in records]
                for each in begun:
                    await each.wait(timeout_s=APPEND_WITHIN_S)

    # ------------------------------------------------------------------ following

    async def _follow(self) -> None:
        while True:
            try:
                await self._reader.open()
                self._is_open.set()
                while True:
                    await self._take()
            except HeadraceError as reason:
                self._is_open.clear()
                _log.warning("calls_not_followed", topic=self._topic, reason=str(reason))
                await self._reader.close()
                await asyncio.sleep(_AFTER_ERROR_S)

    async def _take(self) -> None:
        if not (self._reader.buffered or self._asked):
            await asyncio.sleep(_GATHER_S)
        arrived = await self._reader.next(timeout_ms=_POLL_MS)
        told = None if arrived is None else decoded(arrived.record)
        if arrived is None or told is None:
            return
        if told.event == "opened":
            self._index.opened(told.digest, told.call_id, arrived.timestamp_ms)
        else:
            self._index.received(told.call_id)
