"""Books over failovers: totals topic, results topic and the server that sent the answers agree to the token.

`make books` plays 5,000 calls.
"""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.integration.fleet import LANES, Fleet, Process, producing, read_all, request, send
from tests.integration.real_topics import delete_topic
from tests.integration.spending_books import (
    KINDS,
    ServersBooks,
    has_prices,
    lines_of,
    mixed,
    of_the_results,
    of_the_server,
    of_the_totals,
    price_file,
)
from tests.integration.test_books import script

TOKENS = ("metered", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
EVERYTHING = (*TOKENS, "outcomes", "completed", "calls", "cut", "charge_tokens", "pico_usd")
PLENTIFUL = UpstreamSettings(
    tokens_per_minute=60_000_000, requests_per_minute=600_000, latency_s=(0.1, 0.6), error_rate=0.02, seed=7
)


async def answered(books: ServersBooks, count: int, within_s: float = 120) -> None:
    async with asyncio.timeout(within_s):
        while len(books.bills) < count:
            await asyncio.sleep(0.02)


class Leaders:
    """Leaders that end with calls in flight: beyond a number of answers they are held back until one was told to go."""

    def __init__(self, fleet: Fleet, books: ServersBooks) -> None:
        self._fleet, self._books = fleet, books
        self._above, self._told = 0, asyncio.Event()
        self._published = 0

    def script(self, number: int, body: Mapping[str, Any]) -> Scripted | None:
        refused = script(number, body)
        is_let = len(self._books.bills) < self._above  # calls that fail count for none, however many there are
        return refused if refused is not None or is_let else Scripted(held=self._told)

    async def let_call(self, count: int) -> None:
        """Have so many more calls answered, and those behind them begun and held back."""
        self._above = len(self._books.bills) + count
        self._told.set()
        self._told = asyncio.Event()
        await answered(self._books, self._above)

    async def end(self, number: signal.Signals) -> None:
        """End the leader once it has published something, and wait until its successor leads."""
        await self._fleet.standby()
        old = await self._fleet.leader()
        before = self._published
        async with asyncio.timeout(60):
            while self._published <= before:
                self._published = sum((await self._fleet.status(old))["outcomes"].values())
                await asyncio.sleep(0.05)
        old.send(number)
        self._told.set()
        await old.child.wait()
        successor = await self._fleet.leader()
        self._published = sum((await self._fleet.status(successor))["outcomes"].values())

    def let_all(self) -> None:
        self._above = 1_000_000
        self._told.set()


@pytest.mark.parametrize(
    ("count", "inflight", "grace_s"), [(120, 12, 11), pytest.param(5_000, 60, 15, marks=pytest.mark.long)]
)
@pytest.mark.timeout(600)
async def test_the_totals_are_what_the_server_billed_through_two_failovers(
    services: LocalServices, tmp_path: Path, count: int, inflight: int, grace_s: int
) -> None:
    books = ServersBooks()
    requests = list(mixed(count, seed=29))
    async with Upstream(PLENTIFUL) as upstream:
        upstream.watch(books)
        settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": str(inflight), "HEADRACE_DISPATCHER__GRACE_S": str(grace_s)}
        if has_prices():
            settings["HEADRACE_COSTS__PRICES_FILE"] = str(price_file(tmp_path))
        async with (
            Fleet(services, f"books{count}", upstream.base_url, tmp_path, settings) as fleet,
            producing(fleet) as producer,
        ):
            for lane in LANES:
                await send(producer, fleet, lane, [each for of, each in requests if of == lane])
            leaders = Leaders(fleet, books)
            upstream.script(leaders.script)
            for _ in range(2):
                await fleet.start()
            await leaders.let_call(count // 4)
            await leaders.end(signal.SIGTERM)
            await fleet.start()
            await leaders.let_call(count // 10)
            await leaders.end(signal.SIGKILL)
            begun = set(books.bills)
            leaders.let_all()
            results = await read_all(fleet, "results", until=count, within_s=300)
            assert set(results.counts().values()) == {1}
            assert len(results.values) == count
            leader = await fleet.leader()
            topic = (await fleet.status(leader))["spending"]["topic"]
            leader.send(signal.SIGTERM)
            await leader.child.wait()
            totals = (await read_all(fleet, "totals")).records
    sums, series = of_the_totals(totals)
    told = of_the_results(results.values)
    assert sums.of(EVERYTHING) == told.of(EVERYTHING)
    delivered = {each["upstream_request_id"] for each in results.values if each.get("usage")}
    server = of_the_server(books, delivered, lines_of(requests))
    columns = (*TOKENS, "pico_usd") if has_prices() else TOKENS
    kinds = KINDS if has_prices() else tuple(kind for kind in KINDS if kind != "template")
    assert sums.of(columns, kinds) == server.of(columns, kinds)
    assert (topic["trouble"], topic["lost"]) == (None, 0)
    assert series >= 3, "each leader has one of its own"
    assert begun - delivered, "the kill has interrupted none"
    money = sum(figures["pico_usd"] for (kind, _), figures in sums.figures.items() if kind == "lane") / 1e12
    print(
        f"\n{count} requests, {len(totals)} records of {series} series and {len(sums.figures)} names; "
        f"{len(books.bills)} answers begun, {len(delivered)} delivered, "
        f"{len(begun - delivered)} interrupted with their leaders "
        f"and {len(books.bills.keys() - begun - delivered)} later; "
        + (f"${money:.6f}" if has_prices() else "money is not compared: this tree has no prices")
    )


async def test_a_totals_topic_that_is_missing_or_deleted_in_service_stops_no_outcome(
    services: LocalServices, tmp_path: Path
) -> None:
    async with Upstream(PLENTIFUL) as upstream:
        async with Fleet(services, "nototals", upstream.base_url, tmp_path) as fleet, producing(fleet) as producer:
            name, connection = f"{fleet.prefix}.totals", fleet.connection
            await delete_topic(connection, name)
            leader = await fleet.start()
            await fleet.until(leader, "leader")
            assert '"totals_unusable"' in leader.said(), "the check before the start says so"
            await send(producer, fleet, "urgent", [request(f"before-{number}") for number in range(5)])
            await read_all(fleet, "results", until=5)
            topic = await shown(fleet, leader, "does not exist")
            assert topic["unwritten"] == 5

            await create_missing(connection, fleet.topics)
            await shown(fleet, leader, None)
            await send(producer, fleet, "urgent", [request("with-it")])
            results = await read_all(fleet, "results", until=6)
            sums, _ = of_the_totals((await read_all(fleet, "totals", until=2)).records)
            assert sums.of(EVERYTHING) == of_the_results(results.values).of(EVERYTHING)

            await delete_topic(connection, name)
            began_s = asyncio.get_running_loop().time()
            await send(producer, fleet, "urgent", [request(f"deleted-{number}") for number in range(5)])
            results = await read_all(fleet, "results", until=11)
            print(f"outcomes {asyncio.get_running_loop().time() - began_s:.1f} s after the topic was deleted")
            assert set(results.counts().values()) == {1}
            assert {value["status"] for value in results.values} == {"completed"}
            assert (await fleet.status(leader))["role"] == "leader"


async def shown(fleet: Fleet, process: Process, trouble: str | None) -> dict[str, Any]:
    """What the status says of the topic, once it says that."""
    async with asyncio.timeout(30):
        while True:
            topic: dict[str, Any] = (await fleet.status(process)).get("spending", {}).get("topic", {})
            if topic and topic["trouble"] == trouble:
                return topic
            await asyncio.sleep(0.1)
