"""What a server bills for ids: of responses and conversations what they held, of prompts and files a fixed size."""

from typing import Any

import pytest

from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.stored_input import KEPT_MAX, StoredState
from tests.unit.simulator.asking import ASKED, HELLO, Desk, object_of


def usage(desk: Desk, body: dict[str, Any], endpoint: Endpoint = Endpoint.RESPONSES) -> tuple[str, int, int]:
    """The answer's id, and the tokens of its input and of both."""
    body = object_of(desk.ask(body, endpoint=endpoint))
    told = body["usage"]
    return body["id"], told.get("input_tokens", told.get("prompt_tokens")), told["total_tokens"]


def test_a_response_carries_all_that_the_one_before_was_billed() -> None:
    desk = Desk()
    first, shown, held = usage(desk, ASKED)
    second, billed, total = usage(desk, ASKED | {"previous_response_id": first})
    assert billed == shown + held
    _, third, _ = usage(desk, ASKED | {"previous_response_id": second})
    assert third == shown + total
    assert usage(desk, ASKED | {"previous_response_id": first})[1] == billed, "it may be branched from"


@pytest.mark.parametrize("named", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_grows_by_each_answer(named: Any) -> None:
    desk = Desk()
    _, shown, held = usage(desk, ASKED | {"conversation": named})
    _, billed, _ = usage(desk, ASKED | {"conversation": "conv_1"})
    assert billed == shown + held


def test_what_is_carried_is_charged_at_admission() -> None:
    desk = Desk(tokens_per_minute=60_000)
    first, shown, held = usage(desk, ASKED)
    before = desk.books.charged["gpt-4.1"]
    usage(desk, ASKED | {"previous_response_id": first})
    assert desk.books.charged["gpt-4.1"] - before == shown + held + 19


def test_prompts_and_files_have_a_size_by_their_id_where_that_is_played() -> None:
    desk, plain = Desk(behaviours=(behaviour("stored-input", prompt=3_000, file=4_000),)), Desk()
    part = {"type": "input_file", "file_id": "file-1"}
    asked = [
        ASKED | {"prompt": {"id": "p", "version": "1"}},
        ASKED | {"prompt": {"id": "p", "version": "2"}},
        {"model": "gpt-4.1", "input": [{"role": "user", "content": [part]}]},
        {
            "model": "gpt-4.1",
            "input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.b"}]}],
        },
    ]
    sizes = [usage(desk, body)[1] - usage(plain, body)[1] for body in asked]
    assert len(set(sizes)) == 4
    assert all(1_500 <= size <= 4_500 for size in sizes[:2])
    assert all(2_000 <= size <= 6_000 for size in sizes[2:])
    assert usage(desk, asked[0])[1] - usage(plain, asked[0])[1] == sizes[0]


def test_a_file_of_a_chat_is_billed_and_not_charged_by_the_bytes_of_its_texts() -> None:
    desk = Desk(behaviours=(behaviour("stored-input"),))
    part = {"type": "file", "file": {"file_id": "file-1"}}
    body = HELLO | {"messages": [{"role": "user", "content": [part]}]}
    _, billed, _ = usage(desk, body, Endpoint.CHAT)
    assert billed >= 2_000
    assert desk.books.charged["gpt-4o-mini"] < 10


@pytest.mark.parametrize("wrong", [5, None, "", [], {"id": 7}, {"id": ["x"]}, "resp_unknown"])
def test_what_is_not_known_or_of_a_wrong_type_carries_nothing(wrong: Any) -> None:
    desk, (_, shown, _) = Desk(), usage(Desk(), ASKED)
    named = {"previous_response_id": wrong, "conversation": wrong, "prompt": wrong}
    assert usage(desk, ASKED | named)[1] == shown
    body = {"model": "gpt-4.1", "input": [wrong, {"content": [wrong, {"type": "input_file", "file_id": wrong}]}]}
    StoredState(()).tokens_of(Endpoint.RESPONSES, body)


def test_one_that_is_not_stored_carries_nothing_and_the_oldest_are_forgotten() -> None:
    desk = Desk()
    first, shown, _ = usage(desk, ASKED | {"store": False})
    assert usage(desk, ASKED | {"previous_response_id": first})[1] == shown
    state = StoredState(())
    for number in range(KEPT_MAX + 5):
        state.keep(Endpoint.RESPONSES, {}, {"id": f"resp_{number}", "usage": {"total_tokens": 7}})
    kept = [state.tokens_of(Endpoint.RESPONSES, {"previous_response_id": f"resp_{number}"}) for number in (0, 4, 5)]
    assert kept == [0, 0, 7]
    state.keep(Endpoint.CHAT, {}, {"id": "x"})
    state.keep(Endpoint.RESPONSES, {}, "a page")
