"""Attributes of a request's spans, from what the process holds of it: names, numbers and reasons, and no prompt."""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.core import commands
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.endpoints import Shape, facts_of
from headrace.broker.observability.spans import CALL, EMBEDDINGS, PROCESS, Attribute, SpanRow, messaging
from headrace.broker.service.payloads import Payload
from headrace.broker.service.tracing.request_trace import ResponseFacts, shown_name
from headrace.broker.span_ports import Value
from headrace.schemas.ids import tenant_mark
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest

_TOKENS_MAX: Final = 10**15
"""A larger number of a producer's fits no attribute."""

Given = dict[str, Value]


def call_row(request: GenerationRequest) -> SpanRow:
    """Return the row of the calls of a request's endpoint."""
    return EMBEDDINGS if facts_of(request.endpoint).shape is Shape.VECTORS else CALL


def of_record(cargo: Payload) -> Given:
    """Return what is known of a record wherever it is."""
    given: Given = {
        **messaging(cargo.topic, PROCESS),
        Attribute.PARTITION: str(cargo.source.partition.number),
        Attribute.OFFSET: cargo.source.offset,
        Attribute.BODY_SIZE: len(cargo.record.value or b""),
        Attribute.LANE: cargo.source.partition.lane,
    }
    content = cargo.content
    if isinstance(content, DecodedRequest):
        given[Attribute.MESSAGE_ID] = content.request.id
        if content.request.tenant:
            given[Attribute.TENANT] = tenant_mark(content.request.tenant).hex()
        if content.run:
            given[Attribute.RUN] = content.run
    return given


def of_call(request: GenerationRequest, cargo: Payload, number: int) -> Given:
    """Return what is known of a call before its answer; `number` counts the request's calls."""
    given: Given = {
        Attribute.GEN_AI_OPERATION: call_row(request).operation,
        Attribute.PROVIDER: "openai",
        Attribute.REQUEST_MODEL: shown_name(request.model),
        Attribute.LIMIT: shown_name(cargo.limit),
    }
    caps = (request.body.get(name) for name in facts_of(request.endpoint).output_caps)
    cap = next((cap for cap in caps if type(cap) is int and 0 <= cap <= _TOKENS_MAX), None)
    if cap is not None:
        given[Attribute.REQUEST_MAX_TOKENS] = cap
    if request.stream:
        given[Attribute.REQUEST_STREAM] = True
    if request.tier:
        given[Attribute.REQUEST_TIER] = request.tier
    if number > 1:
        given[Attribute.RESEND_COUNT] = number - 1
    return given


def of_answer(cargo: Payload, verdict: Verdict, response: ResponseFacts) -> Given:
    """Return what a call's answer says."""
    given: Given = {Attribute.VERDICT: verdict.meaning.value}
    if cargo.upstream_request_id:
        given[Attribute.OPENAI_REQUEST_ID] = cargo.upstream_request_id
    status = 200 if verdict.meaning is Meaning.OK else (cargo.error or {}).get("status")
    if isinstance(status, int):
        given[Attribute.HTTP_STATUS] = status
    if verdict.meaning is not Meaning.OK:
        return given
    texts = (
        (Attribute.RESPONSE_MODEL, response.model),
        (Attribute.RESPONSE_ID, response.id),
        (Attribute.RESPONSE_TIER, cargo.tier_served),
    )
    given.update({name: text for name, text in texts if text})
    if cargo.finish is not None:
        given[Attribute.FINISH_REASONS] = (cargo.finish.value,)
    if cargo.usage is not None:
        usage = cargo.usage
        given[Attribute.INPUT_TOKENS], given[Attribute.OUTPUT_TOKENS] = usage.input_tokens, usage.output_tokens
        given.update({Attribute.CACHED_TOKENS: usage.cached_tokens} if usage.cached_tokens else {})
        given.update({Attribute.REASONING_TOKENS: usage.reasoning_tokens} if usage.reasoning_tokens else {})
    return given


_DECIDED: Final[Mapping[type[Any], str]] = {
    commands.Complete: "completed",
    commands.Fail: "failed",
    commands.Park: "parked",
    commands.Withdraw: "withdrawn",
    commands.DeadLetterOnly: "dead_lettered",
    commands.Discard: "duplicate",
}


def of_decision(decision: commands.Decision) -> Given:
    """Return what was decided of a record, and why."""
    given: Given = {Attribute.DECISION: _DECIDED.get(type(decision), "other")}
    match decision:
        case commands.Fail() | commands.DeadLetterOnly():
            given[Attribute.REASON] = decision.reason
        case commands.Park():
            given[Attribute.REASON] = decision.kind
        case commands.Discard(returned=True):
            given[Attribute.DECISION] = "returned"
        case _:
            pass
    return given
