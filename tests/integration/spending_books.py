"""Books of the simulated OpenAI beside those of the totals topic: by lane, model, tenant, template and tier.

The server's books are kept here, by a price list of their own: what each answer said of its usage, model and tier,
under an id that the answer carries and its outcome repeats. They share no code with the sums.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.exchange import IncomingCall
from headrace.broker.simulator.reply import Reply
from headrace.schemas.record import Record
from headrace.schemas.spending import OTHERS, SpendingTotal, decode_total
from tests.integration.fleet import LANES
from tests.integration.test_books import asked

TIERS = ("", "", "default", "flex", "priority")
TENANTS, TEMPLATES = 40, 8
KINDS = ("lane", "model", "tenant", "template", "tier")
PRICES: Mapping[str, tuple[int, int, int]] = {
    "gpt-4o-mini": (150_000, 75_000, 600_000),
    "gpt-4.1": (2_000_000, 500_000, 8_000_000),
    "gpt-4o": (2_500_000, 1_250_000, 10_000_000),
    "text-embedding-3-small": (20_000, 20_000, 0),
}
"""Millionths of a dollar per million tokens: input, cached input, output."""
SCALES: Mapping[str, tuple[int, int]] = {"default": (1, 1), "flex": (1, 2), "priority": (7, 4)}
"""Of a tier's prices, those of the default tier times this fraction."""


class Line(NamedTuple):
    """What one request takes part in: its lane, tenant and template."""

    lane: str
    tenant: str
    template: str


class Bill(NamedTuple):
    """What one answer said."""

    request_id: str
    model: str
    tier: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int

    @property
    def pico_usd(self) -> int:
        """Its price, in millionths of a millionth of a dollar."""
        name = next(each for each in sorted(PRICES, key=len, reverse=True) if self.model.startswith(each))
        plain, cached, output = PRICES[name]
        over, under = SCALES[self.tier]
        found = (self.input_tokens - self.cached_tokens) * plain + self.cached_tokens * cached
        return (found + self.output_tokens * output) * over // under


@dataclass
class ServersBooks:
    """Each answer that the server began to send, by the id of its call."""

    bills: dict[str, Bill] = field(default_factory=dict)

    def __call__(self, call: IncomingCall, reply: Reply, _at_us: int) -> None:
        if reply.status != 200 or isinstance(reply.body, str):
            return
        call_id = f"req_{len(self.bills):08}"
        reply.headers = {**reply.headers, "x-request-id": call_id}
        usage = reply.body["usage"]
        inside = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        outside = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
        self.bills[call_id] = Bill(
            call.headers["x-client-request-id"],
            str(reply.body["model"]),
            reply.body.get("service_tier") or "default",
            usage.get("prompt_tokens", usage.get("input_tokens", 0)),
            inside.get("cached_tokens", 0),
            usage.get("completion_tokens", usage.get("output_tokens", 0)),
            outside.get("reasoning_tokens", 0),
        )


@dataclass
class Sums:
    """Figures by kind of name, and name."""

    figures: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def add(self, names: Mapping[str, str], amounts: Mapping[str, int]) -> None:
        for kind in KINDS:
            self.figures.setdefault((kind, names[kind]), Counter()).update(amounts)

    def of(self, columns: Iterable[str], kinds: Iterable[str] = KINDS) -> dict[tuple[str, str], dict[str, int]]:
        """These figures, without names of which all of them are 0."""
        wanted = set(kinds)
        told = {
            name: {column: sums[column] for column in columns}
            for name, sums in self.figures.items()
            if name[0] in wanted
        }
        return {name: sums for name, sums in told.items() if any(sums.values())}


def mixed(count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests of every kind, and the lane of each: endpoints, streams, tiers, answers that are cut off, mistakes."""
    chance = random.Random(seed)
    for number in range(count):
        one = asked(number, chance)
        body = one.body | ({"stream": True} if one.stream else {})
        if one.endpoint != "embeddings" and (tier := chance.choice(TIERS)):
            body["service_tier"] = tier
        told: dict[str, Any] = {"id": one.id, "endpoint": one.endpoint, "body": body}
        if one.stream:
            told["stream"] = True
        lane, tenant = chance.choice(LANES), chance.randrange(TENANTS)
        if chance.random() < 0.9:  # a tenant has one lane and two templates
            lane = LANES[tenant % len(LANES)]
            told["tenant"] = f"tenant-{tenant}"
        if chance.random() < 0.8:
            told["template"] = f"template-{(tenant + chance.randrange(2)) % TEMPLATES}"
        if chance.random() < 0.02:
            told["deadline"] = "2020-01-01T00:00:00Z"
        yield lane, told


def lines_of(requests: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Line]:
    return {each["id"]: Line(lane, each.get("tenant", ""), each.get("template", "")) for lane, each in requests}


def of_the_server(books: ServersBooks, delivered: set[str], lines: Mapping[str, Line]) -> Sums:
    """What the server has billed for the answers that were delivered."""
    found = Sums()
    for call_id in delivered:
        bill = books.bills[call_id]
        amounts = {name: getattr(bill, name) for name in Bill._fields if name.endswith("_tokens")}
        names = {**lines[bill.request_id]._asdict(), "model": bill.model, "tier": bill.tier}
        found.add(names, {"metered": 1, "pico_usd": bill.pico_usd, **amounts})
    return found


def of_the_results(outcomes: Iterable[dict[str, Any]]) -> Sums:
    """What the results topic says, read as JSON."""
    found = Sums()
    for each in outcomes:
        usage, cost = each.get("usage"), each.get("cost") or {}
        tier = each.get("tier_served") or each.get("tier_asked") or "default"
        names = {kind: each.get(kind) or "" for kind in KINDS} | {"tier": tier}
        amounts = {name: (usage or {}).get(name, 0) for name in Bill._fields if name.endswith("_tokens")}
        amounts |= {
            "outcomes": 1,
            "completed": each["status"] == "completed",
            "calls": each["attempts"],
            "cut": each.get("finish") == "length",
            "metered": usage is not None,
            "charge_tokens": each.get("charge_tokens") or 0,
            "pico_usd": round((cost.get("micro_usd") or 0) * 1_000_000),
        }
        found.add(names, amounts)
    return found


def of_the_totals(records: Iterable[Any]) -> tuple[Sums, int]:
    """What the totals topic says, and the number of its series."""
    last = {record.key: Record(record.key, record.value) for record in records}
    found, series_seen = Sums(), set[str]()
    for record in last.values():
        key, series, total = decode_total(record)
        series_seen.add(series)
        assert OTHERS not in {key.tenant, key.template, key.model, key.tier}
        names = {kind: getattr(key, kind) for kind in KINDS}
        found.add(names, {name: getattr(total, name) for name in SpendingTotal.model_fields if name != "sizes"})
    return found, len(series_seen)


def has_prices() -> bool:
    """Whether this tree can price outcomes."""
    return "costs" in Settings.model_fields


def price_file(directory: Path) -> Path:
    """The same prices, as the dispatcher reads them."""

    def table(head: str, over: int, under: int, prices: tuple[int, int, int]) -> str:
        keys = ("input", "cached_input", "output")
        rows = (f"{key} = {price * over / under / 1_000_000:.6f}" for key, price in zip(keys, prices, strict=True))
        return "\n".join([f"[models.{head}]", *rows, ""])

    path = directory / "prices.toml"
    parts = ['version = "books"']
    for model, prices in PRICES.items():
        parts.append(table(json.dumps(model), 1, 1, prices))
        scales = {tier: scale for tier, scale in SCALES.items() if tier != "default"}
        parts += [table(f"{json.dumps(model)}.tiers.{tier}", *scale, prices) for tier, scale in scales.items()]
    path.write_text("\n".join(parts))
    return path
