"""Handling of each outcome by a function of the service: bounded retries, then a dead letter of the service's own.

    async with ResultReader("localhost:9092", group="lead-mailer") as results:
        await results.handle(send_mail, dead_letters="lead-mailer.dead-letters")

An exception neither loses an outcome nor lets it block those behind it forever. An outcome that the service gives up on
is written to its topic as it came, with the reason, and can be handled again by a reader of that topic.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Protocol

from headrace.broker.client_ports import SubmitLog
from headrace.broker.errors import LogUnavailable
from headrace.broker.tasks import set_within
from headrace.consumers.deliveries import Delivery
from headrace.schemas import headers as names
from headrace.schemas.codec import decode_dead_letter, encode_dead_letter
from headrace.schemas.outcome import Outcome
from headrace.schemas.record import Headers, Record
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES, MESSAGE_BYTES_MAX
from headrace.schemas.unreadable import is_unreadable

Handler = Callable[[Outcome], Awaitable[None]]

Spanned = Callable[[Delivery, int], AbstractContextManager[None]]

ATTEMPTS_MAX = 5
PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
_APPEND_WITHIN_S = 30.0

_log = logging.getLogger("headrace.results")


class Refused(Exception):  # noqa: N818  # named by its meaning
    """An exception for handlers to raise when retrying is of no use: the outcome becomes a dead letter at once."""


class OutcomeSource(Protocol):
    """Source of outcomes: a `ResultReader`."""

    stopping: asyncio.Event

    async def delivery(self) -> Delivery | None:
        """Return the next outcome; None at the end."""

    def done(self, delivery: Delivery) -> None:
        """Count the outcome as handled."""

    def give_back(self, delivery: Delivery) -> None:
        """Do not count the outcome as handled; it comes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Number of attempts, and the pause before the second one; each further pause is twice as long."""

    attempts_max: int = ATTEMPTS_MAX
    pause_s: float = PAUSE_S
    pause_max_s: float = PAUSE_MAX_S

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or self.pause_s < 0:
            raise ValueError("attempts_max must be at least 1, and pause_s at least 0")

    def pause_after_s(self, attempt: int) -> float:
        """Return the pause before the next attempt."""
        return float(min(self.pause_s * 2.0 ** (attempt - 1), self.pause_max_s))


def own_headers(record: Record) -> Headers:
    """Return the outcome's own headers, even inside a dead letter of the service that became a dead letter again.

    Raises:
        WireError: It is a dead letter whose headers are malformed.
    """
    headers = record.headers
    while any(name == names.REASON for name, _ in headers):
        headers = decode_dead_letter(record.key, record.value, headers).headers
    return headers


class Letters:
    """The service's own dead letters: `topic` is checked at the start, and written to when a handler gives up."""

    def __init__(self, log: SubmitLog, origin_topic: str, topic: str) -> None:
        self._log = log
        self._origin_topic = origin_topic
        self._topic = topic

    async def check(self) -> None:
        """Ensure that the topic exists and may be written to.

        Raises:
            MissingTopic, RightsError, AuthenticationError, Unreachable: It is not, or Kafka does not let us.
        """
        await self._log.check(self._topic)

    async def write(self, delivery: Delivery, *, attempts: int, error: Exception) -> None:
        """Write the dead letter, waiting out a Kafka that is away; return once it is stored."""
        arrived = delivery.arrived[0]
        letter = encode_dead_letter(
            arrived.record.key,
            arrived.record.value,
            arrived.record.headers if is_unreadable(delivery.outcome) else own_headers(arrived.record),
            reason="handler_refused" if isinstance(error, Refused) else "handler_failed",
            origin=(self._origin_topic, arrived.partition, arrived.offset),
            attempts=attempts,
            run=delivery.outcome.run,
            failed_at=datetime.now(UTC),
            max_bytes=MESSAGE_BYTES_MAX - BATCH_OVERHEAD_BYTES,
        )
        told = (names.ERROR_TYPE, type(error).__qualname__.encode())  # its text may contain parts of a prompt
        record = Record(letter.key, letter.value, (*letter.headers, told))
        while True:
            try:
                await self._log.append(self._topic, record, timeout_s=_APPEND_WITHIN_S)
            except LogUnavailable as reason:
                _log.warning("the dead letter of %s waits: %s", delivery.outcome.id, reason)
            else:
                return


class Handling:
    """One run of `ResultReader.handle`.

    Attributes:
        handled: Outcomes that the handler accepted.
        failed_attempts: Times it raised.
        dead_lettered: Outcomes that became dead letters.
    """

    def __init__(  # noqa: PLR0913 — keywords of one caller
        self,
        source: OutcomeSource,
        handler: Handler,
        letters: Letters | None,
        patience: Patience,
        *,
        concurrency: int,
        spanned: Spanned | None = None,
    ) -> None:
        """Without `letters` the last exception of an outcome that is given up ends the run, and it comes again.

        `spanned` enters the span of an attempt, where the service traces.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self.handled = 0
        self.failed_attempts = 0
        self.dead_lettered = 0
        self._source = source
        self._handler = handler
        self._letters = letters
        self._patience = patience
        self._free = asyncio.Semaphore(concurrency)
        self._spanned = spanned

    async def run(self) -> None:
        """Handle outcomes until the source ends. Raises the handler's exception if there are no dead letters."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._free.acquire()
                while (delivery := await self._source.delivery()) is not None:
                    tasks.create_task(self._one(delivery), name=f"handle {delivery.outcome.id}")
                    await self._free.acquire()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _one(self, delivery: Delivery) -> None:
        taken = False
        try:
            taken = await self._tried(delivery)
        finally:
            if taken:
                self._source.done(delivery)
            else:
                self._source.give_back(delivery)
            self._free.release()

    async def _tried(self, delivery: Delivery) -> bool:
        """Try until it is handled or given up; return False if the reader stops before that."""
        for attempt in count(1):
            try:
                with self._spanned(delivery, attempt) if self._spanned else nullcontext():
                    await self._handler(delivery.outcome)
            except Exception as error:
                self.failed_attempts += 1
                kind = type(error).__qualname__  # its text may contain parts of a prompt
                _log.warning("attempt %d to handle %s failed: %s", attempt, delivery.outcome.id, kind)
                if isinstance(error, Refused) or attempt >= self._patience.attempts_max:
                    if self._letters is None:
                        raise
                    await self._letters.write(delivery, attempts=attempt, error=error)
                    self.dead_lettered += 1
                    return True
            else:
                self.handled += 1
                return True
            if await set_within(self._source.stopping, self._patience.pause_after_s(attempt)):
                return False
        raise AssertionError("the attempts are endless")
