"""The cache of prompts that the simulated OpenAI plays, and what its answers then say of their bill."""

import json
from typing import Any

import pytest

from headrace.broker.simulator.behaviours.billing import PromptCache
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.prompt_cache import CachedPrompts, CacheUse
from tests.unit.simulator.asking import Desk, object_of, plentiful

SMALL = PromptCache(least_tokens=8, step_tokens=4)


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def used(prompts: CachedPrompts, body: dict[str, Any], model: str = "gpt-x") -> CacheUse:
    return prompts.use(Endpoint.CHAT, body, model)


@pytest.mark.parametrize(
    ("text", "cached"),
    [("a" * 48, 12), ("a" * 47, 8), ("a" * 40 + "b" * 8, 8), ("a" * 32, 8), ("a" * 31, 0), ("b" + "a" * 47, 0)],
)
def test_what_begins_as_an_earlier_prompt_did_is_cached_in_whole_steps(text: str, cached: int) -> None:
    prompts = CachedPrompts((SMALL,))
    assert used(prompts, chat("a" * 48)) == (0, None)
    assert used(prompts, chat(text)).cached == cached


def test_a_prompt_of_another_model_or_of_embeddings_is_not_cached() -> None:
    prompts = CachedPrompts((SMALL,))
    used(prompts, chat("a" * 48))
    assert used(prompts, chat("a" * 48), "gpt-y").cached == 0
    assert prompts.use(Endpoint.EMBEDDINGS, {"input": "a" * 48}, "gpt-x") == (0, None)
    assert used(prompts, chat("a" * 48)).cached == 12


def test_what_was_not_cached_is_written_where_writes_are_counted() -> None:
    prompts = CachedPrompts((PromptCache(least_tokens=8, step_tokens=4, writes=True),))
    assert used(prompts, chat("a" * 40)) == (0, 8)
    assert used(prompts, chat("a" * 56)) == (8, 4)
    assert used(prompts, chat("a" * 56)) == (12, 0)
    assert used(prompts, chat("short")) == (0, 0)


def test_the_oldest_prompts_are_forgotten() -> None:
    prompts = CachedPrompts((PromptCache(least_tokens=8, step_tokens=100, kept=2),))
    for letter in "abc":
        used(prompts, chat(letter * 32))
    assert [used(prompts, chat(letter * 32)).cached for letter in "cba"] == [8, 8, 0]


def test_a_reset_forgets_all_prompts() -> None:
    desk = plentiful(behaviours=(SMALL,))
    body = {"model": "gpt-4o", **chat("a" * 48)}
    told = [object_of(desk.ask(body))["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in range(2)]
    assert told == [0, 12]
    desk.reset()
    assert object_of(desk.ask(body))["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize(
    ("endpoint", "body", "details"),
    [
        (Endpoint.CHAT, chat("a" * 48), "prompt_tokens_details"),
        (Endpoint.RESPONSES, {"input": "a" * 48}, "input_tokens_details"),
    ],
)
def test_an_answer_says_what_was_cached_and_written_and_what_pictures_took(
    endpoint: Endpoint, body: dict[str, Any], details: str
) -> None:
    played = (PromptCache(least_tokens=8, step_tokens=4, writes=True), behaviour("picture-usage"))
    desk = plentiful(behaviours=played)
    for cached, written in ((0, 12), (12, 0)):
        told = object_of(desk.ask({"model": "gpt-4o", **body}, endpoint=endpoint))["usage"][details]
        assert (told["cached_tokens"], told["cache_write_tokens"], told["image_tokens"]) == (cached, written, 0)


def test_pictures_are_counted_apart_within_the_input() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": [picture]}]}
    usage = object_of(plentiful(behaviours=(behaviour("picture-usage"),)).ask(body))["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 85
    assert usage["prompt_tokens"] == 85 + 7


def test_without_these_behaviours_an_answer_says_what_it_always_did() -> None:
    told = object_of(Desk().ask())["usage"]["prompt_tokens_details"]
    assert told == {"cached_tokens": 0, "audio_tokens": 0}


@pytest.mark.parametrize(("rate", "served"), [(1.0, {"default"}), (0.0, {"priority"}), (0.5, {"default", "priority"})])
def test_another_tier_may_serve_a_share_of_the_calls(rate: float, served: set[str]) -> None:
    desk = plentiful(behaviours=(behaviour("other-tier", rate=rate),))
    bodies = [{"model": "gpt-4o", "service_tier": "priority", **chat(f"lead {number}")} for number in range(20)]
    assert {object_of(desk.ask(body))["service_tier"] for body in bodies} == served
    assert object_of(desk.ask({"model": "gpt-4o", "service_tier": "flex", **chat("x")}))["service_tier"] == "flex"


def test_a_prompt_with_half_a_surrogate_pair_is_cached_too() -> None:
    prompts = CachedPrompts((SMALL,))
    body = json.loads('{"messages": [{"content": "\\ud800' + "a" * 40 + '"}]}')
    assert [used(prompts, body).cached for _ in range(2)] == [0, 8]
