"""The scenes of the page, each with what the page must say in it."""

import argparse
import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import psutil
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from headrace.broker.local.services import LocalServices
from tests.integration.fleet import Process
from tests.page.hostile import hostile_document
from tests.page.rig import Rig, rig, running
from tests.page.tools import CHROMIUM

WIDE, NARROW = 1280, 390
COST_MAX: Final = 0.03
PAGES: Final = 50
SEED: Final = 20_261_201
_GRAVE: Final = {"serious", "critical"}
_AWAY: Final = ("net::ERR_", "Failed to load resource")
"""What a browser writes to its console when a process that it asks has died: true, and no fault of the page."""


@dataclass
class Sight:
    """One open page, and what its console said."""

    page: Page
    errors: list[str] = field(default_factory=list)

    async def text(self, selector: str) -> str:
        return str(await self.page.inner_text(selector))

    async def says(self, selector: str, words: str, within_s: float = 30) -> None:
        """Wait until a part of the page says these words."""
        end_s = time.monotonic() + within_s
        while words not in (text := await self.text(selector)):
            assert time.monotonic() < end_s, f"{selector} never says {words!r}; it says {text!r}"
            await asyncio.sleep(0.2)


@dataclass
class Stage:
    """Browser, services and the rig that most scenes share."""

    services: LocalServices
    folder: Path
    pictures: Path
    browser: Browser
    asked: argparse.Namespace
    rig: Rig

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, services: LocalServices, folder: Path, pictures: Path, program: str, asked: argparse.Namespace
    ) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
            stack.push_async_callback(browser.close)
            made = await stack.enter_async_context(rig(services, "generation", folder))
            await made.load.burst("bulk", 300)
            await stack.enter_async_context(running(made.load))
            yield cls(services, folder, pictures, browser, asked, made)

    @asynccontextmanager
    async def sight(
        self, port: int, *, width: int = WIDE, scheme: str = "light", may_be_away: bool = False, path: str = "/"
    ) -> AsyncIterator[Sight]:
        """Open the page; at the end its console must have said nothing."""
        context = await self.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = await context.new_page()
        sight = Sight(page)
        page.on("console", lambda told: sight.errors.append(f"{told.type}: {told.text}"))
        page.on("pageerror", lambda error: sight.errors.append(f"error: {error}"))
        try:
            await page.goto(f"http://127.0.0.1:{port}{path}")
            yield sight
            wrong = [each for each in sight.errors if not (may_be_away and any(away in each for away in _AWAY))]
            assert not wrong, f"the console said {wrong}"
        finally:
            await context.close()

    async def photograph(self, sight: Sight, name: str) -> None:
        """Take a picture, and let axe look at it."""
        found = (await Axe().run(sight.page)).response["violations"]
        grave = [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found if each["impact"] in _GRAVE]
        assert not grave, f"axe finds {grave}"
        picture = self.pictures / f"{name}.png"
        await sight.page.screenshot(path=picture, full_page=True)
        _shrink(picture)

    async def every_look(self, port: int, name: str, ready: Callable[[Sight], Awaitable[None]]) -> None:
        """Photograph light, dark and narrow."""
        for suffix, width, scheme in (("", WIDE, "light"), ("-dark", WIDE, "dark"), ("-narrow", NARROW, "light")):
            async with self.sight(port, width=width, scheme=scheme) as sight:
                await ready(sight)
                await asyncio.sleep(1.5)
                await self.photograph(sight, f"{name}{suffix}")


def _shrink(picture: Path) -> None:
    """Keep 128 colours, which a page of few needs: a third of the bytes."""
    with Image.open(picture) as whole:
        small = whole.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


# ---------------------------------------------------------------------------------------------------- scenes


async def under_load(stage: Stage) -> None:
    await asyncio.sleep(stage.asked.load_s)
    leader = await stage.rig.leader()

    async def ready(sight: Sight) -> None:
        await sight.says("#sentence", "Requests flow.")
        await sight.says("#sentence", "tokens/min of gpt-4o-mini binds")
        await sight.says("#lanes", "bulk")

    await stage.every_look(leader.port, "load", ready)
    async with stage.sight(leader.port, path=f"/#id={stage.rig.load.last_bulk}") as sight:
        await sight.says("#found", "waits in lane bulk")
        await stage.photograph(sight, "search")
    standby = await stage.rig.standby()
    async with stage.sight(standby.port, path=f"/#id={stage.rig.load.last_bulk}") as sight:
        await sight.says("#flow", "what the leader left in Redis")
        await sight.says("#found", f"Asked: http://127.0.0.1:{leader.port}")
    async with stage.sight(leader.port) as sight:
        await _by_keyboard(sight)


async def _by_keyboard(sight: Sight) -> None:
    """The first key leads to the link past the header, the next ones to the search; a search is sent by Enter."""
    await sight.says("#sentence", "Requests")
    focused = "document.activeElement.id || document.activeElement.className"
    reached = []
    for _ in range(4):
        await sight.page.keyboard.press("Tab")
        reached.append(await sight.page.evaluate(focused))
    assert reached[:3] == ["skip", "id", "run"], reached
    await sight.page.focus("#id")
    await sight.page.keyboard.type("no-such-id")
    await sight.page.keyboard.press("Enter")
    await sight.says("#found", "Nothing is known of no-such-id")
    assert await sight.page.evaluate(focused) == "found", "the answer has the focus"


async def at_a_failover(stage: Stage) -> None:
    """The page of the standby goes on: it shows the silence, the promotion, and then itself, with the history."""
    leader, standby = await stage.rig.leader(), await stage.rig.standby()
    async with stage.sight(standby.port) as sight:
        await sight.says("#sentence", "Requests flow.")
        before = await _outcomes_shown(sight)
        await stage.rig.fleet.kill(leader)
        began_s, seen = time.monotonic(), []
        while await sight.page.evaluate("state.told.pid") != standby.pid or not await _leads(sight):
            if (now := await sight.text("#sentence")) not in seen:
                seen.append(now)
            assert time.monotonic() < began_s + 30, f"no new leader; seen {seen}"
            await asyncio.sleep(0.1)
        took_s = time.monotonic() - began_s
        await sight.says("#flow", "the leader itself")
        await sight.says("#sentence", "Requests flow.")
        await asyncio.sleep(3)
        assert await _outcomes_shown(sight) >= before, "the history survives"
        assert "Upright line: term" in await sight.text("#limits")
        await sight.says("#findings", "No standby is ready")
        await stage.photograph(sight, "failover")
        await sight.page.emulate_media(color_scheme="dark")
        await stage.photograph(sight, "failover-dark")
        print(f"  the page said after {took_s:.1f} s that another process leads; before: {seen}", flush=True)
    await stage.rig.fleet.start()
    await stage.rig.standby()


async def _leads(sight: Sight) -> bool:
    return bool(await sight.page.evaluate("state.told.role === 'leader'"))


async def _outcomes_shown(sight: Sight) -> int:
    """Return the outcomes of the last fifteen minutes, of all lanes, as the page shows them."""
    labels = await sight.page.eval_on_selector_all(".stream", "all => all.map(one => one.getAttribute('aria-label'))")
    return sum(int(str(label).split(": ")[1].split(" ")[0].replace(",", "")) for label in labels)


async def without_openai(stage: Stage) -> None:
    leader = await stage.rig.leader()
    await stage.rig.openai.stop()
    try:
        async with stage.sight(leader.port) as sight:
            await sight.says("#sentence", "OpenAI does not serve", within_s=120)
            await sight.says("#findings", "OpenAI cannot be reached")
            await stage.photograph(sight, "openai-down")
            await sight.page.emulate_media(color_scheme="dark")
            await stage.photograph(sight, "openai-down-dark")
    finally:
        await stage.rig.openai.start()
    async with stage.sight(leader.port) as sight:
        await sight.says("#sentence", "Requests flow.", within_s=180)


async def without_credit(stage: Stage) -> None:
    leader = await stage.rig.leader()
    await stage.rig.openai.stop()
    await stage.rig.openai.start("--behaviour", "quota-gone:from_s=0,to_s=100000")
    try:
        async with stage.sight(leader.port) as sight:
            await sight.says("#sentence", "OpenAI does not serve: no credit is left", within_s=120)
            await stage.photograph(sight, "no-credit")
    finally:
        await stage.rig.openai.stop()
        await stage.rig.openai.start()
    async with stage.sight(leader.port) as sight:
        await sight.says("#sentence", "Requests flow", within_s=180)  # parked ones come back one by one: none may wait


async def with_empty_lanes(stage: Stage) -> None:
    async with rig(stage.services, "quiet", stage.folder) as quiet:
        await quiet.load.burst("standard", 3)
        leader = await quiet.leader()

        async def ready(sight: Sight) -> None:
            await sight.says("#others", "completed 3")
            await sight.says("#sentence", "All lanes are empty", within_s=120)  # until no answer counts as of late
            await sight.says("#findings", "Nothing is wrong.")

        async with stage.sight(leader.port) as sight:
            await ready(sight)
            await asyncio.sleep(1.5)
            await stage.photograph(sight, "empty")
        retrier = next(each for each in quiet.fleet.processes if each.verb == "retrier")
        async with stage.sight(retrier.port) as sight:
            await sight.says("body", "It puts parked requests back")
            await stage.photograph(sight, "retrier")


async def without_news(stage: Stage) -> None:
    """Both dispatchers are stopped, as a machine that hangs: the page says so within 4 s, and recovers by itself."""
    leader, standby = await stage.rig.leader(), await stage.rig.standby()
    async with stage.sight(leader.port) as sight:
        await sight.says("#sentence", "Requests flow.")
        for process in (leader, standby):
            process.send(signal.SIGSTOP)
        try:
            await sight.says("#banner", "All below is as it was at", within_s=6)
            await sight.says("#sentence", "No news for 7 s", within_s=10)
            assert await sight.page.evaluate("document.body.classList.contains('stale')")
            await stage.photograph(sight, "no-news")
            await sight.page.emulate_media(color_scheme="dark")
            await stage.photograph(sight, "no-news-dark")
            await sight.page.emulate_media(color_scheme="light")
            await sight.page.set_viewport_size({"width": NARROW, "height": 900})
            await stage.photograph(sight, "no-news-narrow")
        finally:
            for process in (leader, standby):
                process.send(signal.SIGCONT)
        await sight.says("#sentence", "Requests flow.", within_s=60)
        assert not await sight.page.evaluate("document.body.classList.contains('stale')")


async def hostile(stage: Stage) -> None:
    """Documents of any shape are drawn without an error, and nothing in them becomes markup."""
    leader, dice = await stage.rig.leader(), random.Random(SEED)
    async with stage.sight(leader.port) as sight:
        await sight.says("#sentence", "Requests")
        usual = json.loads(await sight.page.evaluate("JSON.stringify(state.told)"))
        await sight.page.evaluate("state.source.close(); state.trying = true; window.hurt = 0;")
        elements = await sight.page.evaluate("document.querySelectorAll('script,iframe,img,object,embed,link').length")
        for _ in range(stage.asked.documents):
            await sight.page.evaluate("text => heard({data: text})", hostile_document(usual, dice))
            assert await sight.page.evaluate("window.hurt") == 0
        now = await sight.page.evaluate("document.querySelectorAll('script,iframe,img,object,embed,link').length")
        assert now == elements, "a name became markup"
        wide = await sight.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= WIDE, f"the page is {wide} px wide"
        await sight.page.screenshot(path=stage.pictures / "hostile.png", full_page=True)


async def cost(stage: Stage) -> None:
    """What 50 open pages cost the leader: processor seconds with them less those without, in one run."""
    leader = await stage.rig.leader()
    without = await _busy(leader, stage.asked.cost_s)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        seen = [0] * PAGES
        reading = [asyncio.create_task(_read(session, leader.port, seen, number)) for number in range(PAGES)]
        await asyncio.sleep(3)
        before = sum(seen)
        with_pages = await _busy(leader, stage.asked.cost_s)
        events = (sum(seen) - before) / PAGES
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
    share = with_pages - without
    print(
        f"  {PAGES} pages: {100 * with_pages:.2f} % of a core with them, {100 * without:.2f} % without: "
        f"{100 * share:.2f} %; {events:.0f} events for each in {stage.asked.cost_s:.0f} s",
        flush=True,
    )
    assert events >= 0.9 * stage.asked.cost_s, "each page has an event a second"
    assert share < COST_MAX, f"{PAGES} pages cost {100 * share:.1f} % of a core"


async def _read(session: aiohttp.ClientSession, port: int, seen: list[int], number: int) -> None:
    with suppress(aiohttp.ClientError):
        async with session.get(f"http://127.0.0.1:{port}/events", timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                seen[number] += line.startswith(b"event: status")


async def _busy(process: Process, seconds: float) -> float:
    """Return the share of a core that the process takes."""
    watched = psutil.Process(process.pid)
    before, began_s = watched.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after, lasted_s = watched.cpu_times(), time.monotonic() - began_s
    return float(after.user + after.system - before.user - before.system) / lasted_s


SCENES: Final[Mapping[str, Callable[[Stage], Awaitable[Any]]]] = {
    "load": under_load,
    "cost": cost,
    "failover": at_a_failover,
    "openai-down": without_openai,
    "no-credit": without_credit,
    "empty": with_empty_lanes,
    "no-news": without_news,
    "hostile": hostile,
}
