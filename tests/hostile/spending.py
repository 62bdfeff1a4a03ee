"""Senders and servers that are hostile to sums: names, usages, models and tiers that no bookkeeper expects, by a seed.

The books beside the sums are kept from the results topic's JSON alone; they share no code with them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Final

from headrace.broker.testing.upstream import Asked, Said, Silence, completion
from headrace.schemas.record import Record
from headrace.schemas.spending import decode_total

KINDS: Final = ("lane", "model", "tenant", "template", "tier")
NAMES: Final = (
    "acme",
    "(others)",
    "(rest)",
    "(none)",
    "rest",
    "other",
    "null",
    "None",
    " ",
    "a\nb",
    'quo"te\\',
    "\x00\x1b[31m",
    "\u202eright to left",
    "\U0001f680" * 60,
    "\ud800half a pair",
    "ü" * 100,
    "[bold]x[/bold]",
    "{}",
    "1e9",
)
MODELS: Final = (
    "gpt-4o-mini",
    "gpt-4o-mini-2024-07-18",
    "GPT-4O-MINI",
    "gpt-4o-9999-99-99",
    "ft:gpt-4o-mini:acme::abc",
    "openai/gpt-4o",
    "gpt-4.1*",
    "house\nmodel",
    "(others)",
    "x" * 300,
    "\ud800",
    7,
    True,
    None,
    "",
    ["gpt-4o"],
    {"name": "gpt-4o"},
)
COUNTS: Final[tuple[Any, ...]] = (
    0,
    1,
    9,
    1_000,
    300_000,
    10_000_000,
    10_000_001,
    10**18,
    10**400,
    -1,
    1.5,
    7.0,
    True,
    "12",
    None,
    [],
    {},
)
TIERS: Final = ("default", "flex", "priority", "scale", "batch", "no such tier", "", 7, None, "FLEX", "x" * 90, "\n")
PARTS: Final = ("cached_tokens", "cache_write_tokens", "image_tokens", "reasoning_tokens", "audio_tokens")


def hostile_usage(chance: Random) -> Any:
    """Return the usage of an answer: half of them as a server states it, the others as none does."""
    plain = {"prompt_tokens": chance.randrange(1, 5_000), "completion_tokens": chance.randrange(1, 500)}
    drawn = chance.random()
    if drawn < 0.5:
        return {**plain, "total_tokens": sum(plain.values())}
    if drawn < 0.6:
        return chance.choice((None, {}, [], "many", 7, {"total_tokens": 12}, {"prompt_tokens": None}))
    told: dict[str, Any] = {name: chance.choice((plain[name], chance.choice(COUNTS))) for name in plain}
    told["total_tokens"] = chance.choice(COUNTS)
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        parts = {part: chance.choice((chance.randrange(2_000), chance.choice(COUNTS))) for part in PARTS}
        told[name] = chance.choice((None, [], "none", 7, {}, parts, parts))
    if chance.random() < 0.2:
        told |= {"input_tokens": chance.choice(COUNTS), "output_tokens": chance.choice(COUNTS)}
    return told


def hostile_answer(asked: Asked, chance: Random) -> Said | Silence | None:
    """Return the answer to a call; most are answers, whatever they state."""
    drawn = chance.random()
    if drawn < 0.04:
        return Silence(chance.choice(("timeout", "connection")))
    if drawn < 0.08:
        return Said(chance.choice((500, 503, 400, 429)), {"error": {"message": "no", "code": "none"}})
    body = completion(asked)
    usage = hostile_usage(chance)
    if asked.endpoint == "responses" and isinstance(usage, dict):
        usage = {name.replace("prompt", "input").replace("completion", "output"): told for name, told in usage.items()}
    body["usage"] = usage
    if chance.random() < 0.05:
        del body["usage"]
    if chance.random() < 0.6:
        body["model"] = chance.choice(MODELS)
    if chance.random() < 0.5:
        body["service_tier"] = chance.choice(TIERS)
    if drawn < 0.12:
        body["error"] = {"message": "The response failed.", "code": "server_error"}
    if drawn < 0.14:
        body["choices"] = []
    return Said(200, body, cut_after=1 if drawn > 0.96 else None)


def hostile_request(number: int, chance: Random) -> dict[str, Any]:
    """Return the fields of a request; some are refused for them."""
    fields: dict[str, Any] = {
        "endpoint": chance.choice(("chat.completions", "chat.completions", "responses", "embeddings"))
    }
    body: dict[str, Any] = {"model": "gpt-4o-mini"}
    match fields["endpoint"]:
        case "chat.completions":
            body["messages"] = [{"role": "user", "content": f"Write {number}"}]
        case _:
            body["input"] = f"Write {number}"
    if chance.random() < 0.3:
        body["service_tier"] = chance.choice(TIERS)
    if chance.random() < 0.1:
        body["model"] = chance.choice(MODELS)
    fields["body"] = body
    fields["stream"] = fields["endpoint"] != "embeddings" and chance.random() < 0.3
    for name in ("tenant", "template"):
        if chance.random() < 0.8:
            fields[name] = chance.choice((*NAMES, f"{name}-{number}", f"{name}-{number % 7}"))
        elif chance.random() < 0.1:
            fields[name] = chance.choice(("", 7, None, ["a"], "x" * 10_000))
    if chance.random() < 0.03:
        fields["deadline"] = "2020-01-01T00:00:00Z"
    return fields


def hostile_totals(chance: Random, hour: int) -> Record:
    """Return a record of the totals topic that no dispatcher wrote, and that no sum may count."""
    named = [hour + chance.choice((0, 0, 0, -1, 1)), "urgent", "m", "t", "p", "default", "", "foreign"]
    sound: dict[str, Any] = {"v": 1, "outcomes": 1, "completed": 1, "metered": 1, "sizes": {"5": 1}}
    odd = chance.choice(
        (
            b"[" * 100_000,
            b'{"v":1,"x":' + b"[" * 100_000,
            b"",
            b"null",
            b"\xff\xfe",
            b'{"v":1,"outcomes":NaN}',
            *(json.dumps({**sound, **more}).encode() for more in ODD_SUMS),
        )
    )
    if chance.random() < 0.3:
        key = chance.choice((b"[" * 100_000, b"", b"7", b"{}", b'["x"]', json.dumps([*named[:3], 7]).encode()))
        return Record(key, json.dumps(sound).encode())
    return Record(json.dumps(named).encode(), odd)


ODD_SUMS: Final[tuple[Mapping[str, Any], ...]] = (
    {"v": 2},
    {"v": "1"},
    {"outcomes": -1},
    {"pico_usd": 10**400},
    {"pico_usd": -(10**15)},
    {"input_tokens": 10**4_000},
    {"sizes": {"5": -3}},
    {"sizes": {"-5": 3}},
    {"sizes": {"100000": 3}},
    {"sizes": {"5": 10**400}},
    {"sizes": []},
    {"calls": "many"},
)


Sums = dict[tuple[str, str], Counter[str]]
"""Figures by kind of name, and name."""


def of_results(outcomes: Iterable[Mapping[str, Any]]) -> Sums:
    """Sum up outcomes by each kind of name."""
    found: Sums = {}
    for each in outcomes:
        usage, cost = each.get("usage"), each.get("cost") or {}
        micro_usd = cost.get("micro_usd")
        names = {kind: each.get(kind) or "" for kind in KINDS}
        names["tier"] = each.get("tier_served") or each.get("tier_asked") or "default"
        amounts = {
            "outcomes": 1,
            "completed": int(each["status"] == "completed"),
            "calls": each["attempts"],
            "metered": int(usage is not None),
            "unpriced": int(usage is not None and micro_usd is None),
            "charge_tokens": each.get("charge_tokens") or 0,
            "pico_usd": round((micro_usd or 0) * 1_000_000),
            **{name: (usage or {}).get(name, 0) for name in ("input_tokens", "cached_tokens", "output_tokens")},
        }
        for kind in KINDS:
            found.setdefault((kind, names[kind]), Counter()).update(amounts)
    return found


def of_totals(records: Iterable[Record]) -> Sums:
    """Add up the last record of each key and series."""
    found: Sums = {}
    for record in {each.key: each for each in records}.values():
        key, series, total = decode_total(record)
        if series == "foreign":
            continue
        amounts = {name: getattr(total, name) for name in FIGURES}
        for kind in KINDS:
            found.setdefault((kind, getattr(key, kind)), Counter()).update(amounts)
    return found


FIGURES: Final = (
    "outcomes",
    "completed",
    "calls",
    "metered",
    "unpriced",
    "charge_tokens",
    "pico_usd",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
)
