"""Headers of a request, over its key's defaults. What is refused, and how, is in `test_server.py`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from multidict import CIMultiDict

from headrace.broker.gateway.call_options import CallOptions, read_options
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import ApiError

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def options(headers: dict[str, str], **rights: Any) -> CallOptions:
    return read_options(CIMultiDict(headers), ClientKey(name="ingest", tenant="acme", **rights), NOW)


def refused(headers: dict[str, str]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        options(headers)
    return caught.value


def test_without_headers_the_keys_defaults_count() -> None:
    assert options({}, lane="bulk", deadline_s=30, template="welcome", on_disconnect="cancel") == CallOptions(
        lane="bulk", deadline=NOW + timedelta(seconds=30), template="welcome", cancels=True
    )
    assert options({}) == CallOptions(lane="standard")


def test_headers_count_before_the_keys_defaults() -> None:
    given = {
        "X-Headrace-Lane": " urgent ",
        "x-headrace-id": "lead-17",
        "x-headrace-deadline": "2026-12-01T11:00:00+01:00",
        "x-headrace-template": "reminder",
        "x-headrace-ordering-key": "lead",
        "x-headrace-on-disconnect": "keep",
        "x-stainless-retry-count": "2",
        "traceparent": PARENT,
        "Prefer": "wait=10, Respond-Async",
    }
    rights: dict[str, Any] = {"lanes": ("urgent",), "deadline_s": 5, "template": "welcome", "on_disconnect": "cancel"}
    assert options(given, **rights) == CallOptions(
        lane="urgent",
        given_id="lead-17",
        deadline=NOW + timedelta(hours=1),
        template="reminder",
        ordering_key="lead",
        traceparent=PARENT,
        retry_count=2,
        is_async=True,
    )


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("1.5s", 1.5), ("31622400", 31_622_400.0)])
def test_a_deadline_is_seconds_from_now(text: str, seconds: float) -> None:
    assert options({"x-headrace-deadline": text}).deadline == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "31622401", "1e300", "inf", "2026-12-01T09:00:00Z", "2026-12-01T12:00:00", ""])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    error = refused({"x-headrace-deadline": text})
    assert (error.status, error.param) == (400, "x-headrace-deadline")


@pytest.mark.parametrize("name", ["x-headrace-id", "x-headrace-template", "x-headrace-ordering-key"])
def test_a_text_that_is_empty_or_too_long_is_refused(name: str) -> None:
    most = 512 if name == "x-headrace-id" else 256
    options({name: "a" * most})
    for text in ("", "a" * (most + 1)):
        assert (refused({name: text}).status, refused({name: text}).param) == (400, name)


def test_a_label_that_is_no_text_is_refused() -> None:
    assert refused({"x-headrace-template": "\udcff"}).param == "x-headrace-template"


def test_an_id_may_be_given_twice_alike() -> None:
    assert options({"x-headrace-id": "lead-17", "Idempotency-Key": "lead-17"}).given_id == "lead-17"


def test_a_misspelt_header_is_refused_in_any_case() -> None:
    assert "X-Headrace-Lnae" in refused({"X-Headrace-Lnae": "bulk"}).message


@pytest.mark.parametrize("text", ["", "-1", "1.0", "٣", "1" * 10, "one"])
def test_a_count_that_is_none_makes_the_call_no_repetition(text: str) -> None:
    assert options({"x-stainless-retry-count": text}).retry_count is None


def test_a_trace_context_that_is_none_is_ignored() -> None:
    assert options({"traceparent": PARENT.replace("b7ad6b7169203331", "0" * 16)}).traceparent is None


def test_other_preferences_ask_for_no_other_answer() -> None:
    assert not options({"Prefer": "return=minimal, wait=10"}).is_async
