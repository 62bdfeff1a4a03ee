"""A gateway with all that is behind it, in a thread of its own, so that blocking SDKs can be tried against it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import openai

from headrace.broker.local.services import LocalServices
from tests.gateway.rig import Rig, client_key
from tests.gateway.scripted_openai import ScriptedOpenAI

MODEL = "gpt-4o-mini"
KEYS: Mapping[str, Mapping[str, Any]] = {
    "ingest": {"tenant": "acme", "lane": "urgent", "lanes": ["bulk"]},
    "small": {"tenant": "small", "lane": "urgent", "models": ["gpt-4o-mini", "text-embedding-*"]},
    "capped": {"tenant": "capped", "lane": "urgent", "requests_per_minute": 1},
    "hasty": {"tenant": "hasty", "lane": "urgent", "wait_s": 1},
    "other": {"tenant": "globex", "lane": "urgent"},
}


class SdkWorld:
    """What a test is given: where the gateway is, which keys it has, and what was paid at OpenAI."""

    def __init__(self, rig: Rig, scripted: ScriptedOpenAI) -> None:
        self.rig = rig
        self.scripted = scripted
        self.base_url = rig.base_url

    def options(self, key: str = "ingest", **options: Any) -> dict[str, Any]:
        """What an SDK's client is given; it repeats nothing unless a test says so."""
        return {"api_key": client_key(key), "base_url": self.base_url, "max_retries": 0, "timeout": 30.0, **options}

    def client(self, key: str = "ingest", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(**self.options(key, **options))

    def async_client(self, key: str = "ingest", **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self.options(key, **options))

    def paid(self, marker: str) -> int:
        """How many calls with `[call MARKER]` in their prompts OpenAI answered."""
        return self.scripted.paid[marker]


@contextmanager
def sdk_world(services: LocalServices, *, prefix: str) -> Iterator[SdkWorld]:
    """Run the world, whose topics begin with `prefix`."""
    loop = asyncio.new_event_loop()
    ends, began = asyncio.Event(), threading.Event()
    found: list[SdkWorld | BaseException] = []

    async def live() -> None:
        try:
            async with ScriptedOpenAI() as scripted:
                settings = {"OPENAI_BASE_URL": scripted.base_url}
                async with Rig(keys=KEYS, services=services, prefix=prefix, settings=settings) as rig:
                    scripted.behind = f"{rig.of('upstream')[0].url}/v1"
                    found.append(SdkWorld(rig, scripted))
                    began.set()
                    await ends.wait()
        except BaseException as reason:  # noqa: BLE001 — raised in the test's own thread
            found.append(reason)
        finally:
            began.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()), name="sdk world")
    thread.start()
    began.wait()
    try:
        match found[0]:
            case SdkWorld() as world:
                yield world
            case reason:
                raise reason
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()
        loop.close()
