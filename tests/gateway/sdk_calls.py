"""Calls of OpenAI's Python SDK that are refused, each for another reason, and a client that would repeat them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

from tests.gateway.sdk_world import MODEL, SdkWorld


def asked(text: str = "Write to Ada of Acme.") -> Any:
    return [{"role": "user", "content": text}]


@contextmanager
def refused_once(world: SdkWorld, key: str = "ingest", **options: Any) -> Iterator[tuple[openai.OpenAI, list[str]]]:
    """A client that would repeat three times, and its HTTP requests."""
    sent: list[str] = []
    hooks = {"request": [lambda request: sent.append(request.url.path)]}
    with (
        openai.DefaultHttpxClient(event_hooks=hooks) as http,
        world.client(key, max_retries=3, http_client=http, **options) as client,
    ):
        yield client, sent
    assert len(sent) == 1, "what no repetition changes is not repeated"


def call_without_messages(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model=MODEL, messages=[])


def call_of_a_model_that_the_key_has_not(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model="o3", messages=asked())


def call_on_a_lane_that_the_key_has_not(client: openai.OpenAI) -> object:
    return client.chat.completions.create(model=MODEL, messages=asked(), extra_headers={"x-headrace-lane": "bulk"})


def call_that_openai_refuses(client: openai.OpenAI) -> object:
    return list(client.chat.completions.create(model=MODEL, messages=asked("[status 400]"), stream=True))


def call_of_something_that_is_not_served(client: openai.OpenAI) -> object:
    return client.images.generate(prompt="a lake", model="gpt-image-1")


def background_response(client: openai.OpenAI) -> object:
    return client.responses.create(model=MODEL, input="Hi", background=True)
