"""The frames of a stream beside those that OpenAI sends, as the simulator spells them from recordings."""

import json
from typing import Any

import pytest

from headrace.broker.adapters.openai.stream_assembly import assembly
from headrace.broker.gateway.shapes.requests import lane_body
from headrace.broker.simulator.chat_pieces import chat_pieces
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.response_pieces import response_pieces
from headrace.broker.simulator.streams import stream_of
from headrace.schemas.chunk import Chunk
from headrace.schemas.outcome import Completed
from tests.unit.gateway.shapes.frames import data_of, events_of
from tests.unit.simulator.asking import HELLO, object_of, plentiful

SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("chat.completions", {}),
    ("chat.completions", {"n": 3}),
    ("chat.completions", {"max_tokens": 3}),
    ("chat.completions", {"response_format": SCHEMA}),
    ("responses", {}),
    ("responses", {"max_output_tokens": 16}),
    ("responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}}),
]


def recorded(endpoint: str, more: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """A request as a client sends it, and the events that OpenAI answers it with."""
    asked: dict[str, Any] = (
        dict(HELLO) if endpoint == "chat.completions" else {"model": "gpt-4.1", "input": "Write to Ada."}
    )
    asked |= more | {"stream": True, "stream_options": {"include_obfuscation": False}}
    if endpoint == "chat.completions":
        asked["stream_options"]["include_usage"] = True
    kind = Endpoint.CHAT if endpoint == "chat.completions" else Endpoint.RESPONSES
    whole = object_of(plentiful().ask({**asked, "stream": False}, endpoint=kind))
    stream = stream_of(kind, asked, whole, 1)
    pieces = chat_pieces(stream) if kind is Endpoint.CHAT else response_pieces(stream)
    lines = "".join(piece.text for piece in pieces).splitlines()
    return asked, [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def played(endpoint: str, asked: dict[str, Any], events: list[Any], *, early: bool) -> list[bytes]:
    """The gateway's frames for the same answer, with chunks of all its deltas or with none."""
    shape, whole = lane_body(endpoint, asked).shape("1"), assembly(endpoint)
    frames: list[bytes] = []
    seq = 0
    for event in events:
        delta = whole.add(event)
        if early and delta is not None:
            chunk = Chunk(id="a/1", term=1, attempt=1, seq=seq, delta=delta, head=whole.head() or None)
            frames += shape.add(chunk)
            seq += 1
    body = whole.whole()
    assert body is not None
    return frames + shape.finish(Completed(id="a/1", response=body))


@pytest.mark.parametrize(("endpoint", "more"), CASES, ids=range(len(CASES)))
def test_a_stream_of_every_delta_is_openais_own(endpoint: str, more: dict[str, Any]) -> None:
    asked, events = recorded(endpoint, more)
    told = data_of(played(endpoint, asked, events, early=True))
    if endpoint == "responses":
        for mine, theirs in zip(told, events, strict=True):
            assert mine | {"response": None} == theirs | {"response": None}
            if mine["type"] not in {"response.created", "response.in_progress"}:
                assert mine == theirs
        return
    assert [event for event in told if not event["choices"]] == [events[-1]]
    for number in range(more.get("n", 1)):  # choices take turns otherwise
        own = [
            [each for each in stream if any(c["index"] == number for c in each["choices"])] for stream in (told, events)
        ]
        assert own[0] == own[1]


@pytest.mark.parametrize(("endpoint", "more"), CASES, ids=range(len(CASES)))
def test_a_stream_of_the_outcome_alone_has_the_same_frames_but_longer_deltas(
    endpoint: str, more: dict[str, Any]
) -> None:
    asked, events = recorded(endpoint, more)
    early = events_of(played(endpoint, asked, events, early=True))
    late = events_of(played(endpoint, asked, events, early=False))
    if endpoint == "responses":
        assert [*dict.fromkeys(kind for kind, _ in late)] == [*dict.fromkeys(kind for kind, _ in early)]
        members = {kind: set(data) for kind, data in early}
        assert all(set(data) == members[kind] for kind, data in late)
        return
    assert {frozenset(data) for _, data in late} == {frozenset(data) for _, data in early}
    assert len(late) == 3 * more.get("n", 1) + 1
