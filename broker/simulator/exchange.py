"""One call from its bytes to its reply, without HTTP: who may ask, what it costs, whether it is admitted, what returns.

The order is OpenAI's as far as the recordings show it: a wrong key and an unknown model cost nothing and carry no
limit headers; any other call with a model is charged before it is looked at, so a 400 costs as much as an answer.
"""

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from broker.simulator import wording
from broker.simulator.answers import Answer, answer_body, limit_name_of
from broker.simulator.books import Books, IdCount
from broker.simulator.chance import Chance
from broker.simulator.limiter import Admitted, Limiter, Limits, RefusedCost
from broker.simulator.pricing import Endpoint, Law, charge_of

WRONG_KEY_PREFIX: Final = "wrong"
ID_HEADERS: Final = ("x-client-request-id", "x-headrace-id")
ID_CHARS_MAX: Final = 512  # OpenAI's own bound on X-Client-Request-Id


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """What the simulated OpenAI enforces and how it behaves.

    `latency_s` is a range: each request's own latency in it depends on `seed` and content. `error_rate` and
    `unavailable_rate` are the shares of admitted calls that end in 500 and 503 after their latency, charge kept.
    `burst_s` also enforces a hidden bucket of that many seconds of quota. Without `models` every model is served.
    `port` 0 takes a free one.
    """

    tokens_per_minute: int = 200_000
    requests_per_minute: int = 500
    requests_per_day: int | None = None
    law: str = Law.CHAT_2025
    latency_s: tuple[float, float] = (1.0, 4.0)
    error_rate: float = 0.0
    unavailable_rate: float = 0.0
    burst_s: float | None = None
    refused_cost: str = RefusedCost.NOTHING
    seed: int = 7
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        Law(self.law)
        RefusedCost(self.refused_cost)
        if (
            min(
                self.tokens_per_minute,
                self.requests_per_minute,
                1 if self.requests_per_day is None else self.requests_per_day,
            )
            < 1
        ):
            raise ValueError("a limit is at least 1")
        if not 0 <= self.latency_s[0] <= self.latency_s[1] < math.inf:
            raise ValueError("a latency is a range of seconds, the smaller number first")
        if min(self.error_rate, self.unavailable_rate) < 0 or self.error_rate + self.unavailable_rate > 1:
            raise ValueError("error rates are between 0 and 1, and together at most 1")
        if self.burst_s is not None and self.burst_s <= 0:
            raise ValueError("a burst is more than 0 seconds")

    def limits(self) -> Limits:
        """The limiter's part of them."""
        return Limits(
            tokens_per_minute=self.tokens_per_minute,
            requests_per_minute=self.requests_per_minute,
            requests_per_day=self.requests_per_day,
            burst_us=None if self.burst_s is None else max(1, round(self.burst_s * 1_000_000)),
            refused_cost=RefusedCost(self.refused_cost),
        )


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a test wants a chosen call answered with.

    With a `status` the call is answered `delay_s` later with `body` (an object, or text such as an HTML page) and
    takes nothing from the buckets unless `charged`. Without one it is handled as usual, with `headers` added and
    `delay_s`, if given, as its latency. `dropped` cuts the connection after the delay instead of answering.
    """

    status: int | None = None
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float | None = None
    charged: bool = False
    dropped: bool = False


Script = Callable[[int, Mapping[str, Any]], Scripted | None]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as it arrived; header names in lower case."""

    number: int
    endpoint: Endpoint
    headers: Mapping[str, str]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What to write, and how long after the arrival. `count` is the book entry of the call's id, once it is known."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    count: IdCount | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call whose body could be read."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    model: str
    request_id: str
    count: IdCount


class Exchange:
    """Decides replies; owns no socket and no clock."""

    def __init__(self, settings: UpstreamSettings, limiter: Limiter) -> None:
        self._settings = settings
        self._limiter = limiter
        self._law = Law(settings.law)
        self._chance = Chance(settings.seed)
        self.script: Script | None = None

    def decide(self, call: Call, books: Books, now_us: int) -> Reply:
        """The reply to `call`, admitted and charged at `now_us`."""
        body = _parsed(call.payload)
        request_id = _request_id(call, body or {})
        count = books.identify(request_id)
        scripted = self.script(call.number, body or {}) if self.script else None
        if scripted is not None and scripted.status is not None and not scripted.charged:
            return _scripted_reply(scripted, count)
        key = call.headers.get("authorization", "").removeprefix("Bearer").strip()
        if not key or key.startswith(WRONG_KEY_PREFIX):
            return Reply(401, wording.wrong_key_body(key), count=count)
        if body is None:
            return _bad_request("We could not parse the JSON body of your request.", count)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            return _bad_request("you must provide a model parameter", count)
        asked = _Asked(call.endpoint, body, model, request_id, count)
        if not self._serves(model):
            return _unknown_model(asked)
        reply = self._paid(asked, books, now_us)
        return reply if scripted is None else _overlaid(reply, scripted)

    def _serves(self, model: str) -> bool:
        allowed = self._settings.models
        limit_name = limit_name_of(model)
        return (not allowed or model in allowed or limit_name in allowed) and self._limiter.has_room_for(limit_name)

    def _paid(self, asked: _Asked, books: Books, now_us: int) -> Reply:
        limit_name = limit_name_of(asked.model)
        charge = charge_of(asked.endpoint, asked.body, self._law)
        verdict = self._limiter.admit(limit_name, charge, now_us)
        headers = wording.limit_headers(verdict.levels)
        if not isinstance(verdict, Admitted):
            headers |= wording.retry_headers(verdict)
            return Reply(429, wording.refusal_body(asked.model, verdict), headers, count=asked.count)
        books.admit(asked.count, limit_name, charge, now_us)
        complaint = _complaint(asked)
        if complaint is not None:
            return replace(complaint, headers=headers)
        return self._answered(asked, headers)

    def _answered(self, asked: _Asked, headers: Mapping[str, str]) -> Reply:
        content = self._chance.content_of(asked.endpoint, asked.body)
        shortest, longest = self._settings.latency_s
        delay_s = shortest + (longest - shortest) * self._chance.draw(content, "latency")
        luck = self._chance.draw(content, f"error {asked.request_id} {asked.count.admitted}")
        if luck < self._settings.error_rate:
            return Reply(500, wording.server_error_body(), delay_s=delay_s, count=asked.count)
        if luck < self._settings.error_rate + self._settings.unavailable_rate:
            return Reply(503, wording.overloaded_body(), delay_s=delay_s, count=asked.count)
        serial = f"{self._chance.number(content, f'serial {asked.request_id} {asked.count.calls}'):016x}"
        answer = Answer(asked.body, asked.model, self._chance.number(content, "words"), serial)
        return Reply(200, answer_body(asked.endpoint, answer), headers, delay_s, asked.count)


def reply_headers(reply: Reply, elapsed_s: float) -> dict[str, str]:
    """All headers of a reply but those that HTTP itself needs."""
    return {
        "x-request-id": f"req_{uuid.uuid4().hex}",
        "openai-version": "2020-10-01",
        "openai-organization": wording.ORGANIZATION,
        "openai-processing-ms": str(round(elapsed_s * 1_000)),
        **reply.headers,
    }


def _parsed(payload: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _request_id(call: Call, body: Mapping[str, Any]) -> str:
    for header in ID_HEADERS:
        if call.headers.get(header):
            return call.headers[header][:ID_CHARS_MAX]
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("id"), str) and metadata["id"]:
        return str(metadata["id"])[:ID_CHARS_MAX]
    return hashlib.sha256(call.payload).hexdigest()


def _complaint(asked: _Asked) -> Reply | None:
    body = asked.body
    needed = "messages" if asked.endpoint is Endpoint.CHAT else "input"
    if not body.get(needed):
        message = f"Missing required parameter: '{needed}'."
        return _bad_request(message, asked.count, code="missing_required_parameter", param=needed)
    if asked.endpoint is Endpoint.CHAT and not isinstance(body[needed], list):
        message = "Invalid type for 'messages': expected an array of objects."
        return _bad_request(message, asked.count, code="invalid_type", param=needed)
    if body.get("stream"):
        message = "Streaming is not supported by this simulated OpenAI yet; send the request without `stream`."
        return _bad_request(message, asked.count, code="unsupported_parameter", param="stream")
    return None


def _unknown_model(asked: _Asked) -> Reply:
    if asked.endpoint is Endpoint.RESPONSES:
        return Reply(400, wording.unknown_model_body(asked.model, param="model"), count=asked.count)
    return Reply(404, wording.unknown_model_body(asked.model), count=asked.count)


def _bad_request(message: str, count: IdCount, *, code: str | None = None, param: str | None = None) -> Reply:
    return Reply(400, wording.error_body(message, "invalid_request_error", code=code, param=param), count=count)


def _scripted_reply(scripted: Scripted, count: IdCount) -> Reply:
    return Reply(
        scripted.status or 200, scripted.body, scripted.headers, scripted.delay_s or 0.0, count, scripted.dropped
    )


def _overlaid(reply: Reply, scripted: Scripted) -> Reply:
    """A usual reply as the script wants it; a refusal by the limiter stays one."""
    if scripted.status is not None and reply.status == 200 and reply.count is not None:
        return _scripted_reply(replace(scripted, headers={**reply.headers, **scripted.headers}), reply.count)
    return replace(
        reply,
        headers={**reply.headers, **scripted.headers},
        delay_s=reply.delay_s if scripted.delay_s is None else scripted.delay_s,
        dropped=scripted.dropped,
    )
