"""Reader for services that act on outcomes: `async for outcome in results`, each (id, run) once, across restarts.

At least once for each consumer group: an outcome counts as handled when the loop body asks for the next one, so an
outcome in hand when a process died comes again. Inside one reader (id, run) is delivered once. Loads aiokafka and
pydantic, and never openai, tiktoken or redis.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import Arrived, ClientDoors, Start
from headrace.broker.errors import IdConflict, Unreachable
from headrace.broker.tasks import ended
from headrace.consumers.deliveries import Deliveries, Delivery
from headrace.consumers.handling import ATTEMPTS_MAX, PAUSE_S, Handler, Handling, Letters, Patience, own_headers
from headrace.consumers.opening import RECONNECT_FIRST_S, RECONNECT_MAX_S, Opened
from headrace.consumers.outcome_spans import OutcomeSpans
from headrace.schemas.codec import WireError
from headrace.schemas.expectation import Expected
from headrace.schemas.outcome import Outcome, sent_as
from headrace.schemas.record import Record
from headrace.schemas.topics import results_topic
from headrace.schemas.unreadable import in_place_of, is_unreadable, read_outcome

REMEMBERED_MAX = 100_000
"""Number of (id, run) pairs a reader remembers; beyond it the oldest is forgotten."""

_POLL_MS = 500
_COMMIT_EVERY_S = 1.0
_COMMIT_EVERY_OUTCOMES = 500


class ResultReader(Opened):
    """Iterator over Completed and Failed, committed ones only.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        group: Consumer group; members of one group share the outcomes. None: read all, remember nothing.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `MemoryBroker`'s, in a test.
        start: Where a group that never read begins: `earliest`, `latest`, or an aware datetime.
        topic: Another topic of outcomes: a `reply_to`, or the service's own dead letters; default: the results.
        follow: False: end where the topic ended when the reader was opened.
        expected: Gives what this service knows of the request of an id, None if it is none of its own. An outcome that
            contradicts it belongs to another request and is not delivered: iterating raises IdConflict, `handle` counts
            it.

    Attributes:
        conflicts: Outcomes that were not delivered, since they contradict what was expected of their ids.
        undecodable: Values that could not be read. If the headers identify the request, the outcome is delivered as a
            Failed with reason `unreadable`; otherwise the record is no outcome, and is skipped.
        stopping: Set by `stop`.
    """

    def __init__(  # noqa: PLR0913  # each is a choice of the service
        self,
        bootstrap_servers: str = "",
        *,
        group: str | None,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        start: Start = "earliest",
        topic: str | None = None,
        follow: bool = True,
        expected: Expected | None = None,
    ) -> None:
        self.undecodable = 0
        self.conflicts = 0
        self._expected = expected
        self.stopping = asyncio.Event()
        self._topic = topic or results_topic(topic_prefix)
        self._doors = client_doors(bootstrap_servers, connection)
        self._log = self._doors.outcomes(self._topic, group=group, start=start)
        self._deliveries = Deliveries(remembered_max=REMEMBERED_MAX, mark_handled=self._mark_handled)
        self._traces = OutcomeSpans(self._topic, group)
        self._follow = follow
        self._open = False
        self._ends: dict[int, int] = {}
        self._in_hand: Delivery | None = None
        self._come: Arrived | None = None
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    @property
    def made_anew(self) -> int:
        """Number of times the topic was deleted and made anew while it was read: it is then read from its beginning."""
        return self._log.made_anew

    @property
    def published_at(self) -> datetime | None:
        """Kafka's timestamp of the outcome that the iteration returned last; None before the first."""
        if self._in_hand is None:
            return None
        return datetime.fromtimestamp(self._in_hand.arrived[0].timestamp_ms / 1_000, UTC)

    @property
    def duplicates(self) -> int:
        """Outcomes that had been delivered already and were skipped."""
        return self._deliveries.duplicates

    async def open(self) -> None:
        """Connect; with `latest`, everything published from now on is delivered. `async with` does so, too.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        if self._open:
            return
        await self._log.open()
        try:
            self._ends = {} if self._follow else await self._log.ends()
        except BaseException:
            await self._log.close()
            raise
        self._open = True

    async def close(self) -> None:
        """Commit what is handled and leave the group; never hangs. A wait for an outcome, or `handle`, ends."""
        self._open = False
        self._come = None
        self._traces.end()
        await self._log.close()

    def stop(self) -> None:
        """End the iteration, or `handle`, once the outcomes in hand have been handled: for a signal handler."""
        self.stopping.set()

    async def __anext__(self) -> Outcome:
        """Return the next outcome; asking for it marks the one before as handled.

        Raises:
            IdConflict: It is of another request than is expected of its id. It counts as handled; ask for the next.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        handled, self._in_hand = self._in_hand, None  # at once: the wait for the next may be cancelled and repeated
        self._traces.end()
        if handled is not None:
            self.done(handled)
        await self.open()
        self._in_hand = await self.delivery()
        if self._in_hand is None:
            raise StopAsyncIteration
        if differs := self.contradicted(self._in_hand.outcome):
            raise IdConflict(self._in_hand.outcome.id, differs)
        self._traces.begin(self._in_hand)
        return self._in_hand.outcome

    def contradicted(self, outcome: Outcome) -> tuple[str, ...]:
        """Name the differences from what is expected of the outcome's id, and count such an outcome."""
        expected = None if self._expected is None else self._expected(outcome.id)
        differs = () if expected is None else expected.differences(outcome)
        self.conflicts += bool(differs)
        return differs

    def _is_others_conflict(self, outcome: Outcome) -> bool:
        """Whether it reports to another sender that its request has an id of ours: that is not our outcome."""
        expected = None if self._expected is None else self._expected(sent_as(outcome))
        return expected is not None and outcome.id != expected.id and bool(expected.differences(outcome))

    async def handle(  # each is a choice of the service
        self,
        handler: Handler,
        *,
        dead_letters: str | None,
        attempts_max: int = ATTEMPTS_MAX,
        pause_s: float = PAUSE_S,
        concurrency: int = 1,
    ) -> Handling:
        """Call `handler` for each outcome; whatever it raises, the outcome is neither lost nor retried forever.

        Args:
            handler: Returning marks the outcome as handled. `headrace.consumers.handling.Refused` means that a retry is
                of no use; after any other exception the outcome is retried.
            dead_letters: The service's own topic for outcomes given up; a reader with `topic=` handles them again.
                None: the last exception is raised here, and the outcome comes again after the next start.
            attempts_max: Maximum number of attempts for an outcome.
            pause_s: Pause before the second attempt; each further pause is twice as long, half a minute at most.
            concurrency: Number of outcomes handled at once; with 1, those of a partition in order.

        Returns:
            The counts, once `stop` was called or a reader that does not follow has reached the end.

        Raises:
            MissingTopic: There is no topic `dead_letters`.
            RightsError, AuthenticationError, Unreachable: Kafka does not let us, or is away at the start.
        """
        await self.open()
        log = self._doors.submissions()
        try:
            letters = None if dead_letters is None else Letters(log, self._topic, dead_letters)
            if letters is not None:
                await letters.check()
            patience = Patience(attempts_max=attempts_max, pause_s=pause_s)

            async def handed(outcome: Outcome) -> None:
                if not self.contradicted(outcome):
                    await handler(outcome)

            handling = Handling(self, handed, letters, patience, concurrency=concurrency, spanned=self._traces.spanned)
            await handling.run()
            await self.commit()
            return handling
        finally:
            await log.close()

    # ------------------------------------------------------------------ one by one

    async def delivery(self) -> Delivery | None:
        """Return the next outcome, to be given to `done` or `give_back`; None at the end."""
        while (arrived := await self._arrived()) is not None:
            outcome = self._outcome(arrived)
            if outcome is None or self._is_others_conflict(outcome):
                self._deliveries.skip(arrived)
            elif (delivery := self._deliveries.begin(arrived, outcome)) is not None:
                return delivery
        await self.commit()
        return None

    def done(self, delivery: Delivery) -> None:
        """Count the outcome as handled."""
        self._deliveries.done(delivery)

    def give_back(self, delivery: Delivery) -> None:
        """Do not count the outcome as handled: it comes again, and so do later ones of its partition."""
        self._deliveries.give_back(delivery)

    async def commit(self) -> None:
        """Store the group's progress at once: everything delivered before the first outcome in hand."""
        self._uncommitted = 0
        self._committed_at = time.monotonic()
        await self._log.commit()

    def _mark_handled(self, arrived: Arrived) -> None:
        self._log.mark_handled(arrived)
        self._uncommitted += 1

    async def _commit_if_due(self) -> None:
        idle = self._uncommitted and not self._log.buffered
        late = self._uncommitted and time.monotonic() - self._committed_at >= _COMMIT_EVERY_S
        if idle or late or self._uncommitted >= _COMMIT_EVERY_OUTCOMES:
            await self.commit()

    async def _arrived(self) -> Arrived | None:
        """Return the next record; None at the end, or once it is closed. Waits out a Kafka that is away."""
        pause_s = RECONNECT_FIRST_S
        while self._open and not self.stopping.is_set():
            await self._commit_if_due()
            try:
                if not self._follow and self._come is None and await self._log.is_past(self._ends):
                    return None
                arrived = await self._next()
                if arrived is not None:
                    return arrived
            except Unreachable:
                if not self._follow and self._open:
                    raise
                await self._reopen(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
        return None

    async def _next(self) -> Arrived | None:
        """Return the next record; None after a while without one, or as soon as the reader is stopped."""
        if self._come is None and not self._log.buffered:
            asking = asyncio.create_task(self._ask(), name="next outcome")
            stopped = asyncio.create_task(self.stopping.wait(), name="stop")
            try:
                await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    await asking
            finally:
                await ended(asking, stopped)
        elif self._come is None:
            await self._ask()
        come, self._come = self._come, None
        return come

    async def _ask(self) -> None:
        """Keep the next record here: if its wait were cancelled at that instant, a result would be lost unseen."""
        self._come = await self._log.next(timeout_ms=_POLL_MS)

    async def _reopen(self, pause_s: float) -> None:
        self._come = None
        if self._open:
            await self._log.close()
            await asyncio.sleep(pause_s)
        with suppress(Unreachable):  # the next poll raises it again, and the pause grows
            if self._open:  # not closed meanwhile: a member that is never closed would hold its partitions
                await self._log.open()

    def _outcome(self, arrived: Arrived) -> Outcome | None:
        outcome = outcome_in(arrived.record)
        if outcome is None or is_unreadable(outcome):
            self.undecodable += 1
        return outcome


def outcome_in(record: Record) -> Outcome | None:
    """Decode a record's outcome; a Failed with reason `unreadable` if only the headers can be read, else None."""
    try:
        return read_outcome(replace(record, headers=tuple(own_headers(record))))
    except WireError as reason:
        return in_place_of(record, str(reason))
