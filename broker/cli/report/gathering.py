"""The sums of a report: those of its period, and those of an earlier one to compare with."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.ranges import KafkaRanges
from headrace.broker.cli.patience import closing, kafka_at, within
from headrace.broker.cli.report.reading import (
    SUMS_ONLY,
    OutcomeShape,
    ReadingProgress,
    read_requests,
    read_results,
    read_totals,
)
from headrace.broker.client_ports import ClientDoors
from headrace.broker.errors import InvalidRequest, MissingTopic, RightsError
from headrace.broker.range_ports import RangeDoors, RangeLog
from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.question import ReportQuestion
from headrace.broker.spending.report import Compared
from headrace.broker.spending.tally import SpendingTally
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.topics import requests_topic, results_topic, totals_topic

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read: sums, the topic they come from, from when on it has everything, and what to compare with."""

    tally: SpendingTally
    topic: str
    reaches_back_to: datetime | None
    compared: Compared | None


@dataclass(frozen=True, slots=True)
class Gathering:
    """One reading for a report.

    Attributes:
        from_totals: It is of the hourly totals instead of the outcomes.
        results_kept: Retention of the outcomes.
        totals_kept: Retention of the totals.
    """

    connection: KafkaConnection | ClientDoors
    topic_prefix: str
    question: ReportQuestion
    from_totals: bool = False
    results_kept: timedelta = timedelta(days=7)
    totals_kept: timedelta = timedelta(days=400)
    timeout_s: float = 10.0

    @property
    def results_topic(self) -> str:
        """The topic of outcomes."""
        return results_topic(self.topic_prefix)

    @property
    def totals_topic(self) -> str:
        """The topic of hourly totals."""
        return totals_topic(self.topic_prefix)

    async def gather(
        self, progress: ReadingProgress, costs: CostFinder | None, reads: OutcomeShape[Any] = SUMS_ONLY
    ) -> Gathered:
        """Read the period, and the earlier one.

        Raises:
            InvalidRequest: There is no topic of totals.
            MissingTopic, Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        tally, now = SpendingTally(self.question, costs), datetime.now(UTC)
        if self.from_totals:
            topic = self.totals_topic
            try:
                kept_since = now - self.totals_kept
                back_to = await self._read(topic, lambda log: read_totals(log, tally, progress, kept_since=kept_since))
            except MissingTopic as reason:
                raise InvalidRequest(
                    f"There is no topic {topic}: `headrace topics create` makes it, and dispatchers fill it from then "
                    "on. Until then use --from results."
                ) from reason
        else:
            topic, kept_since = self.results_topic, now - self.results_kept
            back_to = await self._read(
                topic, lambda log: read_results(log, tally, progress, reads=reads, kept_since=kept_since)
            )
        return Gathered(tally, topic, back_to, await self._compared(progress, now))

    async def requests(
        self,
        lanes: Mapping[str, timedelta],
        progress: ReadingProgress,
        feed: Callable[[DecodedRequest, str], None],
        wants: Callable[[str], bool],
    ) -> int:
        """Feed the wanted requests that still stand in the topics of these lanes, and the lane of each; count them.

        A request may have waited in a lane for the time that is given with its name, so it may be so much older than
        the period. Lanes beyond the filters are not read.

        Raises:
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        count = 0
        for lane, waits in lanes.items():
            if not self.question.filters.allow("lane", lane):
                continue

            async def read(log: RangeLog, lane: str = lane, waits: timedelta = waits) -> int:
                in_lane = partial(_fed, feed, lane)
                return await read_requests(
                    log, self.question.period.and_before(waits), progress, feed=in_lane, wants=wants
                )

            with suppress(MissingTopic):  # a lane of the settings that this cluster has not
                count += await self._read(requests_topic(self.topic_prefix, lane), read)
        return count

    async def _compared(self, progress: ReadingProgress, now: datetime) -> Compared | None:
        """Return the earlier period's sums, from totals or from results, whichever has all of it; None: neither."""
        earlier = replace(self.question, period=self.question.period.before(), by_hour=False)

        totals = partial(read_totals, progress=progress, kept_since=now - self.totals_kept)
        results = partial(read_results, progress=progress, kept_since=now - self.results_kept, whole_only=True)
        for topic, read in ((self.totals_topic, totals), (self.results_topic, results)):
            tally = SpendingTally(earlier)
            try:
                back_to = await self._read(topic, partial(read, tally=tally))
            except (MissingTopic, RightsError):  # there is a report without it
                continue
            if back_to is None and tally.groups.groups:
                period = earlier.period.whole_hours() if topic == self.totals_topic else earlier.period
                return Compared(period, topic, tally.groups)
        return None

    async def _read(self, topic: str, read: Callable[[RangeLog], Awaitable[_T]]) -> _T:
        """Open the topic, read it, and close it."""
        log = self._log(topic)
        async with closing(log):
            await within(self.timeout_s, log.open, place=kafka_at(self.connection))
            return await read(log)

    def _log(self, topic: str) -> RangeLog:
        if isinstance(self.connection, KafkaConnection):
            return KafkaRanges(self.connection, topic=topic)
        assert isinstance(self.connection, RangeDoors)  # noqa: S101 — those of a MemoryBroker are
        return self.connection.range_log(topic)


def _fed(feed: Callable[[DecodedRequest, str], None], lane: str, decoded: DecodedRequest) -> None:
    feed(decoded, lane)
