"""A workload by seed: templates with their calls over hours, clean but for the wastes that are planted into it.

Of each planted waste the workload adds up the saving itself, from what it knows: which tokens its simulated cache would
have served, which text it has repeated, which answers it has cut off.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks.advice.prices import RATES, price
from benchmarks.advice.prose import Prose, Text, message_tokens
from headrace.broker.spending.advice.finding import Waste
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Completed, Failed, Timings, Usage
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome

START: Final = datetime(2026, 11, 28, 8, tzinfo=UTC)
CACHE_S: Final = 420
WASTES: Final = (
    (Waste.UNCACHED_PREFIX,),
    (Waste.BROKEN_PREFIX,),
    (Waste.REPEATED_PART,),
    (Waste.CAP_TOO_HIGH, Waste.CUT_OFF),
    (Waste.DUPLICATES, Waste.LATE),
    (Waste.CHEAPER_TIER,),
)
"""The six wastes; of a pair, one is drawn."""
_DAY_S: Final = 86_400.0


@dataclass(slots=True)
class Planted:
    """A waste of one template, and what it adds up to over the whole period."""

    kind: Waste
    template: str
    tokens: float = 0.0
    micro_usd: float = 0.0


@dataclass(slots=True)
class Workload:
    """Outcomes, requests with their lanes, and the wastes in them."""

    outcomes: list[AdvisedOutcome] = field(default_factory=list)
    requests: list[tuple[DecodedRequest, str]] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    days: float = 1.0


@dataclass(slots=True)
class Template:
    """One kind of request: what its prompts and answers are like.

    Attributes:
        front: Whether each prompt begins with the time and an id.
        hit_share: Share of the calls that the cache serves of those it could.
        slack_s: From the submission to the deadline; None: the request names none.
    """

    name: str
    model: str
    lane: str
    instructions: Text
    variable: tuple[int, int]
    output: tuple[int, int]
    cap: int
    hit_share: float
    slack_s: float | None
    tier: str | None = None
    front: bool = False
    repeats: int = 0
    waste: Planted | None = None
    duplicated: float = 0.0
    late: float = 0.0
    charges_cap: bool = False


def workload(seed: int, wastes: Iterable[Waste] = (), *, templates: int = 4, calls: int = 500) -> Workload:
    """Draw a workload with the named wastes, each in a template of its own, beside clean templates."""
    rng = random.Random(seed)
    prose = Prose(rng)
    hours = rng.uniform(6, 50)
    made = Workload(days=max(1.0, hours / 24))
    drawn = [_clean(rng, prose, f"clean-{number}") for number in range(templates)]
    drawn += [_wasteful(rng, prose, kind) for kind in wastes]
    for template in drawn:
        count = round(calls * rng.uniform(1.6, 2.4))
        instants = sorted(START + timedelta(hours=rng.uniform(0, hours)) for _ in range(count))
        _play(rng, prose, template, made, instants)
        made.planted += [template.waste] if template.waste is not None else []
    first = min(each.timings.finished_at for each in made.outcomes if each.timings.finished_at)
    last = max(each.timings.finished_at for each in made.outcomes if each.timings.finished_at)
    made.days = max(1.0, (last - first).total_seconds() / _DAY_S)
    order = random.Random(seed)
    order.shuffle(made.outcomes)
    order.shuffle(made.requests)
    return made


def six_wastes(seed: int) -> list[Waste]:
    """Return the six wastes of a seed."""
    rng = random.Random(seed)
    return [rng.choice(kinds) for kinds in WASTES]


def _clean(rng: random.Random, prose: Prose, name: str) -> Template:
    long = rng.choice((0, rng.randint(1_200, 4_000)))
    instructions = prose.paragraphs(long or rng.randint(200, 700))
    model = rng.choice(("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini"))
    is_patient = rng.random() < 0.3
    tier = "flex" if is_patient and RATES[model].has_flex else None
    variable = (100, 500) if long else (instructions.tokens, 2 * instructions.tokens)
    longest = rng.randint(250, 700)
    return Template(
        name=name,
        model=model,
        lane="bulk" if is_patient else rng.choice(("urgent", "standard")),
        instructions=instructions,
        variable=variable,
        output=(100, longest),
        cap=round(longest * rng.uniform(1.1, 1.8)),
        hit_share=rng.uniform(0.88, 0.98),
        slack_s=rng.uniform(86_400, 400_000) if is_patient else rng.uniform(60, 600),
        tier=tier,
        charges_cap=rng.random() < 0.5,
    )


def _wasteful(rng: random.Random, prose: Prose, kind: Waste) -> Template:
    template = _clean(rng, prose, f"waste-{kind.value}")
    template.waste = Planted(kind, template.name)
    if kind in (Waste.UNCACHED_PREFIX, Waste.BROKEN_PREFIX):
        template.instructions = prose.paragraphs(rng.randint(1_300, 4_000))
        template.variable = (100, 500)
        template.model = rng.choice(("gpt-4o", "gpt-4.1", "gpt-4.1-mini"))
        template.tier = None
        template.front = kind is Waste.BROKEN_PREFIX
        template.hit_share = 0.0 if template.front else rng.choice((0.0, rng.uniform(0.05, 0.25)))
    if kind is Waste.REPEATED_PART:
        template.repeats = rng.choice((1, 1, 2))
        template.variable = (300, 700)
    if kind is Waste.CAP_TOO_HIGH:
        template.cap, template.charges_cap = rng.choice((8_000, 12_000, 16_000)), True
    if kind is Waste.CUT_OFF:
        template.output, template.cap = (150, 600), rng.randint(350, 500)
    template.duplicated = rng.uniform(0.1, 0.3) if kind is Waste.DUPLICATES else 0.0
    template.late = rng.uniform(0.1, 0.25) if kind is Waste.LATE else 0.0
    if kind is Waste.CHEAPER_TIER:
        template.model, template.lane, template.tier = rng.choice(("gpt-5", "gpt-5-mini")), "bulk", None
        template.slack_s = rng.uniform(20_000, 400_000)
    return template


@dataclass(slots=True)
class _Call:
    """One request and its answer, before they have an id."""

    body: dict[str, Any]
    usage: Usage
    finish: str
    charge: int
    at: datetime


def _play(rng: random.Random, prose: Prose, template: Template, made: Workload, instants: Iterable[datetime]) -> None:
    """Make the calls of a template, in the order of their time, through a simulated cache."""
    longest, played = 0, []
    last_use: datetime | None = None
    for number, at in enumerate(instants):
        is_warm = last_use is not None and (at - last_use).total_seconds() <= CACHE_S
        last_use = at
        call = _call(rng, prose, template, at, is_warm=is_warm)
        longest = max(longest, call.usage.output_tokens)
        played.append(call)
        _publish(template, made, f"{template.name}-{number}", call, is_late=rng.random() < template.late)
        if rng.random() < template.duplicated:
            again = _Call(call.body, call.usage, call.finish, call.charge, at + timedelta(seconds=30))
            _waste(template, again.usage.input_tokens + again.usage.output_tokens, _cost(template, again.usage))
            _publish(template, made, f"{template.name}-{number}-again", again)
    if template.waste is not None and template.waste.kind is Waste.CAP_TOO_HIGH:
        enough = -(-longest * 5 // 64) * 16  # a quarter more, in steps of 16
        _waste(template, sum(template.cap - enough for _ in played), 0.0)


def _call(rng: random.Random, prose: Prose, template: Template, at: datetime, *, is_warm: bool) -> _Call:
    system = template.instructions
    if template.front:
        system = Text(f"Now: {at:%Y-%m-%dT%H:%M:%S}Z, ticket ", 22) + prose.ident() + Text(".\n", 1) + system
    user = Text("Customer: ", 2) + prose.name() + Text(", account ", 2) + prose.ident() + Text("\n", 1)
    part = prose.paragraphs(rng.randint(*template.variable))
    user += part
    for _ in range(template.repeats):
        user += part
    wanted = round(rng.triangular(template.output[0], template.output[1]))
    output = min(wanted, template.cap)
    tokens = message_tokens(system, user)
    could = _cacheable(template) if is_warm else 0
    cached = 0 if template.front or rng.random() >= template.hit_share else could
    usage = Usage(input_tokens=tokens, output_tokens=output, total_tokens=tokens + output, cached_tokens=cached)
    body = {
        "model": template.model,
        "messages": [{"role": "system", "content": system.text}, {"role": "user", "content": user.text}],
        "max_completion_tokens": template.cap,
    } | ({} if template.tier is None else {"service_tier": template.tier})
    charge = -(-len((system.text + user.text).encode()) // 4) + 2 + (template.cap if template.charges_cap else 1)
    _count_waste(template, usage, could=could, repeated=part.tokens * template.repeats, is_cut=wanted > template.cap)
    return _Call(body, usage, "length" if wanted > template.cap else "stop", charge, at)


def _cacheable(template: Template) -> int:
    """Return the tokens of the instructions that a cache serves: from 1,024 on, in steps of 128."""
    tokens = template.instructions.tokens + 4
    return tokens // 128 * 128 if tokens >= 1_024 else 0


def _count_waste(template: Template, usage: Usage, *, could: int, repeated: int, is_cut: bool) -> None:
    kind, rate = template.waste.kind if template.waste else None, RATES[template.model]
    cost, tokens = _cost(template, usage), usage.input_tokens + usage.output_tokens
    factor = 0.5 if template.tier == "flex" else 1.0
    if kind in (Waste.UNCACHED_PREFIX, Waste.BROKEN_PREFIX):
        _waste(template, could - usage.cached_tokens, (could - usage.cached_tokens) * (rate.input - rate.cached))
    elif kind is Waste.REPEATED_PART:
        _waste(template, repeated, repeated * rate.input * factor)
    elif kind is Waste.CUT_OFF and is_cut:
        _waste(template, tokens, cost)
    elif kind is Waste.CHEAPER_TIER:
        _waste(template, tokens, cost / 2)


def _publish(template: Template, made: Workload, request_id: str, call: _Call, *, is_late: bool = False) -> None:
    submitted = call.at - timedelta(seconds=4)
    deadline = None if template.slack_s is None else submitted + timedelta(seconds=template.slack_s)
    fields: dict[str, Any] = {
        "id": request_id,
        "lane": template.lane,
        "template": template.name,
        "model": template.model,
        "endpoint": "chat.completions",
        "request_digest": request_digest("chat.completions", call.body),
        "tier_asked": template.tier,
        "attempts": 1,
        "usage": call.usage,
        "cost": price(template.model, template.tier or "default", call.usage),
        "timings": Timings(
            submitted_at=submitted,
            called_at=call.at,
            finished_at=call.at + timedelta(seconds=3),
            queue_ms=1_000,
            upstream_ms=3_000,
        ),
    }
    if is_late:
        _waste(template, call.usage.input_tokens + call.usage.output_tokens, _cost(template, call.usage))
        outcome: Completed | Failed = Failed(reason="deadline_exceeded", **fields)
    else:
        outcome = Completed(
            response={},
            finish=call.finish,
            charge_tokens=call.charge,
            tier_served=template.tier or "default",
            **fields,
        )
    made.outcomes.append(AdvisedOutcome.model_validate(outcome))
    request = GenerationRequest(id=request_id, body=call.body, template=template.name, deadline=deadline)
    made.requests.append((DecodedRequest(request), template.lane))


def _cost(template: Template, usage: Usage) -> float:
    cost = price(template.model, template.tier or "default", usage)
    return 0.0 if cost is None or cost.micro_usd is None else cost.micro_usd


def _waste(template: Template, tokens: float, micro_usd: float) -> None:
    if template.waste is not None:
        template.waste.tokens += tokens
        template.waste.micro_usd += micro_usd
