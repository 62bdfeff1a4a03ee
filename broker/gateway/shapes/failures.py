"""Final failures as HTTP errors. Each has `x-should-retry: false`: the same request would find the same outcome.

Where OpenAI refused the request for its content, its status and error object are passed on. A refusal of the account
(its key, its quota, its limits) is none of the client's key, so it never becomes a 401 or 429; OpenAI's sentence about
it may name the account's key, and is left out.
"""

from http import HTTPStatus
from typing import Any, Final

from headrace.broker.gateway.shapes.errors import FINAL, INVALID_REQUEST, SERVER_ERROR, ApiError
from headrace.schemas.outcome import Failed, FailureReason

CANCELLED_STATUS: Final = 499
"""Status in use for a request that its client gave up; no SDK tries it again, header or not, as it would a 409."""
_STATUS: Final[dict[str, int]] = {
    FailureReason.INVALID_REQUEST: 400,
    FailureReason.REJECTED: 400,
    FailureReason.TOO_LARGE: 400,
    FailureReason.ID_CONFLICT: 400,
    FailureReason.DEADLINE_EXCEEDED: 408,  # 504 is a wait that ended while the request goes on
    FailureReason.DEADLINE_UNREACHABLE: 408,
    FailureReason.CANCELLED: CANCELLED_STATUS,
    FailureReason.EXHAUSTED: 502,
    FailureReason.CRASHED: 500,
    FailureReason.UNPUBLISHABLE: 502,
    FailureReason.TOO_LARGE_FOR_TOPIC: 502,
    "unreadable": 502,
}
_UNKNOWN_STATUS: Final = 500
_OF_THE_REQUEST: Final = frozenset({FailureReason.REJECTED, FailureReason.TOO_LARGE})
_OF_THE_ACCOUNT: Final = frozenset({401, 402, 429})
_OF_THE_SERVER: Final = frozenset({500, 502, 503, 529})


def error_of(outcome: Failed) -> ApiError:
    """Return the HTTP error for a final failure."""
    reason = str(outcome.reason)
    told = outcome.error or {}
    status = _status_of(told)
    if reason in _OF_THE_REQUEST and status is not None and status not in _OF_THE_ACCOUNT:
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _passed_on(outcome, told, status)
        return _passed_on(outcome, told, _STATUS[reason])
    if reason == FailureReason.EXHAUSTED and status in _OF_THE_SERVER:
        return _passed_on(outcome, told, status)
    answered = _STATUS.get(reason, _UNKNOWN_STATUS)
    kind = INVALID_REQUEST if answered < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER_ERROR
    return ApiError(answered, _sentence(outcome), type=kind, code=reason, headers=FINAL)


def _passed_on(outcome: Failed, told: dict[str, Any], status: int) -> ApiError:
    """Return OpenAI's own error."""
    kind = INVALID_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER_ERROR
    return ApiError(
        status,
        _text(told, "message") or _sentence(outcome),
        type=_text(told, "type") or kind,
        code=_text(told, "code"),
        param=_text(told, "param"),
        headers=FINAL,
    )


def _sentence(outcome: Failed) -> str:
    return outcome.message or f"The request failed: {outcome.reason}."


def _status_of(told: dict[str, Any]) -> int | None:
    """Return the HTTP status of OpenAI's answer; None if there was no answer, and 200 for an error inside one."""
    status = told.get("status")
    return status if isinstance(status, int) and not isinstance(status, bool) else None


def _text(told: dict[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) else None
