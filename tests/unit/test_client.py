"""What the client refuses before anything is sent."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.client import GenerationClient, new_id, submission
from headrace.broker.errors import InvalidRequest
from headrace.schemas.request_codec import DecodedRequest, decode_request

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "SECRET"}]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id": ""}, "id"),
        ({"id": "ü"}, "id"),
        ({"id": 7}, "id"),
        ({"endpoint": "images"}, "endpoint"),
        ({"deadline": datetime(2026, 1, 1)}, "deadline is not valid: the datetime has no time zone"),  # noqa: DTZ001  # naive on purpose
        ({"deadline": "2999-01-01T00:00:00"}, "deadline is not valid: a time is ISO 8601 with a time zone"),
        ({"deadline": timedelta(0)}, "deadline is not valid: a timedelta counts from now, so it must be above zero"),
        ({"deadline": timedelta(days=-1)}, "it must be above zero"),
        ({"deadline": timedelta.max}, "a time lies in the years 1 to 9999"),
        ({"reply_to": "a b"}, "reply_to"),
        ({"body": {**BODY, "extra_body": {}}}, "extra_body"),
        ({"body": {**BODY, "stream": True}}, "top-level stream"),
        ({"body": {"x": object()}}, "JSON"),
        ({"body": {"x": float("nan")}}, "JSON"),
        ({"body": {"x": "\ud800"}}, "JSON"),
        ({"body": {"x": "SECRET" * 150_000}}, "900000 are allowed"),
        ({"body": {"x": json.loads("[" * 65 + "]" * 65)}}, "nested deeper than 64"),
        ({"metadata": {"x": {1, 2}}}, "JSON"),
        ({"deadine": None}, "There is no field deadine: did you mean deadline?"),
        (
            {"colour": "SECRET"},
            "There is no field colour, only id, body, endpoint, tenant, deadline, stream, ",
        ),
        ({"temperature": 1}, "The field temperature belongs in body"),
        ({"deadline": datetime(2026, 1, 1, tzinfo=UTC)}, "2026-01-01T00:00:00.000Z has passed (it is 20"),
        ({"body": {"messages": []}}, "body.model must name a model"),
        ({"endpoint": "responses", "body": {**BODY, "background": True}}, "background must not be set"),
        (
            {"endpoint": "responses", "body": {"model": "m", "background": "yes"}, "stream": True},
            "background must not be set",
        ),
    ],
)
def test_what_the_dispatcher_would_refuse_is_refused_in_one_sentence(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        submission({"body": BODY, **fields}, lane="bulk")
    assert named in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_a_body_that_contains_itself_is_refused() -> None:
    body: dict[str, Any] = {"model": "gpt-4o-mini"}
    body["body"] = body
    with pytest.raises(InvalidRequest):
        submission({"body": body}, lane="bulk")


@pytest.mark.parametrize(
    ("fields", "ordering_key", "key"),
    [({}, None, None), ({"tenant": "acme"}, None, b"acme"), ({"tenant": "acme"}, "thread", b"thread")],
)
def test_the_key_is_the_ordering_key_or_else_the_tenant_or_none(
    fields: dict[str, Any], ordering_key: str | None, key: bytes | None
) -> None:
    assert submission({"body": BODY, **fields}, lane="bulk", ordering_key=ordering_key).record.key == key


def test_a_deadline_that_is_a_timedelta_counts_from_now() -> None:
    before = datetime.now(UTC)
    prepared = submission({"body": BODY, "deadline": timedelta(minutes=5)}, lane="bulk")
    read = decode_request(prepared.record.value, prepared.record.headers)
    assert isinstance(read, DecodedRequest)
    assert read.request.deadline is not None
    milliseconds_are_cut = timedelta(milliseconds=1)
    assert before - milliseconds_are_cut <= read.request.deadline - timedelta(minutes=5) <= datetime.now(UTC)


def test_what_passes_is_what_the_dispatcher_reads() -> None:
    deadline = datetime(2999, 1, 1, tzinfo=UTC)
    prepared = submission({"body": BODY, "deadline": deadline, "id": "lead-1"}, lane="bulk", source="crm")
    read = decode_request(prepared.record.value, prepared.record.headers)
    assert isinstance(read, DecodedRequest)
    assert read.request == prepared.request
    assert dict(prepared.record.headers)["ce_source"] == b"crm"


def test_a_field_of_a_later_release_may_be_let_through() -> None:
    prepared = submission({"body": BODY, "colour": "red"}, lane="bulk", allow_unknown=True)
    assert json.loads(prepared.record.value or b"")["colour"] == "red"


def test_new_ids_are_uuids_of_version_7_and_differ() -> None:
    ids = [new_id() for _ in range(100)]
    assert {uuid.UUID(one).version for one in ids} == {7}
    assert len(set(ids)) == 100


async def test_a_misspelt_argument_is_a_type_error() -> None:
    async with GenerationClient("127.0.0.1:1") as generations:
        with pytest.raises(TypeError, match="a request takes no colour, only endpoint, tenant, "):
            await generations.submit(BODY, colour="red")  # type: ignore[call-arg]  # the point of the test


@pytest.mark.parametrize("wrong", ["", "ü", "x" * 129])
async def test_a_cancel_of_what_is_no_id_is_refused_before_it_is_sent(wrong: str) -> None:
    async with GenerationClient("localhost:1") as client:
        with pytest.raises(InvalidRequest):
            await client.cancel(wrong)
