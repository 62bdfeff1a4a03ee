"""The first word to OpenAI: it says what is wrong before a request does, waits for little and decides nothing."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.ports import UpstreamReply
from headrace.broker.service.calls.models_call import WAITED_FOR_S
from headrace.broker.testing.upstream import Said, ScriptedUpstream, Silence
from tests.unit.service.rig import Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

URL = "https://me:secret@gw.example/v1"
SHOWN = "https://me:***@gw.example/v1"


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def process_of(listing: Said | Silence, owner: str = "a", world: World | None = None) -> Process:
    world = world or World(latency_s=0.01)
    world.upstream.listing = listing
    return Process(world, owner, settings=settings_of(openai={"base_url": URL}))


WRONG: dict[str, tuple[Said | Silence, str]] = {
    "key": (Said(401, error("Incorrect API key provided: sk-***.", "invalid_api_key")), "the key (openai.api_key)"),
    "organisation": (Said(401, error("No such organization: org-x.")), "openai.organization"),
    "another organisation": (Said(401, error("No.", "mismatched_organization")), "openai.organization"),
    "project": (Said(401, error("No.", "mismatched_project")), "openai.project"),
    "region": (Said(403, error("Country not supported", "unsupported_country_region_territory")), "this region"),
    "purse": (Said(429, error("You exceeded your current quota", "insufficient_quota")), "has no credit"),
    "page": (Said(200, "<html>It works!</html>", {"Content-Type": "text/html"}), "not OpenAI's API (HTTP 200"),
    "json": (Said(200, {"ok": True}), "not OpenAI's API"),
    "list": (Said(200, "[]"), "not OpenAI's API"),
    "a bomb of brackets": (Said(200, '{"data": [' + "[]," * 100_000 + "[]]}"), "not OpenAI's API"),
    "nobody": (Silence("connection"), "Nothing answers at"),
}


@pytest.mark.parametrize(("listing", "words"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_said_before_a_request_is_taken(listing: Said | Silence, words: str) -> None:
    process = process_of(listing)
    with capture_logs() as logs:
        process.start()
        await led(process)
    names = [each["event"] for each in logs]
    assert names.index("openai_greeted") < names.index("leading")
    (greeted,) = [each for each in logs if each["event"] == "openai_greeted"]
    trouble = str(process.status.snapshot(process.clock.now_ms())["trouble"])
    assert words in greeted["sentence"]
    assert greeted["sentence"] in trouble
    assert (greeted["url"], greeted["log_level"]) == (SHOWN, "error")
    assert "secret" not in f"{logs} {trouble}"
    process.world.submit("lead-1")
    await until(lambda: len(process.world.outcomes()) == 1)
    assert process.health.trouble is None, "a call was answered: what was said before holds no more"
    await process.end()


NOTHING_CERTAIN = {
    "no such path": Said(404, "404 page not found", {"Content-Type": "text/plain"}),
    "no such method": Said(405, ""),
    "may not list": Said(403, error("You have insufficient permissions. Missing scopes: api.model.read.")),
    "limit": Said(429, error("Rate limit reached", "rate_limit_exceeded")),
    "trouble": Said(500, "oops"),
    "redirect": Said(307, ""),
}


@pytest.mark.parametrize("listing", NOTHING_CERTAIN.values(), ids=NOTHING_CERTAIN)
async def test_what_tells_nothing_for_certain_is_logged_and_no_trouble(listing: Said) -> None:
    process = process_of(listing)
    with capture_logs() as logs:
        process.start()
        await led(process)
    (greeted,) = [each for each in logs if each["event"] == "openai_greeted"]
    assert (greeted["status"], greeted["log_level"]) == (listing.status, "info")
    assert process.health.trouble is None
    await process.end()


async def test_a_list_of_models_is_all_well() -> None:
    process = process_of(Said(body={"object": "list", "data": [{"id": "gpt-4o"}]}))
    with capture_logs() as logs:
        process.start()
        await led(process)
    assert [each["url"] for each in logs if each["event"] == "openai_answers"] == [SHOWN]
    assert process.world.upstream.listed == 1
    assert not process.world.upstream.asked
    await process.end()


class Silent(ScriptedUpstream):
    """Its list never comes, or comes late."""

    after_s = 1_000.0

    async def models(self) -> UpstreamReply:
        await asyncio.sleep(self.after_s)
        return await super().models()


async def _takes_s(upstream: ScriptedUpstream, world: World, owner: str) -> float:
    """How long a process takes until it leads."""
    world.upstream = upstream
    process = process_of(upstream.listing, owner, world)
    begun_s = asyncio.get_running_loop().time()
    process.start()
    await led(process)
    taken_s = asyncio.get_running_loop().time() - begun_s
    if not world.outcomes():
        world.submit("lead-1")
        await until(lambda: len(world.outcomes()) == 1)
    await process.end()
    return taken_s


async def test_a_silent_server_holds_up_the_first_lead_for_a_moment_and_no_later_one() -> None:
    world = World(latency_s=0.01)
    slow = await _takes_s(Silent(), world, "a")
    again, usual = await _takes_s(Silent(), world, "b"), await _takes_s(ScriptedUpstream(), world, "c")
    assert again <= usual + 0.1
    assert slow <= usual + WAITED_FOR_S + 1.0


async def test_a_list_that_comes_after_the_first_answer_says_nothing() -> None:
    world = World(latency_s=0.01)
    late = Silent()
    late.after_s, late.listing = 5.0, WRONG["key"][0]
    world.upstream = late
    process = process_of(late.listing, world=world)
    with capture_logs() as logs:
        process.start()
        await led(process)
        world.submit("lead-1")
        await until(lambda: any(each["event"] == "openai_greeted" for each in logs))
    assert world.outcomes()
    assert process.health.trouble is None
    await process.end()


async def test_a_server_that_never_answers_is_given_up_and_said() -> None:
    world = World(latency_s=0.01)
    world.upstream = Silent()
    process = process_of(world.upstream.listing, world=world)
    with capture_logs() as logs:
        process.start()
        await until(lambda: any(each["event"] == "openai_silent" for each in logs))
    await process.end()


async def test_a_defect_in_asking_ends_nothing() -> None:
    class Broken(ScriptedUpstream):
        async def models(self) -> UpstreamReply:
            raise ValueError("a defect")

    world = World(latency_s=0.01)
    world.upstream = Broken()
    process = process_of(world.upstream.listing, world=world)
    process.start()
    await led(process)
    assert process.metric("headrace_contained_total", {"step": "greeting"}) == 1
    await process.end()


@pytest.mark.slow
async def test_what_is_mended_while_no_request_comes_is_found_out() -> None:
    process = process_of(Silence("connection"))
    with capture_logs() as logs:
        process.start()
        await led(process)
        assert process.health.trouble is not None
        await until(lambda: process.world.upstream.listed == 3, within_s=200)
        process.world.upstream.listing = Said(body={"object": "list", "data": []})
        await until(lambda: process.health.trouble is None, within_s=100)
    listed = process.world.upstream.listed
    at_ms = process.clock.now_ms() + 200_000
    await until(lambda: process.clock.now_ms() >= at_ms, within_s=300)
    assert process.world.upstream.listed == listed
    names = [each["event"] for each in logs]
    assert (names.count("openai_greeted"), names.count("openai_answers")) == (1, 1)
    await process.end()


async def test_a_process_that_no_longer_leads_says_nothing_of_it() -> None:
    process = process_of(WRONG["key"][0])
    process.start()
    await led(process)
    assert process.health.openai is not None
    await process.end()
    assert process.health.openai is None
