"""Headrace's errors as HTTP errors: what a client can mend it is told, what an operator must mend it is not."""

import pytest

from headrace.broker.errors import (
    AuthenticationError,
    HeadraceError,
    IdConflict,
    InvalidRequest,
    LogUnavailable,
    MissingTopic,
    NotSubmitted,
    WaitTimedOut,
)
from headrace.broker.gateway.refusals import api_error, is_operators

SECRET = "kafka-7.internal:9092"


def made(kind: type[HeadraceError]) -> HeadraceError:
    error = kind.__new__(kind)
    error.args = (f"About {SECRET}.",)
    return error


@pytest.mark.parametrize(
    ("kind", "status", "code", "logged"),
    [
        (InvalidRequest, 400, None, False),
        (IdConflict, 400, "id_conflict", False),
        (WaitTimedOut, 504, "outcome_pending", False),
        (LogUnavailable, 503, "service_unavailable", True),
        (MissingTopic, 503, "service_unavailable", True),
        (NotSubmitted, 400, None, True),
        (AuthenticationError, 500, "crashed", True),
    ],
)
def test_each_error_has_its_status(kind: type[HeadraceError], status: int, code: str | None, logged: object) -> None:
    error = api_error(made(kind), "lead-17")
    assert (error.status, error.code, is_operators(made(kind))) == (status, code, logged)
    assert error.headers["x-headrace-id"] == "lead-17"


@pytest.mark.parametrize("kind", [LogUnavailable, MissingTopic, AuthenticationError])
def test_what_an_operator_must_mend_is_not_told_to_clients(kind: type[HeadraceError]) -> None:
    assert SECRET not in str(api_error(made(kind), None).body())


def test_an_outage_says_when_to_come_back() -> None:
    assert api_error(made(LogUnavailable), None).headers == {"retry-after": "2"}


def test_a_lane_that_takes_nothing_is_named_by_its_header() -> None:
    assert api_error(made(NotSubmitted), None).param == "x-headrace-lane"
