"""Outcomes as lines of the output and error files, in OpenAI's form.

An answer with status 200 goes to the output file. A refused request goes to the error file with the refusal as its
response; a request that was not called because its batch was cancelled or expired has an error in place of a response.
"""

from typing import Any, Final

from headrace.broker.gateway.batches.names import answer_id
from headrace.broker.gateway.batches.records import AnswerLine, Tokens
from headrace.broker.gateway.shapes.errors import ApiError, invalid_request
from headrace.broker.gateway.shapes.failures import error_of
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.outcome import Completed, Failed, FailureReason, Outcome, Usage

CANCELLED: Final = "batch_cancelled"
EXPIRED: Final = "batch_expired"
_SENTENCES: Final = {
    CANCELLED: "This request was not executed because its batch was cancelled.",
    EXPIRED: "This request could not be executed before the completion window expired.",
}
_NO_TOKENS: Final = Tokens()
CUSTOM_ID: Final = "custom_id"
"""Member of a request's metadata, which its outcome repeats."""


def outcome_line(outcome: Outcome, number: int, *, stopped: str | None) -> AnswerLine:
    """Return the line of an outcome; `stopped` is the code for requests that a batch's own end has cancelled."""
    custom_id = str(outcome.metadata.get(CUSTOM_ID, ""))
    match outcome:
        case Completed():
            response = _response(200, outcome.id, outcome, outcome.response)
            return _line(number, outcome.id, custom_id, response, tokens=_tokens(outcome.usage))
        case Failed():
            if outcome.reason == FailureReason.CANCELLED:
                return unanswered_line(outcome.id, custom_id, number, stopped or CANCELLED)
            error = error_of(outcome)
            response = _response(error.status, outcome.id, outcome, error.body())
            return _line(number, outcome.id, custom_id, response, tokens=_tokens(outcome.usage))


def refused_line(request_id: str, custom_id: str, number: int, reason: str) -> AnswerLine:
    """Return the line of a request that cannot be submitted."""
    error: ApiError = invalid_request(reason)
    return _line(number, request_id, custom_id, _response(error.status, request_id, None, error.body()))


def unanswered_line(request_id: str, custom_id: str, number: int, code: str) -> AnswerLine:
    """Return the line of a request that will have no answer: its batch was cancelled, or has expired."""
    return _line(number, request_id, custom_id, None, error={"code": code, "message": _SENTENCES[code]})


def oversized_line(request_id: str, custom_id: str, number: int, tokens: Tokens) -> AnswerLine:
    """Return the line in place of one that the topic does not take."""
    error = {"code": "answer_too_large", "message": "The answer is too large for the gateway's topic of batches."}
    return _line(number, request_id, custom_id, None, error=error, tokens=tokens)


def _response(status: int, request_id: str, outcome: Outcome | None, body: dict[str, Any]) -> dict[str, Any]:
    told = None if outcome is None else outcome.upstream_request_id
    return {"status_code": status, "request_id": told or answer_id(request_id), "body": body}


def _line(  # noqa: PLR0913  # the members of one line
    number: int,
    request_id: str,
    custom_id: str,
    response: dict[str, Any] | None,
    *,
    error: dict[str, Any] | None = None,
    tokens: Tokens = _NO_TOKENS,
) -> AnswerLine:
    is_output = response is not None and response["status_code"] == 200
    fields = {"id": answer_id(request_id), CUSTOM_ID: custom_id, "response": response, "error": error}
    is_expired = error is not None and error["code"] == EXPIRED
    return AnswerLine(number, is_output, json_bytes(fields), tokens, is_expired=is_expired)


def _tokens(usage: Usage | None) -> Tokens:
    if usage is None:
        return Tokens()
    return Tokens(
        usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.cached_tokens, usage.reasoning_tokens
    )
