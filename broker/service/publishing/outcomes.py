"""Content of an outcome: the answer or the failure of a payload's request, whole or shortened."""

from typing import Any, Final

from headrace.broker.core.commands import Fail
from headrace.broker.service.payloads import Payload
from headrace.schemas.dead_letter import Origin
from headrace.schemas.ids import id_hash, request_digest
from headrace.schemas.outcome import Completed, Cost, Failed, Timings
from headrace.schemas.refusals import MODEL_NAME_MAX
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest, Undecodable

METADATA_BYTES_MAX = 16 * 1024
"""A Failed outcome repeats the request's metadata up to this size; beyond it the outcome is sure to stay small."""
_MESSAGE_CHARS_MAX = 1_000
_KEPT: Final = (
    "id",
    "run",
    "lane",
    "tenant",
    "endpoint",
    "request_digest",
    "model",
    "template",
    "tier_asked",
    "tier_served",
    "usage",
    "cost",
    "charge_tokens",
    "attempts",
    "upstream_request_id",
    "term",
    "timings",
)


def completed(cargo: Payload, term: int, cost: Cost | None = None) -> Completed:
    """Make the outcome with the answer that the cargo holds; `cost` is what its call cost."""
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
        request_digest=request_digest(request.endpoint, request.body),
        model=str(response.get("model") or request.model or "")[:MODEL_NAME_MAX],
        template=request.template,
        response=response,
        finish=cargo.finish,
        usage=cargo.usage,
        cost=cost,
        charge_tokens=cargo.charge,
        tier_asked=request.tier or None,
        tier_served=cargo.tier_served or None,
        attempts=cargo.content.calls_before + cargo.calls,
        upstream_request_id=cargo.upstream_request_id,
        term=term,
        metadata=request.metadata,
        timings=timings_of(cargo),
    )


def failed(cargo: Payload, fail: Fail, term: int, cost: Cost | None = None) -> Failed:
    """Make the outcome of a request that failed, or of a record that names an id but is not a request.

    Where its last call was paid, the outcome has what that call used, and `cost`.
    """
    content = cargo.content
    assert isinstance(content, DecodedRequest | Undecodable)  # noqa: S101 — programmer error: no range or cancel fails
    assert content.request_id is not None  # noqa: S101 — programmer error: Fail needs an id
    request_id, submitted_id = identity_of(cargo, fail)
    common = {
        "id": request_id,
        "run": 0 if fail.apart else content.run,
        "submitted_id": submitted_id,
        "lane": cargo.source.partition.lane,
        "reason": fail.reason,
        "message": fail.sentence,
        "term": term,
        "timings": timings_of(cargo),
    }
    if isinstance(content, Undecodable):
        return Failed(tenant=content.tenant, endpoint=content.endpoint, model=content.model, **common)
    request = content.request
    light = len(cargo.record.value or b"") <= METADATA_BYTES_MAX
    return Failed(
        tenant=request.tenant,
        endpoint=request.endpoint,
        request_digest=request_digest(request.endpoint, request.body),
        template=request.template,
        tier_asked=request.tier or None,
        **bill_of(cargo, request, cost),
        attempts=content.calls_before + cargo.calls,
        upstream_request_id=cargo.upstream_request_id,
        metadata=request.metadata if light else {},
        error=cargo.error,
        **common,
    )


def bill_of(cargo: Payload, request: GenerationRequest, cost: Cost | None) -> dict[str, Any]:
    """Return the fields of a Failed outcome that say what its last call used; of a call not paid, the model alone."""
    if not cargo.paid:
        return {"model": (request.model or "")[:MODEL_NAME_MAX]}
    return {
        "model": cargo.model_served,
        "usage": cargo.usage,
        "cost": cost,
        "charge_tokens": cargo.charge,
        "tier_served": cargo.tier_served or None,
    }


def identity_of(cargo: Payload, fail: Fail) -> tuple[str, str | None]:
    """Return the id that a request fails under, and the one it was sent with if that belongs to another request.

    The first is then a substitute, made of the id and the record's position, as `dead-letters replay --new-id` makes
    one.
    """
    request_id = _named(cargo)
    return (_apart_id(cargo, fail.apart), request_id) if fail.apart else (request_id, None)


def apart_hash(cargo: Payload, nth: int) -> bytes:
    """Return the ledger's hash of the nth substitute id of a record whose id belongs to another request."""
    return id_hash(_apart_id(cargo, nth))


def _apart_id(cargo: Payload, nth: int) -> str:
    """Return the nth substitute id; those after the first replace ids that a producer chose for another request."""
    topic = cargo.topic if nth == 1 else f"{cargo.topic}#{nth}"
    return new_id_of(_named(cargo), Origin(topic, cargo.source.partition.number, cargo.source.offset))


def _named(cargo: Payload) -> str:
    content = cargo.content
    assert isinstance(content, DecodedRequest | Undecodable)  # noqa: S101 — programmer error: a cancel has no content
    return content.request_id or ""


def stunted(outcome: Completed | Failed, weight: int) -> Failed:
    """Make an outcome of bounded size in place of one that does not fit."""
    if isinstance(outcome, Failed):
        return smallest(outcome)
    return Failed(
        **_kept(outcome),
        reason="too_large_for_topic",
        message=f"The outcome weighs {weight} bytes, more than the results topic takes.",
    )


def smallest(failed: Failed) -> Failed:
    """Reduce an outcome to its least; it still names its request, so that no other sender takes it for its own."""
    return Failed(
        **_kept(failed),
        submitted_id=failed.submitted_id,
        reason=failed.reason,
        message=failed.message[:_MESSAGE_CHARS_MAX],
    )


def _kept(outcome: Completed | Failed) -> dict[str, Any]:
    """Return the fields that the shortest outcome has too, each of bounded size: whose it is, and what was paid."""
    return {name: getattr(outcome, name) for name in _KEPT}


def timings_of(cargo: Payload) -> Timings:
    """Return when the payload's request was taken, called and answered."""
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
