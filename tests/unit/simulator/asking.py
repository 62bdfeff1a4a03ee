"""An exchange with its books, asked without HTTP."""

import json
from typing import Any

from headrace.broker.simulator.accounting import Books
from headrace.broker.simulator.exchange import Exchange, IncomingCall
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.streams import AnswerStream

KEY = {"authorization": "Bearer anything"}
HELLO: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Company: Acme\nHello"}]}
ASKED: dict[str, Any] = {"model": "gpt-4.1", "input": "Company: Acme\nHello"}


def numbered(number: int, **more: Any) -> dict[str, Any]:
    """One of many requests that differ."""
    return HELLO | {"messages": [{"role": "user", "content": f"lead {number}"}]} | more


class Desk:
    """One simulated OpenAI with limits nobody reaches unless they are given."""

    def __init__(self, **settings: Any) -> None:
        self.settings = UpstreamSettings(**settings)
        self.exchange = Exchange(self.settings, Limiter(self.settings.limits(), self.settings.scene()))
        self.books = Books(self.settings.limits(), 0)
        self.calls = 0

    def reset(self) -> None:
        self.exchange.reset()

    def ask(
        self,
        body: Any = None,
        *,
        endpoint: Endpoint = Endpoint.CHAT,
        headers: dict[str, str] | None = None,
        now_us: int = 0,
    ) -> Reply:
        self.calls += 1
        payload = body if isinstance(body, bytes) else json.dumps(HELLO if body is None else body).encode()
        call = IncomingCall(self.calls, endpoint, KEY if headers is None else headers, payload)
        return self.exchange.decide(call, self.books, now_us)


def plentiful(**settings: Any) -> Desk:
    """One that refuses nobody for want of quota."""
    return Desk(tokens_per_minute=10**9, requests_per_minute=10**6, **settings)


def object_of(reply: Reply) -> dict[str, Any]:
    assert not isinstance(reply.body, str)
    return dict(reply.body)


def error_of(reply: Reply) -> dict[str, Any]:
    error = object_of(reply)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def words_of(reply: Reply) -> str:
    return str(object_of(reply)["choices"][0]["message"]["content"])


def stream_of_reply(reply: Reply) -> AnswerStream:
    assert reply.stream is not None
    return reply.stream
