"""Records of one settlement, sized after their last header and before the transaction begins, in a form that fits.

A record that Kafka refuses nevertheless is found by bisecting, and comes back in a smaller `Form`
(`headrace.broker.core.requests.failing_decisions`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.identity.dedupe import Overdue
from headrace.broker.core.requests.transactions import REFUSED_BY_KAFKA
from headrace.broker.core.requests.triage import WITHDRAWN
from headrace.broker.ports import SENT_BYTES_MAX, Outgoing
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.payloads import Content, Payload
from headrace.broker.service.published import PublishedOutcome
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.service.publishing.outcomes import completed, failed, smallest, stunted
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.publishing.short_forms import OVERDUE, withdrawn
from headrace.broker.settings.whole import Settings
from headrace.schemas import topics
from headrace.schemas.codec import encode_dead_letter, encode_failure, encode_outcome
from headrace.schemas.failure import RetryableFailure, header_fields, key_fields
from headrace.schemas.headers import CE_SUBJECT, REPLY_DROPPED, TRACEPARENT, TRACESTATE
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable, binary_headers

_log = structlog.get_logger("publication")

_IDS_SAID_EVERY_MS = 600_000
_IDS_SAID_AGAIN_PARTS = 4
_UNKNOWN_PLACE = -1


class SettlementRecords:
    """Maker of the records of one settlement: outcome, copy for a reply topic, dead letter, RetryableFailure."""

    def __init__(
        self, settings: Settings, clock: WallClock, replies: Replies, *, grants: Grants, costing: Costing
    ) -> None:
        """Dead letters carry `grants` for the next run of their ids; `costing` says what outcomes cost."""
        self._costing = costing
        self._grants = grants
        self._replies = replies
        self._clock = clock
        self._prefix = settings.kafka.topic_prefix
        self._results_max = _fits(settings.topics.results.max_message_bytes)
        self._dead_letter_max = _fits(settings.topics.dead_letters.max_message_bytes)

    def reply_topic(self, cargo: Payload) -> str | None:
        """Return the producer's own topic that receives a copy of the outcome; None: there is none to serve."""
        content = cargo.content
        if isinstance(content, DecodedRequest):
            asked = content.request.reply_to
        else:
            asked = content.reply_to if isinstance(content, Undecodable) else None
        return asked if self._replies.serves(asked) else None

    def of(self, settlement: commands.Settlement, cargo: Payload, term: int, now: datetime) -> Iterable[Outgoing]:
        """Make the records of a settlement in its form; the result is made as it is iterated."""
        if settlement.form in commands.WITH_CONTENT:
            return self._settled(settlement, cargo, term, now)
        return self._reduced(settlement, cargo, term, now)

    def _settled(self, settlement: commands.Settlement, cargo: Payload, term: int, now: datetime) -> Iterable[Outgoing]:
        decision, copied = settlement.decision, settlement.form is commands.Form.WHOLE
        match decision:
            case commands.Complete():
                yield from self._outcome(self._completed(cargo, term), cargo, now, copied=copied)
            case commands.Fail():
                yield from self._outcome(self._failed(cargo, decision, term), cargo, now, copied=copied)
                if decision.reason != "cancelled":
                    yield self.dead_letter(cargo, decision, now)
            case commands.Park():
                yield self._parked(cargo, decision, now)
            case commands.Withdraw():
                yield from self._outcome(withdrawn(cargo, decision, term), cargo, now, copied=copied)
            case commands.DeadLetterOnly():
                yield self.dead_letter(cargo, decision, now)
            case commands.Discard(returned=True):
                yield from self._returned(cargo, decision, term, now, copied=copied)
            case commands.Discard() | commands.Remember():
                return

    def _completed(self, cargo: Payload, term: int) -> Completed:
        return completed(cargo, term, self._costing.cost(cargo))

    def _failed(self, cargo: Payload, fail: commands.Fail, term: int) -> Failed:
        return failed(cargo, fail, term, self._costing.cost(cargo))

    def _returned(
        self, cargo: Payload, copy: commands.Discard, term: int, now: datetime, *, copied: bool
    ) -> Iterator[Outgoing]:
        """Make the records due for the copy of a request that was answered while parked: cancelled, or overdue."""
        late = OVERDUE if copy.overdue else commands.Fail("cancelled", WITHDRAWN)
        if copied:
            yield from self._told_late(cargo, late, term, now)
        if copy.overdue:
            yield self.dead_letter(cargo, late, now)

    def _reduced(self, settlement: commands.Settlement, cargo: Payload, term: int, now: datetime) -> Iterator[Outgoing]:
        """Make what is left of a settlement that Kafka refused: see `Form`. A copy for a reply topic is dropped."""
        decision, form = settlement.decision, settlement.form
        reason = REFUSED_BY_KAFKA.reason
        match decision:
            case commands.Fail():
                outcome, reason = self._failed(cargo, decision, term), decision.reason
            case commands.Withdraw():
                outcome = withdrawn(cargo, decision, term)
            case commands.DeadLetterOnly():
                yield self.dead_letter(cargo, decision, now, bare=True)
                return
            case _:
                return
        place = f"{cargo.topic}/{cargo.source.partition.number}/{cargo.source.offset}"
        _log.error("published_reduced", origin=place, form=form.value, reason=reason)
        if form is not commands.Form.LETTER:
            least = smallest(outcome)
            yield self._result(encode_outcome(least, time=now), least)
        if form is commands.Form.LETTER:
            yield self.dead_letter(cargo, REFUSED_BY_KAFKA, now, bare=True)
        elif isinstance(decision, commands.Fail) and reason != "cancelled":
            yield self.dead_letter(cargo, decision, now, bare=form is commands.Form.BARE)

    def _outcome(
        self, outcome: Completed | Failed, cargo: Payload, now: datetime, *, copied: bool
    ) -> Iterator[Outgoing]:
        """Make the record of an outcome, and its copy for a reply topic; an outcome without its copy says so."""
        result, topic = self._outcome_record(outcome, cargo, now), self.reply_topic(cargo)
        if topic is not None:
            if why := self._replies.hindrance(topic, result.record, copied=copied):
                result = self._outcome_record(outcome, cargo, now, (REPLY_DROPPED, f"{topic} {why}".encode()))
            else:
                yield Outgoing(topic, result.record)
        yield result

    def overdue(self, overdue: Overdue, term: int, now: datetime) -> Iterator[Outgoing]:
        """Make outcome and dead letter of a parked request that did not come back: only its id is known.

        The letter has no value, and its origin no offset: the request's position in the failures topic is not known
        here. If the copy does come, it brings a letter that can be replayed.
        """
        outcome = Failed(
            id=overdue.name,
            run=overdue.identity.run,
            reason=OVERDUE.reason,
            message=OVERDUE.sentence,
            attempts=overdue.attempts,
            term=term,
        )
        yield self._result(encode_outcome(outcome, time=now), outcome)
        letter = encode_dead_letter(
            overdue.name.encode(),
            None,
            ((CE_SUBJECT, overdue.name.encode()),),
            reason=OVERDUE.reason,
            origin=(topics.failures_topic(self._prefix), _UNKNOWN_PLACE, _UNKNOWN_PLACE),
            attempts=overdue.attempts,
            run=overdue.identity.run,
            failed_at=now,
            max_bytes=self._dead_letter_max,
            message=OVERDUE.sentence,
        )
        yield Outgoing(topics.dead_letters_topic(self._prefix), letter)

    def _told_late(self, cargo: Payload, fail: commands.Fail, term: int, now: datetime) -> Iterator[Outgoing]:
        """Make the reply-topic copy of an outcome that is in the results already.

        A parked request that was cancelled, or did not come back in time, was answered by its id alone. Its own record,
        which comes back now, names the topic that was to receive the outcome too.
        """
        topic = self.reply_topic(cargo)
        if topic is not None:
            record = self._outcome_record(self._failed(cargo, fail, term), cargo, now).record
            if not self._replies.hindrance(topic, record):
                yield Outgoing(topic, record)

    def _outcome_record(
        self, outcome: Completed | Failed, cargo: Payload, now: datetime, *more: tuple[str, bytes]
    ) -> PublishedOutcome:
        """Encode an outcome with its last headers; if it does not fit, shortened, and at last without those headers."""
        content = cargo.content
        if cargo.trace is not None:
            more = (*more, *cargo.trace.send.headers)
        elif isinstance(content, DecodedRequest) and content.traceparent is not None:
            state = () if content.tracestate is None else ((TRACESTATE, content.tracestate.encode()),)
            more = (*more, (TRACEPARENT, content.traceparent.encode()), *state)
        record = _with(encode_outcome(outcome, time=now), more)
        if record.bytes_max <= self._results_max:
            return self._result(record, outcome)
        _log.error("outcome_does_not_fit", bytes=record.bytes_max, bytes_max=self._results_max)
        shortened = stunted(outcome, record.bytes_max)
        short = encode_outcome(shortened, time=now)
        record = _with(short, more)
        return self._result(record if record.bytes_max <= self._results_max else short, shortened)

    def _result(self, record: Record, outcome: Completed | Failed) -> PublishedOutcome:
        return PublishedOutcome(topics.results_topic(self._prefix), record, outcome=outcome)

    def _parked(self, cargo: Payload, park: commands.Park, now: datetime) -> Outgoing:
        assert isinstance(cargo.content, DecodedRequest)  # noqa: S101 — programmer error: only requests are parked
        request = cargo.content.request
        failure = RetryableFailure(
            id=request.id,
            run=cargo.content.run,
            kind=park.kind,
            attempt=park.attempts,
            failures=park.failures,
            not_before=self._clock.to_utc(park.not_before_ms),
            message=park.sentence,
            error=cargo.error,
            lane=cargo.source.partition.lane,
            headers=header_fields(_traced_headers(cargo, binary_headers(cargo.content, cargo.record.headers))),
            submitted_at=cargo.submitted_at,
            request=request.model_dump(mode="json", exclude_unset=True),
            **key_fields(cargo.record.key),
        )
        return Outgoing(topics.failures_topic(self._prefix), encode_failure(failure, time=now))

    def dead_letter(
        self, cargo: Payload, why: commands.Fail | commands.DeadLetterOnly, now: datetime, *, bare: bool = False
    ) -> Outgoing:
        """Make the letter of the unchanged record, with the reason why it ends.

        For a range that was lost, its first offset stands for all.
        """
        content, lost = cargo.content, why.lost if isinstance(why, commands.DeadLetterOnly) else None
        offset = cargo.source.offset if lost is None else lost.start
        record = encode_dead_letter(
            cargo.record.key,
            cargo.record.value,
            cargo.record.headers,
            reason=why.reason,
            origin=(cargo.topic, cargo.source.partition.number, offset),
            attempts=cargo.calls + (content.calls_before if isinstance(content, DecodedRequest) else 0),
            run=content.run if isinstance(content, DecodedRequest | Undecodable) else 0,
            failed_at=now,
            max_bytes=self._dead_letter_max,
            bare=bare,
            grant=self._grant(content),
            message=why.sentence,
        )
        return Outgoing(topics.dead_letters_topic(self._prefix), record)

    def _grant(self, content: Content | None) -> str | None:
        """Return the grant that lets a replay of the record be believed, if it has an id."""
        if not isinstance(content, DecodedRequest | Undecodable):
            return None
        request_id = content.request_id
        return None if request_id is None else self._grants.grant(request_id, content.run + 1)


def _fits(topic_bytes_max: int) -> int:
    """Return the largest size of a record: its topic holds the limit against its batch, and the client has its own."""
    return min(SENT_BYTES_MAX, topic_bytes_max) - topics.BATCH_OVERHEAD_BYTES


def _with(record: Record, headers: tuple[tuple[str, bytes], ...]) -> Record:
    return replace(record, headers=(*record.headers, *headers))


def _traced_headers(cargo: Payload, headers: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a request that leaves to come back; a trace that began here goes with it."""
    if cargo.trace is None or cargo.trace.parent is not None:
        return headers
    kept = tuple(header for header in headers if header[0] not in {TRACEPARENT, TRACESTATE})
    return (*kept, *cargo.trace.process.headers)
