"""One attempt as a whole: the request sent, the answer judged, weighed and kept for its outcome."""

from dataclasses import dataclass

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.base_url import AnswerForm, form_of
from headrace.broker.core.answers.error_body import answer_of, error_in
from headrace.broker.core.answers.rate_limit_headers import lowered
from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, is_word, judge
from headrace.broker.core.commands import Call
from headrace.broker.core.pricing.references import response_mark
from headrace.broker.ports import UpstreamApi, UpstreamReply
from headrace.broker.service.calls.answer_body import is_of_the_api, published
from headrace.broker.service.calls.bill import note_bill
from headrace.broker.service.calls.finish_reason import finish_of, is_unfinished
from headrace.broker.service.calls.foreign_server import Strangers
from headrace.broker.service.calls.streaming import Streaming
from headrace.broker.service.metrics.telemetry import Telemetry
from headrace.broker.service.payloads import Payload
from headrace.broker.service.tracing.request_trace import ResponseFacts
from headrace.broker.service.tracing.tracer import RequestTracer
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest

_ENVELOPE_BYTES = 8_192
"""Weight of an outcome beside the response and the metadata it repeats: names, times and headers, all bounded."""
_MESSAGE_CHARS_MAX = 2_000
_FIELD_CHARS_MAX = 200


@dataclass(eq=False)
class Calling:
    """Makes the calls that the core asks for.

    `upstream` makes one attempt per call; `streaming` takes its deltas. `strangers` rules on answers that OpenAI's API
    may not have written. `tracer` makes a span of each call, if calls are traced.
    """

    upstream: UpstreamApi
    clock: WallClock
    telemetry: Telemetry
    streaming: Streaming
    strangers: Strangers
    tracer: RequestTracer | None = None

    async def call(self, command: Call, cargo: Payload) -> tuple[Verdict, int]:
        """Call OpenAI once for a ticket; return the verdict and the weight, in bytes, of what will be published."""
        sent_ms = self.clock.now_ms()
        if self.tracer is None:
            verdict, weight = await self._called(command, cargo, sent_ms)
        else:
            with self.tracer.calling(command, cargo) as span:
                verdict, weight = await self._called(command, cargo, sent_ms)
                span.verdict = verdict
        self.telemetry.record_attempt(cargo, verdict, (self.clock.now_ms() - sent_ms) / 1_000)
        return verdict, weight

    async def _called(self, command: Call, cargo: Payload, sent_ms: int) -> tuple[Verdict, int]:
        assert isinstance(cargo.content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called
        request = cargo.content.request
        cargo.calls, cargo.charge = command.calls, command.charge
        cargo.forget_bill()
        if cargo.called_at is None:
            cargo.called_at = self.clock.utc_now()
            cargo.called_ms = self.clock.now_ms()
        if not request.stream:
            reply = await self.upstream.call(request.endpoint, request.body, request.id)
            return self._weighed(reply, cargo, request, sent_ms)
        attempt = cargo.content.calls_before + command.calls
        telling, verdict = self.streaming.begin(request, cargo.content.run, attempt), None
        try:
            reply = await self.upstream.call(
                request.endpoint, request.body, request.id, telling.delta, on_head=telling.head
            )
            verdict, weight = self._weighed(reply, cargo, request, sent_ms)
            return verdict, weight
        finally:
            telling.end(whole=verdict is not None and verdict.meaning is Meaning.OK)

    def _weighed(
        self, reply: UpstreamReply, cargo: Payload, request: GenerationRequest, sent_ms: int
    ) -> tuple[Verdict, int]:
        """Return the verdict, by the answer's content and the server that wrote it, and the weight of the outcome."""
        verdict, weight, form = self._read(reply, cargo, request)
        ruled, cargo.response_facts = self.strangers.judge(form, reply, request, sent_ms, self.clock.now_ms())
        if ruled is None:
            return verdict, weight
        cargo.forget_bill()  # whatever wrote that usage is not the server that bills
        return ruled, 0

    def _read(
        self, reply: UpstreamReply, cargo: Payload, request: GenerationRequest
    ) -> tuple[Verdict, int, AnswerForm]:
        cargo.finished_at = self.clock.utc_now()
        cargo.finished_ms = self.clock.now_ms()
        cargo.upstream_request_id = _id_of(reply.answer)
        verdict = judge(reply.answer, request.body)
        if verdict.meaning is not Meaning.OK:
            cargo.error = _error_object(reply.answer)
            return verdict, 0, form_of(reply.answer)
        cargo.error = None
        if reply.too_large is not None:  # the core fails what no outcome can carry, without another attempt
            note_bill(cargo, request, {}, answered=True)
            return verdict, reply.too_large, AnswerForm.PLAIN
        return self._read_body(verdict, reply, cargo, request)

    def _read_body(
        self, verdict: Verdict, reply: UpstreamReply, cargo: Payload, request: GenerationRequest
    ) -> tuple[Verdict, int, AnswerForm]:
        """Read the body of a 2xx: an answer, an error in spite of the status, or neither."""
        read = published(reply.body)
        if read is None:
            return _no_answer(reply.answer), 0, AnswerForm.ODD
        note_bill(cargo, request, read.value)
        if error_in(read.value) is not None:  # it came with a 200 in spite of that
            inside = answer_of(reply.answer.status, reply.answer.headers, read.value)
            cargo.error = _error_object(inside)
            return judge(inside, request.body), 0, form_of(inside)
        if is_unfinished(request.endpoint, read.value):
            return _no_answer(reply.answer), 0, AnswerForm.PLAIN
        if not is_of_the_api(request.endpoint, read.value):
            return _no_answer(reply.answer), 0, AnswerForm.ODD
        cargo.response = read.kept()
        if cargo.trace is not None and self.tracer is not None:
            cargo.trace.response = ResponseFacts.of(read.value, content=self.tracer.rules.content)
        note_bill(cargo, request, read.value, answered=True)
        cargo.answer_mark = response_mark(request.endpoint, read.value)
        cargo.finish = finish_of(request.endpoint, read.value)
        return verdict, len(read.json) + len(json_bytes(request.metadata)) + _ENVELOPE_BYTES, AnswerForm.ANSWER


def _no_answer(answer: Answer) -> Verdict:
    """Return the verdict on a 200 without an answer in it: as on a 502, the server is in trouble."""
    return judge(Answer(502, answer.headers, None, None, None, ""))


def _id_of(answer: Answer) -> str | None:
    """Return the id by which OpenAI's support finds the call."""
    told = lowered(answer.headers).get("x-request-id", "")
    return told if is_word(told) else None


def _error_object(answer: Answer) -> dict[str, object]:
    """Return the error as text of bounded size: any server may have written it, and it is published twice."""
    return {
        "status": answer.status,
        "message": _short(answer.message, _MESSAGE_CHARS_MAX),
        "type": _short(answer.error_type, _FIELD_CHARS_MAX),
        "param": _short(answer.error_param, _FIELD_CHARS_MAX),
        "code": _short(answer.error_code, _FIELD_CHARS_MAX),
    }


def _short(text: str | None, chars_max: int) -> str | None:
    return None if text is None else text[:chars_max].encode(errors="replace").decode()
