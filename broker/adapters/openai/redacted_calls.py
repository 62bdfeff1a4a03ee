"""Redaction of the API key from an upstream's answers.

OpenAI masks a key that it refuses; a gateway may repeat the whole key in its error. That text becomes an outcome, which
each reader of the results topic sees, a line of the log and a line of `headrace status`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from headrace.broker.core.answers.verdict import Answer
from headrace.broker.ports import UpstreamApi, UpstreamReply
from headrace.broker.settings.urls import MASK
from headrace.schemas.delta import Delta, Head

_KEY_CHARS_MIN: Final = 8
"""A shorter text is no key of any server, and could be a part of a word."""


class HushedCalls:
    """An `UpstreamApi` that redacts the key from another one's answers."""

    def __init__(self, upstream: UpstreamApi, key: str) -> None:
        """`key` is the text that no answer may repeat."""
        self._upstream = upstream
        self._key = key if len(key) >= _KEY_CHARS_MIN else None

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
        return self._hushed_reply(
            await self._upstream.call(endpoint, body, client_request_id, on_delta, on_head=on_head)
        )

    async def models(self) -> UpstreamReply:
        """See `headrace.broker.ports.UpstreamApi.models`."""
        return self._hushed_reply(await self._upstream.models())

    async def close(self) -> None:
        """See `headrace.broker.ports.UpstreamApi.close`."""
        await self._upstream.close()

    def _hushed_reply(self, reply: UpstreamReply) -> UpstreamReply:
        return replace(reply, answer=self._hushed(reply.answer), body=self._of(reply.body))

    def _hushed(self, answer: Answer) -> Answer:
        return replace(
            answer,
            error_code=self._of(answer.error_code),
            error_type=self._of(answer.error_type),
            error_param=self._of(answer.error_param),
            message=self._of(answer.message) or "",
        )

    def _of(self, text: str | None) -> str | None:
        return text.replace(self._key, MASK) if text and self._key else text
