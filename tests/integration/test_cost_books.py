"""Costs and tokens of outcomes equal the simulated OpenAI's bills, priced by a table of this test, to the micro-dollar.

The dispatcher is the real one with the real door to OpenAI and the real price list; its Kafka and Redis are in memory.
Its leader is killed on the way. Each outcome that was paid is found among the bills by OpenAI's own id of the call; a
bill that no outcome names is that of a call whose leader died before it was committed.
"""

import asyncio
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.adapters.prices.price_list import price_list
from headrace.broker.ports import UpstreamApi
from headrace.broker.price_ports import PriceList
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.bills import AnswerBill
from headrace.broker.simulator.upstream import Upstream as Simulated
from headrace.broker.simulator.upstream import UpstreamSettings
from headrace.schemas.topics import results_topic
from tests.unit.service.rig import PREFIX, Process, World, led, settings_of

CALLS = 900
WITHIN_S = 60.0
INFLIGHT = 48
FILE = """
version = "of the test"

[models."gpt-4.1-mini"]
input = 0.3
output = 1.1
per_call = 0.00002

[models."gpt-4.1-mini".tiers.priority]
input = 0.6
output = 2.2

[models."gpt-4.1-mini".long_input]
above = 400
input = 0.7
output = 1.3
"""


class Price(NamedTuple):
    """Dollars per million tokens, and dollars per call; the parts of an input count as input where they have none."""

    input: str
    output: str
    cached: str = ""
    written: str = ""
    image: str = ""
    per_call: str = "0"


PRICES = {
    ("gpt-4o-mini-2024-07-18", "default"): Price("0.15", "0.6", "0.075"),
    ("gpt-4o-mini-2024-07-18", "priority"): Price("0.25", "1", "0.125"),
    ("gpt-5-mini-2025-08-07", "default"): Price("0.25", "2", "0.025"),
    ("gpt-5-mini-2025-08-07", "flex"): Price("0.125", "1", "0.0125"),
    ("gpt-5-mini-2025-08-07", "priority"): Price("0.45", "3.6", "0.045"),
    ("gpt-6-luna", "default"): Price("0.1", "0.5", "0.01", "0.125"),
    ("gpt-6-luna", "flex"): Price("0.05", "0.25", "0.005", "0.0625"),
    ("gpt-6-luna", "priority"): Price("0.2", "1", "0.02", "0.25"),
    ("gpt-4.1-mini-2025-04-14", "default"): Price("0.3", "1.1", per_call="0.00002"),
    ("gpt-4.1-mini-2025-04-14", "priority"): Price("0.6", "2.2"),
    ("gpt-4.1-mini-2025-04-14", "long"): Price("0.7", "1.3", per_call="0.00002"),
    ("text-embedding-3-small", ""): Price("0.02", "0"),
}
CHATTING = ("gpt-4o-mini", "gpt-5-mini", "gpt-6-luna", "gpt-4.1-mini", "house-model")
TIERS = ("", "", "default", "flex", "priority")
TROUBLED = UpstreamSettings(
    tokens_per_minute=30_000_000,
    requests_per_minute=300_000,
    latency_s=(0.01, 0.06),
    error_rate=0.03,
    stream_cut_rate=0.04,
    stream_error_rate=0.03,
    behaviours=tuple(
        map(parsed, ("prompt-cache:least_tokens=64,step_tokens=16,writes=true", "picture-usage", "other-tier"))
    ),
)


class PricedWorld(World):
    def __init__(self, door: OpenAICalls, prices: PriceList | None) -> None:
        super().__init__()
        self.door, self.prices = door, prices


class PricedProcess(Process):
    def upstream(self) -> UpstreamApi:
        assert isinstance(self.world, PricedWorld)
        return self.world.door

    def prices(self) -> PriceList | None:
        assert isinstance(self.world, PricedWorld)
        return self.world.prices


def asked(number: int, chance: random.Random) -> dict[str, Any]:
    """A request that differs from others in all that has a price, or is counted."""
    prefix, end = (
        f"Template {chance.randint(0, 3)}. " + "Write a mail. " * chance.choice((1, 40, 120)),
        f"Lead {number}",
    )
    endpoint = chance.choice(("chat.completions", "chat.completions", "responses", "embeddings"))
    body: dict[str, Any] = {"model": chance.choice(CHATTING)}
    match endpoint:
        case "chat.completions":
            content: Any = prefix + end
            if chance.random() < 0.2:
                picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
                content = [{"type": "text", "text": content}, picture]
            body["messages"] = [{"role": "user", "content": content}]
            body |= {"max_completion_tokens": 3} if chance.random() < 0.2 else {}
        case "responses":
            body["input"] = prefix + end
        case _:
            size = 3_000 if chance.random() < 0.1 else 2  # an outcome with three thousand numbers is too large
            body = {"model": "text-embedding-3-small", "input": prefix + end, "dimensions": size}
    if endpoint != "embeddings" and (tier := chance.choice(TIERS)):
        body["service_tier"] = tier
    return {
        "endpoint": endpoint,
        "body": body,
        "stream": endpoint != "embeddings" and chance.random() < 0.3,
        "tenant": f"tenant-{chance.randint(0, 4)}",
        "template": chance.choice((None, "first-mail", "follow-up")),
    }


def pico_usd(bill: AnswerBill) -> Decimal | None:
    """What a bill costs by the table above, in millionths of a micro-dollar; None: the table has no price."""
    long = bill.model.startswith("gpt-4.1-mini") and bill.tier == "default" and bill.input_tokens > 400
    price = PRICES.get((bill.model, "long" if long else bill.tier))
    if price is None:
        return None
    parts = ((price.cached, bill.cached_tokens), (price.written, bill.cache_write_tokens))
    apart = [(Decimal(dollars), count) for dollars, count in parts if dollars]
    whole = bill.input_tokens - sum(count for _, count in apart)
    dollars = sum((each * count for each, count in apart), Decimal(price.input) * whole)
    dollars += Decimal(price.output) * bill.output_tokens
    return (dollars + Decimal(price.per_call) * 10**6) * 10**6


def sums_of_bills(outcomes: list[dict[str, Any]], bills: dict[str, AnswerBill], name: str) -> Counter[tuple[str, str]]:
    """Tokens, money and calls without a price by one dimension, from the server's bills alone."""
    found: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        bill = bills[outcome["upstream_request_id"]]
        key = {"model": bill.model, "tier": bill.tier}.get(name, outcome.get(name) or "")
        for kind in ("input", "output", "cached", "cache_write", "image"):
            found[key, kind] += getattr(bill, f"{kind}_tokens")
        cost = pico_usd(bill)
        found[key, "unpriced"] += cost is None
        found[key, "pico_usd"] += int(cost or 0)
    return found


def sums_of_outcomes(outcomes: list[dict[str, Any]], name: str) -> Counter[tuple[str, str]]:
    """The same from the outcomes."""
    found: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        key = outcome.get("tier_served" if name == "tier" else name) or ""
        for kind in ("input", "output", "cached", "cache_write", "image"):
            found[key, kind] += outcome["usage"][f"{kind}_tokens"]
        cost = outcome["cost"]["micro_usd"]
        found[key, "unpriced"] += cost is None
        found[key, "pico_usd"] += round((cost or 0) * 10**6)
    return found


async def finished(world: World, count: int) -> None:
    while len(world.kafka.committed(results_topic(PREFIX))) < count:
        await asyncio.sleep(0.05)


async def test_costs_and_tokens_by_every_dimension_are_those_of_the_servers_bills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, chance = tmp_path / "prices.toml", random.Random("nine hundred bills")
    file.write_text(FILE, encoding="utf-8")
    settings = settings_of(
        limits={},
        dispatcher={"inflight_max": INFLIGHT, "lease_ttl_s": 2},
        topics={"results": {"max_message_bytes": 40_000}},
        costs={"prices_file": str(file)},
    )
    async with Simulated(TROUBLED) as simulated:
        door = OpenAICalls(OpenAIAccess("sk-any", simulated.base_url, None, None, 30.0, 100))
        world = PricedWorld(door, price_list(settings))
        first = PricedProcess(world, "first", settings=settings).start()
        successor = PricedProcess(world, "second", settings=settings).start()
        for number in range(CALLS):
            world.submit(f"r{number}", chance.choice(("urgent", "standard", "bulk")), **asked(number, chance))
        try:
            await asyncio.wait_for(finished(world, CALLS // 2), WITHIN_S)
            for number in range(0, CALLS, 9):
                world.cancel(f"r{number}")
            await first.kill()
            await led(successor)
            await asyncio.wait_for(finished(world, CALLS), WITHIN_S)
        finally:
            await successor.end()
            await door.close()
        bills = {bill.upstream_request_id: bill for bill in simulated.bills}
    outcomes = world.outcomes()
    paid = [outcome for outcome in outcomes if outcome["usage"] is not None]
    ends = Counter(outcome.get("reason") or "completed" for outcome in paid)
    with capsys.disabled():
        total = sum(count for (_, kind), count in sums_of_outcomes(paid, "lane").items() if kind == "pico_usd")
        print(f"\n{len(outcomes)} outcomes, {len(paid)} paid {dict(ends)}, {len(bills)} bills, ${total / 10**12:.6f}")
    assert len({outcome["id"] for outcome in outcomes}) == len(outcomes) == CALLS
    for name in ("lane", "model", "tenant", "template", "tier", "endpoint"):
        assert sums_of_outcomes(paid, name) == sums_of_bills(paid, bills, name), name
    assert len(bills) - len(paid) <= INFLIGHT, "more answers were lost than calls were in flight at the kill"
    assert {outcome["cost"]["price_list"].rpartition(" + ")[2] for outcome in paid} == {"of the test"}
    assert {outcome["cost"]["band"] for outcome in paid} == {"", ">400"}
    assert ends["completed"] > CALLS / 2
    assert ends["too_large_for_topic"] >= 10
    by_tier = sums_of_bills(paid, bills, "tier")
    assert min(by_tier[tier, "pico_usd"] for tier in ("default", "flex", "priority")) > 0
    kinds = {kind: sum(count for (_, each), count in by_tier.items() if each == kind) for _, kind in by_tier}
    assert min(kinds[kind] for kind in ("cached", "cache_write", "image", "unpriced")) > 0
