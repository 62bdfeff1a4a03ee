"""The simulated OpenAI's books and ours are the same, to the call and to the token: a whole run over real HTTP.

The dispatcher is the real one with the real door to OpenAI, its Kafka and Redis are in memory. Its tokenizer counts as
the simulated server does, since no tokenizer of OpenAI's serves there: what is compared is what calls are made, charged
and billed, not how a text is cut into tokens.
"""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from headrace.broker.adapters.openai.calls import OpenAIAccess, OpenAICalls
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.endpoints import Law
from headrace.broker.ports import TokenCounter, UpstreamApi
from headrace.broker.simulator.upstream import Scripted, Stats, UpstreamSettings
from headrace.broker.simulator.upstream import Upstream as Simulated
from headrace.schemas.topics import results_topic
from tests.unit.service.rig import PREFIX, Process, World, settings_of

CALLS = 2_000
WITHIN_S = 150.0
PATHS = {"chat.completions": "chat/completions", "responses": "responses", "embeddings": "embeddings"}
CHATTING, RESPONDING, EMBEDDING = ("gpt-4o-mini", "gpt-4.1"), ("gpt-4.1", "gpt-4o"), ("text-embedding-3-small",)
ROLES = frozenset({"user", "system", "developer", "assistant"})
REFUSED = {
    "message": "Unsupported parameter: 'frequency_penalty' is not supported with this model.",
    "type": "invalid_request_error",
    "param": "frequency_penalty",
    "code": "unsupported_parameter",
}
SCHEMA = {"name": "mail", "schema": {"type": "object", "properties": {"subject": {"type": "string"}}}}
TOOL = {"name": "look_up", "description": "Knows the company.", "parameters": {"type": "object"}}


class ServersCounter:
    """Counts as the server does: a quarter of the bytes, and one token for a role."""

    def count(self, model: str, text: str) -> int | None:
        return 1 if text in ROLES else -(-len(text.encode()) // 4)


class HttpWorld(World):
    """Kafka and Redis in memory, and an OpenAI behind real sockets."""

    def __init__(self, door: OpenAICalls) -> None:
        super().__init__()
        self.door = door


class HttpProcess(Process):
    def upstream(self) -> UpstreamApi:
        assert isinstance(self.world, HttpWorld)
        return self.world.door

    def counter(self) -> TokenCounter:
        return ServersCounter()


def text(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghij üé€ \n", k=chance.randint(1, 900)))


def picture(chance: random.Random) -> tuple[str, str]:
    """Where it is, and in which detail to look at it."""
    sides = chance.randint(1, 3_000).to_bytes(4) + chance.randint(1, 3_000).to_bytes(4)
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + b"\x08\x02\0\0\0" + chance.randbytes(2_000)
    url = f"data:image/png;base64,{base64.b64encode(head).decode()}"
    return chance.choice((url, "https://example.com/a.png")), chance.choice(("low", "high", "auto"))


def chat(chance: random.Random) -> dict[str, Any]:
    content: Any = text(chance)
    if chance.random() < 0.15:
        url, detail = picture(chance)
        content = [
            {"type": "text", "text": content},
            {"type": "image_url", "image_url": {"url": url, "detail": detail}},
        ]
    messages = [{"role": "system", "content": text(chance)}] * chance.randint(0, 2)
    body: dict[str, Any] = {"messages": [*messages, {"role": "user", "content": content}], "x_unknown": {"a": [None]}}
    body |= {"n": chance.randint(2, 3)} if chance.random() < 0.1 else {}
    body |= {"max_completion_tokens": chance.choice((3, 500))} if chance.random() < 0.3 else {}
    body |= {"response_format": {"type": "json_schema", "json_schema": SCHEMA}} if chance.random() < 0.2 else {}
    body |= {"tools": [{"type": "function", "function": TOOL}]} if chance.random() < 0.2 else {}
    return body


def response(chance: random.Random) -> dict[str, Any]:
    given: Any = text(chance)
    if chance.random() < 0.5:
        parts: list[dict[str, Any]] = [{"type": "input_text", "text": given}]
        if chance.random() < 0.3:
            url, detail = picture(chance)
            parts.append({"type": "input_image", "image_url": url, "detail": detail})
        given = [{"role": "developer", "content": text(chance)}, {"role": "user", "content": parts}]
    body: dict[str, Any] = {"input": given}
    body |= {"instructions": text(chance)} if chance.random() < 0.3 else {}
    body |= {"max_output_tokens": chance.choice((16, 500))} if chance.random() < 0.3 else {}
    body |= {"text": {"format": {"type": "json_schema", **SCHEMA}}} if chance.random() < 0.2 else {}
    body |= {"tools": [{"type": "function", **TOOL}]} if chance.random() < 0.2 else {}
    return body


def embedding(chance: random.Random) -> dict[str, Any]:
    def ids() -> list[int]:
        return [chance.randint(0, 100_000) for _ in range(chance.randint(1, 60))]

    given: Any = chance.choice((text(chance), ids()))
    if chance.random() < 0.6:
        of_texts, count = chance.random() < 0.5, chance.randint(1, 80)
        given = [text(chance) if of_texts else ids() for _ in range(count)]
    return {"input": given, "dimensions": 2}


SERVERS_LAW = {"chat.completions": Law.CHAT_2025, "responses": Law.RESPONSES, "embeddings": Law.EMBEDDINGS}
"""Of the simulated server, in our words."""
MAKERS: Mapping[str, Callable[[random.Random], dict[str, Any]]] = {
    "chat.completions": chat,
    "responses": response,
    "embeddings": embedding,
}


@dataclass(frozen=True)
class Asked:
    id: str
    endpoint: str
    model: str
    body: dict[str, Any]
    stream: bool

    @property
    def page(self) -> tuple[str, str]:
        return self.model, self.endpoint


def asked(number: int, chance: random.Random) -> Asked:
    endpoint, model = chance.choices(
        [(endpoint, model) for endpoint in MAKERS for model in MODELS[endpoint]], weights=(3, 3, 2, 2, 2)
    )[0]
    body = {"model": model, **MAKERS[endpoint](chance)}
    if endpoint != "embeddings" and chance.random() < 0.03:
        body["frequency_penalty"] = 9
    if endpoint == "chat.completions" and chance.random() < 0.02:
        body["messages"] = "no list"
    return Asked(f"r{number}", endpoint, model, body, endpoint != "embeddings" and chance.random() < 0.4)


MODELS = {"chat.completions": CHATTING, "responses": RESPONDING, "embeddings": EMBEDDING}


@dataclass
class Books:
    """For each model and endpoint: calls, charged tokens, input and output tokens."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    charged: Counter[tuple[str, str]] = field(default_factory=Counter)
    inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    outputs: Counter[tuple[str, str]] = field(default_factory=Counter)


def servers(stats: Stats) -> Books:
    endpoints, books = {path: endpoint for endpoint, path in PATHS.items()}, Books()
    for model, pages in stats.pages.items():
        for path, page in pages.items():
            key = model, endpoints[path]
            books.calls[key], books.charged[key] = page.calls, page.charged_tokens
            books.inputs[key], books.outputs[key] = page.input_tokens, page.output_tokens
    return books


def ours(process: Process, requests: Mapping[str, Asked]) -> Books:
    books = Books()
    for outcome in process.world.outcomes():
        key = requests[outcome["id"]].page
        books.calls[key] += outcome["attempts"]
        books.inputs[key] += (outcome["usage"] or {}).get("input_tokens", 0)
        books.outputs[key] += (outcome["usage"] or {}).get("output_tokens", 0)
    for model, desk in process.core.limits.limit_queues().items():
        for endpoint, identification in desk.budget.tariff._identifications.items():
            costs = dict(zip(identification._laws, identification._costs(), strict=True))
            books.charged[model, endpoint] = costs[SERVERS_LAW[endpoint]]
    return books


def believed(process: Process) -> Counter[bool]:
    """Of how many pages the server's law is believed at the end, as the status tells.

    On a busy machine calls overtake each other by so much that another law may fit as well for a while.
    """
    found: Counter[bool] = Counter()
    for limit in process.status.snapshot(process.clock.now_ms())["limits"].values():
        found.update(charges["law"] == SERVERS_LAW[endpoint].value for endpoint, charges in limit["charges"].items())
    return found


def table(theirs: Books, mine: Books) -> str:
    lines = [f"\n{'model':24}{'endpoint':18}" + "".join(f"{name:>22}" for name in ("calls", "charged", "in", "out"))]
    for key in sorted(theirs.calls.keys() | mine.calls.keys()):
        pairs = [
            (getattr(theirs, name)[key], getattr(mine, name)[key]) for name in ("calls", "charged", "inputs", "outputs")
        ]
        cells = "".join(f"{server:>12,}{own - server:>+10,}" for server, own in pairs)
        lines.append(f"{key[0]:24}{key[1]:18}{cells}")
    return "\n".join(lines)


def script(_: int, body: Mapping[str, Any]) -> Scripted | None:
    """A model that refuses a parameter; what it refuses is charged, as recorded."""
    return Scripted(400, {"error": REFUSED}, charged=True) if "frequency_penalty" in body else None


def totals(books: Books) -> dict[str, tuple[float, float, float]]:
    """Calls, input and output tokens of each model, whatever the endpoint."""
    found: dict[str, tuple[float, float, float]] = {}
    for (model, endpoint), calls in books.calls.items():
        before = found.get(model, (0, 0, 0))
        told = calls, books.inputs[model, endpoint], books.outputs[model, endpoint]
        found[model] = before[0] + told[0], before[1] + told[1], before[2] + told[2]
    return found


def metrics_of(process: Process) -> dict[str, tuple[float, float, float]]:
    """The same as metrics count it."""
    found: dict[str, tuple[float, float, float]] = {}
    for model in {*CHATTING, *RESPONDING, *EMBEDDING}:
        calls = sum(
            process.metric("headrace_attempts_total", {"model": model, "tier": "", "result": meaning.value})
            for meaning in Meaning
        )
        inputs, outputs = (
            sum(
                process.metric("headrace_usage_tokens_total", {"model": model, "tier": tier, "kind": kind})
                for tier in ("", "default")  # the simulator names the tier of its answers, but of embeddings
            )
            for kind in ("input", "output")
        )
        found[model] = calls, inputs, outputs
    return found


async def finished(world: World, count: int) -> None:
    while len(world.kafka.committed(results_topic(PREFIX))) < count:  # they are not read: that took a third of the test
        await asyncio.sleep(0.1)


TROUBLED = UpstreamSettings(
    tokens_per_minute=30_000_000,
    requests_per_minute=300_000,
    latency_s=(0.01, 0.1),
    error_rate=0.03,
    long_429_rate=0.01,
    long_429_s=0.1,
    stream_cut_rate=0.05,
    stream_error_rate=0.03,
    declined_rate=0.05,
)


async def test_the_simulated_servers_books_are_ours_after_two_thousand_mixed_calls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random("two thousand mixed calls")
    requests = {each.id: each for each in (asked(number, chance) for number in range(CALLS))}
    async with Simulated(TROUBLED) as simulated:
        simulated.script(script)
        door = OpenAICalls(OpenAIAccess("sk-any", simulated.base_url, None, None, 30.0, 100))
        world = HttpWorld(door)
        settings = settings_of(limits={}, dispatcher={"inflight_max": 64, "lease_ttl_s": 20})
        process = HttpProcess(world, "one", settings=settings).start()
        for each in requests.values():
            world.submit(each.id, endpoint=each.endpoint, body=each.body, stream=each.stream)
        try:
            await asyncio.wait_for(finished(world, CALLS), WITHIN_S)
        finally:
            mine, laws = ours(process, requests), believed(process)
            await process.end()
            await door.close()
        stats = simulated.books()
    theirs, ends = servers(stats), Counter(outcome.get("finish") for outcome in world.outcomes())
    with capsys.disabled():
        print(table(theirs, mine))
        print(f"429: {stats.throttled}, 4xx: {stats.client_errors}, 5xx: {stats.server_errors}, {stats.streams}")
        print(f"finish: {dict(ends)}")
    assert theirs == mine
    assert laws[True] >= 4, "of five pages"
    assert metrics_of(process) == totals(theirs)
    assert {key for key, count in theirs.calls.items() if count > 100} == {
        (model, endpoint) for endpoint, models in MODELS.items() for model in models
    }
    troubles = (stats.throttled, stats.client_errors, stats.server_errors, stats.streams.cut, stats.streams.errored)
    assert min(troubles) >= 10
    assert min(ends[finish] for finish in ("stop", "length", "refusal", None)) >= 50
