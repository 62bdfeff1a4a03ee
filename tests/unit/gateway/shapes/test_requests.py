"""Bodies of OpenAI's clients on their way to a lane."""

from typing import Any

import pytest

from headrace.broker.gateway.shapes.chat_stream import ChatStream
from headrace.broker.gateway.shapes.errors import ApiError
from headrace.broker.gateway.shapes.requests import ENDPOINT_OF_PATH, LaneBody, lane_body
from headrace.broker.gateway.shapes.response_stream import ResponseStream
from headrace.schemas.request import FORBIDDEN_BODY_KEYS, GenerationRequest

HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "n": 2, "x": [None]}


def test_a_path_names_its_endpoint() -> None:
    assert ENDPOINT_OF_PATH == {
        "/v1/chat/completions": "chat.completions",
        "/v1/responses": "responses",
        "/v1/embeddings": "embeddings",
    }


@pytest.mark.parametrize("stream", [{}, {"stream": None}, {"stream": False}])
def test_a_body_goes_on_as_it_came_but_for_the_stream(stream: dict[str, Any]) -> None:
    assert lane_body("chat.completions", HELLO | stream) == LaneBody("chat.completions", HELLO, "gpt-4o-mini")


@pytest.mark.parametrize(
    ("options", "include"), [({}, False), ({"include_usage": True}, True), ({"include_usage": "yes"}, False)]
)
def test_a_stream_is_asked_for_beside_the_body_which_keeps_its_options(options: dict[str, Any], include: bool) -> None:  # noqa: FBT001 — a case
    read = lane_body("chat.completions", {**HELLO, "stream": True, "stream_options": options})
    assert read == LaneBody("chat.completions", {**HELLO, "stream_options": options}, "gpt-4o-mini", True, include)
    GenerationRequest(id="a", body=read.body, endpoint="chat.completions", stream=read.stream)


def test_a_stream_has_the_shape_of_its_endpoint() -> None:
    assert isinstance(lane_body("chat.completions", HELLO | {"stream": True}).shape("1"), ChatStream)
    assert isinstance(lane_body("responses", {"model": "m", "stream": True}).shape("1"), ResponseStream)


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        *(("chat.completions", {**HELLO, name: {}}, name) for name in FORBIDDEN_BODY_KEYS),
        ("chat.completions", [], None),
        ("chat.completions", None, None),
        ("chat.completions", {"messages": []}, "model"),
        ("chat.completions", {"model": ""}, "model"),
        ("chat.completions", {"model": " "}, "model"),
        ("chat.completions", {"model": 7}, "model"),
        ("chat.completions", {"model": "m" * 257}, "model"),
        ("chat.completions", {**HELLO, "stream": "true"}, "stream"),
        ("chat.completions", {**HELLO, "stream": 1}, "stream"),
        ("chat.completions", {**HELLO, "stream_options": {}}, "stream_options"),
        ("responses", {"model": "m", "background": True}, "background"),
        ("responses", {"model": "m", "background": "x"}, "background"),
        ("embeddings", {"model": "m", "stream": True}, "stream"),
    ],
)
def test_what_cannot_be_served_is_refused_by_the_name_of_the_parameter(endpoint: str, body: Any, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        lane_body(endpoint, body)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "more", [{"store": True, "previous_response_id": "resp_1"}, {"background": False}, {"background": None}]
)
def test_what_only_openai_can_judge_is_passed_on(more: dict[str, Any]) -> None:
    assert lane_body("responses", {"model": "m", "input": "Hi", **more}).body == {"model": "m", "input": "Hi", **more}
