"""From a batch of decisions to the records, offsets and ledger line of one Kafka transaction.

Every record is made here, sized before the transaction begins, and given a form that fits: one record that Kafka
refuses would hold up the outcomes of every other.

An exception while the records of one settlement are made concerns that settlement alone, which is published in a short
form (`broker.service.short_forms`).
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

import structlog

from broker.clock import WallClock
from broker.core.batches import failed_instead
from broker.core.commands import Batch, Bury, Complete, Decision, Discard, Fail, Park, Remember, Withdraw
from broker.core.identity import Overdue
from broker.core.reception import WITHDRAWN
from broker.core.ticket import CONTROL, TicketNumber
from broker.ports import Outgoing, StoredOffset, TopicPartition
from broker.service.cargo import Cargo, Content, Hold
from broker.service.containment import Contained
from broker.service.grants import NO_KEY, Grants
from broker.service.ledger_codec import step_record
from broker.service.pricing import MODEL_NAME_MAX
from broker.service.replies import Replies
from broker.service.short_forms import ShortForms, fails_instead, withdrawn
from broker.settings.whole import Settings
from schemas import topics
from schemas.codec import encode_dead_letter, encode_failure, encode_ledger, encode_outcome
from schemas.failure import RetryableFailure, header_fields, key_fields
from schemas.headers import CE_SUBJECT, REPLY_DROPPED, TRACEPARENT
from schemas.ids import id_hash
from schemas.ledger import position
from schemas.outcome import Completed, Failed, Timings
from schemas.record import Record
from schemas.request_codec import DecodedRequest, Undecodable, binary_headers

_log = structlog.get_logger("publication")

_BATCH_OVERHEAD_BYTES = 1_024
_METADATA_BYTES_MAX = 16 * 1024
"""A Failed outcome repeats the request's metadata up to this size; beyond it the outcome stays small and certain."""


_OVERDUE = Fail("deadline_exceeded", "The request was parked, and had not come back long after its deadline.")
_UNKNOWN_PLACE = -1


class Publication:
    """Makes the records of one term's transactions."""

    def __init__(  # noqa: PLR0913 — composed in one place
        self,
        settings: Settings,
        hold: Hold,
        clock: WallClock,
        replies: Replies,
        *,
        owner: str,
        contained: Contained,
        grants: Grants | None = None,
    ) -> None:
        """The owner is the token in the ledger's lines; `contained` is told of exceptions that concern one request.

        Dead letters have `grants` for the next run of their ids.
        """
        self._grants = grants
        self.crashed: frozenset[TicketNumber] = frozenset()
        self._settings = settings
        self._replies = replies
        self._hold = hold
        self._clock = clock
        self._owner = owner
        self._prefix = settings.kafka.topic_prefix
        self._results_max = settings.topics.results.max_message_bytes - _BATCH_OVERHEAD_BYTES
        self._dead_letter_max = settings.topics.dead_letters.max_message_bytes - _BATCH_OVERHEAD_BYTES
        self._short_forms = ShortForms(self._prefix, contained, self._dead_letter)

    def records(self, batch: Batch, term: int) -> list[Outgoing]:
        """Everything the batch writes, the ledger line last; `crashed` names the tickets that it turns into Failed."""
        now = self._clock.utc_now()
        outgoing: list[Outgoing] = []
        self.crashed = frozenset()
        for settlement in batch.settlements:
            try:
                outgoing.extend([*self._settled(settlement.number, settlement.decision, term, now)])
            except Exception as error:  # noqa: BLE001 — a defect in one outcome must hold up no other
                cargo = self._hold[settlement.number]
                outgoing.extend(self._short_forms.of(settlement, cargo, error, term=term, now=now))
                if fails_instead(settlement.decision):
                    self.crashed |= {settlement.number}
        for overdue in batch.overdue:
            outgoing.extend(self._overdue(overdue, term, now))
        named = tuple(
            position(self._topic(each.partition.lane), each.partition.number, each.offset) for each in batch.suspects
        )
        if self.crashed:
            batch = replace(batch, settled=failed_instead(batch.settled, set(map(self._key, self.crashed))))
        key = NO_KEY if self._grants is None else self._grants.for_step()
        line = encode_ledger(step_record(batch, term, self._owner, now, suspects=named, key=key))
        outgoing.append(Outgoing(topics.ledger_topic(self._prefix), Record(None, line)))
        return outgoing

    def reply_topics(self, batch: Batch) -> set[str]:
        """The topics of producers' own for which outcomes of the batch have copies."""
        found = set()
        for settlement in batch.settlements:
            match settlement.decision:
                case Complete() | Fail() | Discard(returned=True):
                    with contextlib.suppress(Exception):  # whatever it is, `records` meets it too
                        found.add(self._reply_topic(self._hold[settlement.number]) or "")
                case _:
                    pass
        return found - {""}

    def _reply_topic(self, cargo: Cargo) -> str | None:
        content = cargo.content
        if isinstance(content, DecodedRequest):
            asked = content.request.reply_to
        else:
            asked = content.reply_to if isinstance(content, Undecodable) else None
        return asked if self._replies.serves(asked) else None

    def offsets(self, batch: Batch) -> dict[TopicPartition, StoredOffset]:
        """Where the group stands once the batch is committed."""
        return {
            TopicPartition(self._topic(place.lane), place.number): StoredOffset(stored.offset, stored.metadata)
            for place, stored in batch.offsets.items()
        }

    def _topic(self, lane: str) -> str:
        return topics.control_topic(self._prefix) if lane == CONTROL else topics.requests_topic(self._prefix, lane)

    def _settled(self, number: TicketNumber, decision: Decision, term: int, now: datetime) -> Iterable[Outgoing]:
        cargo = self._hold[number]
        match decision:
            case Complete():
                yield from self._outcome(self._completed(cargo, term), cargo, now)
            case Fail():
                yield from self._outcome(self._failed(cargo, decision, term), cargo, now)
                if decision.reason != "cancelled":
                    yield self._dead_letter(cargo, decision.reason, now)
            case Park():
                yield self._parked(cargo, decision, now)
            case Withdraw():
                yield from self._outcome(withdrawn(cargo, decision, term), cargo, now)
            case Bury():
                yield self._dead_letter(cargo, decision.reason, now, decision.lost)
            case Discard(returned=True):
                late = _OVERDUE if decision.overdue else Fail("cancelled", WITHDRAWN)
                yield from self._told_late(cargo, late, term, now)
                if decision.overdue:
                    yield self._dead_letter(cargo, late.reason, now)
            case Discard() | Remember():
                return

    def _key(self, number: TicketNumber) -> tuple[bytes, int]:
        """A request as the ledger knows it."""
        content = self._hold[number].content
        assert isinstance(content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called or parked
        return id_hash(content.request.id), content.run

    def _outcome(self, outcome: Completed | Failed, cargo: Cargo, now: datetime) -> Iterator[Outgoing]:
        """The record of an outcome, and its copy for a topic of the producer's own; where none can be, it says so."""
        record, topic = self._outcome_record(outcome, cargo, now), self._reply_topic(cargo)
        if topic is not None:
            if why := self._replies.hindrance(topic, record):
                record = replace(record, headers=(*record.headers, (REPLY_DROPPED, f"{topic} {why}".encode())))
            else:
                yield Outgoing(topic, record)
        yield Outgoing(topics.results_topic(self._prefix), record)

    def _overdue(self, overdue: Overdue, term: int, now: datetime) -> Iterator[Outgoing]:
        """Outcome and dead letter of a parked request that did not come back: its id is all that is known of it.

        The letter has no value, and its origin no offset: where the request stood in the failures topic is not known
        here. If the copy does come, it brings a letter that can be replayed.
        """
        outcome = Failed(
            id=overdue.name,
            run=overdue.identity.run,
            reason=_OVERDUE.reason,
            message=_OVERDUE.sentence,
            attempts=overdue.attempts,
            term=term,
        )
        yield Outgoing(topics.results_topic(self._prefix), encode_outcome(outcome, time=now))
        letter = encode_dead_letter(
            overdue.name.encode(),
            None,
            ((CE_SUBJECT, overdue.name.encode()),),
            reason=_OVERDUE.reason,
            origin=(topics.failures_topic(self._prefix), _UNKNOWN_PLACE, _UNKNOWN_PLACE),
            attempts=overdue.attempts,
            run=overdue.identity.run,
            failed_at=now,
            max_bytes=self._dead_letter_max,
        )
        yield Outgoing(topics.dead_letters_topic(self._prefix), letter)

    def _told_late(self, cargo: Cargo, fail: Fail, term: int, now: datetime) -> Iterator[Outgoing]:
        """The copy of an outcome that stands in the results already.

        A parked request that was cancelled, or did not come back in time, was answered by its id alone. Its own record,
        which comes back now, tells where else the outcome was to go.
        """
        topic = self._reply_topic(cargo)
        if topic is not None:
            record = self._outcome_record(self._failed(cargo, fail, term), cargo, now)
            if not self._replies.hindrance(topic, record):
                yield Outgoing(topic, record)

    def _outcome_record(self, outcome: Completed | Failed, cargo: Cargo, now: datetime) -> Record:
        """One that would not fit is a defect of ours, and must still hold up nobody."""
        record = encode_outcome(outcome, time=now)
        if record.bytes_max > self._results_max:
            _log.error("outcome_does_not_fit", bytes=record.bytes_max, bytes_max=self._results_max)
            record = encode_outcome(_stunted(outcome, record.bytes_max), time=now)
        content = cargo.content
        if isinstance(content, DecodedRequest) and content.traceparent is not None:
            record = replace(record, headers=(*record.headers, (TRACEPARENT, content.traceparent.encode())))
        return record

    def _completed(self, cargo: Cargo, term: int) -> Completed:
        assert isinstance(cargo.content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called
        request = cargo.content.request
        response = dict(cargo.response or {})
        return Completed.model_construct(
            id=request.id,
            run=cargo.content.run,
            status="completed",
            lane=cargo.source.partition.lane,
            tenant=request.tenant,
            endpoint=request.endpoint,
            model=str(response.get("model") or request.model or "")[:MODEL_NAME_MAX],
            response=response,
            finish=cargo.finish,
            usage=cargo.usage,
            charge_tokens=cargo.charge,
            attempts=cargo.content.calls_before + cargo.calls,
            term=term,
            metadata=request.metadata,
            timings=_timings(cargo),
        )

    def _failed(self, cargo: Cargo, fail: Fail, term: int) -> Failed:
        content = cargo.content
        common = {
            "lane": cargo.source.partition.lane,
            "reason": fail.reason,
            "message": fail.sentence,
            "term": term,
            "timings": _timings(cargo),
        }
        if isinstance(content, DecodedRequest):
            request = content.request
            light = len(cargo.record.value or b"") <= _METADATA_BYTES_MAX
            return Failed(
                id=request.id,
                run=content.run,
                tenant=request.tenant,
                endpoint=request.endpoint,
                model=(request.model or "")[:MODEL_NAME_MAX],
                attempts=content.calls_before + cargo.calls,
                metadata=request.metadata if light else {},
                error=cargo.error,
                **common,
            )
        assert isinstance(content, Undecodable)  # noqa: S101 — programmer error: neither a range nor a cancel fails
        assert content.request_id is not None  # noqa: S101 — programmer error: Fail needs an id
        return Failed(
            id=content.request_id,
            run=content.run,
            tenant=content.tenant,
            endpoint=content.endpoint,
            model=content.model,
            **common,
        )

    def _parked(self, cargo: Cargo, park: Park, now: datetime) -> Outgoing:
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
            headers=header_fields(binary_headers(cargo.content, cargo.record.headers)),
            submitted_at=cargo.submitted_at,
            request=request.model_dump(mode="json", exclude_unset=True),
            **key_fields(cargo.record.key),
        )
        return Outgoing(topics.failures_topic(self._prefix), encode_failure(failure, time=now))

    def _dead_letter(self, cargo: Cargo, reason: str, now: datetime, lost: range | None = None) -> Outgoing:
        """The record as it was; where a range was lost, its first offset stands for all."""
        content = cargo.content
        offset = cargo.source.offset if lost is None else lost.start
        record = encode_dead_letter(
            cargo.record.key,
            cargo.record.value,
            cargo.record.headers,
            reason=reason,
            origin=(cargo.topic, cargo.source.partition.number, offset),
            attempts=cargo.calls + (content.calls_before if isinstance(content, DecodedRequest) else 0),
            run=content.run if isinstance(content, DecodedRequest | Undecodable) else 0,
            failed_at=now,
            max_bytes=self._dead_letter_max,
            grant=self._grant(content),
        )
        return Outgoing(topics.dead_letters_topic(self._prefix), record)

    def _grant(self, content: Content | None) -> str | None:
        """What lets a replay of it be believed, if it has an id."""
        if self._grants is None or not isinstance(content, DecodedRequest | Undecodable):
            return None
        request_id = content.request.id if isinstance(content, DecodedRequest) else content.request_id
        return None if request_id is None else self._grants.grant(request_id, content.run + 1)


def _stunted(outcome: Completed | Failed, weight: int) -> Failed:
    """An outcome of bounded size in place of one that does not fit."""
    return Failed(
        id=outcome.id,
        run=outcome.run,
        lane=outcome.lane,
        reason="too_large_for_topic",
        message=f"The outcome weighs {weight} bytes, more than the results topic takes.",
        attempts=outcome.attempts,
        term=outcome.term,
    )


def _timings(cargo: Cargo) -> Timings:
    queued_until = cargo.called_ms if cargo.called_ms is not None else cargo.finished_ms
    upstream_ms = None
    if cargo.called_ms is not None and cargo.finished_ms is not None:
        upstream_ms = cargo.finished_ms - cargo.called_ms
    return Timings.model_construct(
        submitted_at=cargo.submitted_at,
        taken_at=cargo.taken_at,
        called_at=cargo.called_at,
        finished_at=cargo.finished_at,
        queue_ms=None if queued_until is None else queued_until - cargo.taken_ms,
        upstream_ms=upstream_ms,
    )
