"""The core's idea of what a picture is billed as is the simulated server's, which was written without it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.pricing.laws import measure
from headrace.broker.simulator.pictures import picture_tokens

MODELS = (
    "gpt-4o-2024-08-06",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-4.5-preview",
    "o1",
    "o3",
    "o4-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5.4",
    "gpt-5.6-luna",
    "gpt-6-sol",
    "ft:gpt-4.1-mini:acme",
    "computer-use-preview",
    "something-else",
    "",
)
SIDES = st.one_of(st.integers(1, 6_000), st.integers(1, 2**31))


@pytest.mark.slow
@given(
    st.sampled_from(MODELS),
    st.sampled_from([None, "low", "high", "auto", "original", "strange"]),
    st.one_of(st.none(), st.tuples(SIDES, SIDES)),
)
def test_both_bill_a_picture_alike(model: str, detail: str | None, size: tuple[int, int] | None) -> None:
    url = "https://example.com/a.png"
    if size is not None:
        head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size[0].to_bytes(4) + size[1].to_bytes(4) + b"\x08\x02\0\0\0" * 4
        url = f"data:image/png;base64,{base64.b64encode(head).decode()}"
    part = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
    body = {"model": model, "messages": [{"role": "user", "content": [part]}]}
    assert measure("chat.completions", body, 0).image_tokens == picture_tokens(model, part)
