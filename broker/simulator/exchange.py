"""One call from its bytes to its reply, without HTTP: authentication, cost, admission and reply.

The order is OpenAI's as far as the recordings show it: a wrong key and an unknown model cost nothing and carry no limit
headers; any other call with a model is charged before it is examined, so a 400 costs as much as an answer.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import Books, IdCount, Page
from headrace.broker.simulator.admission import SECOND_US
from headrace.broker.simulator.admission_gate import AdmissionGate
from headrace.broker.simulator.answers import AnswerIngredients, answer_body, limit_name_of, tier_for
from headrace.broker.simulator.behaviours.billing import OtherTier, PictureUsage
from headrace.broker.simulator.chance import Chance
from headrace.broker.simulator.complaints import bad_request, complaint_about, unknown_model
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import Endpoint, Size, size_of
from headrace.broker.simulator.prompt_cache import CachedPrompts
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.response_headers import Speech
from headrace.broker.simulator.script import Script, overlaid, scripted_reply
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.stored_input import StoredState
from headrace.broker.simulator.streams import stream_of
from headrace.broker.simulator.trouble import Luck, Trouble

WRONG_KEY_PREFIX: Final = "wrong"
ID_HEADERS: Final = ("x-client-request-id", "x-headrace-id")
ID_CHARS_MAX: Final = 512  # OpenAI's own bound on X-Client-Request-Id


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """One HTTP call as it arrived; header names in lower case."""

    number: int
    endpoint: Endpoint
    headers: Mapping[str, str]
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call with a readable body."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    model: str
    size: Size
    luck: Luck
    stored_tokens: int

    @property
    def count(self) -> IdCount:
        """The book entry of its id."""
        return self.luck.count


class Exchange:
    """Decider of replies; owns no socket and no clock."""

    def __init__(self, settings: UpstreamSettings, limiter: Limiter) -> None:
        self._settings = settings
        self._limiter = limiter
        self._chance = Chance(settings.seed)
        self._speech = Speech(settings.behaviours)
        self._gate = AdmissionGate(settings, limiter, self._speech)
        self._trouble = Trouble(settings, self._chance, self._speech)
        self._latency = settings.latency()
        self._stored = StoredState(settings.behaviours)
        self._prompts = CachedPrompts(settings.behaviours)
        self._counts_pictures = any(isinstance(each, PictureUsage) for each in settings.behaviours)
        self._other_tiers = [each for each in settings.behaviours if isinstance(each, OtherTier)]
        self.script: Script | None = None

    def reset(self) -> None:
        """Forget what former calls have left: responses, conversations, prompts, and levels that are shown late."""
        self._stored.reset()
        self._prompts.reset()
        self._speech.reset()

    def decide(self, call: IncomingCall, books: Books, now_us: int) -> Reply:
        """Decide the reply to `call`, admitted and charged at `now_us`."""
        body = _parsed(call.payload)
        request_id = _request_id(call, body or {})
        count = books.identify(request_id)
        page = self._page(call, body or {}, books)
        page.calls += 1
        scripted = self.script(call.number, body or {}) if self.script else None
        if scripted is not None and scripted.status is not None and not scripted.charged:
            return scripted_reply(scripted, count)
        asked = self._asked(call, body, request_id, count)
        if isinstance(asked, Reply):
            return asked
        reply = (
            self._trouble.turned_away(asked.luck, (now_us - books.opened_us) / SECOND_US)
            or self._refused_for_long(asked, books, now_us)
            or self._paid(asked, page, books, now_us)
        )
        return reply if scripted is None else overlaid(reply, scripted)

    def _asked(
        self, call: IncomingCall, body: Mapping[str, Any] | None, request_id: str, count: IdCount
    ) -> _Asked | Reply:
        """Read the request, or return the error of a call that costs nothing."""
        key = call.headers.get("authorization", "").removeprefix("Bearer").strip()
        if not key or key.startswith(WRONG_KEY_PREFIX):
            return Reply(401, wording.wrong_key_body(key), count=count)
        if body is None:
            return bad_request("We could not parse the JSON body of your request.", count)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            return bad_request("you must provide a model parameter", count)
        if not self._serves(model):
            return unknown_model(call.endpoint, model, count)
        tier = body.get("service_tier")
        asked_tier = tier if isinstance(tier, str) else ""
        luck = Luck(self._chance.content_of(call.endpoint, body), request_id, count, asked_tier)
        size, stored = size_of(call.endpoint, body), self._stored.tokens_of(call.endpoint, body)
        return _Asked(call.endpoint, body, model, replace(size, input_tokens=size.input_tokens + stored), luck, stored)

    def _page(self, call: IncomingCall, body: Mapping[str, Any], books: Books) -> Page:
        model = body.get("model")
        known = isinstance(model, str) and model and self._serves(model)
        return books.page(limit_name_of(str(model)), call.endpoint.value) if known else Page()

    def _serves(self, model: str) -> bool:
        allowed = self._settings.models
        limit_name = limit_name_of(model)
        return (not allowed or model in allowed or limit_name in allowed) and self._limiter.has_room_for(limit_name)

    def _refused_for_long(self, asked: _Asked, books: Books, now_us: int) -> Reply | None:
        if not self._trouble.refuses_for_long(asked.luck):
            return None
        books.refuse_for_long(asked.count)
        refused = self._trouble.long_refusal(self._limiter.levels(limit_name_of(asked.model), now_us))
        headers, body = self._speech.refusal(asked.endpoint, asked.model, refused, now_us)
        return Reply(429, body, headers, count=asked.count)

    def _paid(self, asked: _Asked, page: Page, books: Books, now_us: int) -> Reply:
        name = limit_name_of(asked.model)
        before = books.charged.get(name, 0)
        reply = self._let_in(asked, books, now_us)
        page.charged_tokens += books.charged.get(name, 0) - before
        reply.page = page
        return reply

    def _let_in(self, asked: _Asked, books: Books, now_us: int) -> Reply:
        admitted = self._gate.enter(asked, books, now_us)
        if isinstance(admitted, Reply):
            return admitted
        headers = self._gate.headers(asked, admitted, now_us)
        complaint = complaint_about(asked.endpoint, asked.body, asked.count)
        if complaint is not None:
            return replace(complaint, headers=headers)
        delay_s = self._latency.delay_s(self._chance.draw(asked.luck.content, "latency"), books.inflight)
        mishap = self._trouble.mishap(asked.luck, delay_s, (now_us - books.opened_us) / SECOND_US)
        if mishap is not None:
            return mishap
        reply = self._answered(asked, headers, delay_s)
        due_us = now_us + round(reply.delay_s * SECOND_US)
        settled = self._gate.settle(asked, _output_tokens(reply.body), books, now_us, due_us)
        if not settled or reply.stream is not None:
            return reply
        return replace(reply, late_headers=lambda late_us: self._gate.headers_at(asked.model, late_us))

    def _answered(self, asked: _Asked, headers: Mapping[str, str], delay_s: float) -> Reply:
        luck = asked.luck
        serial = f"{self._chance.number(luck.content, f'serial {luck.request_id} {luck.count.calls}'):016x}"
        declined = self._chance.draw(luck.content, "declined") < self._settings.declined_rate
        answer = AnswerIngredients(
            asked.body,
            asked.model,
            self._chance.number(luck.content, "words"),
            serial,
            declined,
            asked.stored_tokens,
            self._prompts.use(asked.endpoint, asked.body, asked.model),
            asked.size.picture_tokens if self._counts_pictures else None,
            self._tier(asked),
        )
        body = answer_body(asked.endpoint, answer)
        self._stored.keep(asked.endpoint, asked.body, body)
        reply = Reply(200, body, headers, delay_s, luck.count, billed_to=(luck.request_id, asked.endpoint.value))
        if not asked.body.get("stream"):
            return reply
        stream = stream_of(asked.endpoint, asked.body, body, answer.seed)
        stream = replace(stream, broken=self._trouble.break_of(luck, len(stream.deltas)))
        return replace(reply, stream=stream, delay_s=delay_s * self._trouble.slowness(luck))

    def _tier(self, asked: _Asked) -> str:
        """Return the tier that serves a call: the one it names, unless a behaviour has another one serve it."""
        tier = tier_for(asked.body)
        for other in self._other_tiers:
            if tier == other.asked and self._chance.draw(asked.luck.content, "other tier") < other.rate:
                return other.served
        return tier


def _output_tokens(body: Mapping[str, Any] | str) -> int:
    usage = {} if isinstance(body, str) else body.get("usage", {})
    return int(usage.get("completion_tokens", usage.get("output_tokens", 0)))


def _parsed(payload: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _request_id(call: IncomingCall, body: Mapping[str, Any]) -> str:
    for header in ID_HEADERS:
        if call.headers.get(header):
            return call.headers[header][:ID_CHARS_MAX]
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("id"), str) and metadata["id"]:
        return str(metadata["id"])[:ID_CHARS_MAX]
    return hashlib.sha256(call.payload).hexdigest()
