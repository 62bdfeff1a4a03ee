"""Whatever becomes of its chunks, a stream of the gateway is the outcome's answer, or ends with an error.

Answers are drawn by seed, streamed as OpenAI streams them, made into chunks as the dispatcher makes them, and then
lost, repeated, broken off and begun anew. The frames are put together by our own assembly and by the official SDK.
"""

import random
from typing import Any

import pytest
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from headrace.broker.adapters.openai.stream_assembly import assembly
from headrace.broker.gateway.shapes.requests import LaneBody
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import decode_chunk, encode_chunk
from headrace.schemas.delta import Delta, Head, merged, merged_heads
from headrace.schemas.outcome import Completed
from tests.property.gateway_answers import Drawn
from tests.unit.gateway.shapes.frames import NOW, data_of, events_of

SEEDS = range(80)
SEEDS_LONG = range(80, 2_000)
ENDPOINTS = ["chat.completions", "responses"]


def drawn_answer(drawn: Drawn, endpoint: str) -> tuple[dict[str, Any], list[tuple[Head, Delta]]]:
    """An answer as its outcome has it, and its deltas with their heads."""
    answer = drawn.chat() if endpoint == "chat.completions" else drawn.response()
    events = drawn.chat_events(answer) if endpoint == "chat.completions" else drawn.response_events(answer)
    whole, told = assembly(endpoint), list[tuple[Head, Delta]]()
    for event in events:
        delta = whole.add(event)
        if delta is not None:
            told.append((whole.head(), delta))
    body = whole.whole()
    assert body is not None
    return body, told


def gathered(dice: random.Random, told: list[tuple[Head, Delta]], attempt: int, *, final: bool) -> list[Chunk]:
    """The deltas as the chunks of one attempt, merged at random and read back from their bytes."""
    batches: list[tuple[Head, Delta]] = []
    for head, delta in told:
        both = merged(batches[-1][1], delta) if batches and dice.random() < 0.5 else None
        if both is None:
            batches.append((head, delta))
        else:
            batches[-1] = (merged_heads(batches[-1][0], head), both)
    chunks = [
        Chunk(id="a/1", term=1, attempt=attempt, seq=seq, delta=delta, head=head or None)
        for seq, (head, delta) in enumerate(batches)
    ]
    if final:
        chunks.append(Chunk(id="a/1", term=1, attempt=attempt, seq=len(chunks), final=True))
    records = [encode_chunk(chunk, time=NOW) for chunk in chunks]
    return [decode_chunk(record.value, record.headers) for record in records]


def damaged(dice: random.Random, chunks: list[Chunk]) -> list[Chunk]:
    kind = dice.choice(["whole", "whole", "lost", "repeated", "first lost", "ends early", "none"])
    if kind == "lost":
        return [chunk for chunk in chunks if dice.random() < 0.9]
    if kind == "repeated":
        return [each for chunk in chunks for each in [chunk] * dice.choice([1, 1, 2])]
    if kind == "first lost":
        return chunks[1:]
    if kind == "ends early":
        return chunks[: dice.randint(0, len(chunks))]
    return [] if kind == "none" else chunks


def put_together(endpoint: str, frames: list[bytes]) -> dict[str, Any] | None:
    whole = assembly(endpoint)
    for event in data_of(frames):
        whole.add(event)
    return whole.whole()


def by_the_sdk(endpoint: str, frames: list[bytes]) -> Any:
    if endpoint == "chat.completions":
        state = ChatCompletionStreamState()
        for event in data_of(frames):
            [*state.handle_chunk(construct_type_unchecked(value=event, type_=ChatCompletionChunk))]
        return state.get_final_completion()
    told = ResponseStreamState(input_tools=[], text_format=omit)
    ends: list[Any] = []
    for event in data_of(frames):
        ends += told.handle_event(construct_type_unchecked(value=event, type_=ResponseStreamEvent))  # type: ignore[arg-type]  # a union
    return ends[-1].response


def snapshot_by_the_sdk(frames: list[bytes]) -> list[Any]:
    """The output items of a response as the SDK put them together from deltas alone."""
    told = ResponseStreamState(input_tools=[], text_format=omit)
    for event in data_of(frames):
        told.handle_event(construct_type_unchecked(value=event, type_=ResponseStreamEvent))  # type: ignore[arg-type]  # a union
    snapshot = told._ResponseStreamState__current_snapshot  # type: ignore[attr-defined]  # the sum of the deltas
    return [item.to_dict() for item in snapshot.output]


def plain(value: Any) -> Any:
    """A JSON value without what no client tells apart: members that are null, and what parsing has added."""
    if isinstance(value, dict):
        return {
            name: plain(each)
            for name, each in value.items()
            if each is not None and name not in {"parsed", "parsed_arguments", "index"}
        }
    return [plain(each) for each in value] if isinstance(value, list) else value


def said(chat: dict[str, Any]) -> Any:
    return plain([{**choice, "logprobs": choice.get("logprobs") or None} for choice in chat["choices"]])


def check(endpoint: str, body: dict[str, Any], frames: list[bytes], *, include_usage: bool) -> None:
    """The frames are the answer, for our assembly and for the SDK."""
    if endpoint == "responses":
        assert put_together(endpoint, frames) == body
        assert plain(by_the_sdk(endpoint, frames).to_dict()) == plain(body)
        Response.model_validate(body)
        for item, final in zip(snapshot_by_the_sdk(frames), body["output"], strict=True):
            if item["type"] == "function_call":
                assert item["arguments"] == final["arguments"]
            if item["type"] == "message":
                texts = [part.get("text", "") for part in item["content"]]
                assert texts == [part.get("text", "") for part in final["content"]]
        assert_no_logprob_twice(body, frames)
        numbers = [event["sequence_number"] for event in data_of(frames)]
        assert numbers == [*range(len(numbers))]
        assert [kind for kind, _ in events_of(frames)] == [event["type"] for event in data_of(frames)]
        return
    assert frames[-1] == b"data: [DONE]\n\n"
    again = put_together(endpoint, frames)
    assert again is not None
    assert said(again) == said(body)
    told = by_the_sdk(endpoint, frames).to_dict()
    assert said(told) == said(body)
    assert said(told) == said(ChatCompletion.model_validate(body).to_dict())
    for name in ("model", "object", "system_fingerprint"):
        assert told.get(name) == body.get(name)
    assert told.get("usage") == (body["usage"] if include_usage else None)
    chunks = data_of(frames)
    assert all(("usage" in chunk) is include_usage for chunk in chunks)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    for number in range(len(body["choices"])):
        own = [each for chunk in chunks for each in chunk["choices"] if each["index"] == number]
        assert own[0]["delta"]["role"] == "assistant"
        assert [each["finish_reason"] is not None for each in own] == [False] * (len(own) - 1) + [True]


def assert_no_logprob_twice(body: dict[str, Any], frames: list[bytes]) -> None:
    """The log probabilities of a text's deltas are a beginning of its own; its end has them all."""
    told: dict[tuple[int, int], list[Any]] = {}
    for event in data_of(frames):
        if event["type"] == "response.output_text.delta":
            told.setdefault((event["output_index"], event["content_index"]), []).extend(event["logprobs"])
    for (at, place), logprobs in told.items():
        assert body["output"][at]["content"][place]["logprobs"][: len(logprobs)] == logprobs


def error_in(frames: list[bytes]) -> str | None:
    return next((event["error"]["code"] for event in data_of(frames) if event.get("error")), None)


def played(seed: int, endpoint: str) -> None:
    """One request: up to three attempts, of the same answer or another, each damaged in its way."""
    drawn, dice = Drawn(seed), random.Random(seed)
    include_usage = dice.random() < 0.5
    shape = LaneBody(endpoint, {}, "m", stream=True, include_usage=include_usage).shape("1")
    attempts = [drawn_answer(drawn, endpoint)]
    for _ in range(dice.choice([0, 0, 1, 2])):
        other = drawn_answer(drawn, endpoint)
        same = drawn_answer(Drawn(seed), endpoint)
        if endpoint == "chat.completions":  # another call has another id, whatever it says
            same[0]["id"] = other[0]["id"]
            same = (same[0], [({**head, "id": other[0]["id"]} if head else head, d) for head, d in same[1]])
        attempts.append(dice.choice([same, same, other]))
    frames: list[bytes] = []
    streams = [
        damaged(dice, gathered(dice, told[: None if last else dice.randint(0, len(told))], number, final=last))
        for number, (_, told) in enumerate(attempts, start=1)
        for last in [number == len(attempts)]
    ]
    late = dice.random() < 0.2
    arriving = [chunk for stream in streams for chunk in stream]
    if dice.random() < 0.3:  # a former leader's chunks may arrive among those of its successor
        arriving = _mixed(dice, streams)
    cut = dice.randint(0, len(arriving)) if late else len(arriving)
    for chunk in arriving[:cut]:
        frames += shape.add(chunk)
        assert shape.has_begun is bool(frames)
    body = attempts[-1][0]
    frames += shape.finish(Completed(id="a/1", response=body))
    assert shape.has_ended
    for chunk in arriving[cut:]:
        assert shape.add(chunk) == []
    assert shape.finish(Completed(id="a/1", response=body)) == []
    if error_in(frames) is None:
        check(endpoint, body, frames, include_usage=include_usage)
    else:
        assert error_in(frames) == "stream_restarted"
        assert len(attempts) > 1
        agree = [said(answer) == said(body) for answer, _ in attempts] if endpoint == "chat.completions" else [False]
        assert not all(agree)


def _mixed(dice: random.Random, streams: list[list[Chunk]]) -> list[Chunk]:
    waiting = [[*stream] for stream in streams]
    mixed: list[Chunk] = []
    while any(waiting):
        mixed.append(dice.choice([each for each in waiting if each]).pop(0))
    return mixed


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_stream_is_the_answer_or_ends_with_an_error(endpoint: str) -> None:
    for seed in SEEDS:
        played(seed, endpoint)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_thousands_of_streams_are_the_answer_or_end_with_an_error(endpoint: str) -> None:
    for seed in SEEDS_LONG:
        played(seed, endpoint)


def late_words(frames: list[bytes]) -> list[Any]:
    """What these frames add to an answer, beside roles and ends."""
    told: list[Any] = [event for event in data_of(frames) if str(event.get("type")).endswith(".delta")]
    for event in data_of(frames):
        told += [each["delta"] for each in event.get("choices", ()) if any(map(worth, each["delta"].items()))]
    return told


def worth(member: tuple[str, Any]) -> bool:
    return bool(member[1]) and member[0] != "role"


def has_empty_text(body: dict[str, Any]) -> bool:
    """Whether a part has no words, so that no delta says which part the next one is."""
    parts = [part for item in body.get("output", ()) for part in item.get("content", ())]
    return any(not part.get("text", part.get("refusal")) for part in parts)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_stream_without_damage_says_every_word_before_the_outcome(endpoint: str) -> None:
    """Else a stream that said everything at its end would pass the other tests."""
    early_ones = 0
    for seed in range(40):
        body, told = drawn_answer(Drawn(seed), endpoint)
        shape = LaneBody(endpoint, {}, "m", stream=True).shape("1")
        early = [frame for chunk in gathered(random.Random(seed), told, 1, final=True) for frame in shape.add(chunk)]
        rest = shape.finish(Completed(id="a/1", response=body))
        assert not late_words(rest) or has_empty_text(body)
        early_ones += bool(late_words(early))
    assert early_ones > 20
