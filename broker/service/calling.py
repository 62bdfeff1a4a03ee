"""One attempt, seen whole: the request out, the answer judged, weighed and kept for its outcome."""

import json
from collections.abc import Mapping

from broker.clock import WallClock
from broker.core.charge import PRICE_MAX
from broker.core.commands import Call
from broker.core.envelope import answer_of, error_in
from broker.core.reading import lowered
from broker.core.verdict import Answer, Meaning, Verdict, is_word, judge
from broker.ports import Upstream, UpstreamReply
from broker.service.cargo import Cargo
from broker.service.finish import finish_of, is_unfinished
from broker.service.streaming import Streaming
from broker.service.telemetry import Telemetry
from schemas.bounded_json import NESTING_MAX, is_deeper
from schemas.cloudevents import json_bytes
from schemas.outcome import Usage
from schemas.request import GenerationRequest
from schemas.request_codec import DecodedRequest

_ENVELOPE_BYTES = 8_192
"""What an outcome weighs beside the response and the metadata it repeats: names, times and headers, all bounded."""
_MESSAGE_CHARS_MAX = 2_000
_FIELD_CHARS_MAX = 200


class Calling:
    """Makes the calls the core asks for."""

    def __init__(self, upstream: Upstream, clock: WallClock, telemetry: Telemetry, streaming: Streaming) -> None:
        """The upstream makes one attempt a call; what of it is streamed goes to `streaming`."""
        self._upstream = upstream
        self._streaming = streaming
        self._telemetry = telemetry
        self._clock = clock

    async def call(self, command: Call, cargo: Cargo) -> tuple[Verdict, int]:
        """Call OpenAI once for a ticket; the verdict and the weight of what will be published, in bytes."""
        sent_ms = self._clock.now_ms()
        verdict, weight = await self._called(command, cargo)
        self._telemetry.answered(cargo, verdict, (self._clock.now_ms() - sent_ms) / 1_000)
        return verdict, weight

    async def _called(self, command: Call, cargo: Cargo) -> tuple[Verdict, int]:
        assert isinstance(cargo.content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called
        request = cargo.content.request
        cargo.calls, cargo.charge = command.calls, command.charge
        if cargo.called_at is None:
            cargo.called_at = self._clock.utc_now()
            cargo.called_ms = self._clock.now_ms()
        if not request.stream:
            reply = await self._upstream.call(request.endpoint, request.body, request.id)
            return self._weighed(reply, cargo, request)
        attempt = cargo.content.calls_before + command.calls
        telling, verdict = self._streaming.begin(request.id, cargo.content.run, attempt), None
        try:
            reply = await self._upstream.call(request.endpoint, request.body, request.id, telling.delta)
            verdict, weight = self._weighed(reply, cargo, request)
            return verdict, weight
        finally:
            telling.end(whole=verdict is not None and verdict.meaning is Meaning.OK)

    def _weighed(self, reply: UpstreamReply, cargo: Cargo, request: GenerationRequest) -> tuple[Verdict, int]:
        cargo.finished_at = self._clock.utc_now()
        cargo.finished_ms = self._clock.now_ms()
        cargo.upstream_request_id = _id_of(reply.answer)
        verdict = judge(reply.answer)
        if verdict.meaning is not Meaning.OK:
            cargo.error = _error_object(reply.answer)
            return verdict, 0
        cargo.error = None
        read = _publishable(reply.body)
        if read is None or is_deeper(read[0], NESTING_MAX):  # the latter our own readers could not read
            return judge(Answer(502, reply.answer.headers, None, None, None, "")), 0
        if error_in(read[0]) is not None:  # it came with a 200 all the same
            inside = answer_of(reply.answer.status, reply.answer.headers, read[0])
            cargo.error = _error_object(inside)
            return judge(inside), 0
        if is_unfinished(request.endpoint, read[0]):
            return judge(Answer(502, reply.answer.headers, None, None, None, "")), 0
        cargo.response, weight = read
        cargo.usage = usage_of(cargo.response)
        cargo.finish = finish_of(request.endpoint, cargo.response)
        return verdict, weight + len(json_bytes(request.metadata)) + _ENVELOPE_BYTES


def usage_of(response: Mapping[str, object]) -> Usage | None:
    """Tokens billed, under one set of names for all endpoints; None if the response does not say."""
    usage = response.get("usage")
    if not isinstance(usage, Mapping):
        return None
    inputs = _number(usage.get("prompt_tokens", usage.get("input_tokens")))
    outputs = _number(usage.get("completion_tokens", usage.get("output_tokens")))
    input_details = usage.get("prompt_tokens_details", usage.get("input_tokens_details"))
    output_details = usage.get("completion_tokens_details", usage.get("output_tokens_details"))
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        total_tokens=_number(usage.get("total_tokens")) or inputs + outputs,
        cached_tokens=_detail(input_details, "cached_tokens"),
        reasoning_tokens=_detail(output_details, "reasoning_tokens"),
    )


def _detail(details: object, name: str) -> int:
    return _number(details.get(name)) if isinstance(details, Mapping) else 0


def _number(value: object) -> int:
    return min(value, PRICE_MAX) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _publishable(body: str | None) -> tuple[dict[str, object], int] | None:
    """An answer as JSON that an outcome can carry, and its bytes there; None if it is no JSON object.

    Python reads what JSON has no word for. NaN is none; half a surrogate pair becomes `?`, since the rest is paid for.
    """
    try:
        parsed = json.loads(body or "", parse_constant=_no_constant)
        if not isinstance(parsed, dict):
            return None
        try:
            return parsed, len(json_bytes(parsed))
        except UnicodeEncodeError:
            whole = json.loads(json.dumps(parsed, ensure_ascii=False).encode(errors="replace"))
            return whole, len(json_bytes(whole))
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _id_of(answer: Answer) -> str | None:
    """By which OpenAI's support finds the call."""
    told = lowered(answer.headers).get("x-request-id", "")
    return told if is_word(told) else None


def _error_object(answer: Answer) -> dict[str, object]:
    """OpenAI's error as text of bounded size: it comes from whoever answered, and is published twice."""
    return {
        "status": answer.status,
        "message": _short(answer.message, _MESSAGE_CHARS_MAX),
        "type": _short(answer.error_type, _FIELD_CHARS_MAX),
        "param": _short(answer.error_param, _FIELD_CHARS_MAX),
        "code": _short(answer.error_code, _FIELD_CHARS_MAX),
    }


def _short(text: str | None, chars_max: int) -> str | None:
    return None if text is None else text[:chars_max].encode(errors="replace").decode()
