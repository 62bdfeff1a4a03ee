"""How an answer ended is one word, the same for chat completions, responses and streams of both; nothing is too odd."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.adapters.openai.stream_assembly import assembly
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.service.calls.finish_reason import finish_of, is_unfinished
from headrace.broker.testing.upstream import Said
from headrace.schemas.codec import decode_outcome
from headrace.schemas.outcome import Completed, Finish
from tests.unit.service.calls.test_caller import Rig
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


def choice(reason: str | None, **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": "a", **message}, "finish_reason": reason}


def chat(*choices: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": list(choices)}


def response(status: str, *output: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    details = None if reason is None else {"reason": reason}
    return {"object": "response", "status": status, "incomplete_details": details, "output": list(output)}


def message(*parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)}


TEXT = {"type": "output_text", "text": "Dear"}
NO = {"type": "refusal", "refusal": "I cannot help with that."}
CALL = {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"}

CHAT_ENDS = [
    (choice("stop"), Finish.STOP),
    (choice("length"), Finish.LENGTH),
    (choice("content_filter"), Finish.CONTENT_FILTER),
    (choice("tool_calls", content=None, tool_calls=[]), Finish.TOOL_CALLS),
    (choice("function_call"), Finish.TOOL_CALLS),
    (choice("stop", content=None, refusal="I cannot."), Finish.REFUSAL),
    (choice("length", content=None, refusal="I can"), Finish.REFUSAL),
    (choice("stop", refusal=None), Finish.STOP),
    (choice("stop", refusal=""), Finish.STOP),
    (choice("abandoned"), None),
    (choice(None), None),
]
RESPONSE_ENDS = [
    (response("completed", message(TEXT)), Finish.STOP),
    (response("completed"), Finish.STOP),
    (response("incomplete", message(TEXT), reason="max_output_tokens"), Finish.LENGTH),
    (response("incomplete", reason="max_messages"), Finish.LENGTH),
    (response("incomplete", message(TEXT), reason="content_filter"), Finish.CONTENT_FILTER),
    (response("incomplete", message(TEXT), reason="steered"), None),
    (response("incomplete", message(TEXT)), None),
    (response("completed", message(NO)), Finish.REFUSAL),
    (response("completed", message(TEXT), message(TEXT, NO)), Finish.REFUSAL),
    (response("incomplete", message(NO), reason="max_output_tokens"), Finish.REFUSAL),
    (response("completed", message(TEXT), CALL), Finish.TOOL_CALLS),
    (response("incomplete", CALL, reason="max_output_tokens"), Finish.LENGTH),
    (response("completed", {"type": "custom_tool_call", "call_id": "c1"}), Finish.TOOL_CALLS),
    (response("completed", {"type": "shell_call", "call_id": "c1"}), Finish.TOOL_CALLS),
    (
        response("completed", {"type": "shell_call", "call_id": "c1"}, {"type": "shell_call_output", "call_id": "c1"}),
        Finish.STOP,
    ),
    (response("completed", {"type": "web_search_call", "id": "w1"}, message(TEXT)), Finish.STOP),
    (response("queued"), None),
    (response("in_progress"), None),
]


@pytest.mark.parametrize(("one", "finish"), CHAT_ENDS)
def test_a_chat_completion_says_how_it_ended(one: Mapping[str, Any], finish: Finish | None) -> None:
    assert finish_of("chat.completions", chat(one)) is finish


@pytest.mark.parametrize(("whole", "finish"), RESPONSE_ENDS)
def test_a_response_says_how_it_ended(whole: Mapping[str, Any], finish: Finish | None) -> None:
    assert finish_of("responses", whole) is finish


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "a word to come"])
def test_a_response_may_say_that_it_is_no_answer(status: str) -> None:
    assert is_unfinished("responses", {"status": status})
    assert not is_unfinished("chat.completions", {"status": status})
    assert is_unfinished("chat.completions", {"status": status, "object": "response"})


@pytest.mark.parametrize(
    "whole", [{"status": "completed"}, {"status": "incomplete"}, {"status": None}, {"status": 1}, {}]
)
def test_a_response_that_ended_or_says_nothing_is_taken_for_an_answer(whole: Mapping[str, Any]) -> None:
    assert not is_unfinished("responses", whole)


def test_of_several_choices_the_gravest_end_counts_in_whatever_order_they_stand() -> None:
    gravest = [Finish.REFUSAL, Finish.CONTENT_FILTER, Finish.LENGTH, Finish.TOOL_CALLS, Finish.STOP]
    ends = {
        Finish.REFUSAL: choice("stop", refusal="No."),
        **{finish: choice(finish.value) for finish in gravest[1:]},
    }
    for graver, milder in itertools.combinations(gravest, 2):
        for pair in itertools.permutations((graver, milder)):
            assert finish_of("chat.completions", chat(*(ends[finish] for finish in pair))) is graver


def test_a_choice_that_does_not_say_how_it_ended_leaves_all_of_it_open() -> None:
    assert finish_of("chat.completions", chat(choice("stop"), choice("abandoned"))) is None


def test_embeddings_do_not_end_in_any_way() -> None:
    assert finish_of("embeddings", {"object": "list", "data": []}) is None


_NAMES = st.sampled_from(
    ["choices", "message", "finish_reason", "status", "output", "content", "type", "call_id", "refusal"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["stop", "completed", "refusal"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.sampled_from(["chat.completions", "responses", "embeddings"]), st.dictionaries(_NAMES, _JSON))
def test_no_json_is_too_odd(endpoint: str, whole: dict[str, Any]) -> None:
    assert finish_of(endpoint, whole) in {*Finish, None}
    assert finish_of(endpoint, {"status": "completed", "choices": [whole], "output": [whole]}) in {*Finish, None}


def _chunks(*deltas: Mapping[str, Any], reason: str) -> list[dict[str, Any]]:
    said = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return [*said, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]


@pytest.mark.parametrize(
    ("endpoint", "events", "finish"),
    [
        ("chat.completions", _chunks({"content": "Dear"}, reason="stop"), Finish.STOP),
        ("chat.completions", _chunks({"content": "De"}, reason="length"), Finish.LENGTH),
        ("chat.completions", _chunks({"refusal": "I can"}, {"refusal": "not."}, reason="stop"), Finish.REFUSAL),
        ("responses", [{"type": "response.completed", "response": response("completed", message(NO))}], Finish.REFUSAL),
        (
            "responses",
            [
                {"type": "response.output_text.delta", "delta": "De"},
                {"type": "response.incomplete", "response": response("incomplete", reason="max_output_tokens")},
            ],
            Finish.LENGTH,
        ),
    ],
)
def test_a_stream_ends_in_the_same_words(endpoint: str, events: Sequence[Mapping[str, Any]], finish: Finish) -> None:
    whole = assembly(endpoint)
    for event in events:
        whole.add(event)
    answer = whole.whole()
    assert answer is not None
    assert finish_of(endpoint, answer) is finish


async def test_the_outcome_tells_a_refusal_from_an_answer_that_was_cut_short() -> None:
    for one, finish in ((choice("stop", content=None, refusal="No."), "refusal"), (choice("length"), "length")):
        rig = Rig(Said(body=chat(one)))
        verdict, _ = await rig.call()
        assert verdict.meaning is Meaning.OK
        assert json.loads(rig.outcome().value or b"")["finish"] == finish


async def test_readers_have_it_as_a_word_they_know_or_as_the_word_a_later_release_has_written() -> None:
    rig = Rig(Said(body=chat(choice("length"))))
    await rig.call()
    record = rig.outcome()
    outcome = decode_outcome(record.value, record.headers)
    assert isinstance(outcome, Completed)
    assert outcome.finish is Finish.LENGTH
    said = json.loads(record.value or b"")
    for word, expected in (("paused", "paused"), (None, None)):
        later = decode_outcome(json.dumps(said | {"finish": word}).encode(), record.headers)
        assert isinstance(later, Completed)
        assert later.finish == expected
    del said["finish"]
    earlier = decode_outcome(json.dumps(said).encode(), record.headers)
    assert isinstance(earlier, Completed)
    assert earlier.finish is None


async def test_completed_outcomes_are_counted_by_how_their_answers_ended() -> None:
    ends = {"a": choice("stop"), "b": choice("stop", refusal="No."), "c": choice("length"), "d": choice("length")}
    world = World(script=lambda asked: Said(body=chat(ends[asked.request_id])) if asked.request_id in ends else None)
    process = Process(world, "one").start()
    await led(process)
    for request_id in ends:
        world.submit(request_id)
    world.submit("e", endpoint="embeddings", body={"model": MODEL, "input": "x"})
    await until(lambda: len(world.outcomes()) == 5)
    await process.end()
    counted = {
        finish: process.metric("headrace_finishes_total", {"model": MODEL, "finish": finish.value}) for finish in Finish
    }
    expected = {Finish.STOP: 1, Finish.REFUSAL: 1, Finish.LENGTH: 2, Finish.CONTENT_FILTER: 0, Finish.TOOL_CALLS: 0}
    assert counted == expected


def test_ten_thousand_calls_of_tools_are_looked_up_and_not_searched_for() -> None:
    """Each in a list of as many results took the loop for seconds."""
    looked_at = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    results = [{"type": "function_call_output", "call_id": Counted(f"c{number}")} for number in range(10_000)]
    calls = [{"type": "function_call", "call_id": Counted("c9999")}] * 10_000
    assert finish_of("responses", {"status": "completed", "output": results + calls}) is Finish.STOP
    assert looked_at < 100_000
