"""The reading of topics for a report: outcomes or totals of a period, into a tally."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Protocol

from headrace.broker.range_ports import RangeLog, RangeRecord, TopicRanges
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.tally import SpendingTally
from headrace.broker.spending.totals import LastTotals
from headrace.schemas import headers as names
from headrace.schemas.codec import WireError
from headrace.schemas.instants import from_wire
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, decode_request
from headrace.schemas.spending import AnySpent, SpentOutcome
from headrace.schemas.spent_json import decode_spent

_CLOCKS_APART: Final = timedelta(minutes=10)
"""Most by which the clocks of leaders and of Kafka differ."""
_PUBLISHED_WITHIN: Final = timedelta(hours=1)
"""Most that lies between the end of a call, or of an hour, and the record that states it, as while Kafka is away."""
_ID: Final = re.compile(rb'"id"\s*:\s*"([ -~]{1,128}?)"')
_FRONT_BYTES: Final = 4_096
"""Part of a request's value in which its id is looked for without decoding it; a long prompt comes behind it."""


@dataclass(frozen=True, slots=True)
class OutcomeShape(Generic[AnySpent]):
    """What is read of an outcome: `feed` gets each one that is counted, with the fields that it needs."""

    fields: type[AnySpent]
    feed: Callable[[AnySpent], None] | None = None


SUMS_ONLY: Final = OutcomeShape(SpentOutcome)


class ReadingProgress(Protocol):
    """Observer of a reading."""

    def expect(self, offsets: int) -> None:
        """Take note of offsets that will be read."""

    def pass_by(self, offsets: int) -> None:
        """Take note of offsets that were read."""


async def read_results(
    log: RangeLog,
    tally: SpendingTally,
    progress: ReadingProgress,
    *,
    reads: OutcomeShape[Any] = SUMS_ONLY,
    kept_since: datetime | None = None,
    whole_only: bool = False,
) -> datetime | None:
    """Count the outcomes of the tally's period; with `whole_only` nothing if some of them have been removed.

    `kept_since`: what retention removes is older; None: it is not known.

    Returns:
        From when on the topic has all of them; None: it has all of the period.
    """
    period = tally.question.period
    found = await log.ranges(period.since - _CLOCKS_APART, _written_by(period))
    back_to = _complete_from(found, period, kept_since)
    begins_at = found.begins_at
    tally.notes.begins_at = begins_at if begins_at is not None and begins_at > period.since else None
    if whole_only and back_to is not None:
        return back_to
    progress.expect(sum(part.offsets for part in found.ranges))
    for part in found.ranges:
        at = part.first
        async for piece in log.read(part):
            tally.notes.unreadable += piece.lost
            _count(piece.records, tally, reads)
            progress.pass_by(piece.position - at)
            at = piece.position
    return back_to


def _count(records: Sequence[RangeRecord], tally: SpendingTally, reads: OutcomeShape[Any]) -> None:
    feed = reads.feed
    for record in records:
        try:
            outcome = decode_spent(record.value, record.headers, reads.fields)
        except WireError:
            tally.notes.unreadable += 1
            continue
        published_s = 0.0 if outcome.timings.finished_at is not None else _published_s(record)
        counted = tally.add(outcome, published_s)
        if feed is not None and counted is not None:
            feed(counted)


def _published_s(record: RangeRecord) -> float:
    """Return when an outcome was published: by its header, which totals go by too, else by Kafka."""
    for name, text in record.headers:
        if name == names.CE_TIME:
            try:
                return from_wire(text.decode()).timestamp()
            except ValueError:
                break
    return record.timestamp_ms / 1_000


async def read_requests(
    log: RangeLog,
    period: ReportPeriod,
    progress: ReadingProgress,
    *,
    feed: Callable[[DecodedRequest], None],
    wants: Callable[[str], bool],
) -> int:
    """Feed the requests with wanted ids that a lane's topic still holds of the period; return their number.

    The outcomes have passed the filters, so their ids alone decide: a request names its model and tier otherwise than
    its outcome does, which has those that answered. A record that is no request is left out: its outcome says so.
    Decoding takes longer than reading, so a record is not decoded if none of the ids that it seems to have is wanted.
    """
    found, count = await log.ranges(period.since - _CLOCKS_APART, _written_by(period)), 0
    progress.expect(sum(part.offsets for part in found.ranges))
    for part in found.ranges:
        at = part.first
        async for piece in log.read(part):
            for record in piece.records:
                if (named := _ids_in(record)) and not any(map(wants, named)):
                    continue
                decoded = decode_request(record.value, record.headers, key=record.key)
                if isinstance(decoded, DecodedRequest) and wants(decoded.request.id):
                    feed(decoded)
                    count += 1
            progress.pass_by(piece.position - at)
            at = piece.position
    return count


def _ids_in(record: RangeRecord) -> tuple[str, ...]:
    """Return what may be the id of a request that is not decoded: those that headers and the value's front name."""
    given = dict(record.headers)
    named = [given.get(names.CE_SUBJECT), event := given.get(names.CE_ID)]
    named += [None if event is None else event.rpartition(b"#")[0]]  # of a replay: its number
    named += _ID.findall(record.value or b"", 0, _FRONT_BYTES)
    return tuple(each.decode(errors="replace") for each in named if each)


async def read_totals(
    log: RangeLog, tally: SpendingTally, progress: ReadingProgress, *, kept_since: datetime | None = None
) -> datetime | None:
    """Count the totals of the tally's hours; `kept_since` and what is returned are as of `read_results`."""
    period = tally.question.period.whole_hours()
    found = await log.ranges(period.since - _CLOCKS_APART, _written_by(period))
    progress.expect(sum(part.offsets for part in found.ranges))
    for part in found.ranges:
        last, at = LastTotals(period.hours), part.first
        async for piece in log.read(part):
            tally.notes.unreadable += piece.lost
            for record in piece.records:
                for key, total in last.put(Record(record.key, record.value)):
                    tally.add_total(key, total)
            progress.pass_by(piece.position - at)
            at = piece.position
        for key, total in last.rest():
            tally.add_total(key, total)
        tally.notes.unreadable += last.unreadable
        tally.notes.too_late += last.too_late
    return _complete_from(found, period, kept_since)


def _written_by(period: ReportPeriod) -> datetime | None:
    """Return the date by which all of a period was written; None: that may be the present, so nothing is left out."""
    until = period.until + _PUBLISHED_WITHIN
    return None if until >= datetime.now(UTC) else until


def _complete_from(found: TopicRanges, period: ReportPeriod, kept_since: datetime | None) -> datetime | None:
    """Return from when on a topic has everything, if that is within the period.

    A partition whose records are all gone, as one without traffic for a week, lacks those that are older than the
    topic's retention. A period that begins as long ago as retention reaches is taken for complete.
    """
    back_to = found.reach_back_to
    if found.is_emptied:
        removed_until = period.until if kept_since is None else kept_since - _CLOCKS_APART
        back_to = removed_until if back_to is None else max(back_to, removed_until)
    return back_to if back_to is not None and back_to > period.since else None
