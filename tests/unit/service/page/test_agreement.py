"""Page and Prometheus cannot disagree: each figure of the document is what its panel's query yields."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.broker.client import GenerationClient
from headrace.broker.observability.panels import PANELS, Panel, Unit
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.broker.testing.upstream import Asked, Said
from tests.unit.service.page.promql import Evaluation, Scrape, scraped
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.slow]

MODEL = "gpt-4o-mini"
LASTS_S = 330
EVERY_S = 15
ROUGH = {"calls_per_second", "refused_share", "dead_letters"}
"""Figures over a span of time: the page counts whole slots of 15 s, a query from scrape to scrape."""
SHOWN = [panel for panel in PANELS if panel.figure is not None]


def answer(asked: Asked) -> Said | None:
    """Most calls succeed; some are refused, for a moment or for long, and some are rejected."""
    match asked.number % 20:
        case 3 | 13:
            return Said(429, {"error": {"message": "slow down", "type": "tokens"}}, {"retry-after-ms": "50"})
        case 7 if asked.nth == 1:
            return Said(429, {"error": {"message": "later"}}, {"retry-after": "400"})
        case 11:
            return Said(400, {"error": {"message": "no", "code": "bad"}})
    return None


class Run:
    """A dispatcher and a retrier that have served for some minutes, and what was scraped of them meanwhile."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self._scrapes: list[Scrape] = []

    def at(self, seconds_ago: float) -> Scrape:
        back = round(seconds_ago / EVERY_S)
        return self._scrapes[-1 - back] if back < len(self._scrapes) else {}

    async def serve(self) -> None:
        lanes = {"urgent": {"order": 1}, "bulk": {"order": 2}}
        limits = {MODEL: {"tokens_per_minute": 800, "charge_law": "chat-legacy", "models": [MODEL]}}
        settings = {"lanes": lanes, "limits": limits, "retry": {"in_place_max_s": 60}}
        async with (
            MemoryBroker(answer, latency_s=0.3, settings=settings) as broker,
            GenerationClient(connection=broker.connection) as client,
        ):
            dispatcher, retrier = broker._dispatcher, broker._retrier
            assert dispatcher is not None
            assert dispatcher.made is not None
            assert retrier is not None
            status = dispatcher.made.dispatcher.status
            sending = asyncio.create_task(_send(client))
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            while loop.time() < begun_s + LASTS_S:
                last = status._last
                await asyncio.sleep(EVERY_S - 2)
                while status._last is last or status._last is None or loop.time() % EVERY_S > 1.5:
                    last = status._last
                    await asyncio.sleep(0.01)
                self._scrapes.append(scraped("headrace", dispatcher.meter.render(), retrier.meter.render()))
            self.document = await dispatcher.made.dispatcher.pages().documents.document()
            sending.cancel()
            await asyncio.wait({sending})


async def _send(client: GenerationClient) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Write. " * 20}], "max_tokens": 20}
    number = 0
    while True:
        number += 1
        await client.submit(body, lane="urgent" if number % 4 else "bulk", id=f"r{number}")
        await asyncio.sleep(2)


def figures(panel: Panel, document: dict[str, Any]) -> Iterator[tuple[dict[str, str], float]]:
    """Yield the labels and the value of each figure of a panel, as the page reads them."""
    assert panel.figure is not None
    found: list[tuple[list[str], Any]] = [([], document)]
    for step in panel.figure.split("."):
        if step == "*":
            found = [([*names, name], each) for names, table in found for name, each in table.items()]
        else:
            found = [(names, table[step]) for names, table in found if table.get(step) is not None]
    for names, value in found:
        yield dict(zip(panel.by, names, strict=False)), float(value)


async def test_each_figure_of_the_page_is_what_the_query_of_its_panel_yields() -> None:
    run = Run()
    await run.serve()
    evaluation, compared = Evaluation(run.at), set[str]()
    for panel in SHOWN:
        vector = evaluation.of(panel.query)
        for labels, shown in figures(panel, run.document):
            told = [value for known, value in vector.items() if labels.items() <= dict(known).items()]
            if not labels and panel.key == "retries_waiting":
                told = [sum(told)]  # of all kinds
            if panel.unit is Unit.YES_NO:
                told = told[:1]  # of the dispatcher, whose document it is
            assert len(told) == 1, f"{panel.key} {labels}: {told}"
            allowed = 0.25 * max(shown, told[0]) + 0.02 if panel.key in ROUGH else 0.051
            assert abs(shown - told[0]) <= allowed, f"{panel.key} {labels}: the page shows {shown}, the query {told[0]}"
            if shown:
                compared.add(panel.key)
    assert compared >= {each.key for each in SHOWN} - {"lag_requests", "measured_rate"}, (
        "a figure that is 0 proves little"
    )
