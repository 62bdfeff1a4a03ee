"""Headrace's errors as a client of the gateway sees them. Pure.

What an operator must mend is told to the operator, in the log: a client learns that it may come back.
"""

from headrace.broker.errors import (
    HeadraceError,
    IdConflict,
    InvalidRequest,
    LogUnavailable,
    MissingTopic,
    NotSubmitted,
    WaitTimedOut,
)
from headrace.broker.gateway.shapes.errors import (
    ApiError,
    crashed,
    id_conflict,
    invalid_request,
    outcome_pending,
    unavailable,
)

KAFKA_AWAY_S = 2.0
"""Wait that a client is told while Kafka takes nothing; the SDKs add their own back-off."""


def api_error(reason: HeadraceError, given_id: str | None) -> ApiError:
    """Return the HTTP error; `given_id` is the client's id of the call, if it has one by then."""
    error = _error(reason, given_id or "")
    if given_id is not None:
        error.headers.setdefault("x-headrace-id", given_id)
    return error


def _error(reason: HeadraceError, given_id: str) -> ApiError:
    match reason:
        case InvalidRequest():
            return invalid_request(str(reason))
        case IdConflict():
            return id_conflict(given_id)
        case WaitTimedOut():
            return outcome_pending(given_id)
        case LogUnavailable() | MissingTopic():
            return unavailable("No request can be accepted at the moment. Try again.", retry_after_s=KAFKA_AWAY_S)
        case NotSubmitted():
            return invalid_request(str(reason), param="x-headrace-lane")
        case _:
            return crashed()


def is_operators(reason: HeadraceError) -> bool:
    """Whether the operator must learn of it: nothing that a client can mend."""
    return not isinstance(reason, InvalidRequest | IdConflict | WaitTimedOut)
