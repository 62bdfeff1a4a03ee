"""Delivery of one outcome: signed, tried several times, then put aside. It is a handler for `ResultReader.handle`.

- Returning means that the endpoint has answered 2xx: the outcome counts as handled.
- `Refused` puts the outcome aside in the dead letters: the endpoint failed too often, rests, or is gone (410), or this
  release of Headrace cannot read the outcome.
- `Interrupted` gives the outcome back while the process stops: it comes again after the next start.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from headrace import Completed, Failed, Outcome
from headrace.consumers.handling import Refused
from webhook.endpoints import Endpoint, Endpoints
from webhook.signing import signed_headers, webhook_id

_GONE = 410


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered; status 0: nothing, or no HTTP."""

    status: int
    retry_after_s: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the endpoint has taken the outcome. A redirect is a failure: its target was never agreed on."""
        return 200 <= self.status < 300


Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Reply]]
"""Sends a body to a URL; it has a time-out of its own and does not raise."""


class Interrupted(Exception):  # noqa: N818  # named by its meaning
    """The process stops before the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Attempts for one outcome, and the pauses between them: twice as long each time, half of it by chance."""

    attempts_max: int = 5
    pause_s: float = 0.5
    pause_max_s: float = 15.0

    def pause_after_s(self, attempt: int, reply: Reply) -> float:
        """Return the pause after an attempt; at least what the endpoint asked for, up to the longest pause."""
        pause_s = self.pause_s * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load
        return min(max(pause_s, reply.retry_after_s), self.pause_max_s)


class Delivery:
    """The handler of outcomes."""

    def __init__(self, endpoints: Endpoints, post: Post, *, stopping: asyncio.Event, pace: Pace) -> None:
        self._endpoints = endpoints
        self._post = post
        self._stopping = stopping
        self._pace = pace

    async def __call__(self, outcome: Outcome) -> None:
        """Deliver an outcome.

        Raises:
            Refused: It is to be put aside.
            Interrupted: It is to be given back.
        """
        endpoint = self._endpoints.of(outcome.tenant)
        if endpoint is None:
            return
        if isinstance(outcome, Failed) and outcome.reason == "unreadable":
            raise Refused("It may be a completed one, so it must not be delivered as a failure.")
        body = body_of(outcome)
        for attempt in range(1, self._pace.attempts_max + 1):
            reply = await self._attempt(endpoint, webhook_id(outcome.id, outcome.run), body)
            if reply.is_accepted:
                return
            if reply.status == _GONE:
                break
            if attempt < self._pace.attempts_max and await self._stops_within(self._pace.pause_after_s(attempt, reply)):
                raise Interrupted
        raise Refused(f"The endpoint answered {reply.status}.")

    async def _attempt(self, endpoint: Endpoint, message_id: str, body: bytes) -> Reply:
        if not endpoint.health.admits():
            raise Refused("The endpoint rests.")
        headers = signed_headers(endpoint.secrets, message_id, int(time.time()), body)
        reply = await self._post(endpoint.url, {"content-type": "application/json", **headers}, body)
        if reply.is_accepted:
            endpoint.health.answered()
        else:
            endpoint.health.failed()
        return reply

    async def _stops_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return False
        return True


def body_of(outcome: Outcome) -> bytes:
    """Return the JSON that is sent: type, time and the whole outcome; the same bytes at every attempt."""
    data = outcome.model_dump(mode="json")
    message = {
        "type": "generation.completed" if isinstance(outcome, Completed) else "generation.failed",
        "timestamp": data["timings"]["finished_at"],
        "data": data,
    }
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
