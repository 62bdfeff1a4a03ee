"""The identity that a copy states beside its body."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.schemas.copies import StatedIdentity, identity_header, stated_identity
from headrace.schemas.ids import fingerprint
from headrace.schemas.request_codec import DecodedRequest, decode_request

IDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128)


@pytest.mark.slow
@given(IDS, st.integers(0, 65_535))
def test_an_identity_comes_back_from_its_header(request_id: str, run: int) -> None:
    header = identity_header(request_id, run, {"body": {"model": "m"}, "tenant": "acme"})
    assert header is not None
    stated = stated_identity((header,))
    assert stated == StatedIdentity(request_id, run, fingerprint("acme", "chat.completions", {"model": "m"}))


@pytest.mark.parametrize(
    "value",
    [
        {"id": "x", "body": {"model": "m", "temperature": 1e15, "n": 10**30, "z": [1.5e-9, None, "\u2028ü"]}},
        {"id": "x", "body": {"model": "m"}, "endpoint": "embeddings", "tenant": "acme"},
        {"id": "x", "body": {"model": "m"}, "endpoint": None},
    ],
)
def test_the_fingerprint_is_the_one_by_which_the_dispatcher_knows_the_request(value: dict[str, Any]) -> None:
    decoded = decode_request(json.dumps(value).encode(), ())
    assert isinstance(decoded, DecodedRequest)
    request = decoded.request
    header = identity_header("x", 0, request.model_dump(mode="json", exclude_unset=True))
    assert header is not None
    stated = stated_identity((header,))
    assert stated is not None
    assert stated.fingerprint == fingerprint(request.tenant, request.endpoint, request.body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"2be8ed64ea263417 0",
        b"2be8ed64ea263417 0 ",
        b"2be8ed64ea263417 65536 x",
        b"2be8ed64ea263417 -1 x",
        b"2BE8ED64EA263417 0 x",
        b"2be8ed64ea263417 0 \xff",
        b"2be8ed64ea263417 0 " + b"x" * 129,
    ],
)
def test_a_header_that_is_not_the_retriers_states_nothing(raw: bytes) -> None:
    assert stated_identity((("headrace-identity", raw),)) is None
    assert stated_identity(()) is None


@pytest.mark.parametrize(("request_id", "request_"), [("x", {}), ("x", {"body": []}), ("ü", {"body": {}})])
def test_what_is_no_request_gets_no_header(request_id: str, request_: dict[str, Any]) -> None:
    assert identity_header(request_id, 0, request_) is None
