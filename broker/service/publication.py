"""From a batch of decisions to the records, offsets and ledger line of one Kafka transaction.

Every record is made here, sized after its last header and before the transaction begins, and given a form that fits.
What Kafka refuses all the same is found by bisecting, and comes back in a smaller `Form` (`broker.core.doubts`).

An exception while the records of one settlement are made concerns that settlement alone, which is published in a short
form (`broker.service.short_forms`).
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from broker.clock import WallClock
from broker.core.batches import failed_instead
from broker.core.commands import (
    Batch,
    Bury,
    Complete,
    Discard,
    Fail,
    Form,
    Park,
    Remember,
    Settlement,
    Withdraw,
)
from broker.core.reception import WITHDRAWN
from broker.core.ticket import CONTROL, TicketNumber
from broker.ports import SENT_BYTES_MAX, Outgoing, StoredOffset, TopicPartition
from broker.service.cargo import Cargo, Hold
from broker.service.containment import Contained
from broker.service.ledger_codec import step_record
from broker.service.pricing import MODEL_NAME_MAX
from broker.service.replies import Replies
from broker.service.short_forms import ShortForms, fails_instead, withdrawn
from broker.settings.whole import Settings
from schemas import topics
from schemas.codec import encode_dead_letter, encode_failure, encode_ledger, encode_outcome
from schemas.failure import RetryableFailure, header_fields, key_fields
from schemas.headers import REPLY_DROPPED, TRACEPARENT
from schemas.ids import id_hash
from schemas.ledger import position
from schemas.outcome import Completed, Failed, Timings
from schemas.record import Record
from schemas.request_codec import DecodedRequest, Undecodable, binary_headers

_log = structlog.get_logger("publication")

_BATCH_OVERHEAD_BYTES = 1_024
_IDS_SAID_EVERY_MS = 600_000
_METADATA_BYTES_MAX = 16 * 1024
"""A Failed outcome repeats the request's metadata up to this size; beyond it the outcome stays small and certain."""
_MESSAGE_CHARS_MAX = 1_000
_WITH_CONTENT = frozenset({Form.WHOLE, Form.UNCOPIED})


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
    ) -> None:
        """The owner is the token in the ledger's lines; `contained` is told of exceptions that concern one request."""
        self.crashed: frozenset[TicketNumber] = frozenset()
        self._settings = settings
        self._replies = replies
        self._hold = hold
        self._clock = clock
        self._owner = owner
        self._prefix = settings.kafka.topic_prefix
        self._results_max = _fits(settings.topics.results.max_message_bytes)
        self._dead_letter_max = _fits(settings.topics.dead_letters.max_message_bytes)
        self._short_forms = ShortForms(self._prefix, contained, self._dead_letter)
        self._topic_ids: dict[str, str] = {}
        self._partitions: int | None = None
        self._said_ms = 0

    def begin(self, topic_ids: Mapping[str, str]) -> None:
        """A term begins, or goes on: the next batch stores every partition of these topics."""
        self._topic_ids, self._partitions = dict(topic_ids), None

    def _ids_to_say(self, batch: Batch) -> dict[str, str]:
        """Which topics the stored progress belongs to; said where all of it is stored, and again now and then."""
        now_ms = self._clock.now_ms()
        if self._partitions is None:
            self._partitions = len(batch.offsets)
        elif len(batch.offsets) < self._partitions or now_ms - self._said_ms < _IDS_SAID_EVERY_MS:
            return {}
        self._said_ms = now_ms
        return self._topic_ids

    def records(self, batch: Batch, term: int) -> list[Outgoing]:
        """Everything the batch writes, the ledger line last; `crashed` names the tickets that it turns into Failed."""
        now = self._clock.utc_now()
        outgoing: list[Outgoing] = []
        self.crashed = frozenset()
        for settlement in batch.settlements:
            try:
                outgoing.extend([*self._written(settlement, term, now)])
            except Exception as error:  # noqa: BLE001 — a defect in one outcome must hold up no other
                cargo = self._hold[settlement.number]
                outgoing.extend(self._short_forms.of(settlement, cargo, error, term=term, now=now))
                if fails_instead(settlement.decision):
                    self.crashed |= {settlement.number}
        named = tuple(
            position(self._topic(each.partition.lane), each.partition.number, each.offset) for each in batch.suspects
        )
        if self.crashed:
            batch = replace(batch, settled=failed_instead(batch.settled, set(map(self._key, self.crashed))))
        step = replace(step_record(batch, term, self._owner, now, named), topics=self._ids_to_say(batch))
        line = encode_ledger(step)
        outgoing.append(Outgoing(topics.ledger_topic(self._prefix), Record(None, line)))
        return outgoing

    def reply_topics(self, batch: Batch) -> set[str]:
        """The topics of producers' own for which outcomes of the batch have copies."""
        found = set()
        for settlement in batch.settlements:
            match settlement.decision:
                case Complete() | Fail() | Discard(returned=True) if settlement.form in _WITH_CONTENT:
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

    def _written(self, settlement: Settlement, term: int, now: datetime) -> Iterable[Outgoing]:
        if settlement.form in _WITH_CONTENT:
            return self._settled(settlement, term, now)
        return self._reduced(settlement, term, now)

    def _settled(self, settlement: Settlement, term: int, now: datetime) -> Iterable[Outgoing]:
        cargo, decision, copied = self._hold[settlement.number], settlement.decision, settlement.form is Form.WHOLE
        match decision:
            case Complete():
                yield from self._outcome(self._completed(cargo, term), cargo, now, copied=copied)
            case Fail():
                yield from self._outcome(self._failed(cargo, decision, term), cargo, now, copied=copied)
                if decision.reason != "cancelled":
                    yield self._dead_letter(cargo, decision.reason, now)
            case Park():
                yield self._parked(cargo, decision, now)
            case Withdraw():
                yield from self._outcome(withdrawn(cargo, decision, term), cargo, now, copied=copied)
            case Bury():
                yield self._dead_letter(cargo, decision.reason, now, decision.lost)
            case Discard(returned=True) if copied:
                yield from self._told_late(cargo, term, now)
            case Discard() | Remember():
                return

    def _key(self, number: TicketNumber) -> tuple[bytes, int]:
        """A request as the ledger knows it."""
        content = self._hold[number].content
        assert isinstance(content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called or parked
        return id_hash(content.request.id), content.run

    def _reduced(self, settlement: Settlement, term: int, now: datetime) -> Iterator[Outgoing]:
        """What is left of a settlement that Kafka refused: see `Form`. A copy for a reply topic is not."""
        cargo, decision, form = self._hold[settlement.number], settlement.decision, settlement.form
        reason = "unpublishable"
        match decision:
            case Fail():
                outcome, reason = self._failed(cargo, decision, term), decision.reason
            case Withdraw():
                outcome = withdrawn(cargo, decision, term)
            case Bury(lost=lost):
                yield self._dead_letter(cargo, decision.reason, now, lost, bare=True)
                return
            case _:
                return
        place = f"{cargo.topic}/{cargo.source.partition.number}/{cargo.source.offset}"
        _log.error("published_reduced", origin=place, form=form.value, reason=reason)
        if form is not Form.LETTER:
            smallest = encode_outcome(_smallest(outcome), time=now)
            yield Outgoing(topics.results_topic(self._prefix), smallest)
        if form is Form.LETTER:
            yield self._dead_letter(cargo, "unpublishable", now, bare=True)
        elif isinstance(decision, Fail) and reason != "cancelled":
            yield self._dead_letter(cargo, reason, now, bare=form is Form.BARE)

    def _outcome(self, outcome: Completed | Failed, cargo: Cargo, now: datetime, *, copied: bool) -> Iterator[Outgoing]:
        """The record of an outcome, and its copy for a topic of the producer's own; where none can be, it says so."""
        record, topic = self._outcome_record(outcome, cargo, now), self._reply_topic(cargo)
        if topic is not None:
            if why := self._replies.hindrance(topic, record, copied=copied):
                record = self._outcome_record(outcome, cargo, now, (REPLY_DROPPED, f"{topic} {why}".encode()))
            else:
                yield Outgoing(topic, record)
        yield Outgoing(topics.results_topic(self._prefix), record)

    def _told_late(self, cargo: Cargo, term: int, now: datetime) -> Iterator[Outgoing]:
        """The copy of an outcome that stands in the results already.

        Whoever cancelled a parked request was answered at once, by its id alone. Where else the outcome was to go, its
        own record tells, which comes back now.
        """
        topic = self._reply_topic(cargo)
        if topic is not None:
            record = self._outcome_record(self._failed(cargo, Fail("cancelled", WITHDRAWN), term), cargo, now)
            if not self._replies.hindrance(topic, record):
                yield Outgoing(topic, record)

    def _outcome_record(
        self, outcome: Completed | Failed, cargo: Cargo, now: datetime, *more: tuple[str, bytes]
    ) -> Record:
        """With its last header, and of a size that fits: else less is said, and in the end without those headers."""
        content = cargo.content
        if isinstance(content, DecodedRequest) and content.traceparent is not None:
            more = (*more, (TRACEPARENT, content.traceparent.encode()))
        record = _with(encode_outcome(outcome, time=now), more)
        if record.bytes_max <= self._results_max:
            return record
        _log.error("outcome_does_not_fit", bytes=record.bytes_max, bytes_max=self._results_max)
        stunted = encode_outcome(_stunted(outcome, record.bytes_max), time=now)
        record = _with(stunted, more)
        return record if record.bytes_max <= self._results_max else stunted

    def _completed(self, cargo: Cargo, term: int) -> Completed:
        assert isinstance(cargo.content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called
        request = cargo.content.request
        response = cargo.answer()
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

    def _dead_letter(
        self, cargo: Cargo, reason: str, now: datetime, lost: range | None = None, *, bare: bool = False
    ) -> Outgoing:
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
            bare=bare,
        )
        return Outgoing(topics.dead_letters_topic(self._prefix), record)


def _fits(topic_bytes_max: int) -> int:
    """What a record may weigh: its topic holds the limit against its batch, and the client has one of its own."""
    return min(SENT_BYTES_MAX, topic_bytes_max) - _BATCH_OVERHEAD_BYTES


def _with(record: Record, headers: tuple[tuple[str, bytes], ...]) -> Record:
    return replace(record, headers=(*record.headers, *headers))


def _stunted(outcome: Completed | Failed, weight: int) -> Failed:
    """An outcome of bounded size in place of one that does not fit."""
    if isinstance(outcome, Failed):
        return _smallest(outcome)
    return Failed(
        id=outcome.id,
        run=outcome.run,
        lane=outcome.lane,
        reason="too_large_for_topic",
        message=f"The outcome weighs {weight} bytes, more than the results topic takes.",
        attempts=outcome.attempts,
        term=outcome.term,
    )


def _smallest(failed: Failed) -> Failed:
    """As little as can be said of it truthfully."""
    return Failed(
        id=failed.id,
        run=failed.run,
        lane=failed.lane,
        reason=failed.reason,
        message=failed.message[:_MESSAGE_CHARS_MAX],
        attempts=failed.attempts,
        term=failed.term,
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
