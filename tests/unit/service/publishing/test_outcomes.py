"""What an outcome says of its request: each field, whole and in fewer words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.broker.core.commands import Fail
from headrace.broker.core.requests.triage import CONFLICT
from headrace.broker.core.ticket import Source
from headrace.broker.service.payloads import Payload
from headrace.broker.service.publishing.outcomes import (
    METADATA_BYTES_MAX,
    apart_hash,
    completed,
    failed,
    smallest,
    stunted,
)
from headrace.schemas.dead_letter import Origin
from headrace.schemas.ids import id_hash, request_digest
from headrace.schemas.outcome import Cost, Failed, Finish, Usage
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request_codec import DecodedRequest, Undecodable
from tests.unit.service.publication_rig import NOW, Rig

TERM = 7
NO = Fail("rejected", "OpenAI refused it.")
COST = Cost(micro_usd=1.5, price_list="memory")
DIGEST = request_digest("chat.completions", {"model": "gpt-4o-mini"})


def cargo_of(**fields: Any) -> Payload:
    """A replay that was parked twice, and has been called twice since."""
    cargo = Rig().request(**fields)
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, run=3, attempt=2)
    return cargo


def test_a_completed_one_says_all_there_is() -> None:
    cargo = cargo_of(body={"model": "gpt-4o-mini", "service_tier": "priority"}, template="follow-up")
    cargo.response, cargo.finish, cargo.usage = {"model": "gpt-x", "choices": []}, Finish.STOP, Usage(total_tokens=3)
    cargo.tier_served, cargo.upstream_request_id = "default", "req_1"
    assert dict(completed(cargo, TERM, COST)) == {
        "id": "lead-1",
        "run": 3,
        "status": "completed",
        "lane": "standard",
        "tenant": "acme",
        "endpoint": "chat.completions",
        "request_digest": request_digest("chat.completions", {"model": "gpt-4o-mini", "service_tier": "priority"}),
        "model": "gpt-x",
        "template": "follow-up",
        "tier_asked": "priority",
        "tier_served": "default",
        "response": {"model": "gpt-x", "choices": []},
        "finish": Finish.STOP,
        "usage": Usage(total_tokens=3),
        "cost": COST,
        "charge_tokens": 33,
        "attempts": 3,
        "upstream_request_id": "req_1",
        "term": TERM,
        "metadata": {"lead": 8},
        "timings": completed(cargo, TERM).timings,
    }


def test_a_completed_one_names_no_service_tier_that_was_neither_asked_for_nor_stated() -> None:
    cargo = cargo_of()
    cargo.response, cargo.finish, cargo.usage = {"model": "gpt-x", "choices": []}, Finish.STOP, Usage(total_tokens=3)
    assert (completed(cargo, TERM).tier_asked, completed(cargo, TERM).tier_served) == (None, None)


@pytest.mark.parametrize(("body", "told"), [({"service_tier": "flex"}, "flex"), ({}, None)])
def test_a_failed_one_says_which_service_tier_was_asked_for(body: dict[str, Any], told: str | None) -> None:
    assert failed(cargo_of(body=body), NO, TERM).tier_asked == told


@pytest.mark.parametrize(("asked", "told"), [("gpt-4o-mini", "gpt-4o-mini"), (None, "")])
def test_the_model_is_the_answers_else_the_requests_else_none(asked: str | None, told: str) -> None:
    cargo = cargo_of(body={} if asked is None else {"model": asked})
    cargo.response = {"choices": []}
    assert completed(cargo, TERM).model == told
    assert failed(cargo, NO, TERM).model == told


def test_a_failed_one_says_all_there_is() -> None:
    cargo = cargo_of()
    cargo.error, cargo.upstream_request_id = {"status": 400}, "req_1"
    told = failed(cargo, NO, TERM)
    assert told == Failed(
        id="lead-1",
        run=3,
        lane="standard",
        tenant="acme",
        endpoint="chat.completions",
        request_digest=DIGEST,
        model="gpt-4o-mini",
        attempts=3,
        upstream_request_id="req_1",
        term=TERM,
        metadata={"lead": 8},
        timings=told.timings,
        reason="rejected",
        message="OpenAI refused it.",
        error={"status": 400},
    )


@pytest.mark.parametrize(
    ("size", "metadata"), [(None, {"lead": 8}), (METADATA_BYTES_MAX, {"lead": 8}), (METADATA_BYTES_MAX + 1, {})]
)
def test_a_failed_one_repeats_the_metadata_of_a_small_record(size: int | None, metadata: dict[str, Any]) -> None:
    cargo = cargo_of()
    cargo.record = Record(None, None if size is None else b"x" * size, ())
    assert failed(cargo, NO, TERM).metadata == metadata


def test_a_record_that_is_no_request_says_what_could_be_read() -> None:
    cargo = cargo_of()
    cargo.content = Undecodable("No body.", "lead-1", run=3, tenant="acme", endpoint="responses", model="gpt-x")
    told = failed(cargo, Fail("invalid_request", "No body."), TERM)
    assert told == Failed(
        id="lead-1",
        run=3,
        lane="standard",
        tenant="acme",
        endpoint="responses",
        model="gpt-x",
        term=TERM,
        timings=told.timings,
        reason="invalid_request",
        message="No body.",
    )


def test_one_that_does_not_fit_says_so_and_whose_it_is() -> None:
    cargo = cargo_of()
    cargo.upstream_request_id = "req_1"
    told = completed(cargo, TERM)
    assert stunted(told, 5_000_000) == Failed(
        id="lead-1",
        run=3,
        lane="standard",
        tenant="acme",
        endpoint="chat.completions",
        request_digest=DIGEST,
        model="gpt-4o-mini",
        charge_tokens=33,
        reason="too_large_for_topic",
        message="The outcome weighs 5000000 bytes, more than the results topic takes.",
        attempts=3,
        upstream_request_id="req_1",
        term=TERM,
        timings=told.timings,
    )


def paid_cargo() -> Payload:
    cargo = cargo_of(template="follow-up", body={"model": "gpt-4o-mini", "service_tier": "flex"})
    cargo.paid, cargo.usage, cargo.tier_served, cargo.model_served = True, Usage(input_tokens=9), "flex", "gpt-x"
    return cargo


PAID = {
    "model": "gpt-x",
    "template": "follow-up",
    "tier_asked": "flex",
    "tier_served": "flex",
    "usage": Usage(input_tokens=9),
    "cost": COST,
    "charge_tokens": 33,
}


def test_a_failed_one_whose_call_was_answered_says_what_was_paid() -> None:
    assert PAID.items() <= dict(failed(paid_cargo(), NO, TERM, COST)).items()


def test_a_paid_one_whose_answer_names_no_tier_says_none() -> None:
    cargo = paid_cargo()
    cargo.tier_served = ""
    assert failed(cargo, NO, TERM).tier_served is None


def test_a_failed_one_whose_call_was_not_answered_says_nothing_of_a_bill() -> None:
    cargo = paid_cargo()
    cargo.forget_bill()
    told = failed(cargo, NO, TERM, COST)
    assert (told.model, told.usage, told.cost, told.charge_tokens, told.tier_served) == ("gpt-4o-mini", *4 * (None,))


def test_what_was_paid_stays_in_the_fewest_words() -> None:
    cargo = paid_cargo()
    told = failed(cargo, NO, TERM, COST)
    assert PAID.items() <= dict(smallest(told)).items()
    cargo.response = {"model": "gpt-x"}
    done = completed(cargo, TERM, COST)
    assert PAID.items() <= dict(stunted(done, 1)).items()
    assert smallest(told).timings == stunted(done, 1).timings == told.timings


def test_a_failed_one_keeps_its_reason_in_the_fewest_words() -> None:
    cargo = cargo_of()
    cargo.upstream_request_id = "req_1"
    told = failed(cargo, Fail("rejected", "x" * 1_001), TERM)
    small = Failed(
        id="lead-1",
        run=3,
        lane="standard",
        tenant="acme",
        endpoint="chat.completions",
        request_digest=DIGEST,
        model="gpt-4o-mini",
        reason="rejected",
        message="x" * 1_000,
        attempts=3,
        upstream_request_id="req_1",
        term=TERM,
        timings=told.timings,
    )
    assert smallest(told) == small
    assert stunted(told, 1) == small


def test_one_whose_id_is_anothers_fails_under_an_id_of_its_own_record() -> None:
    cargo = cargo_of()
    told = failed(cargo, CONFLICT, TERM)
    own = new_id_of("lead-1", Origin(cargo.topic, cargo.source.partition.number, cargo.source.offset))
    assert (told.id, told.run, told.submitted_id) == (own, 0, "lead-1")
    assert (told.tenant, told.endpoint, told.request_digest) == ("acme", "chat.completions", DIGEST)
    assert (told.reason, told.metadata, told.error) == ("id_conflict", {"lead": 8}, None)
    assert apart_hash(cargo, 1) == id_hash(own)
    again = failed(cargo, Fail("id_conflict", "No.", apart=2), TERM)
    assert apart_hash(cargo, 2) == id_hash(again.id)
    assert again.id not in {own, "lead-1"}
    few = smallest(told)
    assert (few.id, few.run, few.submitted_id, few.request_digest) == (own, 0, "lead-1", DIGEST)
    cargo.source = Source(cargo.source.partition, cargo.source.offset + 1)
    assert failed(cargo, CONFLICT, TERM).id != own, "each record has one of its own"


def test_so_does_a_record_that_is_no_request() -> None:
    cargo = cargo_of()
    cargo.content = Undecodable("No body.", "lead-1", run=3, tenant="acme")
    told = failed(cargo, CONFLICT, TERM)
    assert (told.run, told.submitted_id, told.tenant, told.request_digest) == (0, "lead-1", "acme", None)
    assert apart_hash(cargo, 1) == id_hash(told.id)
    cargo.content = Undecodable("No id.")
    place = Origin(cargo.topic, cargo.source.partition.number, cargo.source.offset)
    assert apart_hash(cargo, 1) == id_hash(new_id_of("", place))


def test_the_times_are_those_of_the_last_call() -> None:
    cargo = cargo_of()
    cargo.submitted_at = NOW - timedelta(seconds=9)
    assert failed(cargo, NO, TERM).timings.model_dump() == {
        "submitted_at": "2026-12-01T08:59:51.000Z",
        "taken_at": "2026-12-01T08:59:55.000Z",
        "called_at": "2026-12-01T08:59:57.000Z",
        "finished_at": "2026-12-01T08:59:59.000Z",
        "queue_ms": 2_000,
        "upstream_ms": 2_000,
    }


@pytest.mark.parametrize(
    ("called_ms", "finished_ms", "queue_ms"), [(None, 99_000, 4_000), (97_000, None, 2_000), (None, None, None)]
)
def test_what_was_never_called_waited_until_it_was_decided(
    called_ms: int | None, finished_ms: int | None, queue_ms: int | None
) -> None:
    cargo = cargo_of()
    cargo.called_ms, cargo.finished_ms = called_ms, finished_ms
    told = failed(cargo, NO, TERM).timings
    assert (told.queue_ms, told.upstream_ms) == (queue_ms, None)
