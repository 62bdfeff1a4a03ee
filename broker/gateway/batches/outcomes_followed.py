"""Outcomes of one batch's requests, read from the results topic by position.

The requests' ids are chosen for one partition of the results, so that one is read. If partitions are added while the
batch runs, producers place ids anew, and all partitions are read.
"""

from collections.abc import Callable, Mapping
from typing import Final

from headrace.broker.batch_ports import SeekableLog
from headrace.broker.errors import PositionGone
from headrace.broker.gateway.batches.names import line_number, line_prefix
from headrace.broker.gateway.batches.records import BatchCreated
from headrace.broker.gateway.batches.state import BatchState
from headrace.schemas.outcome import Outcome
from headrace.schemas.unreadable import read_outcome

_COUNT_EVERY_MS: Final = 10_000


class OutcomesFollowed:
    """Reader of a batch's outcomes.

    Attributes:
        seen: By partition, the offset up to which outcomes were looked at.
    """

    def __init__(self, log: SeekableLog, topic: str, created: BatchCreated, utc_ms: Callable[[], int]) -> None:
        """It reads nothing yet."""
        self.seen: dict[int, int] = {}
        self._log = log
        self._topic = topic
        self._created = created
        self._prefix = line_prefix(created.tenant, created.id)
        self._utc_ms = utc_ms
        self._followed: tuple[int, ...] = (created.results.home,)
        self._counted_ms = 0
        self._ends: dict[int, int] = {}

    async def ends(self) -> dict[int, int]:
        """Return the present ends of the partitions; pass them to `start` after the batch was folded."""
        ends = await self._log.ends(self._topic)
        self._count(ends)
        return ends

    def start(self, state: BatchState, ends: Mapping[int, int]) -> None:
        """Begin where the batch's records leave off, or at the ends if no request was announced before."""
        first = dict(enumerate(self._created.results.ends))
        for number, end in ends.items():
            since = max(first.get(number, 0), state.seen.get(number, 0))
            self.seen[number] = since if state.upto else max(since, end)
        self._ends = dict(ends)

    def is_past_start(self) -> bool:
        """Whether all outcomes published before `ends` was called were read."""
        return all(self.seen[number] >= self._ends.get(number, 0) for number in self._followed)

    async def read(self) -> list[tuple[int, Outcome]]:
        """Return the next outcomes, each with its line's number; none: nothing new was there.

        Raises:
            LogUnavailable, Unreachable, RightsError, AuthenticationError: As Kafka says.
        """
        if self._utc_ms() >= self._counted_ms + _COUNT_EVERY_MS:
            self._count(await self._log.ends(self._topic))
        found: list[tuple[int, Outcome]] = []
        for number in self._followed:
            found += await self._of_partition(number)
        return found

    def seen_here(self) -> dict[int, int]:
        """Return `seen` of the partitions that are read, for the batch's records."""
        return {number: self.seen[number] for number in self._followed}

    def _count(self, ends: Mapping[int, int]) -> None:
        """Read all partitions from the moment on in which there are others than when the batch was created."""
        self._counted_ms = self._utc_ms()
        if len(ends) != len(self._created.results.ends):
            self._followed = tuple(ends)
            for number in ends:
                self.seen.setdefault(number, 0)

    async def _of_partition(self, number: int) -> list[tuple[int, Outcome]]:
        try:
            stretch = await self._log.read(self._topic, number, self.seen[number])
        except PositionGone:  # retention was faster, or the topic was made anew
            self.seen[number] = (await self._log.begins(self._topic))[number]
            return []
        found: list[tuple[int, Outcome]] = []
        for stored in stretch.records:
            if not (stored.record.key or b"").startswith(self._prefix):
                continue
            outcome = read_outcome(stored.record)
            line = None if outcome is None else line_number(self._created.tenant, self._created.id, outcome.id)
            if outcome is not None and line is not None:
                found.append((line, outcome))
        self.seen[number] = stretch.next_offset
        return found
