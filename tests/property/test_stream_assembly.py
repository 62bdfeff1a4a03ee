"""Whatever the words, a stream of them put together is the answer; so are its deltas, in whatever batches they come."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.adapters.openai.stream_assembly import ChatAssembly
from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.streams import stream_of
from headrace.schemas.delta import Delta, merged

_NAMES = st.sampled_from(["choices", "index", "delta", "content", "tool_calls", "id", "type", "response", "usage", "x"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=15,
)


def _answer(texts: list[str]) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        for index, text in enumerate(texts)
    ]
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    told = {"usage": {"total_tokens": 3}, "service_tier": "default", "system_fingerprint": None}
    return {**head, "choices": choices, **told}


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3), st.integers(0, 99), st.lists(st.integers(0, 50)))
def test_chopped_batched_and_put_together_it_is_the_answer(texts: list[str], seed: int, joints: list[int]) -> None:
    body = _answer(texts)
    stream = stream_of(Endpoint.CHAT, {"stream_options": {"include_usage": True}}, body, seed)
    lines = "".join(piece.text for piece in chat_pieces(stream)).split("\n\n")
    whole, batched = ChatAssembly(), ChatAssembly()
    deltas = [d for line in lines if line.startswith("data: {") if (d := whole.add(json.loads(line[6:]))) is not None]
    assert whole.whole() == body
    for delta in _batched(deltas, joints):
        batched.add({"choices": delta})
    again = batched.whole()
    assert again is not None
    said = [choice["message"]["content"] or "" for choice in again["choices"]]  # no delta says that nothing was said
    assert said == texts


def _batched(deltas: list[Delta], joints: list[int]) -> list[Delta]:
    for joint in joints:
        if len(deltas) > 1:
            at = joint % (len(deltas) - 1)
            both = merged(deltas[at], deltas[at + 1])
            assert both is not None
            deltas[at : at + 2] = [both]
    return deltas


@pytest.mark.slow
@given(st.lists(_JSON, max_size=6))
def test_no_event_is_too_strange(events: list[Any]) -> None:
    answer = ChatAssembly()
    deltas: list[Delta] = [delta for event in events if (delta := answer.add(event)) is not None]
    answer.whole()
    for one, two in itertools.pairwise(deltas):
        merged(one, two)
