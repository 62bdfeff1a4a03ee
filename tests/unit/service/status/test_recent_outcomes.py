"""What is kept of outcomes is bounded, and has nothing of a prompt."""

from dataclasses import replace
from datetime import UTC, datetime

from headrace.broker.clock import WallClock
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.service.payloads import Payload
from headrace.broker.service.status.recent_outcomes import KEPT_MAX, RecentOutcomes
from headrace.schemas.ids import id_hash
from headrace.schemas.outcome import Cost, Usage
from headrace.schemas.record import Record
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
SECRET = "confidential-prompt-text"


def payload(request_id: str, run: int = 0) -> Payload:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": SECRET}]}
    request = GenerationRequest(id=request_id, body=body, template="first-mail", metadata={"note": SECRET})
    return Payload(
        source=Source(LanePartition("bulk", 2), 17),
        topic="g.requests.bulk",
        record=Record(None, b""),
        content=DecodedRequest(request, run=run),
        submitted_at=AT,
        taken_at=AT,
        taken_ms=0,
        charge=120,
        calls=2,
        usage=Usage(input_tokens=70, output_tokens=30, cached_tokens=0, reasoning_tokens=0),
        cost=Cost(micro_usd=195.5),
        upstream_request_id="req_1",
    )


def test_an_outcome_is_known_by_id_and_run_with_its_figures_and_nothing_of_its_prompt() -> None:
    recent = RecentOutcomes(WallClock(lambda: 0.0, lambda: AT))
    recent.record(payload("a", 1), "completed", None)
    told = recent.of(id_hash("a"), 1)
    assert told == {
        "status": "completed",
        "reason": None,
        "at": "2026-12-01T09:00:00.000Z",
        "submitted_at": "2026-12-01T09:00:00.000Z",
        "lane": "bulk",
        "model": "gpt-4o-mini",
        "template": "first-mail",
        "calls": 2,
        "charge_tokens": 120,
        "input_tokens": 70,
        "output_tokens": 30,
        "micro_usd": 195.5,
        "origin": "g.requests.bulk/2/17",
        "upstream_request_id": "req_1",
    }
    assert recent.of(id_hash("a"), 0) == {}
    assert SECRET not in repr(vars(recent))


def test_calls_before_a_parking_count() -> None:
    recent, parked = RecentOutcomes(WallClock(lambda: 0.0, lambda: AT)), payload("a")
    assert isinstance(parked.content, DecodedRequest)
    parked.content = replace(parked.content, attempt=4)
    recent.record(parked, "completed", None)
    assert recent.of(id_hash("a"), 0)["calls"] == 3 + 2


def test_the_oldest_are_forgotten() -> None:
    recent = RecentOutcomes(WallClock(lambda: 0.0, lambda: AT))
    for number in range(KEPT_MAX + 5):
        recent.record(payload(f"r{number}"), "failed", "rejected")
    assert recent.of(id_hash("r4"), 0) == {}
    assert recent.of(id_hash("r5"), 0)["reason"] == "rejected"
    assert len(recent._kept) == KEPT_MAX
