"""A base URL that leads to another server: nothing fails, the log and the status say what came back from where."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS
from headrace.broker.testing.upstream import Said
from tests.unit.service.rig import MODEL, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

OTHER = "gpt-4o"
PLENTY = {"tokens_per_minute": 600_000_000, "requests_per_minute": 600_000_000}
URL = "https://me:secret@elsewhere.example/v1?key=secret"
SHOWN = "https://me:***@elsewhere.example/v1?key=***"
TEXT = {"Content-Type": "text/plain"}
PAGE = {"Content-Type": "text/html"}
GONE = Said(404, {"error": {"message": "The model `x` does not exist.", "code": "model_not_found"}})
NOTHING_THERE = Said(404, "404 page not found", TEXT)

STRANGERS = {
    "404": NOTHING_THERE,
    "404 page": Said(404, "<!doctype html><title>Nothing here</title>", PAGE),
    "404 json": Said(404, {"detail": "Not Found"}, {"Content-Type": "application/json"}),
    "405": Said(405, "", {}),
    "400": Said(400, "Bad Request", TEXT),
    "200 page": Said(200, "<html><body>It works!</body></html>", PAGE),
    "200 json": Said(200, {"ok": True}),
    "redirect": Said(301, "", {"Location": "https://sign-in.example/x?token=secret"}),
    "400 json": Said(400, {"status": 400, "error": "Bad Request", "path": "/v1/chat/completions"}),
    "200 error": Said(200, {"ok": False, "error": "unknown_method"}),
    "418": Said(418, "", {}),
    "501": Said(501, "<!doctype html><p>Unsupported method ('POST')", PAGE),
}


def process_at(world: World, owner: str = "a", *, url: str = URL, **groups: Any) -> Process:
    """A dispatcher with two models and an OpenAI at `url`."""
    every = {"limits": {MODEL: PLENTY, OTHER: PLENTY}, "openai": {"base_url": url}} | groups
    return Process(world, owner, settings=settings_of(**every))


def ask(world: World, request_id: str, model: str = MODEL, **fields: Any) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": f"Write to {request_id}, dear stranger"}]}
    world.submit(request_id, body=body, **fields)


def ends(world: World) -> dict[str, str]:
    """How each request ended: `completed`, or the reason."""
    return {each["id"]: each.get("reason") or each["status"] for each in world.outcomes()}


@pytest.mark.slow
@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
async def test_another_server_fails_none_of_three_hundred_requests(said: Said) -> None:
    world = World(latency_s=0.01, script=lambda _: said)
    process = process_at(world, retry={"attempts_max": 1})
    process.start()
    await led(process)
    for number in range(300):
        ask(world, f"r{number}", (MODEL, OTHER)[number % 2])
    account = process.core.limits.account.breaker
    await until(lambda: account.tripped_by is Meaning.NOT_THE_API)
    asked = len(world.upstream.asked)
    await until(lambda: len(world.upstream.asked) > asked + 2)
    assert not world.outcomes()
    assert not world.dead_letters()
    world.upstream.script = None
    await until(lambda: len(world.outcomes()) == 300, within_s=ACCOUNT_REST_MS / 1_000 + 60)
    assert set(ends(world).values()) == {"completed"}
    await process.end()


async def test_the_log_and_the_status_say_what_came_from_where() -> None:
    world = World(latency_s=0.01, script=lambda _: NOTHING_THERE)
    process = process_at(world)
    with capture_logs() as logs:
        process.start()
        await led(process)
        ask(world, "r1")
        await until(lambda: not process.core.limits.account.breaker.closed)
        await until(lambda: process.telemetry.trips.of(None) is not None)
    status = process.status.snapshot(process.clock.now_ms())
    (opened,) = [each for each in logs if each["event"] == "breaker_opened"]
    expected = {"meaning": "not_the_api", "status": 404, "url": SHOWN, "content_type": "text/plain"}
    for told in (opened, status["account"]["tripped"]):
        assert told.items() >= (expected | {"says": "404 page not found"}).items()
        assert "openai.base_url" in told["sentence"]
    assert "not_the_api" in status["trouble"]
    assert "secret" not in str(logs)
    await process.end()


@pytest.mark.parametrize("said", [json.dumps, str], ids=["json", "text"])
async def test_a_server_that_repeats_what_it_was_asked_puts_no_prompt_into_the_log(said: Any) -> None:
    world = World(latency_s=0.01, script=lambda asked: Said(404, said(asked.body), TEXT))
    process = process_at(world)
    with capture_logs() as logs:
        process.start()
        await led(process)
        ask(world, "r1")
        await until(lambda: process.telemetry.trips.of(None) is not None)
    assert "stranger" not in f"{logs} {process.status.snapshot(process.clock.now_ms())}"
    await process.end()


async def test_a_server_that_has_none_of_the_models_does_not_empty_the_lanes() -> None:
    world = World(latency_s=0.01, script=lambda _: GONE)
    process = process_at(world)
    process.start()
    await led(process)
    for number in range(100):
        ask(world, f"r{number}", (MODEL, OTHER)[number % 2])
    await until(lambda: process.core.limits.account.breaker.tripped_by is Meaning.NOT_THE_API)
    assert len(world.outcomes()) < 10
    world.upstream.script = None
    await until(lambda: len(world.outcomes()) == 100, within_s=ACCOUNT_REST_MS / 1_000 + 60)
    assert list(ends(world).values()).count("completed") > 90
    await process.end()


async def test_a_model_alone_that_is_unknown_is_rejected_whatever_was_answered_before() -> None:
    world = World(latency_s=0.01, script=lambda asked: GONE if asked.body["model"] == OTHER else None)
    process = process_at(world)
    process.start()
    await led(process)
    ask(world, "bad", OTHER)
    await until(lambda: len(world.outcomes()) == 1)
    ask(world, "good")
    ask(world, "worse", OTHER)
    await until(lambda: len(world.outcomes()) == 3)
    assert ends(world) == {"bad": "rejected", "good": "completed", "worse": "rejected"}
    assert process.core.limits.account.breaker.closed
    await process.end()


async def test_a_path_that_one_model_does_not_have_stops_no_other_and_is_rejected() -> None:
    world = World(latency_s=0.01, script=lambda asked: NOTHING_THERE if asked.body["model"] == OTHER else None)
    process = process_at(world)
    process.start()
    await led(process)
    ask(world, "first")
    await until(lambda: len(world.outcomes()) == 1)
    ask(world, "bad", OTHER)
    await until(lambda: world.upstream.calls["bad"] > 0)
    ask(world, "good")
    await until(lambda: len(world.outcomes()) == 3)
    assert ends(world) == {"first": "completed", "good": "completed", "bad": "rejected"}
    assert process.core.limits.account.breaker.closed
    await process.end()


@pytest.mark.slow
@pytest.mark.parametrize("said", [NOTHING_THERE, STRANGERS["404 page"], STRANGERS["405"], GONE])
async def test_all_models_at_once_after_some_were_answered_fail_nothing(said: Said) -> None:
    world = World(latency_s=0.01)
    process = process_at(world, retry={"attempts_max": 1})
    process.start()
    await led(process)
    for model in (MODEL, OTHER):
        ask(world, f"first {model}", model)
    await until(lambda: len(world.outcomes()) == 2)
    world.upstream.script = lambda _: said
    for number in range(40):
        ask(world, f"r{number}", (MODEL, OTHER)[number % 2])
    if said.status == 404 and "<" in str(said.body):
        await until(lambda: len(world.upstream.asked) > 10)
    else:
        await until(lambda: process.core.limits.account.breaker.tripped_by is Meaning.NOT_THE_API)
    assert len(world.outcomes()) == 2
    world.upstream.script = None
    await until(lambda: len(world.outcomes()) == 42)
    assert set(ends(world).values()) == {"completed"}
    await process.end()


# ---------------------------------------------------------------------- what the ledger keeps


async def test_a_successor_knows_that_the_address_has_answered() -> None:
    world = World(latency_s=0.01)
    first = process_at(world).start()
    await led(first)
    ask(world, "r1")
    await until(lambda: len(world.outcomes()) == 1)
    await first.kill()
    second = process_at(world, "b").start()
    await led(second)
    assert [line.proved != "" for line in world.ledger() if line.kind.value == "claim"] == [False, True]
    world.upstream.script = lambda _: STRANGERS["200 json"]
    ask(world, "r2")
    await until(lambda: world.upstream.calls["r2"] > 0)
    assert second.core.limits.account.breaker.closed, "one odd answer of a server that has answered is its trouble"
    await second.end()


async def test_another_address_has_to_prove_itself_anew_and_another_password_has_not() -> None:
    world = World(latency_s=0.01)
    first = process_at(world).start()
    await led(first)
    ask(world, "r1")
    await until(lambda: len(world.outcomes()) == 1)
    await first.end()
    for owner, url, proved in (
        ("b", URL.replace("/v1", "/v2"), False),
        ("c", URL.replace("me:secret", "me:new"), True),
    ):
        process = process_at(world, owner, url=url).start()
        await led(process)
        assert process.leadership._parts.proof.is_proved is proved
        await process.end()
    (claimed,) = {line.proved for line in world.ledger() if line.proved}
    assert "secret" not in claimed


async def test_the_proof_is_said_again_before_it_would_be_forgotten() -> None:
    world = World(latency_s=0.01)
    process = process_at(world, dedupe={"window_s": 60}).start()
    await led(process)
    for number in range(8):
        ask(world, f"r{number}")
        await until(lambda number=number: len(world.outcomes()) == number + 1)  # type: ignore[misc]
        at_s = world.clock.now_ms() + 10_000
        await until(lambda at_s=at_s: world.clock.now_ms() >= at_s)  # type: ignore[misc]
    said = [line for line in world.ledger() if line.proved]
    assert 4 <= len(said) <= 7
    await process.end()
