"""Whole answers of the gateway: status, headers, body."""

import json

import pytest

from headrace.broker.gateway.shapes.answers import answer
from headrace.schemas.outcome import Completed, Cost, Failed, Timings

RESPONSE = {"id": "chatcmpl-1", "choices": [{"message": {"content": "Grüße"}}], "odd": [1.5, None]}


def test_the_body_is_openais_as_it_came() -> None:
    status, headers, body = answer(
        Completed(
            id="acme/lead-1",
            response=RESPONSE,
            upstream_request_id="req_1",
            lane="urgent",
            attempts=2,
            timings=Timings(queue_ms=41),
        ),
        "lead-1",
    )
    assert (status, json.loads(body)) == (200, RESPONSE)
    assert headers == {
        "x-request-id": "req_1",
        "x-headrace-id": "lead-1",
        "x-headrace-lane": "urgent",
        "x-headrace-wait-ms": "41",
        "x-headrace-attempts": "2",
    }


@pytest.mark.parametrize(
    ("micro_usd", "told"),
    [(195.0, "195"), (0.0, "0"), (0.075, "0.075"), (1e-6, "0.000001"), (5_999_999_390.0, "5999999390"), (None, None)],
)
def test_what_a_call_cost_stands_in_a_header_without_an_exponent(micro_usd: float | None, told: str | None) -> None:
    outcome = Completed(id="acme/lead-1", response=RESPONSE, cost=Cost(micro_usd=micro_usd, note="Why."))
    assert answer(outcome, "lead-1")[1].get("x-headrace-cost-micro-usd") == told


def test_what_is_not_known_of_an_answer_is_left_out() -> None:
    _, headers, _ = answer(Completed(id="acme/lead-1", response=RESPONSE), "lead-1")
    assert headers == {"x-headrace-id": "lead-1", "x-headrace-attempts": "0"}


def test_a_failure_is_its_error_with_the_same_headers_beside_its_own() -> None:
    outcome = Failed(id="acme/lead-1", reason="crashed", message="Why.", upstream_request_id="req_1", attempts=3)
    status, headers, body = answer(outcome, "lead-1")
    assert status == 500
    assert json.loads(body)["error"] == {"message": "Why.", "type": "server_error", "param": None, "code": "crashed"}
    assert headers == {
        "x-request-id": "req_1",
        "x-headrace-id": "lead-1",
        "x-headrace-attempts": "3",
        "x-should-retry": "false",
    }
