"""From decisions to records: what each decision publishes, in which shape, and that it always fits."""

import json
from dataclasses import replace
from datetime import timedelta

from headrace.broker.core.commands import (
    Complete,
    DeadLetterOnly,
    Discard,
    Fail,
    Park,
    Remember,
    Withdraw,
)
from headrace.broker.core.identity import pending_cancels as cancels
from headrace.broker.core.ticket import CONTROL, LanePartition, Source
from headrace.broker.ports import Outgoing
from headrace.broker.service.payloads import Payload
from headrace.schemas.codec import decode_dead_letter, decode_failure, decode_outcome, encode_retry
from headrace.schemas.control import Cancel
from headrace.schemas.dead_letter import Origin
from headrace.schemas.ledger import decode_ledger
from headrace.schemas.outcome import Completed, Failed, Usage
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, decode_request
from tests.unit.service.publication_rig import BATCH, NOW, Rig, headers


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
    (letter,) = rig.published(DeadLetterOnly("undecodable", "It is no JSON."))
    assert letter.topic == "t.dead-letters"
    assert headers(Outgoing("", Record(None, None, letter.record.headers)))["headrace-reason"] == "undecodable"


def test_a_range_that_was_lost_has_its_first_offset_for_its_origin() -> None:
    """Whoever is the first that is still there has an origin, and maybe a dead letter, of its own."""
    rig = Rig()
    rig.cargo(None, None)
    (letter,) = rig.published(DeadLetterOnly("lost_by_retention", "Offsets 3 to 6 were removed.", range(3, 7)))
    assert headers(Outgoing("", Record(None, None, letter.record.headers)))["headrace-origin"].endswith("/3")


def test_a_record_of_nothing_leaves_a_dead_letter_of_nothing() -> None:
    rig = Rig()
    rig.cargo(None, None)
    (letter,) = rig.published(DeadLetterOnly("undecodable", "The record has no value."))
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
    given = (("traceparent", trace), ("tracestate", b"vendor=1"))
    cargo = rig.cargo(b'{"id": "lead-1", "body": {"model": "m"}}', None, given)
    cargo.response = {}
    (outgoing,) = rig.published(Complete())
    assert (headers(outgoing)["traceparent"], headers(outgoing)["tracestate"]) == (trace.decode(), "vendor=1")


def asked(rig: Rig) -> Payload:
    """A record of the control topic."""
    at = NOW - timedelta(seconds=5)
    record = Record(b"lead-1", b'{"type": "cancel", "id": "lead-1"}')
    place = Source(LanePartition(CONTROL, 0), 42)
    cargo = Payload(place, "t.control", record, Cancel(id="lead-1"), at, at, 95_000)
    rig.hold.put(cargo)
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
    waiting = cancels.CancelRecord(b"i" * 16, 5)
    assert rig.published(Remember(waiting)) == []
    *_, line = rig.publication.records(replace(BATCH, cancels=(waiting,)), 7)
    assert [(each.id_hash, each.timestamp_ms) for each in decode_ledger(line.record.value or b"").cancels] == [
        (b"i" * 16, 5)
    ]
