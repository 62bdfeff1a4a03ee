"""Final failures as the clients of the gateway see them."""

from typing import Any

import pytest

from headrace.broker.gateway.shapes.failures import error_of
from headrace.schemas.outcome import Failed, FailureReason

REFUSED = {"status": 400, "message": "No such thing.", "type": "invalid_request_error", "param": "n", "code": "bad"}


def failed(reason: str, error: dict[str, Any] | None = None, message: str = "Why.") -> Failed:
    return Failed(id="a/1", reason=reason, message=message, error=error)


@pytest.mark.parametrize("reason", [*FailureReason, "unreadable", "a_new_one"])
def test_no_final_failure_is_tried_again(reason: str) -> None:
    for error in (None, REFUSED, {"status": 429}, {"status": 500}):
        assert error_of(failed(reason, error)).headers == {"x-should-retry": "false"}


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("invalid_request", 400),
        ("rejected", 400),
        ("too_large", 400),
        ("id_conflict", 400),
        ("deadline_exceeded", 408),
        ("deadline_unreachable", 408),
        ("cancelled", 499),
        ("exhausted", 502),
        ("crashed", 500),
        ("unpublishable", 502),
        ("too_large_for_topic", 502),
        ("unreadable", 502),
        ("a_new_one", 500),
    ],
)
def test_a_failure_of_ours_has_the_status_of_its_reason_and_our_sentence(reason: str, status: int) -> None:
    error = error_of(failed(reason))
    assert (error.status, error.message, error.code, error.param) == (status, "Why.", reason, None)
    assert error.type == ("invalid_request_error" if status < 500 else "server_error")


@pytest.mark.parametrize("reason", list(FailureReason))
def test_every_reason_has_a_status_of_its_own(reason: FailureReason) -> None:
    """A new reason would be a defect of the gateway to its clients: `crashed` is the only one that is."""
    assert (error_of(failed(reason)).status == 500) is (reason is FailureReason.CRASHED)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_a_refusal_of_openai_is_passed_on_as_it_was(status: int) -> None:
    error = error_of(failed("rejected", {**REFUSED, "status": status}))
    assert error.status == status
    assert error.body() == {"error": {k: REFUSED[k] for k in ("message", "type", "param", "code")}}


@pytest.mark.parametrize("status", [200, None, True, 500])
def test_a_refusal_inside_an_answer_is_a_bad_request_with_openais_words(status: object) -> None:
    error = error_of(failed("rejected", {**REFUSED, "status": status}))
    assert error.status == 400
    assert error.message == ("No such thing." if status in (200, 500) and status is not True else "Why.")


@pytest.mark.parametrize("status", [401, 402, 429])
@pytest.mark.parametrize("reason", ["rejected", "too_large", "exhausted", "deadline_exceeded"])
def test_trouble_of_the_account_is_never_told_as_trouble_of_the_clients_key(reason: str, status: int) -> None:
    told = {**REFUSED, "status": status, "message": "Incorrect API key provided: sk-acco****1234."}
    error = error_of(failed(reason, told))
    assert error.status not in {401, 402, 429}
    assert error.message == "Why."


@pytest.mark.parametrize(("status", "kept"), [(500, 500), (502, 502), (503, 503), (529, 529), (504, 502), (None, 502)])
def test_trouble_of_the_server_keeps_its_status_unless_that_means_come_back(status: int | None, kept: int) -> None:
    assert error_of(failed("exhausted", {"status": status})).status == kept


def test_an_error_without_words_has_our_sentence() -> None:
    error = error_of(failed("rejected", {"status": 404, "message": None, "type": 7}))
    assert (error.status, error.message, error.type, error.code) == (404, "Why.", "invalid_request_error", None)
    assert error_of(failed("exhausted", {"status": 503})).type == "server_error"
    assert error_of(failed("crashed", message="")).message == "The request failed: crashed."
