"""For services that act on outcomes: `async for outcome in results`, each (id, run) once, whatever restarts.

At least once for each consumer group: an outcome counts as handled when the loop body asks for the next one, so what
was in hand when a process died comes again. Inside one reader (id, run) is delivered once. Loads aiokafka and pydantic,
and never openai, tiktoken or redis.
"""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from types import TracebackType
from typing import Self

from broker.adapters.kafka_client import client_doors
from broker.adapters.kafka_connection import KafkaConnection
from broker.client_ports import Arrived, ClientDoors, Start
from broker.errors import Unreachable
from schemas.codec import WireError, decode_outcome
from schemas.outcome import Outcome
from schemas.topics import results_topic

REMEMBERED_MAX = 100_000
"""(id, run) pairs a reader remembers; beyond it the oldest is forgotten."""

_POLL_MS = 500
_COMMIT_EVERY_S = 1.0
_COMMIT_EVERY_OUTCOMES = 500
_RECONNECT_FIRST_S = 0.2
_RECONNECT_MAX_S = 5.0


class ResultReader:
    """Iterates over Completed and Failed, committed ones only.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        group: Consumer group; members of one group share the outcomes. None: read all, remember nothing.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `MemoryBroker`'s, in a test.
        start: Where a group that never read begins: `earliest`, `latest`, or an aware datetime.
        topic: Another topic of outcomes, such as a `reply_to`; default: the results of the prefix.
        follow: False: end where the topic ended when the reader was opened.

    Attributes:
        undecodable: Values that were no outcome and were skipped.
        duplicates: Outcomes that had been delivered already and were skipped.
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
    ) -> None:
        self.undecodable = 0
        self.duplicates = 0
        doors = client_doors(bootstrap_servers, connection)
        self._log = doors.outcomes(topic or results_topic(topic_prefix), group=group, start=start)
        self._follow = follow
        self._open = False
        self._ends: dict[int, int] = {}
        self._in_hand: Arrived | None = None
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    async def open(self) -> None:
        """Connect; with `latest`, everything published from now on is delivered. `async with` does it, too.

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

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Commit what is handled and leave the group; never hangs."""
        self._open = False
        await self._log.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        """The next outcome; asking for it says that the one before is handled.

        Raises:
            RightsError, AuthenticationError: Kafka does not let us.
        """
        self._done_with_in_hand()
        while True:
            await self._commit_if_due()
            arrived = await self._arrived()
            if arrived is None:
                await self.commit()
                raise StopAsyncIteration
            outcome = self._new_outcome(arrived)
            self._in_hand = arrived
            if outcome is not None:
                return outcome
            self._done_with_in_hand()

    async def commit(self) -> None:
        """Store at once how far the group is: everything handed out before the outcome in hand."""
        self._uncommitted = 0
        self._committed_at = time.monotonic()
        await self._log.commit()

    def _done_with_in_hand(self) -> None:
        if self._in_hand is not None:
            self._log.mark_handled(self._in_hand)
            self._in_hand = None
            self._uncommitted += 1

    async def _commit_if_due(self) -> None:
        idle = self._uncommitted and not self._log.buffered
        late = self._uncommitted and time.monotonic() - self._committed_at >= _COMMIT_EVERY_S
        if idle or late or self._uncommitted >= _COMMIT_EVERY_OUTCOMES:
            await self.commit()

    async def _arrived(self) -> Arrived | None:
        """The next record; None at the end of a reader that does not follow. Waits out a Kafka that is away."""
        pause_s = _RECONNECT_FIRST_S
        while True:
            try:
                if not self._follow and await self._log.is_past(self._ends):
                    return None
                arrived = await self._log.next(timeout_ms=_POLL_MS)
                if arrived is not None:
                    return arrived
            except Unreachable:
                if not self._follow:
                    raise
                await self._reopen(pause_s)
                pause_s = min(2 * pause_s, _RECONNECT_MAX_S)

    async def _reopen(self, pause_s: float) -> None:
        await self._log.close()
        await asyncio.sleep(pause_s)
        with suppress(Unreachable):  # the next look says so again, and the pause grows
            await self._log.open()

    def _new_outcome(self, arrived: Arrived) -> Outcome | None:
        try:
            outcome = decode_outcome(arrived.record.value, arrived.record.headers)
        except WireError:
            self.undecodable += 1
            return None
        identity = (outcome.id, outcome.run)
        if identity in self._seen:
            self._seen.move_to_end(identity)
            self.duplicates += 1
            return None
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return outcome
