"""From decisions to records: what each decision publishes, in which shape, and that it always fits."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.adapters.prometheus_meter import Meter
from broker.clock import WallClock
from broker.core import cancels
from broker.core.bounds import (
    CAUTIOUS_BATCH_MAX,
    LEVELS_A_LINE_MAX,
    OUTCOMES_PER_TRANSACTION_MAX,
    STARTED_A_LINE_MAX,
)
from broker.core.buckets import Level
from broker.core.budget import Checkpoint
from broker.core.charge import Law
from broker.core.commands import (
    Batch,
    Bury,
    Complete,
    Decision,
    Discard,
    Fail,
    Form,
    Park,
    Remember,
    SettledEntry,
    Settlement,
    StartedEntry,
    Withdraw,
)
from broker.core.fates import RENEWALS_MAX
from broker.core.identity import Fate, Identity
from broker.core.progress import PartitionProgress
from broker.core.reading import Metric
from broker.core.ticket import CONTROL, LanePartition, Source
from broker.ports import SENT_BYTES_MAX, Outgoing, StoredOffset, TopicPartition
from broker.service.cargo import Cargo, Hold
from broker.service.containment import Containment
from broker.service.publication import Publication
from broker.service.replies import Replies
from broker.settings.whole import Settings
from broker.testing.kafka import KafkaLink, MemoryKafka
from broker.testing.kafka_doors import MemoryReplyTopics
from schemas.codec import (
    DecodedRequest,
    decode_dead_letter,
    decode_failure,
    decode_ledger,
    decode_outcome,
    decode_request,
    encode_retry,
)
from schemas.control import Cancel
from schemas.dead_letter import Origin
from schemas.ledger import LedgerKind, LedgerState
from schemas.outcome import Completed, Failed, Usage
from schemas.record import Record
from tests.unit.service.rig import grants_of, settings_of

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
LANE = LanePartition("standard", 3)


class Rig:
    def __init__(self, **groups: Any) -> None:
        self.settings: Settings = settings_of(**groups)
        self.hold = Hold()
        clock = WallClock(lambda: 100.0, lambda: NOW)
        self.kafka = MemoryKafka(lambda: 0)
        self.meter = Meter()
        self.replies = Replies(
            MemoryReplyTopics(KafkaLink(self.kafka)), self.settings.replies.allow, meter=self.meter, clock=clock
        )
        self.contained = Containment(self.meter, clock).contained
        self.publication = Publication(
            self.settings,
            self.hold,
            clock,
            self.replies,
            owner="me",
            contained=self.contained,
            grants=grants_of(clock),
        )

    def cargo(
        self, value: bytes | None, key: bytes | None = b"key", headers: tuple[tuple[str, bytes], ...] = ()
    ) -> Cargo:
        record = Record(key, value, headers)
        at = NOW - timedelta(seconds=5)
        cargo = Cargo(Source(LANE, 42), "t.requests.standard", record, decode_request(value, headers), at, at, 95_000)
        self.hold.stow(cargo)
        return cargo

    def request(self, **fields: Any) -> Cargo:
        shape = {"id": "lead-1", "tenant": "acme", "body": {"model": "gpt-4o-mini"}, "metadata": {"lead": 8}} | fields
        cargo = self.cargo(json.dumps(shape).encode())
        cargo.called_at, cargo.called_ms = NOW - timedelta(seconds=3), 97_000
        cargo.finished_at, cargo.finished_ms = NOW - timedelta(seconds=1), 99_000
        cargo.calls, cargo.charge = 2, 33
        return cargo

    def published(self, *decisions: Decision) -> list[Outgoing]:
        """What the decisions write, one for each ticket from the first on; the ledger's line left out."""
        numbers = list(self.hold.cargo)
        settlements = tuple(Settlement(number, each) for number, each in zip(numbers, decisions, strict=True))
        *outgoing, ledger = self.publication.records(replace(BATCH, settlements=settlements), 7)
        assert ledger.topic == "t.ledger"
        return outgoing


BATCH = Batch(1, (), {}, (), (), ())


def headers(outgoing: Outgoing) -> dict[str, str]:
    return {name: value.decode() for name, value in outgoing.record.headers}


def test_a_completed_request_publishes_the_answer_whole() -> None:
    rig = Rig()
    cargo = rig.request()
    cargo.response = {"model": "gpt-4o-mini-2024-07-18", "choices": [], "unknown": {"x": 1}}
    cargo.usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    (outgoing,) = rig.published(Complete())
    assert (outgoing.topic, outgoing.record.key) == ("t.results", b"lead-1")
    assert headers(outgoing)["ce_type"] == "headrace.generation.completed.v1"
    outcome = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert isinstance(outcome, Completed)
    assert outcome.response == cargo.response
    assert (outcome.model, outcome.tenant, outcome.lane) == ("gpt-4o-mini-2024-07-18", "acme", "standard")
    assert (outcome.attempts, outcome.term, outcome.charge_tokens, outcome.run) == (2, 7, 33, 0)
    assert outcome.metadata == {"lead": 8}
    assert outcome.usage == cargo.usage
    assert (outcome.timings.queue_ms, outcome.timings.upstream_ms) == (2_000, 2_000)


def test_a_failed_request_publishes_an_outcome_and_a_dead_letter() -> None:
    rig = Rig()
    cargo = rig.request()
    cargo.error = {"status": 400, "message": "no"}
    outcome, letter = rig.published(Fail("rejected", "OpenAI refused it."))
    assert outcome.topic == "t.results"
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message, failed.error) == ("rejected", "OpenAI refused it.", cargo.error)
    assert (failed.attempts, failed.term, failed.usage) == (2, 7, None)
    assert letter.topic == "t.dead-letters"
    dead = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert (dead.key, dead.value) == (cargo.record.key, cargo.record.value)
    assert (dead.reason, str(dead.origin), dead.attempts) == ("rejected", "t.requests.standard/3/42", 2)


def test_a_cancelled_request_leaves_no_dead_letter() -> None:
    rig = Rig()
    rig.request()
    assert [outgoing.topic for outgoing in rig.published(Fail("cancelled", "As asked."))] == ["t.results"]


def test_a_parked_request_travels_whole_with_its_key_and_headers() -> None:
    rig = Rig()
    cargo = rig.cargo(b'{"id": "lead-1", "body": {"model": "m"}, "future": [1]}', b"\xff", (("x", b"\xfe"),))
    cargo.error = {"status": 429}
    (outgoing,) = rig.published(Park("rate_limited", "Full.", 160_000, attempts=3, failures=1))
    assert (outgoing.topic, outgoing.record.key) == ("t.failures", b"lead-1")
    assert headers(outgoing)["headrace-lane"] == "standard"
    failure = decode_failure(outgoing.record.value, outgoing.record.headers)
    assert (failure.original_key, failure.original_headers) == (b"\xff", (("x", b"\xfe"),))
    assert failure.request == {"id": "lead-1", "body": {"model": "m"}, "future": [1]}
    assert (failure.kind, failure.attempt, failure.failures) == ("rate_limited", 3, 1)
    assert failure.error == {"status": 429}
    assert failure.not_before == NOW + timedelta(seconds=60)
    assert failure.submitted_at == NOW - timedelta(seconds=5)


def test_a_parked_event_in_structured_mode_comes_back_as_the_request_it_holds() -> None:
    rig = Rig()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = {"specversion": "1.0", "partitionkey": "crm-7", "traceparent": trace, "data": {"body": {"model": "m"}}}
    given = (("content-type", b"application/cloudevents+json; charset=utf-8"), ("headrace-run", b"2"))
    rig.cargo(json.dumps(event | {"id": "lead-1#2"}).encode(), b"k", given)
    (outgoing,) = rig.published(Park("rate_limited", "Full.", 160_000, attempts=0, failures=0))
    record = encode_retry(decode_failure(outgoing.record.value, outgoing.record.headers), Origin("t.failures", 1, 2))
    again = decode_request(record.value, record.headers)
    assert isinstance(again, DecodedRequest)
    assert (again.request.id, again.request.body, again.run, again.attempt) == ("lead-1", {"model": "m"}, 2, 1)
    assert (again.ordering_key, again.traceparent, again.failure_position) == ("crm-7", trace, "t.failures/1/2")


def test_what_is_buried_leaves_a_dead_letter_and_no_outcome() -> None:
    rig = Rig()
    rig.cargo(b"\xff no JSON")
    (letter,) = rig.published(Bury("undecodable", "It is no JSON."))
    assert letter.topic == "t.dead-letters"
    assert headers(Outgoing("", Record(None, None, letter.record.headers)))["headrace-reason"] == "undecodable"


def test_a_range_that_was_lost_has_its_first_offset_for_its_origin() -> None:
    """Whoever is the first that is still there has an origin, and maybe a dead letter, of its own."""
    rig = Rig()
    rig.cargo(None, None)
    (letter,) = rig.published(Bury("lost_by_retention", "Offsets 3 to 6 were removed.", range(3, 7)))
    assert headers(Outgoing("", Record(None, None, letter.record.headers)))["headrace-origin"].endswith("/3")


def test_a_record_of_nothing_leaves_a_dead_letter_of_nothing() -> None:
    rig = Rig()
    rig.cargo(None, None)
    (letter,) = rig.published(Bury("undecodable", "The record has no value."))
    dead = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert (dead.key, dead.value, dead.original_length) == (None, None, None)


def test_what_is_discarded_leaves_nothing() -> None:
    rig = Rig()
    rig.request()
    assert rig.published(Discard()) == []


def test_an_undecodable_record_with_an_id_publishes_what_could_be_read() -> None:
    rig = Rig()
    rig.cargo(b'{"id": "lead-1", "tenant": "acme", "body": "no object"}')
    outcome, letter = rig.published(Fail("invalid_request", "The body is no object."))
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(failed, Failed)
    assert (failed.id, failed.tenant, failed.attempts, failed.model) == ("lead-1", "acme", 0, None)
    assert letter.topic == "t.dead-letters"


def test_a_replay_carries_its_run_and_a_retry_its_attempts() -> None:
    rig = Rig()
    shape = b'{"id": "lead-1", "body": {"model": "m"}}'
    cargo = rig.cargo(shape, None, (("headrace-run", b"2"), ("headrace-attempt", b"6")))
    cargo.calls, cargo.response = 1, {}
    (outgoing,) = rig.published(Complete())
    outcome = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert (outcome.run, outcome.attempts) == (2, 6)
    assert headers(outgoing)["ce_id"] == "lead-1#2"


def test_the_trace_goes_on_in_the_outcome() -> None:
    rig = Rig()
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cargo = rig.cargo(b'{"id": "lead-1", "body": {"model": "m"}}', None, (("traceparent", trace),))
    cargo.response = {}
    (outgoing,) = rig.published(Complete())
    assert headers(outgoing)["traceparent"] == trace.decode()


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [10, 900_000, 5_000_000])
def test_a_dead_letter_fits_its_topic_whatever_was_taken(size: int) -> None:
    rig = Rig()
    rig.cargo(b"x" * size, b"k" * (size // 10), (("h", b"v" * (size // 10)),))
    (letter,) = rig.published(Bury("undecodable", "No."))
    assert letter.record.bytes_max <= 1024 * 1024
    dead = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert dead.original_length in {None, size}


def test_a_failed_outcome_is_small_however_large_the_request_was() -> None:
    rig = Rig()
    cargo = rig.request(metadata={"x": "y" * 400_000}, body={"model": "m" * 300_000})
    cargo.error = {"message": "z" * 2_000}
    outcome, _ = rig.published(Fail("invalid_request", "No."))
    assert outcome.record.bytes_max < 16_000


def test_an_outcome_that_does_not_fit_its_topic_is_one_that_says_so() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 100_000}})
    cargo = rig.request()
    cargo.response = {"text": "ü" * 60_000}
    (outgoing,) = rig.published(Complete())
    failed = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert isinstance(failed, Failed)
    assert failed.reason == "too_large_for_topic"
    assert (failed.id, failed.lane, failed.attempts, failed.term) == ("lead-1", "standard", 2, 7)


# ---------------------------------------------------------------------------------------------------- the rest


def test_offsets_go_to_the_partitions_they_belong_to() -> None:
    five, nine = PartitionProgress(5).store(1), PartitionProgress(9).store(1)
    stored = {LANE: five, LanePartition("bulk", 0): nine}
    assert Rig().publication.offsets(replace(BATCH, offsets=stored)) == {
        TopicPartition("t.requests.standard", 3): StoredOffset(5, five.metadata),
        TopicPartition("t.requests.bulk", 0): StoredOffset(9, nine.metadata),
    }


def test_the_ledger_line_comes_last_and_tells_what_was_settled_and_begun() -> None:
    rig = Rig()
    rig.request()
    identity = Identity(b"i" * 16, 1, b"f" * 8)
    batch = replace(
        BATCH,
        settlements=(Settlement(next(iter(rig.hold.cargo)), Complete()),),
        settled=(SettledEntry(identity, 3, Fate.COMPLETED),),
        started=(StartedEntry(identity, 4),),
    )
    outgoing = rig.publication.records(batch, 7)
    assert [each.topic for each in outgoing] == ["t.results", "t.ledger"]
    assert (outgoing[-1].record.key, outgoing[-1].record.headers) == (None, ())
    line = decode_ledger(outgoing[-1].record.value or b"")
    assert (line.kind, line.term, line.owner) == (LedgerKind.STEP, 7, "me")
    assert [(each.id_hash, each.run, each.attempt, each.state) for each in line.settled] == [
        (b"i" * 16, 1, 3, LedgerState.COMPLETED)
    ]
    assert [(each.id_hash, each.run, each.attempt) for each in line.started] == [(b"i" * 16, 1, 4)]


# ---------------------------------------------------------------------------------------------------- cancels


def asked(rig: Rig) -> Cargo:
    """A record of the control topic."""
    at = NOW - timedelta(seconds=5)
    record = Record(b"lead-1", b'{"type": "cancel", "id": "lead-1"}')
    place = Source(LanePartition(CONTROL, 0), 42)
    cargo = Cargo(place, "t.control", record, Cancel(id="lead-1"), at, at, 95_000)
    rig.hold.stow(cargo)
    return cargo


def test_a_cancelled_request_is_failed_without_a_dead_letter() -> None:
    rig = Rig()
    rig.request()
    (outgoing,) = rig.published(Fail("cancelled", "Cancelled."))
    outcome = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.tenant, outcome.attempts, outcome.metadata) == ("cancelled", "acme", 2, {"lead": 8})


def test_a_request_that_was_cancelled_while_parked_is_failed_with_what_is_known_of_it() -> None:
    rig = Rig()
    asked(rig)
    (outgoing,) = rig.published(Withdraw(3, 4, "Cancelled while parked."))
    assert (outgoing.topic, outgoing.record.key) == ("t.results", b"lead-1")
    outcome = decode_outcome(outgoing.record.value, outgoing.record.headers)
    assert isinstance(outcome, Failed)
    assert (outcome.id, outcome.run, outcome.reason, outcome.attempts, outcome.term) == ("lead-1", 3, "cancelled", 4, 7)
    assert (outcome.message, outcome.lane, outcome.tenant, outcome.model) == (
        "Cancelled while parked.",
        None,
        None,
        None,
    )


def test_a_cancel_that_waits_is_published_nowhere_but_in_the_ledger() -> None:
    rig = Rig()
    asked(rig)
    waiting = cancels.Cancel(b"i" * 16, 5)
    assert rig.published(Remember(waiting)) == []
    *_, line = rig.publication.records(replace(BATCH, cancels=(waiting,)), 7)
    assert [(each.id_hash, each.timestamp_ms) for each in decode_ledger(line.record.value or b"").cancels] == [
        (b"i" * 16, 5)
    ]


def test_the_progress_of_control_is_stored_under_its_own_topic() -> None:
    five = PartitionProgress(5).store(1)
    offsets = Rig().publication.offsets(replace(BATCH, offsets={LanePartition(CONTROL, 0): five}))
    assert offsets == {TopicPartition("t.control", 0): StoredOffset(5, five.metadata)}


# ---------------------------------------------------------------------------------------------------- smaller forms


def reduced(rig: Rig, decision: Decision, form: Form) -> list[Outgoing]:
    (number,) = rig.hold.cargo
    *outgoing, _ = rig.publication.records(replace(BATCH, settlements=(Settlement(number, decision, form),)), 7)
    return outgoing


HEAVY = Fail("exhausted", "Gave up. " * 1_000)


@pytest.mark.parametrize(
    ("form", "topics_written"),
    [
        (Form.SMALL, ["t.results", "t.dead-letters"]),
        (Form.BARE, ["t.results", "t.dead-letters"]),
        (Form.LETTER, ["t.dead-letters"]),
    ],
)
def test_a_failure_in_a_smaller_form_says_no_more_than_it_must(form: Form, topics_written: list[str]) -> None:
    rig = Rig()
    cargo = rig.request(metadata={"x": "y" * 1_000}, body={"model": "m" * 200})
    cargo.error = {"message": "z" * 1_000}
    written = reduced(rig, HEAVY, form)
    assert [each.topic for each in written] == topics_written
    letter = written[-1].record
    told = decode_dead_letter(letter.key, letter.value, letter.headers)
    assert told.reason == ("unpublishable" if form is Form.LETTER else "exhausted")
    assert (told.value == cargo.record.value) is (form is Form.SMALL)
    assert form is Form.SMALL or (told.key, told.original_length) == (None, len(cargo.record.value or b""))
    if form is not Form.LETTER:
        outcome = written[0].record
        failed = decode_outcome(outcome.value, outcome.headers)
        assert isinstance(failed, Failed)
        assert (failed.id, failed.reason, failed.metadata, failed.error) == ("lead-1", "exhausted", {}, None)
        assert (failed.attempts, failed.term, failed.lane) == (2, 7, "standard")
        assert outcome.bytes_max < 2_500


@pytest.mark.parametrize("form", [Form.SMALL, Form.BARE, Form.LETTER])
def test_a_dead_letter_in_a_smaller_form_has_no_content(form: Form) -> None:
    rig = Rig()
    rig.cargo(b"no request", b"key", (("h", b"v"),))
    (letter,) = reduced(rig, Bury("undecodable", "No."), form)
    told = decode_dead_letter(letter.record.key, letter.record.value, letter.record.headers)
    assert (told.key, told.value, told.headers, told.original_length) == (None, b"", (), 10)
    assert told.reason == "undecodable"


def test_a_cancelled_request_in_a_smaller_form_has_a_dead_letter_only_if_it_has_no_outcome() -> None:
    rig = Rig()
    rig.request()
    cancelled = Fail("cancelled", "Cancelled.")
    assert [each.topic for each in reduced(rig, cancelled, Form.SMALL)] == ["t.results"]
    assert [each.topic for each in reduced(rig, cancelled, Form.LETTER)] == ["t.dead-letters"]


def test_a_withdrawal_in_a_smaller_form_is_still_one() -> None:
    rig = Rig()
    cargo = rig.cargo(b"{}")
    cargo.content = Cancel(id="lead-1")
    (outcome,) = reduced(rig, Withdraw(0, 3, "Cancelled."), Form.SMALL)
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.attempts) == ("cancelled", 3)


def test_what_writes_nothing_but_a_copy_writes_nothing_without_it() -> None:
    rig = Rig(replies={"allow": ["acme.answers"]})
    rig.request(reply_to="acme.answers")
    for form in (Form.UNCOPIED, Form.SMALL):
        assert reduced(rig, Discard(returned=True), form) == []


def test_an_outcome_without_its_copy_says_so() -> None:
    rig = Rig(replies={"allow": ["acme.answers"]})
    rig.request(reply_to="acme.answers").response = {}
    (outcome,) = reduced(rig, Complete(), Form.UNCOPIED)
    assert outcome.topic == "t.results"
    assert headers(outcome)["headrace-reply-dropped"] == "acme.answers refused the copy"


def test_an_outcome_is_sized_with_its_last_header() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 100_000}}, replies={"allow": ["acme.answers"]})
    cargo = rig.request(reply_to="acme.answers")
    room = 100_000 - 1_024
    for text in range(room - 1_500, room):
        cargo.response = {"text": "x" * text}
        (outgoing,) = rig.published(Complete())
        assert outgoing.record.bytes_max <= room
        if decode_outcome(outgoing.record.value, outgoing.record.headers).status == "failed":
            return
    raise AssertionError("none was too large")


def test_no_header_of_a_request_makes_its_outcome_too_large() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 3_000}})
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, traceparent="x" * 3_000)
    cargo.response = {}
    (outgoing,) = rig.published(Complete())
    assert outgoing.record.bytes_max <= 3_000 - 1_024
    assert "traceparent" not in headers(outgoing)


def test_no_record_is_larger_than_the_client_sends() -> None:
    rig = Rig(topics={"results": {"max_message_bytes": 10_000_000}, "dead_letters": {"max_message_bytes": 10_000_000}})
    cargo = rig.request()
    cargo.response = {"text": "x" * 3_000_000}
    (outgoing,) = rig.published(Complete())
    assert outgoing.record.bytes_max <= SENT_BYTES_MAX
    rig = Rig(topics={"dead_letters": {"max_message_bytes": 10_000_000}})
    rig.cargo(b"x" * 3_000_000)
    (letter,) = rig.published(Bury("undecodable", "No."))
    assert letter.record.bytes_max <= SENT_BYTES_MAX


def test_the_largest_line_of_the_ledger_fits_its_topic() -> None:
    rig = Rig()
    everybody = Identity(b"\xff" * 16, 65_535, b"\xff" * 8)
    name = "\U0001f4a9" * 256  # written as two escapes, twelve bytes
    level = Level(Metric.TOKENS, 10**18, 10**18, 10**18, 10**18)
    checkpoint = Checkpoint(
        limit=name,
        at_ms=0,
        levels=(level, replace(level, metric=Metric.REQUESTS)),
        charged_last_minute=10**18,
        pause_ms=10**18,
        markup_ppm=10**18,
        laws={
            endpoint: max(Law, key=lambda law: len(law.value))
            for endpoint in ("chat/completions", "responses", "embeddings")
        },
        borne_tokens=10**18,
        ceiling_tokens=10**18,
    )
    batch = replace(
        BATCH,
        settled=(SettledEntry(everybody, 255, Fate.WITHDRAWN),) * (OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX),
        started=(StartedEntry(everybody, 255),) * STARTED_A_LINE_MAX,
        levels=(checkpoint,) * LEVELS_A_LINE_MAX,
        cancels=(cancels.Cancel(b"\xff" * 16, 2**63),) * (OUTCOMES_PER_TRANSACTION_MAX + RENEWALS_MAX),
        suspects=(Source(LANE, 10**18),) * CAUTIOUS_BATCH_MAX,
        ended=(StartedEntry(everybody, 255),) * STARTED_A_LINE_MAX,
    )
    (line,) = rig.publication.records(batch, 10**9)
    assert line.record.bytes_max <= 1024 * 1024 - 1_024
