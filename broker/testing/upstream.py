"""In-memory OpenAI: scripted answers after some loop time, with counts of its calls.

Where a stream is requested, the texts of the answer are delivered word by word, spread over that time.

Error bodies are read as the SDK reads them, so a test writes OpenAI's body and gets the result of the real adapter.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from headrace.broker.adapters.openai.stream_assembly import asking_for_a_stream
from headrace.broker.core.answers.error_body import answer_of, error_in
from headrace.broker.core.answers.verdict import Answer
from headrace.broker.core.endpoints import Shape, facts_of
from headrace.broker.ports import UpstreamReply
from headrace.broker.testing.telling import deltas_of
from headrace.schemas.delta import Delta, Head


@dataclass(frozen=True, slots=True)
class Asked:
    """One call; `nth` is 1 for the first with its request id, `number` for the first of all.

    `body` is the one OpenAI gets, with `stream` in it if a stream is requested.
    """

    endpoint: str
    body: Mapping[str, object]
    request_id: str
    nth: int
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """An answer over HTTP: `body` is JSON if it is not text. `after_s`: its latency, None: the default.

    `cut_after`: a stream of it breaks off after that many words; no effect where no stream is requested.
    """

    status: int = 200
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float | None = None
    cut_after: int | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer: `code` is `timeout` or `connection`."""

    code: str
    after_s: float | None = None


Script = Callable[[Asked], Said | Silence | None]
"""Chooses the answer to a call; None: a default answer."""


class ScriptedUpstream:
    """An `UpstreamApi`.

    Attributes:
        calls: Number of calls by request id.
        inflight: Calls in flight.
        is_cut: While set no call gets an answer; they hang until cancelled.
        listing: The answer to a request for the list of models.
        listed: Number of such requests.
    """

    def __init__(self, *, latency_s: float = 0.0, script: Script | None = None) -> None:
        self.latency_s = latency_s
        self.script = script
        self.calls: Counter[str] = Counter()
        self.asked: list[Asked] = []
        self.inflight = 0
        self.is_cut = False
        self.listing: Said | Silence = Said(body={"object": "list", "data": []})
        self.listed = 0
        self.is_closed = False

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.call`."""
        self.calls[client_request_id] += 1
        body = body if on_delta is None else asking_for_a_stream(endpoint, body)
        asked = Asked(endpoint, body, client_request_id, self.calls[client_request_id], len(self.asked) + 1)
        self.asked.append(asked)
        said = (self.script(asked) if self.script else None) or Said(body=completion(asked))
        takes_s = self.latency_s if said.after_s is None else said.after_s
        self.inflight += 1
        try:
            if on_delta is not None and isinstance(said, Said) and said.status < 400:
                return await self._told(asked, said, takes_s, on_delta, on_head or (lambda _: None))
            await self._wait(takes_s)
        finally:
            self.inflight -= 1
        return _reply(said)

    async def _told(
        self,
        asked: Asked,
        said: Said,
        takes_s: float,
        on_delta: Callable[[Delta], None],
        on_head: Callable[[Head], None],
    ) -> UpstreamReply:
        deltas = deltas_of(asked.endpoint, said.body)
        for head, delta in deltas[: said.cut_after]:
            await self._wait(takes_s / (len(deltas) + 1))
            if head:
                on_head(head)
            on_delta(delta)
        if said.cut_after is not None:
            return _reply(Silence("connection"))
        await self._wait(takes_s / (len(deltas) + 1))
        if error_in(said.body) is not None:
            return UpstreamReply(answer_of(said.status, said.headers, said.body), None)
        reply = _reply(said)
        return replace(reply, answer=replace(reply.answer, early=True))

    async def models(self) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.models`: returns `listing` at once; `listed` counts."""
        self.listed += 1
        await self._wait(0)
        return _reply(self.listing)

    async def _wait(self, for_s: float) -> None:
        await asyncio.sleep(for_s)
        if self.is_cut:
            await asyncio.Event().wait()

    async def close(self) -> None:
        """See `headrace.broker.ports.UpstreamApi.close`."""
        self.is_closed = True


def completion(asked: Asked) -> dict[str, Any]:
    """Build a default answer."""
    return answer_text(asked, f"Answer to {asked.request_id}.")


def answer_text(asked: Asked, text: str) -> dict[str, Any]:
    """Build the endpoint's answer with `text` from the model; an embedding is a vector of numbers made from it."""
    model = str(asked.body.get("model"))
    shape = facts_of(asked.endpoint).shape
    match shape:
        case Shape.RESPONSE:
            return {
                "id": f"resp_{asked.number}",
                "object": "response",
                "status": "completed",
                "model": model,
                "output": [
                    {
                        "id": f"msg_{asked.number}",
                        "type": "message",
                        "role": "assistant",
                        "status": "completed",
                        "content": [{"type": "output_text", "text": text, "annotations": []}],
                    }
                ],
                "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
            }
        case Shape.VECTORS:
            given = asked.body.get("input")
            inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
            return {
                "object": "list",
                "model": model,
                "data": [
                    {"object": "embedding", "index": number, "embedding": _vector(f"{text} {one}")}
                    for number, one in enumerate(inputs)
                ],
                "usage": {"prompt_tokens": 10, "total_tokens": 10},
            }
        case Shape.CHAT:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            return {
                "id": f"chatcmpl-{asked.number}",
                "object": "chat.completion",
                "model": model,
                "choices": [choice],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        case _:
            assert_never(shape)


def _vector(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.blake2b(text.encode(), digest_size=8).digest()]


def _reply(said: Said | Silence) -> UpstreamReply:
    if isinstance(said, Silence):
        return UpstreamReply(Answer(None, {}, said.code, None, None, f"No answer: {said.code}."), None)
    text = said.body if isinstance(said.body, str) else json.dumps(said.body)
    if said.status < 400:
        return UpstreamReply(Answer(said.status, said.headers, None, None, None, ""), text)
    return UpstreamReply(answer_of(said.status, said.headers, text), None)
